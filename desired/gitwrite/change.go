package gitwrite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	fdiff "github.com/go-git/go-git/v5/plumbing/format/diff"
	"github.com/go-git/go-git/v5/utils/diff"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// ErrMoved is a file that is not any more what it was when it was read.
var ErrMoved = errors.New("it was changed meanwhile, so run this again")

// Edit is one file: what it held, and what it shall hold.
type Edit struct {
	Path          string // below Change.Top, with slashes
	Before, After []byte
}

// Change are the edits of one working tree.
type Change struct {
	Top   string // its directory
	Edits []Edit
}

// Patch returns the change as a unified diff with names below Top, as git apply and
// patch -p1 take it.
func (c Change) Patch() ([]byte, error) {
	root, err := os.OpenRoot(c.Top)
	if err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("open working tree: %w", err))
	}
	defer root.Close()
	var p patch
	for _, e := range c.Edits {
		info, err := regular(root, e.Path)
		if err != nil {
			return nil, err
		}
		mode := filemode.Regular
		if info.Mode()&0o100 != 0 {
			mode = filemode.Executable
		}
		f, err := newFilePatch(e, mode)
		if err != nil {
			return nil, err
		}
		p = append(p, f)
	}
	var b bytes.Buffer
	err = fdiff.NewUnifiedEncoder(&b, fdiff.DefaultContextLines).Encode(p)
	return b.Bytes(), err
}

// Write replaces the files. All are looked at and their successors lie beside them
// before the first is replaced.
func (c Change) Write() error {
	root, err := os.OpenRoot(c.Top)
	if err != nil {
		return remedy.Mark(remedy.Hold, fmt.Errorf("open working tree: %w", err))
	}
	defer root.Close()
	var prepared []string
	defer func() {
		for _, name := range prepared { // those that were renamed are gone
			_ = root.Remove(name)
		}
	}()
	for _, e := range c.Edits {
		name := path.Join(path.Dir(e.Path), "."+path.Base(e.Path)+".lanyard-"+rand.Text()[:8])
		prepared = append(prepared, name)
		if err := prepare(root, e, name); err != nil {
			return remedy.Mark(remedy.Hold, fmt.Errorf("write %s: %w: nothing was written", e.Path, err))
		}
	}
	for i, e := range c.Edits {
		if err := root.Rename(prepared[i], e.Path); err != nil {
			return remedy.Mark(remedy.Hold, fmt.Errorf("write %s: %w: %d of %d files were written before it", e.Path, err, i, len(c.Edits)))
		}
	}
	return nil
}

// prepare writes what a file shall hold beside it, with its mode.
func prepare(root *os.Root, e Edit, name string) error {
	info, err := regular(root, e.Path)
	if err != nil {
		return err
	}
	now, err := read(root, e.Path, len(e.Before))
	if err != nil {
		return err
	}
	if !bytes.Equal(now, e.Before) {
		return ErrMoved
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(e.After)
	return errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()) // the umask took some of the mode
}

// regular describes a file, which must not be a link.
func regular(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = remedy.Mark(remedy.Hold, fmt.Errorf("%s is no regular file", name))
	}
	return info, err
}

// read returns a file's bytes, at most one more than expected.
func read(root *os.Root, name string, expected int) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(expected)+1))
}

// patch, filePatch, file and chunk are a change as go-git's encoder asks for it.
type patch []fdiff.FilePatch

func (p patch) FilePatches() []fdiff.FilePatch { return p }
func (p patch) Message() string                { return "" }

type filePatch struct {
	from, to file
	chunks   []fdiff.Chunk
}

func (p filePatch) IsBinary() bool               { return false }
func (p filePatch) Files() (from, to fdiff.File) { return p.from, p.to }
func (p filePatch) Chunks() []fdiff.Chunk        { return p.chunks }

type file struct {
	path string
	mode filemode.FileMode
	hash plumbing.Hash
}

func (f file) Hash() plumbing.Hash     { return f.hash }
func (f file) Mode() filemode.FileMode { return f.mode }
func (f file) Path() string            { return f.path }

type chunk struct {
	text string
	op   fdiff.Operation
}

func (c chunk) Content() string       { return c.text }
func (c chunk) Type() fdiff.Operation { return c.op }

// newFilePatch compares by lines. A comparison that does not add up to both texts would
// be a patch that does something else.
func newFilePatch(e Edit, mode filemode.FileMode) (filePatch, error) {
	p := filePatch{from: file{e.Path, mode, plumbing.ComputeHash(plumbing.BlobObject, e.Before)}, to: file{e.Path, mode, plumbing.ComputeHash(plumbing.BlobObject, e.After)}}
	var before, after strings.Builder
	for _, d := range diff.Do(string(e.Before), string(e.After)) {
		c := chunk{d.Text, fdiff.Equal}
		switch {
		case d.Type < 0:
			c.op = fdiff.Delete
		case d.Type > 0:
			c.op = fdiff.Add
		}
		if c.op != fdiff.Add {
			before.WriteString(c.text)
		}
		if c.op != fdiff.Delete {
			after.WriteString(c.text)
		}
		p.chunks = append(p.chunks, c)
	}
	if before.String() != string(e.Before) || after.String() != string(e.After) {
		return p, remedy.Mark(remedy.Halt, fmt.Errorf("compare %s: the comparison does not add up", e.Path))
	}
	return p, nil
}
