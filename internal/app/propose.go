package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/desired/gitwrite"
)

// Commit, Made and Person are of package gitwrite, for those who may not reach it.
type (
	Commit = gitwrite.Commit
	Made   = gitwrite.Made
	Person = gitwrite.Person
)

// Editor changes mechanisms in the files of a working tree. It reads them when it is
// asked, and writes nothing: see [Edition].
type Editor struct {
	git      *Git
	tree     *gitsource.WorkTree
	repo     *desired.Repository // as it was judged
	clusters map[desired.Position][]string
}

// NewEditor is for what Git said when it was judged, of a Git that reads a working tree.
func NewEditor(ctx context.Context, g *Git) (*Editor, error) {
	tree, ok := g.source.(*gitsource.WorkTree)
	if !ok {
		return nil, errors.New("only files of a working tree can be changed: name its directory with --path, without --repo")
	}
	repo, err := g.Repository(ctx)
	if err != nil {
		return nil, err
	}
	return &Editor{git: g, tree: tree, repo: repo, clusters: repo.Clusters()}, nil
}

// Clusters returns what a mapping says of the clusters that it is for.
func (e *Editor) Clusters(m desired.Mapping) []string { return e.clusters[m.At] }

// Refusals says of each mapping that cannot be changed alone why not, by its place.
func (e *Editor) Refusals(flips []desired.Flip) map[desired.Position]error {
	out := map[desired.Position]error{}
	by, order := byFile(flips)
	for _, file := range order {
		data, _, err := e.read(file)
		var all []error
		if err == nil {
			all = desired.Refusals(file, data, by[file])
		}
		for i, f := range by[file] {
			switch {
			case err != nil:
				out[f.At] = err
			case all[i] != nil:
				out[f.At] = all[i]
			}
		}
	}
	return out
}

// byFile sorts flips by their files, in the order in which those come.
func byFile(flips []desired.Flip) (by map[string][]desired.Flip, order []string) {
	by = map[string][]desired.Flip{}
	for _, f := range flips {
		if by[f.At.File] == nil {
			order = append(order, f.At.File)
		}
		by[f.At.File] = append(by[f.At.File], f)
	}
	return by, order
}

// read returns what a file holds now, and where it lies.
func (e *Editor) read(shown string) ([]byte, gitsource.Place, error) {
	place, ok := e.tree.Locate(shown)
	if !ok {
		return nil, place, fmt.Errorf("%s lies in none of the directories that were read: name its directory with --path", shown)
	}
	data, err := e.tree.Read(place.Name)
	return data, place, err
}

// Edition is a change of files that was checked and is not written yet.
type Edition struct{ change gitwrite.Change }

// Flip changes mechanisms. What comes of it is read again with every other file, and
// says the same for every cluster but for what was asked.
func (e *Editor) Flip(ctx context.Context, flips []desired.Flip) (*Edition, error) {
	by, order := byFile(flips)
	change := gitwrite.Change{}
	changed := map[string][]byte{}
	for _, file := range order {
		before, place, err := e.read(file)
		if err != nil {
			return nil, err
		}
		after, err := desired.Rewrite(file, before, by[file])
		if err != nil {
			return nil, err
		}
		if change.Top != "" && change.Top != place.Top {
			return nil, fmt.Errorf("%s and %s are two working trees, and a patch is for one: name directories of one with --path", change.Top, place.Top)
		}
		change.Top = place.Top
		change.Edits = append(change.Edits, gitwrite.Edit{Path: place.Below, Before: before, After: after})
		changed[place.Name] = after
	}
	snapshot, _, err := e.tree.Latest(ctx)
	if err != nil {
		return nil, err
	}
	after, err := desired.ParseShown(overlay{snapshot.FS, changed}, e.git.paths, snapshot.Revision, e.git.show)
	if err != nil {
		return nil, fmt.Errorf("the changed files would not be accepted, and nothing was written:\n%w", err)
	}
	if err := desired.OnlyFlipped(e.repo, after, flips); err != nil {
		return nil, err
	}
	return &Edition{change}, nil
}

// Patch returns the change as git apply takes it.
func (e *Edition) Patch() ([]byte, error) { return e.change.Patch() }

// Files are the paths that change, below the working tree's top.
func (e *Edition) Files() (below []string) {
	for _, one := range e.change.Edits {
		below = append(below, one.Path)
	}
	return below
}

// Write changes the files.
func (e *Edition) Write() error { return e.change.Write() }

// Commit commits the change on a new branch, and touches no file.
func (e *Edition) Commit(c Commit) (Made, error) { return e.change.Commit(c) }

// overlay is a file system in which some files hold something else.
type overlay struct {
	fs.FS
	files map[string][]byte
}

// Open opens a file, as it would be.
func (o overlay) Open(name string) (fs.File, error) {
	data, changed := o.files[name]
	if !changed {
		return o.FS.Open(name)
	}
	info, err := fs.Lstat(o.FS, name)
	if err != nil {
		return nil, err
	}
	return &overlaid{bytes.NewReader(data), sized{info, int64(len(data))}}, nil
}

// Lstat and ReadLink are the file system's: no name and no kind changes.
func (o overlay) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(o.FS, name) }

// ReadLink returns where a link leads.
func (o overlay) ReadLink(name string) (string, error) { return fs.ReadLink(o.FS, name) }

type overlaid struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *overlaid) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *overlaid) Close() error               { return nil }

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }
