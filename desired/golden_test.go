package desired_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

var update = flag.Bool("update", false, "rewrite golden files")

// lab is the cluster of the examples.
var lab = identity.Cluster{
	Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws",
	Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
}

var worktree = desired.Revision{Ref: desired.Worktree}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); rewrite with -update\n%s", name, diff)
	}
}

func fixtures(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", filepath.FromSlash(dir), "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures in testdata/%s: %v", dir, err)
	}
	return names
}

// judge reads one fixture alone: as a repository, or as a configuration.
func judge(t testing.TB, name string) error {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(name)
	if strings.Contains(filepath.ToSlash(name), "/configuration/") {
		_, err := desired.ParseConfiguration(base, data)
		return err
	}
	repo, err := desired.Parse(fstest.MapFS{base: {Data: data}}, []string{"."}, worktree)
	if err != nil {
		return err
	}
	return repo.Check()
}

// TestMistakes holds one defect in each fixture, named after it: what is said
// about it, where, and what to write instead.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"shape", "rule", "yaml", "configuration/shape", "configuration/rule"} {
		var b strings.Builder
		for _, name := range fixtures(t, dir) {
			err := judge(t, name)
			var all desired.Errors
			if !errors.As(err, &all) {
				t.Errorf("%s: got %v, want mistakes", name, err)
				continue
			}
			for _, e := range all {
				if e.At.File == "" || e.At.Line < 1 || e.At.Column < 1 || e.What == "" || e.Instead == "" {
					t.Errorf("%s: %q lacks a place, what is wrong, or what to write instead", name, e)
				}
			}
			fmt.Fprintln(&b, err)
		}
		golden(t, path.Join("testdata", dir, "errors.golden"), b.String())
	}
}

func TestGood(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"good", "configuration/good"} {
		for _, name := range fixtures(t, dir) {
			if err := judge(t, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestRepository reads each archive as a repository; its last file, want, is what
// comes of it for cluster irsa-lab.
func TestRepository(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/repository/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fsys := fstest.MapFS{}
		for _, f := range archive.Files {
			if f.Name != "want" {
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
		}
		got := outcome(t, fsys)
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
		switch {
		case *update:
			if i < 0 {
				i, archive.Files = len(archive.Files), append(archive.Files, txtar.File{Name: "want"})
			}
			archive.Files[i].Data = []byte(got)
			if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		case i < 0:
			t.Errorf("%s wants nothing; write it with -update", name)
		default:
			if diff := cmp.Diff(string(archive.Files[i].Data), got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", name, diff)
			}
		}
	}
}

// outcome prints what a repository says about the lab, or its mistakes.
func outcome(t *testing.T, fsys fs.FS) string {
	t.Helper()
	repo, err := desired.Parse(fsys, []string{"."}, worktree)
	if err != nil {
		return "parse:\n" + err.Error() + "\n"
	}
	if err := repo.Check(); err != nil {
		return "check:\n" + err.Error() + "\n"
	}
	state, err := repo.For(lab)
	if err != nil {
		return "for:\n" + err.Error() + "\n"
	}
	b, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}
