package gitsource

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// treeFS is a revision as a file system.
type treeFS struct {
	objects *objects
	root    *node
}

// The size of a link's target and the number of links on the way to one file,
// both as on Linux.
const (
	maxTarget = 4096
	maxLinks  = 40
)

var _ interface {
	fs.ReadDirFS
	fs.ReadFileFS
	fs.StatFS
	fs.ReadLinkFS
} = (*treeFS)(nil)

// Open opens a file or directory, following links.
func (t *treeFS) Open(name string) (fs.File, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &openDir{info: t.info(n), rest: t.entries(n)}, nil
	}
	data, err := t.objects.content(n, t.objects.limits.FileBytes)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{info: t.info(n), Reader: bytes.NewReader(data)}, nil
}

// ReadFile returns a file's content, following links.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	data, err := t.objects.content(n, t.objects.limits.FileBytes)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// ReadDir lists a directory by name, following links.
func (t *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return t.entries(n), nil
}

// Stat describes a file, following links.
func (t *treeFS) Stat(name string) (fs.FileInfo, error) { return t.stat("stat", name, true) }

// Lstat describes a file or the link that it is.
func (t *treeFS) Lstat(name string) (fs.FileInfo, error) { return t.stat("lstat", name, false) }

func (t *treeFS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	n, err := t.find(op, name, follow)
	if err != nil {
		return nil, err
	}
	i, err := t.info(n).Info()
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return i, nil
}

// ReadLink returns where a link points, as it is written.
func (t *treeFS) ReadLink(name string) (string, error) {
	n, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	target, err := t.objects.content(n, maxTarget)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(target), nil
}

// find walks to a node. Links are followed on the way, and at the end if follow is
// set; ".." after a link means the parent of where the link led.
func (t *treeFS) find(op, name string, follow bool) (*node, error) {
	fail := func(err error) (*node, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	at, rest, links := t.root, strings.Split(name, "/"), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch {
		case part == "" || part == ".":
			continue
		case !at.mode.IsDir():
			return fail(fs.ErrNotExist)
		case part == ".." && at.parent == nil:
			return fail(ErrEscapes)
		case part == "..":
			at = at.parent
			continue
		}
		next, ok := at.child(part)
		if !ok {
			return fail(fs.ErrNotExist)
		}
		if next.mode&fs.ModeSymlink == 0 || len(rest) == 0 && !follow {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return fail(errLoop)
		}
		target, err := t.objects.content(next, maxTarget)
		switch {
		case err != nil:
			return fail(err)
		case path.IsAbs(string(target)):
			return fail(ErrEscapes)
		}
		rest = slices.Concat(strings.Split(string(target), "/"), rest)
	}
	return at, nil
}

func (t *treeFS) info(n *node) entry { return entry{node: n, fs: t} }

func (t *treeFS) entries(n *node) []fs.DirEntry {
	all := make([]fs.DirEntry, len(n.children))
	for i, c := range n.children {
		all[i] = t.info(c)
	}
	return all
}

// entry is a line of a directory. Its Info costs a look at the object.
type entry struct {
	node *node
	fs   *treeFS
}

func (e entry) Name() string      { return e.node.name }
func (e entry) IsDir() bool       { return e.node.mode.IsDir() }
func (e entry) Type() fs.FileMode { return e.node.mode.Type() }
func (e entry) String() string    { return fs.FormatDirEntry(e) }

func (e entry) Info() (fs.FileInfo, error) {
	if e.node.mode.IsDir() {
		return info{e.node, 0}, nil
	}
	if e.node.held != nil {
		data, err := e.node.held(e.fs.objects.limits.FileBytes)
		if err != nil {
			return nil, err
		}
		return info{e.node, int64(len(data))}, nil
	}
	size, err := e.fs.objects.size(e.node.hash)
	if err != nil {
		return nil, err
	}
	return info{e.node, size}, nil
}

// info describes a node.
type info struct {
	node *node
	size int64
}

func (i info) Name() string       { return i.node.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.node.mode }
func (i info) ModTime() time.Time { return i.node.when }
func (i info) IsDir() bool        { return i.node.mode.IsDir() }
func (i info) Sys() any           { return nil }
func (i info) String() string     { return fs.FormatFileInfo(i) }

// openFile is a file that was read whole: Git stores it whole.
type openFile struct {
	*bytes.Reader
	info entry
}

func (f *openFile) Stat() (fs.FileInfo, error) { return info{f.info.node, f.Size()}, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info entry
	rest []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return info{d.info.node, 0}, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.node.path(), Err: errIsDir}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.rest))
	head := d.rest[:n:n]
	d.rest = d.rest[n:]
	return head, nil
}
