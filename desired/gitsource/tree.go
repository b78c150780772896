package gitsource

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// node is a file or directory of a revision. Its size is looked up when asked
// for: most files of most repositories are never read.
type node struct {
	name     string
	mode     fs.FileMode
	hash     plumbing.Hash
	when     time.Time // of the commit: Git keeps no time for files
	parent   *node
	children []*node // sorted by name
	// held gives the content of a file, or the target of a link, that is not stored under
	// hash; nil for what is.
	held func(most int64) ([]byte, error)
}

func (n *node) child(name string) (*node, bool) {
	i, ok := slices.BinarySearchFunc(n.children, name, func(c *node, name string) int {
		return strings.Compare(c.name, name)
	})
	if !ok {
		return nil, false
	}
	return n.children[i], true
}

func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	if n.parent.parent == nil {
		return n.name
	}
	return n.parent.path() + "/" + n.name
}

// loader reads the directories of one revision. It counts what it meets and not
// what is stored: one small tree can contain itself many times over by name.
type loader struct {
	*objects
	when  time.Time
	files int64
}

func (o *objects) load(ctx context.Context, root plumbing.Hash, when time.Time) (*node, error) {
	l := &loader{objects: o, when: when}
	top := &node{name: ".", mode: fs.ModeDir | 0o555, hash: root, when: when}
	return top, l.fill(ctx, top, 0)
}

func (l *loader) fill(ctx context.Context, dir *node, depth int64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read directory %s: %w", dir.path(), err)
	}
	if depth > l.limits.Depth {
		return over("Depth", l.limits.Depth, "directory %s is %d deep", shorten(dir.path()), depth)
	}
	entries, err := l.tree(dir.hash)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", dir.path(), err)
	}
	if l.files += int64(len(entries)); l.files > l.limits.Files {
		return over("Files", l.limits.Files, "revision with more than %d files and directories", l.limits.Files)
	}
	for _, e := range entries {
		child, err := l.entry(dir, e)
		if err != nil {
			return err
		}
		dir.children = append(dir.children, child)
	}
	slices.SortFunc(dir.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	for i, child := range dir.children {
		if i > 0 && dir.children[i-1].name == child.name {
			return malformed("directory %s holds %q twice: run git fsck", dir.path(), child.name)
		}
		if !child.mode.IsDir() || child.hash.IsZero() {
			continue
		}
		if err := l.fill(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// entry judges one line of a tree as git fsck does. A name that leads elsewhere
// than into its directory makes the revision unreadable, wherever it stands:
// nobody comes by such a tree in good faith. Names that are merely odd are kept.
func (l *loader) entry(dir *node, e object.TreeEntry) (*node, error) {
	if e.Name == "" || e.Name == "." || e.Name == ".." || strings.Contains(e.Name, "/") || strings.EqualFold(e.Name, ".git") {
		return nil, malformed("directory %s holds an entry named %q: rewrite the commit that made it", dir.path(), e.Name)
	}
	n := &node{name: e.Name, hash: e.Hash, when: l.when, parent: dir}
	switch e.Mode {
	case modeDir:
		n.mode = fs.ModeDir | 0o555
	case modeSubmodule: // its commit lies in another repository
		n.mode, n.hash = fs.ModeDir|0o555, plumbing.ZeroHash
	case modeSymlink:
		n.mode = fs.ModeSymlink | 0o777
	case filemode.Executable:
		n.mode = 0o555
	case filemode.Regular, filemode.Deprecated:
		n.mode = 0o444
	default:
		return nil, malformed("directory %s holds %q of unknown mode %o: run git fsck", dir.path(), e.Name, uint32(e.Mode))
	}
	return n, nil
}

// shorten keeps a hostile path from filling the error.
func shorten(s string) string {
	if len(s) <= 80 {
		return s
	}
	return s[:80] + "..."
}

// Short names for what a line of a tree can be.
const (
	modeDir       = filemode.Dir
	modeSubmodule = filemode.Submodule
	modeSymlink   = filemode.Symlink
)
