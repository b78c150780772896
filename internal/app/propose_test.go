package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
)

const (
	oneMapping = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: api, namespace: demo}\nspec: {mechanism: irsa, roleARN: \"arn:aws:iam::123456789012:role/api\"}\n"
	another    = "\n---\napiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: worker, namespace: demo}\nspec: {mechanism: irsa, roleARN: \"arn:aws:iam::123456789012:role/api\", clusters: [a, b]}\n"
)

// edited is an editor of a directory, and what it asks for each mapping there.
func edited(t *testing.T, dirs ...string) (*app.Editor, []desired.Flip, []desired.Mapping) {
	t.Helper()
	git, err := app.OpenGit(app.Desired{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = git.Close() })
	e, err := app.NewEditor(t.Context(), git)
	if err != nil {
		t.Fatal(err)
	}
	state, err := git.Latest(t.Context(), identity.Cluster{Name: "a", Region: "x", Account: "123456789012", Partition: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	var flips []desired.Flip
	for _, m := range state.Mappings {
		flips = append(flips, desired.Flip{At: m.At, To: identity.PodIdentity})
	}
	return e, flips, state.Mappings
}

func file(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestEditor: nothing is written until it is asked for, and then just that.
func TestEditor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "a.yaml")
	file(t, name, oneMapping+another)
	e, flips, mappings := edited(t, dir)
	if c := e.Clusters(mappings[1]); strings.Join(c, " ") != "a b" || len(e.Clusters(mappings[0])) != 0 {
		t.Errorf("clusters %q of the second", c)
	}
	edition, err := e.Flip(t.Context(), flips[1:])
	if err != nil || len(e.Refusals(flips)) > 0 {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(name); string(got) != oneMapping+another {
		t.Errorf("written unasked: %s", got)
	}
	if err := edition.Write(); err != nil {
		t.Fatal(err)
	}
	want := oneMapping + strings.Replace(another, "irsa", "pod-identity", 1)
	if got, _ := os.ReadFile(name); string(got) != want || edition.Files()[0] != "a.yaml" {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestEditorRefuses: whatever was judged must still be what is there.
func TestEditorRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string) // between the judgement and the edit
		want   string
	}{
		{"another file says more now", func(t *testing.T, dir string) { file(t, filepath.Join(dir, "b.yaml"), another) }, "the changed files hold 2 mappings, and before 1: nothing was written"},
		{"another file is broken now", func(t *testing.T, dir string) { file(t, filepath.Join(dir, "b.yaml"), "a: b: c\n") }, "would not be accepted, and nothing was written:"},
		{"the mapping moved", func(t *testing.T, dir string) { file(t, filepath.Join(dir, "a.yaml"), "\n"+oneMapping) }, "no mapping begins here: read the file again"},
		{"the mapping says more now", func(t *testing.T, dir string) {
			file(t, filepath.Join(dir, "a.yaml"), strings.Replace(oneMapping, "role/api", "role/apis", 1))
		}, "demo/api would not be changed in its mechanism alone"},
		{"the file is gone", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "a.yaml")) }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file(t, filepath.Join(dir, "a.yaml"), oneMapping)
			e, flips, _ := edited(t, dir)
			tt.change(t, dir)
			if _, err := e.Flip(t.Context(), flips); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	one, other := t.TempDir(), t.TempDir()
	file(t, filepath.Join(one, "a.yaml"), oneMapping)
	file(t, filepath.Join(other, "a.yaml"), strings.Replace(oneMapping, "name: api", "name: other", 1))
	e, flips, _ := edited(t, one, other)
	if _, err := e.Flip(t.Context(), flips); err == nil || !strings.Contains(err.Error(), "are two working trees, and a patch is for one") {
		t.Errorf("two trees: %v", err)
	}
	astray := desired.Position{File: filepath.Join(filepath.Dir(one), "x.yaml")}
	gone := desired.Position{File: flips[0].At.File, Line: 99, Column: 1}
	refused := e.Refusals([]desired.Flip{{At: astray}, flips[0], {At: gone}})
	if err := refused[astray]; err == nil || !strings.Contains(err.Error(), "lies in none of the directories") {
		t.Errorf("a file elsewhere: %v", err)
	}
	if err := refused[gone]; len(refused) != 2 || err == nil || !strings.Contains(err.Error(), "no mapping begins here") {
		t.Errorf("refusals %v, want two", refused)
	}
}

// TestEditorOfARepository: only a working tree can be changed.
func TestEditorOfARepository(t *testing.T) {
	t.Parallel()
	git, err := app.OpenGit(app.Desired{URL: filepath.Join(t.TempDir(), "x.git")})
	if err == nil {
		defer git.Close()
		_, err = app.NewEditor(t.Context(), git)
	}
	if err == nil || !strings.Contains(err.Error(), "only files of a working tree can be changed") {
		t.Errorf("got %v", err)
	}
}
