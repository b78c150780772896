package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Conflict is a file that both sides changed, each in a way that leaves no merging.
type Conflict struct {
	File string // in the snapshots' FS
	// Base and Head say what each did to the file: "added", "changed" or "deleted". A file
	// that was moved is deleted here and added there.
	Base, Head string
}

// merger merges two trees that came out of one, file by file:
//
//	unchanged on one side        the other side's
//	changed on both, alike       that
//	changed on both by lines     both changes, where they are apart
//	any other                    a conflict, and head's
//
// Files are compared by hash, so that directories which nobody touched cost nothing.
type merger struct {
	objects   *objects
	paths     []string // conflicts elsewhere are nobody's business
	conflicts []Conflict
	compared  int64 // bytes, by lines
}

// same reports whether two nodes hold the same; directories of a working tree have no
// hash and are looked into.
func same(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.mode.Type() == b.mode.Type() && a.hash == b.hash && !a.hash.IsZero()
}

func isDir(n *node) bool { return n != nil && n.mode.IsDir() }

// merge returns what becomes of one name; nil if nothing does.
func (m *merger) merge(ctx context.Context, at string, old, base, head *node) (*node, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case same(base, head), same(old, base):
		return head, nil
	case same(old, head):
		return base, nil
	case isDir(base) && isDir(head), isDir(old) && isDir(base) && head == nil, isDir(old) && isDir(head) && base == nil:
		return m.dir(ctx, at, old, base, head)
	}
	return m.file(at, old, base, head)
}

func (m *merger) dir(ctx context.Context, at string, old, base, head *node) (*node, error) {
	names := map[string]bool{}
	sides := [...]*node{old, base, head}
	for i, side := range sides {
		if !isDir(side) {
			sides[i] = &node{}
			continue
		}
		for _, child := range side.children {
			names[child.name] = true
		}
	}
	like := head
	if like == nil {
		like = base
	}
	merged := &node{name: like.name, mode: like.mode, when: like.when}
	for name := range names {
		child := func(i int) *node {
			n, _ := sides[i].child(name)
			return n
		}
		n, err := m.merge(ctx, path.Join(at, name), child(0), child(1), child(2))
		if err != nil {
			return nil, err
		}
		if n != nil {
			merged.children = append(merged.children, n)
		}
	}
	if len(merged.children) == 0 && (base == nil || head == nil) {
		return nil, nil // Git knows no empty directories
	}
	slices.SortFunc(merged.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return merged, nil
}

func (m *merger) file(at string, old, base, head *node) (*node, error) {
	if !m.watched(at) {
		if head == nil {
			return base, nil
		}
		return head, nil
	}
	if isFile(old) && isFile(base) && isFile(head) {
		merged, ok, err := m.lines(old, base, head)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", at, err)
		}
		if ok {
			n := *head
			n.hash = plumbing.ComputeHash(plumbing.BlobObject, []byte(merged))
			n.held = func(int64) ([]byte, error) { return []byte(merged), nil }
			return &n, nil
		}
	}
	m.conflicts = append(m.conflicts, Conflict{File: at, Base: did(old, base), Head: did(old, head)})
	return head, nil
}

// lines merges three files by lines; ok is unset if they cannot be.
func (m *merger) lines(files ...*node) (merged string, ok bool, err error) {
	var texts []string
	for _, n := range files {
		data, err := m.objects.content(n, maxLines)
		if errors.Is(err, ErrLimit) {
			return "", false, nil
		} else if err != nil {
			return "", false, err
		}
		texts = append(texts, string(data))
	}
	// A head may have thousands of large files, which must not take the time of everything
	// else that is looked at.
	limit := m.objects.limits.UnpackedBytes
	if m.compared += int64(len(texts[0]) + len(texts[1]) + len(texts[2])); m.compared > limit/8 {
		return "", false, over("UnpackedBytes", limit, "merge more than %d bytes by lines", limit/8)
	}
	merged, ok = mergeLines(texts[0], texts[1], texts[2])
	return merged, ok, nil
}

func isFile(n *node) bool { return n != nil && n.mode.IsRegular() }

// did says what a side did to a file.
func did(old, now *node) string {
	switch {
	case now == nil:
		return "deleted"
	case old == nil:
		return "added"
	}
	return "changed"
}

// watched reports whether a file lies at or below a path, or around one.
func (m *merger) watched(name string) bool {
	return slices.ContainsFunc(m.paths, func(p string) bool {
		return p == "." || name == p || strings.HasPrefix(name, p+"/") || strings.HasPrefix(p, name+"/")
	})
}

// settle gives every node its parent: a merged tree is put together from three.
func settle(dir *node) {
	for i, child := range dir.children {
		if child.parent != dir {
			own := *child
			own.parent, own.children = dir, slices.Clone(child.children)
			child = &own
			dir.children[i] = child
		}
		settle(child)
	}
}

// content returns a file's bytes or a link's target.
func (o *objects) content(n *node, most int64) ([]byte, error) {
	if n.held != nil {
		return n.held(most)
	}
	return o.blob(n.hash, most)
}

// nodes reads the watched paths as they are on disk into the tree of the commit that is
// checked out: what is not watched counts as it was committed.
func (t *tree) nodes(ctx context.Context, root *node, limits Limits) error {
	d := &diskLoader{disk: t.root.FS(), limits: limits}
	for _, p := range t.paths {
		n, err := d.load(ctx, p, 0)
		if err != nil {
			return fmt.Errorf("read %s: %w", p, err)
		}
		graft(root, p, n)
	}
	return nil
}

// diskLoader reads files of a working tree as nodes with the hashes that Git would give
// them, which makes them comparable with a commit's.
type diskLoader struct {
	disk   fs.FS
	limits Limits
	files  int64
}

func (d *diskLoader) load(ctx context.Context, name string, depth int64) (*node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if depth > d.limits.Depth {
		return nil, over("Depth", d.limits.Depth, "directory %s is %d deep", shorten(name), depth)
	}
	if d.files++; d.files > d.limits.Files {
		return nil, over("Files", d.limits.Files, "working tree with more than %d files and directories", d.limits.Files)
	}
	info, err := fs.Lstat(d.disk, name)
	if err != nil {
		return nil, err
	}
	n := &node{name: path.Base(name), mode: info.Mode(), when: info.ModTime()}
	switch {
	case n.mode.IsDir():
		entries, err := fs.ReadDir(d.disk, name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Name() == ".git" {
				continue
			}
			child, err := d.load(ctx, path.Join(name, e.Name()), depth+1)
			if err != nil {
				return nil, err
			}
			n.children = append(n.children, child)
		}
		slices.SortFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	case n.mode&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(d.disk, name)
		if err != nil {
			return nil, err
		}
		n.hash = plumbing.ComputeHash(plumbing.BlobObject, []byte(target))
		n.held = func(int64) ([]byte, error) { return []byte(target), nil }
	case n.mode.IsRegular():
		n.hash, err = d.hash(name, info.Size())
		n.held = func(most int64) ([]byte, error) { return d.read(name, most) }
		return n, err
	}
	return n, nil
}

func (d *diskLoader) hash(name string, size int64) (plumbing.Hash, error) {
	f, err := d.disk.Open(name)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer f.Close()
	hasher := plumbing.NewHasher(plumbing.BlobObject, size)
	_, err = io.Copy(hasher, f)
	return hasher.Sum(), err
}

func (d *diskLoader) read(name string, most int64) ([]byte, error) {
	f, err := d.disk.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = over("FileBytes", most, "read %s of more than %d bytes", shorten(name), most)
	}
	return data, err
}

// graft puts a node in its place below root, making directories on the way.
func graft(root *node, name string, n *node) {
	if name == "." {
		root.children, root.hash = n.children, plumbing.ZeroHash
		return
	}
	dir, last := path.Split(name)
	at := root
	at.hash = plumbing.ZeroHash
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if part == "" {
			continue
		}
		next, ok := at.child(part)
		if !ok || !next.mode.IsDir() {
			next = &node{name: part, mode: fs.ModeDir | 0o555, when: n.when}
			at.put(next)
		}
		next.hash = plumbing.ZeroHash
		at = next
	}
	n.name = last
	at.put(n)
}

// put adds a child, in place of one of its name.
func (n *node) put(child *node) {
	i, found := slices.BinarySearchFunc(n.children, child.name, func(c *node, name string) int { return strings.Compare(c.name, name) })
	if found {
		n.children[i] = child
		return
	}
	n.children = slices.Insert(n.children, i, child)
}

var errUnborn = errors.New("no commit is checked out")
