package gitsource_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the real git, apart from the configuration of whoever runs the test.
func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), gitBinary(t), append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// clone checks the fleet out with the real git.
func clone(t *testing.T, f *fleet) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	run(t, t.TempDir(), "clone", "--quiet", f.Dir, dir)
	return dir
}

func openTree(t *testing.T, dirs ...string) *gitsource.WorkTree {
	t.Helper()
	w, err := gitsource.OpenWorkTree(dirs...)
	if err != nil {
		t.Fatalf("OpenWorkTree(%q): %v", dirs, err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func treeSnapshot(t *testing.T, w *gitsource.WorkTree) gitsource.Snapshot {
	t.Helper()
	s, changed, err := w.Latest(t.Context())
	if err != nil || !changed {
		t.Fatalf("Latest = changed %v, %v, want true, nil", changed, err)
	}
	return s
}

func TestWorkTreeRevision(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	clean := desired.Revision{Ref: desired.Worktree, Commit: f.third}
	dirty := desired.Revision{Ref: desired.Worktree, Commit: f.third, Dirty: true}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string)
		path   string
		want   desired.Revision
	}{
		{"clean", func(*testing.T, string) {}, ".", clean},
		{"clean below", func(*testing.T, string) {}, "fleet/demo", clean},
		{"clean file", func(*testing.T, string) {}, "fleet/demo/reader.yaml", clean},
		{"touched only", func(t *testing.T, dir string) { write(t, dir+"/README.md", "fleet\n") }, ".", clean},
		{"edited", func(t *testing.T, dir string) { write(t, dir+"/fleet/demo/reader.yaml", "n: 33\n") }, ".", dirty},
		{"edited, same size", func(t *testing.T, dir string) { write(t, dir+"/fleet/demo/reader.yaml", "n: 4\n") }, "fleet", dirty},
		{"edited file", func(t *testing.T, dir string) { write(t, dir+"/fleet/demo/reader.yaml", "n: 4\n") }, "fleet/demo/reader.yaml", dirty},
		{"edited elsewhere", func(t *testing.T, dir string) { write(t, dir+"/README.md", "x") }, "fleet", clean},
		{"added", func(t *testing.T, dir string) { write(t, dir+"/fleet/new.yaml", "") }, "fleet", dirty},
		{"added and watched", func(t *testing.T, dir string) { write(t, dir+"/other/new.yaml", "") }, "other", dirty},
		{"added but ignored", func(t *testing.T, dir string) {
			write(t, dir+"/.git/info/exclude", "new.yaml\n")
			write(t, dir+"/fleet/new.yaml", "")
		}, "fleet", dirty},
		{"empty directory", func(t *testing.T, dir string) { _ = os.MkdirAll(dir+"/fleet/x/y", 0o755) }, ".", clean},
		{"deleted", func(t *testing.T, dir string) { _ = os.Remove(dir + "/fleet/demo/reader.yaml") }, ".", dirty},
		{"link moved", func(t *testing.T, dir string) {
			_ = os.Remove(dir + "/fleet/link.yaml")
			_ = os.Symlink("demo", dir+"/fleet/link.yaml")
		}, ".", dirty},
		{"file for a link", func(t *testing.T, dir string) {
			_ = os.Remove(dir + "/fleet/link.yaml")
			write(t, dir+"/fleet/link.yaml", "demo/reader.yaml")
		}, ".", dirty},
		{"packed", func(t *testing.T, dir string) { run(t, dir, "gc", "--quiet") }, ".", clean},
		{"detached", func(t *testing.T, dir string) { run(t, dir, "checkout", "--quiet", "--detach") }, ".", clean},
		{"staged", func(t *testing.T, dir string) {
			write(t, dir+"/README.md", "x")
			run(t, dir, "add", ".")
		}, ".", dirty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := clone(t, f)
			tt.change(t, dir)
			w := openTree(t, filepath.Join(dir, tt.path))
			if got := treeSnapshot(t, w).Revision; got != tt.want {
				t.Errorf("revision of %s = %v, want %v", tt.path, got, tt.want)
			}
			if diff := cmp.Diff([]string{filepath.ToSlash(filepath.Clean(tt.path))}, w.Paths()); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWorkTreeSeesChangesAtOnce(t *testing.T) {
	t.Parallel()
	dir := clone(t, newFleet(t))
	w := openTree(t, dir)
	if s := treeSnapshot(t, w); s.Revision.Dirty {
		t.Errorf("revision = %v, want it clean", s.Revision)
	}
	write(t, dir+"/README.md", "edited\n")
	s := treeSnapshot(t, w)
	if got := content(t, s.FS, "README.md"); got != "edited\n" || !s.Revision.Dirty {
		t.Errorf("README.md = %q at %v, want the edit, dirty", got, s.Revision)
	}
}

func TestLinkedWorkTree(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dir := clone(t, f)
	linked := filepath.Join(t.TempDir(), "linked")
	run(t, dir, "worktree", "add", "--quiet", linked, f.second)
	want := desired.Revision{Ref: desired.Worktree, Commit: f.second}
	if got := treeSnapshot(t, openTree(t, linked)).Revision; got != want {
		t.Errorf("revision of a linked work tree = %v, want %v", got, want)
	}
}

func TestPlainDirectories(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	write(t, base+"/a/fleet/x.yaml", "a\n")
	write(t, base+"/b/fleet/x.yaml", "b\n")
	write(t, base+"/b/fleet/sub/y.yaml", "y\n")
	write(t, base+"/secret.yaml", "secret\n")
	if err := os.Symlink("../../secret.yaml", base+"/a/fleet/out.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		dirs  []string
		paths []string
		files map[string]string
	}{
		{"one", []string{base + "/a/fleet"}, []string{"."}, map[string]string{"x.yaml": "a\n"}},
		{"a file", []string{base + "/b/fleet/x.yaml"}, []string{"x.yaml"}, map[string]string{"x.yaml": "b\n"}},
		{"two of a name", []string{base + "/a/fleet", base + "/b/fleet"}, []string{"fleet", "fleet-2"},
			map[string]string{"fleet/x.yaml": "a\n", "fleet-2/x.yaml": "b\n", "fleet-2/sub/y.yaml": "y\n"}},
		{"one twice", []string{base + "/b/fleet", base + "/b/fleet/."}, []string{"."}, map[string]string{"x.yaml": "b\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := openTree(t, tt.dirs...)
			if diff := cmp.Diff(tt.paths, w.Paths()); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
			s := treeSnapshot(t, w)
			if want := (desired.Revision{Ref: desired.Worktree}); s.Revision != want {
				t.Errorf("revision = %v, want %v", s.Revision, want)
			}
			for name, want := range tt.files {
				if got := content(t, s.FS, name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
	s := treeSnapshot(t, openTree(t, base+"/a/fleet"))
	if data, err := fs.ReadFile(s.FS, "out.yaml"); err == nil {
		t.Errorf("a link that leaves the tree was read: %q", data)
	}
	if err := os.Remove(base + "/a/fleet/out.yaml"); err != nil {
		t.Fatal(err)
	}
	two := treeSnapshot(t, openTree(t, base+"/a/fleet", base+"/b/fleet"))
	if err := fstest.TestFS(two.FS, "fleet/x.yaml", "fleet-2/sub/y.yaml"); err != nil {
		t.Error(err)
	}
}

func TestPathsOfOneWorkTree(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dir := clone(t, f)
	w := openTree(t, dir+"/fleet/demo", dir+"/fleet/deep", dir+"/fleet/deep/er", dir+"/fleet/demo")
	if diff := cmp.Diff([]string{"fleet/demo", "fleet/deep"}, w.Paths()); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	s := treeSnapshot(t, w)
	if want := (desired.Revision{Ref: desired.Worktree, Commit: f.third}); s.Revision != want {
		t.Errorf("revision = %v, want %v", s.Revision, want)
	}
	// A link inside the work tree, out of the watched directory, leads on.
	if got := content(t, s.FS, "fleet/up/reader.yaml"); got != "n: 3\n" {
		t.Errorf("fleet/up/reader.yaml = %q, want what the link leads to", got)
	}
	for _, name := range []string{"fleet/demo/reader.yaml", "README.md"} {
		if _, err := fs.Stat(s.FS, name); err != nil {
			t.Errorf("Stat(%s): %v, want names from the top of the work tree", name, err)
		}
	}
}

func TestWorkTreeWithoutAReadableCommit(t *testing.T) {
	t.Parallel()
	plain := desired.Revision{Ref: desired.Worktree}
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"no commit yet": func(t *testing.T, dir string) { run(t, dir, "init", "--quiet") },
		"SHA-256":       func(t *testing.T, dir string) { run(t, dir, "init", "--quiet", "--object-format=sha256") },
		"not Git":       func(t *testing.T, dir string) { write(t, dir+"/.git/x", "") },
		"nor this":      func(t *testing.T, dir string) { write(t, dir+"/.git", "gitdir: nowhere\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			prepare(t, dir)
			write(t, dir+"/x.yaml", "x\n")
			s := treeSnapshot(t, openTree(t, dir))
			if s.Revision != plain || content(t, s.FS, "x.yaml") != "x\n" {
				t.Errorf("revision = %v, want %v and the files", s.Revision, plain)
			}
		})
	}
}

func TestWorkTreeErrors(t *testing.T) {
	t.Parallel()
	if _, err := gitsource.OpenWorkTree(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, fs.ErrNotExist) || remedy.Of(err) != remedy.Hold {
		t.Errorf("OpenWorkTree of nothing = %v, want %v", err, fs.ErrNotExist)
	}
	w := openTree(t, clone(t, newFleet(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.Latest(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Latest = %v, want %v", err, context.Canceled)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Latest(t.Context()); !errors.Is(err, gitsource.ErrClosed) {
		t.Errorf("Latest after Close = %v, want %v", err, gitsource.ErrClosed)
	}
}

// A clone that is read as a repository gives its refs, not its files.
func TestRepositoryWithAWorkTree(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dir := clone(t, f)
	write(t, dir+"/README.md", "edited\n")
	run(t, dir, "pack-refs", "--all")
	for _, ref := range []string{"", "main", "refs/remotes/origin/release/1.0"} {
		got, _ := latest(t, open(t, gitsource.Options{URL: dir, Ref: ref}))
		if got.Revision.Dirty || content(t, got.FS, "README.md") != "fleet\n" {
			t.Errorf("%q = %v, want what is committed", ref, got.Revision)
		}
	}
	sha256 := t.TempDir()
	run(t, sha256, "init", "--quiet", "--object-format=sha256")
	if _, _, err := open(t, gitsource.Options{URL: sha256}).Latest(t.Context()); !errors.Is(err, gitsource.ErrUnsupported) {
		t.Errorf("Latest of a SHA-256 repository = %v, want %v", err, gitsource.ErrUnsupported)
	}
}

// A link that is committed may not choose what is read outside of its repository,
// whether what lies there is a work tree of its own or not.
func TestDirectoryBehindALink(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	base := t.TempDir()
	repo, other, plain := clone(t, f), clone(t, f), base+"/plain"
	write(t, plain+"/sub/x.yaml", "x\n")
	link := func(target, name string) string {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name, dir string
		paths     []string // nil if it is refused
	}{
		{"to a plain directory", link(plain, repo+"/plain"), nil},
		{"below one", repo + "/plain/sub", nil},
		{"to another work tree", link(other, repo+"/other"), nil},
		{"into another work tree", link(other+"/fleet", repo+"/other-fleet"), nil},
		{"by way of a second link", link("plain", repo+"/second"), nil},
		{"within the repository", link("fleet/demo", repo+"/demo"), []string{"fleet/demo"}},
		{"to its top", link("..", repo+"/fleet/top"), []string{"."}},
		{"from outside of any repository", link(repo+"/fleet", base+"/fleet"), []string{"fleet"}},
		{"to a repository, from outside", link(repo, base+"/repo") + "/fleet", []string{"fleet"}},
	} {
		w, err := gitsource.OpenWorkTree(tt.dir)
		if tt.paths == nil {
			if !errors.Is(err, gitsource.ErrEscapes) || remedy.Of(err) != remedy.Hold || !strings.Contains(err.Error(), tt.dir+" is a link that leaves the repository "+repo+": give") {
				t.Errorf("%s: OpenWorkTree(%s) = %v (remedy %v), want %v (remedy hold)", tt.name, tt.dir, err, remedy.Of(err), gitsource.ErrEscapes)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: OpenWorkTree(%s): %v", tt.name, tt.dir, err)
			continue
		}
		if diff := cmp.Diff(tt.paths, w.Paths()); diff != "" {
			t.Errorf("%s: paths (-want +got):\n%s", tt.name, diff)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The names that are shown can be opened from where the user stands. It changes the
// directory of the process, so it is not parallel.
func TestShow(t *testing.T) {
	f := newFleet(t)
	repo, base := clone(t, f), t.TempDir()
	for _, dir := range []*string{&repo, &base} {
		real, err := filepath.EvalSymlinks(*dir)
		if err != nil {
			t.Fatal(err)
		}
		*dir = real
	}
	write(t, base+"/a/fleet/x.yaml", "")
	write(t, base+"/b/fleet/x.yaml", "")
	for _, tt := range []struct {
		name, cwd string
		dirs      []string
		files     map[string]string // by name in the FS
	}{
		{"top of a repository", repo, []string{"fleet"}, map[string]string{"fleet/demo/reader.yaml": "fleet/demo/reader.yaml", "fleet": "fleet"}},
		{"below the top", repo + "/fleet", []string{"demo"}, map[string]string{"fleet/demo/reader.yaml": "demo/reader.yaml", "README.md": "../README.md"}},
		{"above a repository", filepath.Dir(repo), []string{"clone"}, map[string]string{"README.md": "clone/README.md"}},
		{"outside of a repository", base, []string{repo}, map[string]string{"README.md": repo + "/README.md"}},
		{"a plain directory", base, []string{"a/fleet"}, map[string]string{"x.yaml": "a/fleet/x.yaml", ".": "a/fleet"}},
		{"a plain file", base, []string{"a/fleet/x.yaml"}, map[string]string{"x.yaml": "a/fleet/x.yaml"}},
		{"a plain directory, absolute", base, []string{base + "/a/fleet"}, map[string]string{"x.yaml": "a/fleet/x.yaml"}},
		{"a plain directory elsewhere", base + "/a", []string{"../b/fleet"}, map[string]string{"x.yaml": base + "/b/fleet/x.yaml"}},
		{"two of a name", base, []string{"a/fleet", "b/fleet"}, map[string]string{
			"fleet/x.yaml": "a/fleet/x.yaml", "fleet-2/x.yaml": "b/fleet/x.yaml", "fleet-2": "b/fleet", "gone/x.yaml": "gone/x.yaml",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(tt.cwd)
			w := openTree(t, tt.dirs...)
			for name, want := range tt.files {
				got := w.Show(name)
				if got != want {
					t.Errorf("Show(%s) from %s = %s, want %s", name, tt.cwd, got, want)
				}
				place, ok := w.Locate(got)
				if gone := strings.HasPrefix(name, "gone"); ok == gone || !gone && place.Name != name {
					t.Errorf("Locate(%s) = %+v, %v; want %s", got, place, ok, name)
				}
				if a, err := os.Stat(filepath.Join(place.Top, place.Below)); ok {
					if b, err2 := os.Stat(got); err != nil || err2 != nil || !os.SameFile(a, b) {
						t.Errorf("Locate(%s) = %+v, which is another file: %v, %v", got, place, err, err2)
					}
				}
				if _, err := os.Stat(got); err != nil && !strings.HasPrefix(name, "gone") {
					t.Errorf("Show(%s) cannot be opened: %v", name, err)
				}
			}
			for _, astray := range []string{"../../../../nowhere.yaml", "/nowhere.yaml"} {
				if place, ok := w.Locate(astray); ok {
					t.Errorf("Locate(%s) = %+v, which is in no tree", astray, place)
				}
			}
		})
	}
}
