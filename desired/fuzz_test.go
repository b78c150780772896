package desired_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
)

func seed(f *testing.F, dirs ...string) {
	f.Helper()
	for _, dir := range dirs {
		for _, name := range fixtures(f, dir) {
			data, err := os.ReadFile(filepath.Clean(name))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// breaks are the line breaks of YAML 1.1.
var breaks = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// placed fails unless err is nil or mistakes with places inside the file.
func placed(t *testing.T, data []byte, err error) {
	t.Helper()
	var all desired.Errors
	if err == nil {
		return
	}
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("got %v, want mistakes", err)
	}
	lines := 1 + len(breaks.FindAll(data, -1))
	for _, e := range all {
		if e.At.File != "a.yaml" || e.What == "" || e.Instead == "" || (e.At.Line < 1 || e.At.Column < 1 || e.At.Line > lines) && len(data) <= 1<<20 {
			t.Fatalf("%q has no place in %d lines", e, lines)
		}
	}
}

// FuzzParse: no file makes the parser panic or hang; every mistake has its place;
// what one parse says of a cluster the next says too, sorted and without twins.
func FuzzParse(f *testing.F) {
	seed(f, "good", "shape", "rule", "yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		var states []desired.State
		for range 2 {
			repo, err := desired.Parse(fstest.MapFS{"a.yaml": {Data: data}}, nil, worktree)
			placed(t, data, err)
			if err != nil {
				return
			}
			placed(t, data, repo.Check())
			state, err := repo.For(lab)
			placed(t, data, err)
			if err != nil {
				return
			}
			states = append(states, state)
		}
		if diff := cmp.Diff(states[0], states[1]); diff != "" {
			t.Fatalf("two parses differ\n%s", diff)
		}
		for i, m := range states[0].Mappings {
			if m.Role.IsZero() || m.Mechanism == 0 || m.Subject.Namespace == "" || m.Subject.ServiceAccount == "" {
				t.Fatalf("incomplete mapping %+v", m)
			}
			if i > 0 && states[0].Mappings[i-1].Subject.Compare(m.Subject) >= 0 {
				t.Fatalf("%s after %s", m.Subject, states[0].Mappings[i-1].Subject)
			}
		}
	})
}

// FuzzConfiguration: as FuzzParse, and a configuration that may write has rules.
func FuzzConfiguration(f *testing.F) {
	seed(f, "configuration/good", "configuration/shape", "configuration/rule")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := desired.ParseConfiguration("a.yaml", data)
		placed(t, data, err)
		if err == nil && (c.Cluster == "" || c.Mode != desired.ModeObserve && len(c.Allow) == 0 || c.Migration.Settle < desired.DefaultSettle) {
			t.Fatalf("unguarded configuration %+v", c)
		}
	})
}
