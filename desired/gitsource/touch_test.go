package gitsource_test

import (
	"testing"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// TestTouches: a merge touches the paths where it changes a file, and nowhere else: what
// others have merged meanwhile is not its doing.
func TestTouches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		main, head gitd.Change
		fleet, d   bool // touches fleet, and fleet/d
	}{
		{"another file", gitd.Change{}, gitd.Change{Write: map[string]string{"README.md": "two\n"}}, false, false},
		{"another file, behind", gitd.Change{Write: map[string]string{"fleet/a.yaml": "main's\n", "fleet/d/e.yaml": "main's\n"}}, gitd.Change{Write: map[string]string{"README.md": "two\n"}}, false, false},
		{"one that begins so", gitd.Change{}, gitd.Change{Write: map[string]string{"fleet2/a.yaml": "x\n", "fleet.yaml": "x\n"}}, false, false},
		{"a change", gitd.Change{}, gitd.Change{Write: map[string]string{"fleet/a.yaml": "x\n"}}, true, false},
		{"a change, behind", gitd.Change{Write: map[string]string{"fleet/b.yaml": "main's\n"}}, gitd.Change{Write: map[string]string{"fleet/a.yaml": "x\n"}}, true, false},
		{"the same change as main", gitd.Change{Write: map[string]string{"fleet/a.yaml": "x\n"}}, gitd.Change{Write: map[string]string{"fleet/a.yaml": "x\n", "README.md": "two\n"}}, false, false},
		{"a new file", gitd.Change{}, gitd.Change{Write: map[string]string{"fleet/d/f.yaml": "x\n"}}, true, true},
		{"a file that goes", gitd.Change{}, gitd.Change{Delete: []string{"fleet/c.yaml"}}, true, false},
		{"a directory that goes", gitd.Change{}, gitd.Change{Delete: []string{"fleet/d"}}, true, true},
		{"a file in place of another", gitd.Change{}, gitd.Change{Write: map[string]string{"fleet/d/z.yaml": "e\n"}, Delete: []string{"fleet/d/e.yaml"}}, true, true},
		{"a link in place of a file", gitd.Change{}, gitd.Change{Link: map[string]string{"fleet/b.yaml": "b\n"}}, true, false},
		{"a conflict", gitd.Change{Write: map[string]string{"fleet/d/e.yaml": "main's\n"}}, gitd.Change{Write: map[string]string{"fleet/d/e.yaml": "x\n"}}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := split(t)
			if len(tt.main.Write) > 0 {
				f.on(t, "main", tt.main)
			}
			f.on(t, "change", tt.head)
			src := open(t, gitsource.Options{URL: f.Dir})
			err := src.Merge(t.Context(), "main", "change", []string{"fleet"}, func(m gitsource.Merge) error {
				for path, want := range map[string]bool{"fleet": tt.fleet, "fleet/d": tt.d, "nowhere": false, "fleet/nowhere": false} {
					if got := m.Touches([]string{"nowhere/else", path}); got != want {
						t.Errorf("touches %s: %t, want %t", path, got, want)
					}
				}
				if !m.Touches([]string{"."}) {
					t.Error("touches nothing at all")
				}
				return nil
			})
			f.do(t, err)
		})
	}
}
