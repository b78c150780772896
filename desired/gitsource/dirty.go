package gitsource

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// compare returns the commit that is checked out, and whether the watched files
// differ from it.
func (t *tree) compare(ctx context.Context) (commit string, dirty bool, err error) {
	store, err := openAt(t.top, false)
	if err != nil {
		return "", false, err
	}
	o := &objects{store: store, limits: Limits{}.orDefault()}
	defer func() { err = errors.Join(err, o.close()) }()
	head, err := resolveHead(store)
	if err != nil {
		return "", false, err
	}
	checkedOut, err := o.commit(head)
	if err != nil {
		return "", false, err
	}
	c := &comparison{objects: o, disk: t.root.FS()}
	for _, p := range t.paths {
		want, err := o.entryAt(checkedOut.TreeHash, p)
		if err != nil {
			return "", false, err
		}
		if err := c.compare(ctx, p, want, 0); errors.Is(err, errDiffers) {
			return checkedOut.Hash.String(), true, nil
		} else if err != nil {
			return "", false, err
		}
	}
	return checkedOut.Hash.String(), false, nil
}

func resolveHead(store interface {
	Reference(plumbing.ReferenceName) (*plumbing.Reference, error)
}) (plumbing.Hash, error) {
	ref, err := store.Reference(plumbing.HEAD)
	if err == nil && ref.Type() == plumbing.SymbolicReference {
		ref, err = store.Reference(ref.Target())
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return ref.Hash(), nil
}

// entryAt finds a path in a commit; nil if the commit does not have it.
func (o *objects) entryAt(root plumbing.Hash, name string) (*object.TreeEntry, error) {
	at := &object.TreeEntry{Mode: modeDir, Hash: root}
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if at.Mode != modeDir {
			return nil, nil
		}
		entries, err := o.tree(at.Hash)
		if err != nil {
			return nil, err
		}
		at = nil
		for _, e := range entries {
			if e.Name == part {
				at = &e
			}
		}
		if at == nil {
			return nil, nil
		}
	}
	return at, nil
}

// errDiffers ends the comparison at the first difference.
var errDiffers = errors.New("differs")

// comparison walks the disk and a commit side by side.
type comparison struct {
	objects *objects
	disk    fs.FS
}

func (c *comparison) compare(ctx context.Context, name string, want *object.TreeEntry, depth int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := fs.Lstat(c.disk, name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || want == nil:
		return errDiffers
	case err != nil:
		return err
	}
	switch mode := info.Mode(); {
	case mode.IsDir() && want.Mode == modeSubmodule:
		entries, err := fs.ReadDir(c.disk, name)
		if err == nil && len(entries) > 0 {
			err = errDiffers // its files are read, and this commit does not have them
		}
		return err
	case mode.IsDir() && want.Mode == modeDir:
		return c.compareDir(ctx, name, want.Hash, depth)
	case mode&fs.ModeSymlink != 0 && want.Mode == modeSymlink:
		target, err := fs.ReadLink(c.disk, name)
		if err == nil && plumbing.ComputeHash(plumbing.BlobObject, []byte(target)) != want.Hash {
			err = errDiffers
		}
		return err
	case mode.IsRegular() && want.Mode.IsFile() && want.Mode != modeSymlink:
		return c.compareFile(name, info.Size(), want.Hash)
	}
	return errDiffers
}

func (c *comparison) compareDir(ctx context.Context, name string, hash plumbing.Hash, depth int64) error {
	if depth > c.objects.limits.Depth {
		return over("Depth", c.objects.limits.Depth, "directory %s is %d deep", shorten(name), depth)
	}
	entries, err := c.objects.tree(hash)
	if err != nil {
		return err
	}
	want := make(map[string]object.TreeEntry, len(entries))
	for _, e := range entries {
		want[e.Name] = e
	}
	have, err := fs.ReadDir(c.disk, name)
	if err != nil {
		return err
	}
	for _, d := range have {
		if d.Name() == ".git" {
			continue
		}
		e, ok := want[d.Name()]
		if !ok && d.IsDir() && c.isEmpty(path.Join(name, d.Name())) {
			continue // Git does not know empty directories
		} else if !ok {
			return errDiffers
		}
		delete(want, d.Name())
		if err := c.compare(ctx, path.Join(name, d.Name()), &e, depth+1); err != nil {
			return err
		}
	}
	for _, e := range want {
		if e.Mode != modeSubmodule {
			return errDiffers
		}
	}
	return nil
}

// isEmpty reports whether there is no file in dir or below.
func (c *comparison) isEmpty(dir string) bool {
	return fs.WalkDir(c.disk, dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = errDiffers
		}
		return err
	}) == nil
}

// compareFile hashes a file as Git does: a header with the size, then the bytes.
func (c *comparison) compareFile(name string, size int64, want plumbing.Hash) error {
	if stored, err := c.objects.size(want); err != nil {
		return err
	} else if stored != size {
		return errDiffers
	}
	f, err := c.disk.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	hasher := plumbing.NewHasher(plumbing.BlobObject, size)
	if _, err := io.Copy(hasher, f); err != nil {
		return err
	}
	if hasher.Sum() != want {
		return errDiffers
	}
	return nil
}
