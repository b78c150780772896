package gitsource_test

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// TestMergeBehindLinks: what a link below a watched path leads to is read, and so it is
// merged, touched and in conflict like the rest, wherever it lies.
func TestMergeBehindLinks(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]map[string]string{
		"to a directory":   {"fleet/common": "../common"},
		"to a file":        {"fleet/common/x.yaml": "../../common/x.yaml"},
		"the watched path": {"fleet": "linked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo, err := gitd.Init(t.TempDir() + "/fleet.git")
			if err != nil {
				t.Fatal(err)
			}
			f := &fleet{Repo: repo}
			text := []string{"1", "2", "3", "4", "5", "6", "7", "8"}
			f.first = f.on(t, "main", gitd.Change{Write: map[string]string{"common/x.yaml": lines(text...), "linked/common/x.yaml": lines(text...), "README.md": "one\n"}, Link: link})
			f.branch(t, "change", f.first)
			f.branch(t, "clash", f.first)
			theirs := lines("1", "2", "3", "4", "5", "6", "7", "eight")
			f.on(t, "main", gitd.Change{Write: map[string]string{"common/x.yaml": theirs, "linked/common/x.yaml": theirs}})
			mine := lines("one", "2", "3", "4", "5", "6", "7", "8")
			f.on(t, "change", gitd.Change{Write: map[string]string{"common/x.yaml": mine, "linked/common/x.yaml": mine}})
			other := lines("1", "2", "3", "4", "5", "6", "7", "acht")
			f.on(t, "clash", gitd.Change{Write: map[string]string{"common/x.yaml": other, "linked/common/x.yaml": other}})
			src := open(t, gitsource.Options{URL: f.Dir})
			var got string
			var touches bool
			read := func(m gitsource.Merge) error {
				data, err := fs.ReadFile(m.Head.FS, "fleet/common/x.yaml")
				got, touches = string(data), m.Touches([]string{"fleet"}) && len(m.Conflicts) == 0
				return err
			}
			if err := src.Merge(t.Context(), "main", "change", []string{"fleet"}, read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(lines("one", "2", "3", "4", "5", "6", "7", "eight"), got); diff != "" || !touches {
				t.Errorf("touches %t (-want +got):\n%s", touches, diff)
			}
			var conflicts int
			if err := src.Merge(t.Context(), "main", "clash", []string{"fleet"}, func(m gitsource.Merge) error { conflicts = len(m.Conflicts); return nil }); err != nil || conflicts != 2 {
				t.Errorf("%v, %d conflicts, want 2", err, conflicts)
			}
		})
	}
}
