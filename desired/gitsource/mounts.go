package gitsource

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// mounts is a file system whose root holds one directory per tree. Links stay
// within their own tree.
type mounts map[string]fs.FS

// at returns the tree that name lies in, and its name there; nil for the root.
func (m mounts) at(op, name string) (fs.FS, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return nil, "", nil
	}
	first, rest, nested := strings.Cut(name, "/")
	tree, ok := m[first]
	if !ok {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if !nested {
		rest = "."
	}
	return tree, rest, nil
}

// Open opens a file or directory.
func (m mounts) Open(name string) (fs.File, error) {
	tree, below, err := m.at("open", name)
	if err != nil {
		return nil, err
	}
	if tree == nil {
		return &mountDir{rest: &openDir{rest: m.entries()}}, nil
	}
	f, err := tree.Open(below)
	if err != nil || below != "." {
		return f, err
	}
	return &topDir{f.(fs.ReadDirFile), name}, nil
}

// Stat describes a file, following links.
func (m mounts) Stat(name string) (fs.FileInfo, error) { return m.stat("stat", name, fs.Stat) }

// Lstat describes a file or the link that it is.
func (m mounts) Lstat(name string) (fs.FileInfo, error) { return m.stat("lstat", name, fs.Lstat) }

func (m mounts) stat(op, name string, how func(fs.FS, string) (fs.FileInfo, error)) (fs.FileInfo, error) {
	tree, below, err := m.at(op, name)
	switch {
	case err != nil:
		return nil, err
	case tree == nil:
		return mountInfo("."), nil
	case below == ".":
		return mountInfo(name), nil
	}
	return how(tree, below)
}

// ReadLink returns where a link points.
func (m mounts) ReadLink(name string) (string, error) {
	tree, below, err := m.at("readlink", name)
	if err == nil && tree == nil {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return fs.ReadLink(tree, below)
}

func (m mounts) entries() []fs.DirEntry {
	var all []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fs.FileInfoToDirEntry(mountInfo(name)))
	}
	return all
}

// mountInfo describes the root or a mounted directory, by its name in the root.
type mountInfo string

func (i mountInfo) Name() string     { return string(i) }
func (mountInfo) Size() int64        { return 0 }
func (mountInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o555 }
func (mountInfo) ModTime() time.Time { return time.Time{} }
func (mountInfo) IsDir() bool        { return true }
func (mountInfo) Sys() any           { return nil }

// mountDir is the root, opened.
type mountDir struct{ rest *openDir }

func (d *mountDir) Stat() (fs.FileInfo, error)           { return mountInfo("."), nil }
func (d *mountDir) Close() error                         { return nil }
func (d *mountDir) ReadDir(n int) ([]fs.DirEntry, error) { return d.rest.ReadDir(n) }
func (d *mountDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: errIsDir}
}

// topDir is a mounted directory, opened: it goes by its name in the root.
type topDir struct {
	fs.ReadDirFile
	name string
}

func (d *topDir) Stat() (fs.FileInfo, error) { return mountInfo(d.name), nil }
