package gitsource

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// depths are how far history is fetched, in turn, to find a commit in it. The first
// look fetches one commit, which names its parents: most pushes need no more.
var depths = [...]int{50, 500}

const deepest = 500

// descends reports whether the last accepted commit is an ancestor of the head, or
// the head itself, as far as a bounded fetch shows. The proof is the chain of
// hashes, which a server cannot forge.
func (s *Source) descends(ctx context.Context, head *revision, last plumbing.Hash) (bool, error) {
	found, complete, err := head.objects.walk(ctx, head.hash, last)
	if err != nil || found || complete {
		return found, err
	}
	for _, depth := range depths {
		if found, complete, err = s.descendsWithin(ctx, head, last, depth); err != nil || found || complete {
			return found, err
		}
	}
	return false, nil
}

func (s *Source) descendsWithin(ctx context.Context, head *revision, last plumbing.Hash, depth int) (found, complete bool, err error) {
	seen, err := s.origin.look(ctx)
	if err != nil {
		return false, false, err
	}
	defer func() { err = errors.Join(err, seen.close()) }()
	tip := head.at.hash // a tag's own object, where there is one: that is what the server hands out
	if tip.IsZero() {
		tip = head.hash
	}
	commits, err := seen.history(ctx, []plumbing.Hash{tip}, depth, false)
	if err != nil {
		return false, false, err
	}
	defer func() { err = errors.Join(err, commits.close()) }()
	return commits.walk(ctx, head.hash, last)
}

// walk looks for a commit among the ancestors of another, by generations, down to the
// deepest. complete is set if it is certain that there is none: no commit on the way
// was missing.
func (o *objects) walk(ctx context.Context, from, want plumbing.Hash) (found, complete bool, err error) {
	met := map[plumbing.Hash]bool{from: true}
	generation := []plumbing.Hash{from}
	complete = true
	for range deepest + 1 {
		var next []plumbing.Hash
		for _, hash := range generation {
			switch {
			case ctx.Err() != nil:
				return false, false, ctx.Err()
			case hash == want:
				return true, true, nil
			case !o.has(hash):
				complete = false
				continue
			}
			commit, err := o.commit(hash)
			if err != nil {
				return false, false, err
			}
			for _, parent := range commit.ParentHashes {
				if !met[parent] {
					met[parent] = true
					next = append(next, parent)
				}
			}
		}
		if generation = next; len(next) == 0 {
			break
		}
	}
	return false, complete, nil
}

// At fetches one commit, by its full hash, and hands its files to read, which must
// not keep them. A daemon that restarts calls it for the commit that it accepted
// last, of which it knows no more than the hash; its signature is not judged again,
// because keys may have been rotated since and nothing new is believed.
//
// A server that does not hand out commits by hash is asked for the ref's history, 50
// and then 500 commits deep, and then for that of all branches and tags. If the
// commit cannot be had the error is an [ErrNothingKnown].
func (s *Source) At(ctx context.Context, commit string, read func(Snapshot) error) error {
	return s.during(ctx, func(ctx context.Context) error { return s.at(ctx, commit, read) })
}

func (s *Source) at(ctx context.Context, commit string, read func(Snapshot) error) error {
	for _, r := range []*revision{s.head, s.good} {
		if r != nil && r.commit.hash == commit {
			return read(r.snapshot)
		}
	}
	r, err := s.recover(ctx, commit)
	if err != nil {
		return remedy.Mark(remedy.Of(err), fmt.Errorf("%w: fetch commit %s again: %w", ErrNothingKnown, commit, err))
	}
	return errors.Join(read(r.snapshot), r.objects.close())
}

// absence remembers that a commit could not be found while the refs were these.
type absence struct {
	commit string
	refs   [sha256.Size]byte
	err    error
}

func (s *Source) recover(ctx context.Context, commit string) (_ *revision, err error) {
	if len(commit) != full || !isHash(commit) {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %.80q is not a full hash of a commit", ErrRefNotFound, commit))
	}
	seen, err := s.origin.look(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, seen.close()) }()
	refs := seen.refsSeen().digest()
	if s.absent.err != nil && s.absent.commit == commit && s.absent.refs == refs {
		return nil, s.absent.err
	}
	r, err := s.dig(ctx, seen, target{name: commit, hash: plumbing.NewHash(commit), prefix: commit})
	if remedy.Of(err) == remedy.Hold {
		s.absent = absence{commit, refs, err}
	}
	if err != nil {
		return nil, err
	}
	r.snapshot.Revision = desired.Revision{Ref: s.name(seen.refsSeen()), Commit: commit}
	return r, nil
}

// name is what people call the ref.
func (s *Source) name(refs *listing) string {
	at, err := refs.resolve(s.ref)
	if err != nil {
		return s.ref
	}
	return at.name
}

// dig finds a commit by hash, or in the ref's history, or in all there is.
func (s *Source) dig(ctx context.Context, seen look, wanted target) (*revision, error) {
	if tip, err := seen.refsSeen().resolve(s.ref); !seen.handsOut(wanted.hash) && err == nil && !tip.hash.IsZero() {
		for _, depth := range depths {
			found, err := seen.history(ctx, []plumbing.Hash{tip.hash}, depth, true)
			if err != nil {
				return nil, err
			}
			if found.has(wanted.hash) {
				r, err := found.revision(ctx, wanted)
				if err != nil {
					return nil, errors.Join(err, found.close())
				}
				return r, nil
			}
			if err := found.close(); err != nil || found.whole {
				break
			}
		}
	}
	return s.bring(ctx, seen, wanted)
}

// digest is the same for the same refs.
func (l *listing) digest() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(l.refs)) {
		_, _ = io.WriteString(h, l.refs[name].String()+" "+name+"\n")
	}
	h.Sum(sum[:0])
	return sum
}
