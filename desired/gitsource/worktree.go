package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// WorkTree reads directories as they are on disk. A directory inside a Git work
// tree is seen from that tree's top, so that file names, defaults from parent
// directories and links mean what they will mean once committed; any other is its
// own tree. No link is followed out of its tree ([os.Root]), and a directory that
// is named by way of one that leaves a Git work tree is refused.
// Several goroutines may call Latest; Close comes last.
type WorkTree struct {
	cwd   string // without links
	trees []*tree
	paths []string
	fs    fs.FS
}

// tree is one root on disk, and the watched paths below it.
type tree struct {
	top   string
	isGit bool
	name  string // below which its files appear; "." when it is the only tree
	root  *os.Root
	paths []string
}

// OpenWorkTree opens the given directories or files; none means the current
// directory.
func OpenWorkTree(dirs ...string) (*WorkTree, error) {
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	w := &WorkTree{}
	var err error
	if w.cwd, err = os.Getwd(); err == nil {
		w.cwd, err = filepath.EvalSymlinks(w.cwd)
	}
	if err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("find the current directory: %w: change to one that exists", err))
	}
	for _, dir := range dirs {
		if err := w.add(dir); err != nil {
			next := "give an existing directory"
			if errors.Is(err, ErrEscapes) {
				next = "give a directory of the repository, or the one that the link leads to if you trust it"
			}
			return nil, errors.Join(remedy.Mark(remedy.Hold, fmt.Errorf("open %s: %w: %s", dir, err, next)), w.Close())
		}
	}
	w.mount()
	return w, nil
}

func (w *WorkTree) add(given string) error {
	named := filepath.Clean(given)
	if !filepath.IsAbs(named) {
		named = filepath.Join(w.cwd, named)
	}
	// The top is looked for from where the directory really is, or a link to a
	// directory in another work tree would be judged by the wrong one.
	dir, err := filepath.EvalSymlinks(named)
	if err != nil {
		return err
	}
	if err := stays(given, named, dir); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	top, isGit := topOf(dir)
	if !isGit && !info.IsDir() {
		top = filepath.Dir(dir)
	}
	below, err := filepath.Rel(top, dir)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(w.trees, func(t *tree) bool { return t.top == top })
	if i < 0 {
		root, err := os.OpenRoot(top)
		if err != nil {
			return err
		}
		i = len(w.trees)
		w.trees = append(w.trees, &tree{top: top, isGit: isGit, root: root})
	}
	w.trees[i].paths = append(w.trees[i].paths, filepath.ToSlash(below))
	return nil
}

// stays refuses a directory that a link leads to from inside a Git work tree to
// outside of it: whoever may commit would choose which directory is read.
func stays(given, named, real string) error {
	for top, isGit := topOf(named); isGit; top, isGit = topOf(filepath.Dir(top)) {
		realTop, err := filepath.EvalSymlinks(top)
		if err != nil {
			return err
		}
		if !within(realTop, real) {
			return linkError(fmt.Sprintf("%s is a link that leaves the repository %s", given, top))
		}
		if filepath.Dir(top) == top {
			break
		}
	}
	return nil
}

// linkError is an ErrEscapes that names the link.
type linkError string

func (e linkError) Error() string      { return string(e) }
func (linkError) Is(target error) bool { return target == ErrEscapes }

// within reports whether a path lies at or below dir.
func within(dir, name string) bool {
	below, err := filepath.Rel(dir, name)
	return err == nil && filepath.IsLocal(below)
}

// topOf returns the nearest directory at or above dir that has a .git, which is a
// file in linked work trees and submodules; else dir itself.
func topOf(dir string) (string, bool) {
	for at := dir; ; {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at, true
		}
		parent := filepath.Dir(at)
		if parent == at {
			return dir, false
		}
		at = parent
	}
}

// mount gives each tree its place in the file system that the reader sees: a lone
// one the root, several one directory each, named as on disk.
func (w *WorkTree) mount() {
	if len(w.trees) == 1 {
		t := w.trees[0]
		t.name, w.fs = ".", t.root.FS()
	} else {
		union := mounts{}
		for _, t := range w.trees {
			base := filepath.ToSlash(filepath.Base(t.top))
			if base == "/" {
				base = "root"
			}
			t.name = base
			for n := 2; union[t.name] != nil; n++ {
				t.name = base + "-" + strconv.Itoa(n)
			}
			union[t.name] = t.root.FS()
		}
		w.fs = union
	}
	for _, t := range w.trees {
		t.paths = outermost(t.paths)
		for _, p := range t.paths {
			w.paths = append(w.paths, path.Join(t.name, p))
		}
	}
}

// outermost drops paths that lie below others.
func outermost(paths []string) []string {
	var kept []string
	for _, p := range paths {
		inside := slices.ContainsFunc(paths, func(q string) bool {
			return p != q && (q == "." || strings.HasPrefix(p, q+"/"))
		})
		if !inside && !slices.Contains(kept, p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Paths returns where in the snapshots' FS the directories are, for
// [desired.Parse].
func (w *WorkTree) Paths() []string { return slices.Clone(w.paths) }

// Show returns the name by which the user opens a file of the snapshots' FS, for
// [desired.ParseShown]: relative to the directory he stands in if the file lies in
// it or both lie in one Git work tree, else absolute. Standing at the top of a
// work tree that is what Git calls the file.
func (w *WorkTree) Show(name string) string {
	for _, t := range w.trees {
		below, ok := name, true
		if t.name != "." {
			below, ok = strings.CutPrefix(name+"/", t.name+"/")
		}
		if !ok {
			continue
		}
		file := filepath.Join(t.top, filepath.FromSlash(below))
		if within(w.cwd, file) || t.isGit && within(t.top, w.cwd) {
			if short, err := filepath.Rel(w.cwd, file); err == nil {
				file = short
			}
		}
		return filepath.ToSlash(file)
	}
	return name
}

// Place is where a file of a WorkTree lies.
type Place struct {
	Name  string // in the snapshots' FS
	Top   string // directory of its tree
	Below string // its path below that, with slashes
}

// Locate is the way back from what [WorkTree.Show] says; not ok for what lies in none of
// the trees.
func (w *WorkTree) Locate(shown string) (Place, bool) {
	file := filepath.FromSlash(shown)
	if !filepath.IsAbs(file) {
		file = filepath.Join(w.cwd, file)
	}
	for _, t := range w.trees {
		below, err := filepath.Rel(t.top, file)
		if err != nil || !filepath.IsLocal(below) {
			continue
		}
		below = filepath.ToSlash(below)
		if p := (Place{Name: path.Join(t.name, below), Top: t.top, Below: below}); w.Show(p.Name) == filepath.ToSlash(shown) {
			return p, true
		}
	}
	return Place{}, false
}

// Read returns what a file of the snapshots' FS holds now.
func (w *WorkTree) Read(name string) ([]byte, error) {
	if w.fs == nil {
		return nil, fmt.Errorf("read work tree: %w", ErrClosed)
	}
	f, err := w.fs.Open(name)
	if err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("read %s: %w", w.Show(name), err))
	}
	defer f.Close()
	most := Limits{}.orDefault().FileBytes
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("read %s: %w", w.Show(name), err))
	case int64(len(data)) > most:
		return nil, over("FileBytes", most, "read %s", w.Show(name))
	}
	return data, nil
}

// Latest returns the files as they are, always as changed: a disk has no listing
// that tells. The revision is "worktree", with the commit that is checked out and
// whether the files under the paths differ from it, if all are of one Git work
// tree that go-git can read. Bytes are compared, so line endings that a checkout
// converted count as a difference; ignored files count too, because they are read.
func (w *WorkTree) Latest(ctx context.Context) (Snapshot, bool, error) {
	if w.fs == nil {
		return Snapshot{}, false, fmt.Errorf("read work tree: %w", ErrClosed)
	}
	s := Snapshot{Revision: desired.Revision{Ref: desired.Worktree}, FS: w.fs}
	if len(w.trees) != 1 || !w.trees[0].isGit {
		return s, true, nil
	}
	commit, dirty, err := w.trees[0].compare(ctx)
	if err := ctx.Err(); err != nil {
		return Snapshot{}, false, fmt.Errorf("read work tree %s: %w", w.trees[0].top, err)
	}
	if err == nil {
		s.Revision.Commit, s.Revision.Dirty = commit, dirty
	}
	return s, true, nil
}

// Close closes the directories.
func (w *WorkTree) Close() error {
	var err error
	for _, t := range w.trees {
		err = errors.Join(err, t.root.Close())
	}
	w.trees, w.fs = nil, nil
	return err
}
