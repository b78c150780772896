package gitwrite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// What is wrong with a commit that was asked for.
var (
	// ErrBranchExists is a branch that stands on something else.
	ErrBranchExists = errors.New("the branch exists already")
	// ErrNoAuthor means that Git does not know who commits.
	ErrNoAuthor = errors.New("nobody is known who commits")
)

// Person is an author or a committer. What is empty comes from Git's configuration.
type Person struct{ Name, Email string }

// Commit is the commit that is asked for.
type Commit struct {
	Branch            string // to be created, at the commit that is checked out
	Message           string
	Author, Committer Person
	When              time.Time
}

// Made is the commit that was made.
type Made struct {
	Hash     string
	Parent   string
	Before   bool // it was there already, on that branch
	Unsigned bool // Git's configuration asks for a signature, which it does not have
}

// Commit makes a commit of the edits on top of the one that is checked out, and a branch
// that stands on it. Neither the working tree nor the index is touched, and HEAD stays
// where it is. A branch that has this very change on this very commit is left as it is;
// any other is an error.
func (c Change) Commit(want Commit) (Made, error) {
	made, err := c.commit(want)
	if err != nil {
		return Made{}, remedy.Mark(remedy.Hold, fmt.Errorf("commit on branch %s: %w", want.Branch, err))
	}
	return made, nil
}

func (c Change) commit(want Commit) (Made, error) {
	branch := plumbing.NewBranchReferenceName(want.Branch)
	if branch.Validate() != nil || want.Branch == plumbing.HEAD.String() {
		return Made{}, errors.New("that is no name for a branch: write one such as pod-identity-wave-1")
	}
	repo, err := git.PlainOpenWithOptions(c.Top, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err != nil {
		return Made{}, fmt.Errorf("%w: give a directory of a Git work tree with --path, or take the patch", err)
	}
	head, err := repo.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return Made{}, errors.New("nothing is committed yet: commit the files first")
	} else if err != nil {
		return Made{}, err
	}
	parent, err := repo.CommitObject(head.Hash())
	if err != nil {
		return Made{}, err
	}
	root, err := repo.TreeObject(parent.TreeHash)
	if err != nil {
		return Made{}, err
	}
	files := map[string]Edit{}
	for _, e := range c.Edits {
		files[e.Path] = e
	}
	tree, err := rebuild(repo, root, files, "")
	if err != nil {
		return Made{}, err
	}
	for name := range files { // rebuild has taken those that it met
		return Made{}, fmt.Errorf("%s is not in the commit that is checked out: commit it first", name)
	}
	made := Made{Parent: head.Hash().String()}
	switch there, err := repo.Reference(branch, true); {
	case err == nil:
		made.Hash, made.Before = there.Hash().String(), true
		if on, err := repo.CommitObject(there.Hash()); err != nil || on.TreeHash != tree || len(on.ParentHashes) != 1 || on.ParentHashes[0] != head.Hash() {
			return Made{}, fmt.Errorf("%w, at %.12s: name another, or delete it with git branch -D", ErrBranchExists, there.Hash())
		}
		return made, nil
	case !errors.Is(err, plumbing.ErrReferenceNotFound):
		return Made{}, err
	}
	settings, err := repo.ConfigScoped(config.SystemScope)
	if err != nil {
		return Made{}, fmt.Errorf("read Git's configuration: %w", err)
	}
	user := Person(settings.User)
	commit := &object.Commit{Message: want.Message, TreeHash: tree, ParentHashes: []plumbing.Hash{head.Hash()}}
	if commit.Author, err = sign(want.When, want.Author, Person(settings.Author), user); err != nil {
		return Made{}, err
	}
	if commit.Committer, err = sign(want.When, want.Committer, Person(settings.Committer), user); err != nil {
		return Made{}, err
	}
	if made.Unsigned, err = asksToSign(settings); err != nil {
		return Made{}, err
	}
	hash, err := store(repo, commit)
	if err != nil {
		return Made{}, err
	}
	made.Hash = hash.String()
	return made, repo.Storer.CheckAndSetReference(plumbing.NewHashReference(branch, hash), nil)
}

// asksToSign reports whether commits shall be signed: the repository's own settings say
// so, or else the user's, or the machine's.
func asksToSign(local *config.Config) (bool, error) {
	for _, scope := range []config.Scope{config.LocalScope, config.GlobalScope, config.SystemScope} {
		c := local
		if scope != config.LocalScope {
			var err error
			if c, err = config.LoadConfig(scope); err != nil {
				return false, fmt.Errorf("read Git's configuration: %w", err)
			}
		}
		if c.Raw.Section("commit").HasOption("gpgsign") {
			return slices.Contains([]string{"true", "yes", "on", "1", ""}, strings.ToLower(c.Raw.Section("commit").Option("gpgsign"))), nil
		}
	}
	return false, nil
}

// sign is who did something, by the first that knows.
func sign(when time.Time, those ...Person) (object.Signature, error) {
	s := object.Signature{When: when}
	for _, p := range those {
		s.Name, s.Email = cmp.Or(s.Name, crude(p.Name)), cmp.Or(s.Email, crude(p.Email))
	}
	if s.Name == "" || s.Email == "" {
		return s, fmt.Errorf("%w: set user.name and user.email with git config, or GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL", ErrNoAuthor)
	}
	return s, nil
}

// crude takes out what Git takes out, for it would end a field of the commit.
func crude(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if strings.ContainsRune("<>\n\r\x00", r) {
			return -1
		}
		return r
	}, s))
}

// rebuild stores a directory with its edited files, and those above them, and takes the
// edits that it met out of files.
func rebuild(repo *git.Repository, tree *object.Tree, files map[string]Edit, prefix string) (plumbing.Hash, error) {
	next := &object.Tree{}
	changed := false
	for _, entry := range tree.Entries {
		name := prefix + entry.Name
		e, edited := files[name]
		inside := false
		for f := range files {
			inside = inside || strings.HasPrefix(f, name+"/")
		}
		var err error
		switch {
		case edited:
			delete(files, name)
			if entry.Mode != filemode.Regular && entry.Mode != filemode.Executable && entry.Mode != filemode.Deprecated {
				return plumbing.ZeroHash, fmt.Errorf("%s is no regular file in the commit that is checked out", name)
			}
			if entry.Hash != plumbing.ComputeHash(plumbing.BlobObject, e.Before) {
				return plumbing.ZeroHash, fmt.Errorf("%s differs from the commit that is checked out, in its line breaks at least: commit or stash it first", name)
			}
			entry.Hash, err = blob(repo, e.After)
		case inside && entry.Mode == filemode.Dir:
			var below *object.Tree
			if below, err = repo.TreeObject(entry.Hash); err == nil {
				entry.Hash, err = rebuild(repo, below, files, name+"/")
			}
		default:
			next.Entries = append(next.Entries, entry)
			continue
		}
		if err != nil {
			return plumbing.ZeroHash, err
		}
		changed = true
		next.Entries = append(next.Entries, entry)
	}
	if !changed {
		return tree.Hash, nil
	}
	return store(repo, next)
}

func blob(repo *git.Repository, data []byte) (plumbing.Hash, error) {
	o := repo.Storer.NewEncodedObject()
	o.SetType(plumbing.BlobObject)
	w, err := o.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := bytes.NewReader(data).WriteTo(w); err != nil {
		return plumbing.ZeroHash, err
	}
	if err := w.Close(); err != nil {
		return plumbing.ZeroHash, err
	}
	return repo.Storer.SetEncodedObject(o)
}

func store(repo *git.Repository, what interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	o := repo.Storer.NewEncodedObject()
	if err := what.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return repo.Storer.SetEncodedObject(o)
}
