package gitsource_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

func TestSnapshotIsAFileSystem(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for way, options := range origins(t, f) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			options.Ref = "main"
			got, _ := latest(t, open(t, options))
			if err := fstest.TestFS(got.FS, "README.md", "fleet/demo/reader.yaml", "fleet/deep/er/and/deeper.yaml", "fleet/link.yaml", "fleet/up"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.commit(t, gitd.Change{Link: map[string]string{
		"out.yaml":       "../secret.yaml",
		"fleet/out.yaml": "demo/../../../secret.yaml",
		"abs.yaml":       "/etc/passwd",
		"gone.yaml":      "fleet/nowhere.yaml",
		"loop.yaml":      "loop2.yaml",
		"loop2.yaml":     "loop.yaml",
		"dir":            "fleet/deep/er",
		"via.yaml":       "dir/../er/and/deeper.yaml", // the parent of where dir leads
		"file":           "README.md/../README.md",
		"self":           ".",
		"long.yaml":      strings.Repeat("x", 5000),
	}})
	got, _ := latest(t, open(t, gitsource.Options{URL: f.Dir, Ref: "main"}))
	for _, tt := range []struct {
		name string
		want string
		is   error
	}{
		{"fleet/link.yaml", "n: 3\n", nil},
		{"fleet/up/reader.yaml", "n: 3\n", nil},
		{"via.yaml", "d: 1\n", nil},
		{"self/self/README.md", "fleet\n", nil},
		{"out.yaml", "", gitsource.ErrEscapes},
		{"fleet/out.yaml", "", gitsource.ErrEscapes},
		{"abs.yaml", "", gitsource.ErrEscapes},
		{"gone.yaml", "", fs.ErrNotExist},
		{"file", "", fs.ErrNotExist},
		{"long.yaml", "", gitsource.ErrLimit},
		{"../x", "", fs.ErrInvalid},
		{"/x", "", fs.ErrInvalid},
	} {
		data, err := fs.ReadFile(got.FS, tt.name)
		if string(data) != tt.want || !errors.Is(err, tt.is) {
			t.Errorf("ReadFile(%q) = %q, %v, want %q, %v", tt.name, data, err, tt.want, tt.is)
		}
	}
	if _, err := got.FS.Open("loop.yaml"); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("Open of a circle of links = %v, want an error that says so", err)
	}
	target, err := fs.ReadLink(got.FS, "out.yaml")
	if target != "../secret.yaml" || err != nil {
		t.Errorf("ReadLink(out.yaml) = %q, %v, want the target as written", target, err)
	}
	info, err := fs.Lstat(got.FS, "out.yaml")
	if err != nil || info.Mode()&fs.ModeSymlink == 0 || info.Size() != int64(len("../secret.yaml")) {
		t.Errorf("Lstat(out.yaml) = %v, %v, want a link", info, err)
	}
	if _, err := fs.ReadLink(got.FS, "README.md"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink of a file = %v, want %v", err, fs.ErrInvalid)
	}
}

// raw commits a tree of exactly these entries to main.
func (f *fleet) raw(t *testing.T, entries ...gitd.Entry) {
	t.Helper()
	tree, err := f.Tree(entries...)
	f.do(t, err)
	commit, err := f.CommitTree(tree, gitd.By(noon))
	f.do(t, err)
	f.do(t, f.SetBranch("main", commit))
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	blob, err := f.Blob("x")
	f.do(t, err)
	for _, name := range []string{"..", ".", ".git", ".GIT", "a/b", "../../x", "/"} {
		for _, mode := range []filemode.FileMode{filemode.Regular, filemode.Dir, filemode.Symlink, filemode.Submodule} {
			f.raw(t, gitd.Entry{Name: name, Mode: mode, Hash: blob})
			_, _, err := open(t, gitsource.Options{URL: f.Dir, Ref: "main"}).Latest(t.Context())
			if !errors.Is(err, gitsource.ErrMalformed) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
				t.Errorf("tree with %v %q: Latest = %v, want %v that names it", mode, name, err, gitsource.ErrMalformed)
			}
		}
	}
	for what, entries := range map[string][]gitd.Entry{
		"no name":      {{Name: "", Mode: filemode.Regular, Hash: blob}},
		"a name twice": {{Name: "a", Mode: filemode.Regular, Hash: blob}, {Name: "a", Mode: filemode.Executable, Hash: blob}},
		"no such tree": {{Name: "a", Mode: filemode.Dir, Hash: strings.Repeat("1", 40)}},
		"file as tree": {{Name: "a", Mode: filemode.Dir, Hash: blob}},
	} {
		f.raw(t, entries...)
		if _, _, err := open(t, gitsource.Options{URL: f.Dir, Ref: "main"}).Latest(t.Context()); !errors.Is(err, gitsource.ErrMalformed) {
			t.Errorf("tree with %s: Latest = %v, want %v", what, err, gitsource.ErrMalformed)
		}
	}
}

func TestOddNamesAreKept(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	blob, err := f.Blob("x")
	f.do(t, err)
	names := []string{"C:", "a\\b", "caf\xe9", "new\nline", "..."}
	var entries []gitd.Entry
	for _, name := range names {
		entries = append(entries, gitd.Entry{Name: name, Mode: filemode.Regular, Hash: blob})
	}
	f.raw(t, entries...)
	got, _ := latest(t, open(t, gitsource.Options{URL: f.Dir, Ref: "main"}))
	listed, err := fs.ReadDir(got.FS, ".")
	if err != nil || len(listed) != len(names) {
		t.Errorf("ReadDir = %v, %v, want %q", listed, err, names)
	}
}

func TestSubmodulesAreEmptyDirectories(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.raw(t, gitd.Entry{Name: "sub", Mode: filemode.Submodule, Hash: strings.Repeat("1", 40)})
	got, _ := latest(t, open(t, gitsource.Options{URL: f.Dir, Ref: "main"}))
	if err := fstest.TestFS(got.FS, "sub"); err != nil {
		t.Error(err)
	}
	if listed, err := fs.ReadDir(got.FS, "sub"); err != nil || len(listed) != 0 {
		t.Errorf("ReadDir(sub) = %v, %v, want nothing", listed, err)
	}
}

func TestSnapshotIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{})
	got, _ := latest(t, open(t, gitsource.Options{URL: server.URL, Ref: "main"}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := fstest.TestFS(got.FS, "README.md"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
