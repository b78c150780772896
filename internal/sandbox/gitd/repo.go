package gitd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage"
)

// Repo is a bare repository on disk. Its methods are for one goroutine at a time;
// a [Server] may read beside them.
type Repo struct {
	// Dir is where it lies, absolute.
	Dir string

	store storage.Storer
}

// Signature says who made a commit or a tag, when, and why. Equal content under
// an equal signature gives an equal hash.
type Signature struct {
	Name, Email, Message string
	When                 time.Time
}

// By returns the sandbox's own signature at the given time.
func By(when time.Time) Signature {
	return Signature{Name: "Sandbox", Email: "sandbox@example.com", Message: "Change the fleet.", When: when}
}

// Change is what one commit does to the files of its branch.
type Change struct {
	Branch string            // made if it does not exist
	Write  map[string]string // path to content
	Link   map[string]string // path to target, for symbolic links
	Delete []string          // files, or whole directories
	By     Signature
}

// Init makes an empty bare repository in dir, which need not exist. Its HEAD is
// main.
func Init(dir string) (*Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("make repository: %w", err)
	}
	r, err := git.PlainInitWithOptions(dir, &git.PlainInitOptions{
		Bare:        true,
		InitOptions: git.InitOptions{DefaultBranch: plumbing.Main},
	})
	if err != nil {
		return nil, fmt.Errorf("make repository %s: %w", dir, err)
	}
	return &Repo{Dir: dir, store: r.Storer}, nil
}

// Commit applies c on top of its branch and returns the new commit's hash.
func (r *Repo) Commit(c Change) (string, error) {
	files, parent, err := r.files(c.Branch)
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", c.Branch, err)
	}
	for _, gone := range c.Delete {
		if n := len(files); n == len(deleteUnder(files, gone)) {
			return "", fmt.Errorf("commit to %s: delete %s: %w", c.Branch, gone, fs.ErrNotExist)
		}
	}
	for name, content := range c.Write {
		if err := r.put(files, name, filemode.Regular, content); err != nil {
			return "", fmt.Errorf("commit to %s: %w", c.Branch, err)
		}
	}
	for name, target := range c.Link {
		if err := r.put(files, name, filemode.Symlink, target); err != nil {
			return "", fmt.Errorf("commit to %s: %w", c.Branch, err)
		}
	}
	return r.commitFiles(c.Branch, files, parent, c.By)
}

// Import commits the files of fsys, links included, in place of whatever the
// branch held.
func (r *Repo) Import(branch string, fsys fs.FS, by Signature) (string, error) {
	files := map[string]object.TreeEntry{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(fsys, name)
			if err != nil {
				return err
			}
			return r.put(files, name, filemode.Symlink, target)
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return r.put(files, name, filemode.Regular, string(content))
	})
	if err != nil {
		return "", fmt.Errorf("import into %s: %w", branch, err)
	}
	_, parent, err := r.files(branch)
	if err != nil {
		return "", fmt.Errorf("import into %s: %w", branch, err)
	}
	return r.commitFiles(branch, files, parent, by)
}

// Head returns the commit that a branch stands on.
func (r *Repo) Head(branch string) (string, error) {
	ref, err := r.store.Reference(plumbing.NewBranchReferenceName(branch))
	if err != nil {
		return "", fmt.Errorf("read branch %s: %w", branch, err)
	}
	return ref.Hash().String(), nil
}

// SetBranch makes a branch, or moves it by force: back to an older commit, or to
// an unrelated one.
func (r *Repo) SetBranch(branch, commit string) error {
	hash := plumbing.NewHash(commit)
	if _, err := object.GetCommit(r.store, hash); err != nil {
		return fmt.Errorf("set branch %s to %s: %w", branch, commit, err)
	}
	return r.store.SetReference(plumbing.NewHashReference(plumbing.NewBranchReferenceName(branch), hash))
}

// SetPull puts a commit where a Git host has the head of a pull request, whichever
// repository its branch is in: refs/pull/NUMBER/head.
func (r *Repo) SetPull(number int, commit string) error {
	name := plumbing.ReferenceName(fmt.Sprintf("refs/pull/%d/head", number))
	return r.store.SetReference(plumbing.NewHashReference(name, plumbing.NewHash(commit)))
}

// SetHEAD names the branch that a clone without one gets.
func (r *Repo) SetHEAD(branch string) error {
	return r.store.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName(branch)))
}

// DeleteBranch drops a branch; its commits stay.
func (r *Repo) DeleteBranch(branch string) error {
	return r.store.RemoveReference(plumbing.NewBranchReferenceName(branch))
}

// Tag puts a lightweight tag on a commit, or on any other object.
func (r *Repo) Tag(name, hash string) error {
	return r.store.SetReference(plumbing.NewHashReference(plumbing.NewTagReferenceName(name), plumbing.NewHash(hash)))
}

// AnnotatedTag puts a tag with an object of its own on a commit or on another
// tag, and returns that object's hash.
func (r *Repo) AnnotatedTag(name, target string, by Signature) (string, error) {
	to, err := r.store.EncodedObject(plumbing.AnyObject, plumbing.NewHash(target))
	if err != nil {
		return "", fmt.Errorf("tag %s as %s: %w", target, name, err)
	}
	hash, err := r.save(&object.Tag{
		Name: name, Tagger: by.git(), Message: by.message(), TargetType: to.Type(), Target: to.Hash(),
	})
	if err != nil {
		return "", fmt.Errorf("tag %s as %s: %w", target, name, err)
	}
	return hash.String(), r.Tag(name, hash.String())
}

// files returns what a branch holds, by path, and its commit: nothing and the
// zero hash for a branch that does not exist yet.
func (r *Repo) files(branch string) (map[string]object.TreeEntry, plumbing.Hash, error) {
	files := map[string]object.TreeEntry{}
	ref, err := r.store.Reference(plumbing.NewBranchReferenceName(branch))
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return files, plumbing.ZeroHash, nil
	} else if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	commit, err := object.GetCommit(r.store, ref.Hash())
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	return files, commit.Hash, r.flatten(files, "", commit.TreeHash)
}

func (r *Repo) flatten(files map[string]object.TreeEntry, prefix string, hash plumbing.Hash) error {
	tree, err := object.GetTree(r.store, hash)
	if err != nil {
		return err
	}
	for _, e := range tree.Entries {
		if e.Mode != filemode.Dir {
			files[prefix+e.Name] = e
		} else if err := r.flatten(files, prefix+e.Name+"/", e.Hash); err != nil {
			return err
		}
	}
	return nil
}

func deleteUnder(files map[string]object.TreeEntry, gone string) map[string]object.TreeEntry {
	for name := range files {
		if name == gone || strings.HasPrefix(name, gone+"/") {
			delete(files, name)
		}
	}
	return files
}

func (r *Repo) put(files map[string]object.TreeEntry, name string, mode filemode.FileMode, content string) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("write %q: %w", name, fs.ErrInvalid)
	}
	hash, err := r.Blob(content)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	files[name] = object.TreeEntry{Mode: mode, Hash: plumbing.NewHash(hash)}
	return nil
}

func (r *Repo) commitFiles(branch string, files map[string]object.TreeEntry, parent plumbing.Hash, by Signature) (string, error) {
	tree, err := r.nest(files)
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", branch, err)
	}
	var parents []string
	if !parent.IsZero() {
		parents = []string{parent.String()}
	}
	commit, err := r.CommitTree(tree, by, parents...)
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", branch, err)
	}
	return commit, r.SetBranch(branch, commit)
}

// nest writes the trees of files, which are keyed by path, and returns the root.
func (r *Repo) nest(files map[string]object.TreeEntry) (string, error) {
	below := map[string]map[string]object.TreeEntry{}
	var entries []Entry
	for name, e := range files {
		dir, rest, nested := strings.Cut(name, "/")
		if !nested {
			entries = append(entries, Entry{Name: name, Mode: e.Mode, Hash: e.Hash.String()})
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string]object.TreeEntry{}
		}
		below[dir][rest] = e
	}
	for dir, inner := range below {
		if _, both := files[dir]; both {
			return "", fmt.Errorf("write %s: it is a file and a directory", dir)
		}
		hash, err := r.nest(inner)
		if err != nil {
			return "", err
		}
		entries = append(entries, Entry{Name: dir, Mode: filemode.Dir, Hash: hash})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.sortName(), b.sortName()) })
	return r.Tree(entries...)
}

// Entry is one line of a tree.
type Entry struct {
	Name string
	Mode filemode.FileMode
	Hash string
}

// sortName is the name as Git orders it: a directory as if a slash followed.
func (e Entry) sortName() string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// Blob stores content and returns its hash.
func (r *Repo) Blob(content string) (string, error) {
	return r.raw(plumbing.BlobObject, []byte(content))
}

// Tree stores a tree of exactly these entries, in this order and unjudged, so
// that a test can make the trees that Git itself would refuse.
func (r *Repo) Tree(entries ...Entry) (string, error) {
	var b bytes.Buffer
	for _, e := range entries {
		hash := plumbing.NewHash(e.Hash)
		fmt.Fprintf(&b, "%o %s\x00%s", uint32(e.Mode), e.Name, hash[:])
	}
	return r.raw(plumbing.TreeObject, b.Bytes())
}

// CommitTree stores a commit of a tree without moving a branch to it.
func (r *Repo) CommitTree(tree string, by Signature, parents ...string) (string, error) {
	c := &object.Commit{Author: by.git(), Committer: by.git(), Message: by.message(), TreeHash: plumbing.NewHash(tree)}
	for _, p := range parents {
		c.ParentHashes = append(c.ParentHashes, plumbing.NewHash(p))
	}
	hash, err := r.save(c)
	return hash.String(), err
}

func (r *Repo) save(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := r.store.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return r.store.SetEncodedObject(encoded)
}

func (r *Repo) raw(kind plumbing.ObjectType, content []byte) (string, error) {
	o := r.store.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(content); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	hash, err := r.store.SetEncodedObject(o)
	return hash.String(), err
}

func (s Signature) git() object.Signature {
	return object.Signature{Name: s.Name, Email: s.Email, When: s.When}
}

func (s Signature) message() string { return strings.TrimRight(s.Message, "\n") + "\n" }
