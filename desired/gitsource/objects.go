package gitsource

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// objects reads from a storage one object at a time and never more of one than
// the limits allow. go-git's storage is not safe for concurrent use; this is.
type objects struct {
	mu     sync.Mutex
	store  *filesystem.Storage
	limits Limits
	drop   func() error // forgets what was fetched; nil for a repository on disk
	whole  bool         // it has the history too, as far as there is one
	filed  bool         // it has the files of all commits in it
}

func (o *objects) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.store.Close()
	if o.drop != nil {
		err = errors.Join(err, o.drop())
	}
	return err
}

func (o *objects) has(hash plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.store.HasEncodedObject(hash) == nil
}

// size returns an object's size without reading it whole.
func (o *objects) size(hash plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sizeLocked(hash)
}

func (o *objects) sizeLocked(hash plumbing.Hash) (int64, error) {
	size, err := o.store.EncodedObjectSize(hash)
	if err != nil {
		return 0, missing(hash, err)
	}
	return size, nil
}

// missing classes an object that cannot be read: a repository that was repacked
// below us, a partial clone, a broken pack. A fresh look may well succeed.
func missing(hash plumbing.Hash, err error) error {
	return remedy.Mark(remedy.Retry, fmt.Errorf("read object %s: %w: %w: fetch it, or run git fsck", hash, ErrMalformed, err))
}

// encoded returns an object of at most the given size, ready to be read under
// o.mu only.
func (o *objects) encoded(hash plumbing.Hash, limit string, most int64) (plumbing.EncodedObject, error) {
	switch size, err := o.sizeLocked(hash); {
	case err != nil:
		return nil, err
	case size > most:
		what := fmt.Sprintf("read object %s of %d bytes", hash, size)
		return nil, remedy.Mark(remedy.Hold, &LimitError{Limit: limit, Max: most, What: what})
	}
	encoded, err := o.store.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return nil, missing(hash, err)
	}
	return encoded, nil
}

// blob returns a file's content.
func (o *objects) blob(hash plumbing.Hash, most int64) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	encoded, err := o.encoded(hash, "FileBytes", most)
	if err != nil {
		return nil, err
	}
	if encoded.Type() != plumbing.BlobObject {
		return nil, malformed("object %s is a %s where a file should be", hash, encoded.Type())
	}
	r, err := encoded.Reader()
	if err != nil {
		return nil, missing(hash, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, missing(hash, err)
	}
	return data, nil
}

// tree returns the entries of a directory.
func (o *objects) tree(hash plumbing.Hash) ([]object.TreeEntry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	encoded, err := o.encoded(hash, "ObjectBytes", o.limits.ObjectBytes)
	if err != nil {
		return nil, err
	}
	tree, err := object.DecodeTree(o.store, encoded)
	if err != nil {
		return nil, malformed("tree %s: %v", hash, err)
	}
	return tree.Entries, nil
}

// maxTags bounds tags of tags.
const maxTags = 8

// commit follows tags from hash to a commit.
func (o *objects) commit(hash plumbing.Hash) (*object.Commit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range maxTags {
		encoded, err := o.encoded(hash, "ObjectBytes", o.limits.ObjectBytes)
		if err != nil {
			return nil, err
		}
		switch encoded.Type() {
		case plumbing.CommitObject:
			commit, err := object.DecodeCommit(o.store, encoded)
			if err != nil {
				return nil, malformed("commit %s: %v", hash, err)
			}
			return commit, nil
		case plumbing.TagObject:
			tag, err := object.DecodeTag(o.store, encoded)
			if err != nil {
				return nil, malformed("tag %s: %v", hash, err)
			}
			hash = tag.Target
		default:
			return nil, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s is a %s: name a ref that stands on a commit",
				ErrRefNotFound, hash, encoded.Type()))
		}
	}
	return nil, malformed("tag %s: more than %d tags of tags", hash, maxTags)
}

// raw returns a commit as it is stored.
func (o *objects) raw(hash plumbing.Hash) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	encoded, err := o.encoded(hash, "ObjectBytes", o.limits.ObjectBytes)
	if err != nil {
		return nil, err
	}
	r, err := encoded.Reader()
	if err != nil {
		return nil, missing(hash, err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, missing(hash, err)
	}
	return data, nil
}

// expand finds the one commit whose hash starts with prefix.
func (o *objects) expand(prefix string) (plumbing.Hash, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []plumbing.Hash
	whole := plumbing.NewHash(prefix + strings.Repeat("0", full-len(prefix)))
	near, err := o.store.HashesWithPrefix(whole[:len(prefix)/2])
	if err != nil {
		return plumbing.ZeroHash, malformed("find commit %s: %v", prefix, err)
	}
	for _, hash := range near {
		if !strings.HasPrefix(hash.String(), prefix) {
			continue
		}
		if _, err := o.store.EncodedObject(plumbing.CommitObject, hash); err == nil {
			found = append(found, hash)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return plumbing.ZeroHash, noCommit(prefix)
	}
	return plumbing.ZeroHash, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s could be %s or %s: write more of the hash",
		ErrRefNotFound, prefix, found[0], found[1]))
}

func noCommit(hash string) error {
	return remedy.Mark(remedy.Hold, fmt.Errorf("%w: no branch or tag reaches commit %s: push it, or name one that is reachable",
		ErrRefNotFound, hash))
}

func malformed(format string, args ...any) error {
	return remedy.Mark(remedy.Hold, fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...))
}
