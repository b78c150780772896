package gitsource_test

import (
	"context"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const token = "s3cr3t-t0ken"

// fleet is a repository of three commits on main, with a branch and tags.
type fleet struct {
	*gitd.Repo
	first, second, third string
	tag                  string // the object of the annotated tag v1, on first
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	repo, err := gitd.Init(filepath.Join(t.TempDir(), "fleet.git"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Repo: repo}
	f.first = f.commit(t, gitd.Change{Write: map[string]string{
		"fleet/demo/reader.yaml": "n: 1\n", "fleet/deep/er/and/deeper.yaml": "d: 1\n", "README.md": "fleet\n",
	}})
	f.second = f.commit(t, gitd.Change{Write: map[string]string{"fleet/demo/reader.yaml": "n: 2\n"}})
	f.third = f.commit(t, gitd.Change{
		Write: map[string]string{"fleet/demo/reader.yaml": "n: 3\n"},
		Link:  map[string]string{"fleet/link.yaml": "demo/reader.yaml", "fleet/up": "../fleet/demo"},
	})
	f.do(t, f.SetBranch("release/1.0", f.second))
	f.do(t, f.Tag("light", f.second))
	f.tag, err = f.AnnotatedTag("v1", f.first, gitd.By(noon))
	f.do(t, err)
	return f
}

func (f *fleet) do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) commit(t *testing.T, c gitd.Change) string {
	t.Helper()
	c.Branch, c.By = "main", gitd.By(noon)
	hash, err := f.Repo.Commit(c)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// serve serves the fleet with go-git, or by git http-backend.
func (f *fleet) serve(t *testing.T, o gitd.Options) *gitd.Server {
	t.Helper()
	s, err := gitd.Serve(context.WithoutCancel(t.Context()), f.Repo, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// gitBinary is the real git, which only tests may use.
func gitBinary(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git binary to compare with")
	}
	return path
}

func open(t *testing.T, o gitsource.Options) *gitsource.Source {
	t.Helper()
	s, err := gitsource.Open(o)
	if err != nil {
		t.Fatalf("Open(%q): %v", gitsource.Redact(o.URL), err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func latest(t *testing.T, s *gitsource.Source) (gitsource.Snapshot, bool) {
	t.Helper()
	snapshot, changed, err := s.Latest(t.Context())
	if err != nil {
		t.Fatalf("Latest of %s: %v", s, err)
	}
	return snapshot, changed
}

func content(t *testing.T, fsys fs.FS, name string) string {
	t.Helper()
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatalf("ReadFile(%s): %v", name, err)
	}
	return string(data)
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
