package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// local is a repository on disk, bare or with a working tree, whose refs are
// meant. go-git's own file transport runs git-upload-pack; this opens the storage.
// It is opened anew for every look, because whoever pushes to it may also repack.
type local struct {
	dir    string
	limits Limits
}

func (l *local) look(ctx context.Context) (look, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", l.dir, err)
	}
	store, err := openLocal(l.dir)
	if err != nil {
		return nil, err
	}
	seen := &localLook{store: store, limits: l.limits, listing: listing{refs: map[string]plumbing.Hash{}}}
	if err := seen.list(); err != nil {
		return nil, errors.Join(remedy.Mark(remedy.Retry, fmt.Errorf("list references of %s: %w", l.dir, err)), store.Close())
	}
	return seen, nil
}

func (l *local) close() error { return nil }

func (l *local) hidden() []Secret { return nil }

func openLocal(dir string) (*filesystem.Storage, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("open repository: %w: %w: give the path of a Git repository", ErrNoRepository, err))
	}
	return openAt(dir, false)
}

// openAt opens the repository in dir or, if detect is set, around it.
func openAt(dir string, detect bool) (*filesystem.Storage, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: detect, EnableDotGitCommonDir: true})
	switch {
	case errors.Is(err, git.ErrRepositoryNotExists):
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("open repository: %w in %s: give the path of a Git repository", ErrNoRepository, dir))
	case err != nil:
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("open repository %s: %w: %w: read it over https, or as a working tree", dir, ErrUnsupported, err))
	}
	store, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil, remedy.Mark(remedy.Halt, fmt.Errorf("open repository %s: unexpected storage %T", dir, repo.Storer))
	}
	return store, nil
}

// localLook is a repository on disk as it was found.
type localLook struct {
	listing
	store  *filesystem.Storage
	limits Limits
	given  bool // to objects, which close the store
}

func (l *localLook) list() error {
	head, err := l.store.Reference(plumbing.HEAD)
	switch {
	case err != nil:
		return err
	case head.Type() == plumbing.SymbolicReference:
		l.head = head.Target().String()
	default:
		l.refs["HEAD"] = head.Hash()
	}
	all, err := l.store.IterReferences()
	if err != nil {
		return err
	}
	return all.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.HashReference {
			l.refs[ref.Name().String()] = ref.Hash()
		}
		return nil
	})
}

func (l *localLook) refsSeen() *listing { return &l.listing }

func (l *localLook) fetch(context.Context, target) (*objects, error) {
	l.given = true
	return &objects{store: l.store, limits: l.limits, whole: true, filed: true}, nil
}

// history is what fetch brings: a repository on disk has it all.
func (l *localLook) history(ctx context.Context, _ []plumbing.Hash, _ int, _ bool) (*objects, error) {
	return l.fetch(ctx, target{})
}

func (l *localLook) contents(ctx context.Context, _ []plumbing.Hash) (*objects, error) {
	return l.fetch(ctx, target{})
}

func (l *localLook) everything(ctx context.Context, _ []plumbing.Hash) (*objects, error) {
	return l.fetch(ctx, target{})
}

func (l *localLook) handsOut(plumbing.Hash) bool { return true }

func (l *localLook) close() error {
	if l.given {
		return nil
	}
	return l.store.Close()
}
