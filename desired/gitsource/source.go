package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Options say what a [Source] reads.
type Options struct {
	// URL is https://host/path, file:///path, or the path of a repository, bare
	// or not. Plain http is accepted on loopback only.
	URL string
	// Ref is a branch, a tag, a full name such as refs/heads/main, or a commit's
	// hash, of which seven digits do. If empty, the repository's HEAD.
	Ref  string
	Auth Auth
	// Limits bound every look; the zero value means the defaults.
	Limits Limits
	// WorkDir is where fetches are kept while in use; in memory if it is empty.
	WorkDir string
	// Transport replaces the one that reads proxies from the environment and
	// trusts the system's certificate authorities.
	Transport http.RoundTripper
}

// Snapshot is a revision and its files.
type Snapshot struct {
	Revision desired.Revision
	// FS has the files of the revision. It implements [fs.ReadDirFS],
	// [fs.ReadFileFS], [fs.StatFS] and [fs.ReadLinkFS], follows symbolic links
	// inside the tree as an operating system would, and is safe for concurrent
	// use. It can be read until the Source finds the ref moved, or is closed.
	FS fs.FS
}

// Source reads one ref of one repository. It is safe for concurrent use; looks
// run one after another.
type Source struct {
	place  place
	ref    string
	secret Secret
	origin origin
	time   time.Duration

	mu      sync.Mutex
	closed  bool
	seen    bool
	at      target // what the ref stood on at the last good look
	last    Snapshot
	objects *objects
}

// origin is where a repository comes from. Both kinds look at the refs first and
// read objects, if at all, through that look.
type origin interface {
	look(context.Context) (look, error)
	close() error
}

type look interface {
	refsSeen() *listing
	// fetch makes the target's objects readable, or the history that it is in.
	// Once it has succeeded the objects own what the look held.
	fetch(context.Context, target) (*objects, error)
	close() error
}

// Open checks the options and returns a Source. It asks nothing of the repository
// yet.
func Open(o Options) (*Source, error) {
	at, auth, err := parsePlace(o.URL, o.Auth)
	if err != nil {
		return nil, err
	}
	s := &Source{place: at, ref: o.Ref, secret: auth.Token}
	limits := o.Limits.orDefault()
	s.time = limits.Time
	if at.url == nil {
		s.origin = &local{dir: at.path, limits: limits}
	} else {
		s.origin = newRemote(at, auth, o.Transport, o.WorkDir, limits)
	}
	return s, nil
}

// String names the repository and the ref, without credentials.
func (s *Source) String() string {
	if s.ref == "" {
		return s.place.String()
	}
	return s.place.String() + "@" + s.ref
}

// Latest looks where the ref stands. If it stands where it stood, that costs one
// listing, or nothing for a full commit hash, and the same Snapshot comes back
// with changed false; otherwise one fetch. After an error the Snapshot before it
// stays good. It ends within Limits.Time, whatever ctx allows.
func (s *Source) Latest(ctx context.Context) (_ Snapshot, changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Snapshot{}, false, fmt.Errorf("read %s: %w", s, ErrClosed)
	}
	if s.seen && s.at.prefix == s.ref && len(s.ref) == full {
		return s.last, false, nil
	}
	slow := remedy.Mark(remedy.Retry, fmt.Errorf("%w: the look was not done after %s: try again; if that does not help, look at the server and the network, or raise Time",
		ErrTimeout, s.time))
	ctx, cancel := context.WithTimeoutCause(ctx, s.time, slow)
	defer cancel()
	changed, err = s.refresh(ctx)
	if err != nil {
		if errors.Is(context.Cause(ctx), slow) {
			err = slow
		}
		return Snapshot{}, false, scrub(fmt.Errorf("read %s: %w", s, err), s.secret)
	}
	return s.last, changed, nil
}

func (s *Source) refresh(ctx context.Context) (changed bool, err error) {
	seen, err := s.origin.look(ctx)
	if err != nil {
		return false, err
	}
	at, err := seen.refsSeen().resolve(s.ref)
	if err != nil || s.unmoved(at) {
		return false, errors.Join(err, seen.close())
	}
	found, err := seen.fetch(ctx, at)
	if err != nil {
		return false, errors.Join(err, seen.close())
	}
	snapshot, err := found.snapshot(ctx, at)
	if err != nil {
		return false, errors.Join(err, found.close())
	}
	changed = !s.seen || snapshot.Revision != s.last.Revision
	if !changed { // a tag made anew on the same commit
		s.at = at
		return false, found.close()
	}
	if s.objects != nil {
		_ = s.objects.close() // to fail here would lose the news that the ref moved
	}
	s.seen, s.at, s.last, s.objects = true, at, snapshot, found
	return true, nil
}

// unmoved reports whether the last snapshot answers for at. A commit that was
// found by its short hash does not move.
func (s *Source) unmoved(at target) bool {
	return s.seen && (at == s.at || at.prefix != "" && at.prefix == s.at.prefix)
}

// Close drops the snapshot and closes idle connections.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.origin.close()
	if s.objects != nil {
		err = errors.Join(err, s.objects.close())
	}
	return err
}

// snapshot reads the directories of the target's commit.
func (o *objects) snapshot(ctx context.Context, at target) (Snapshot, error) {
	hash := at.hash
	if hash.IsZero() || at.prefix != "" && !o.has(hash) {
		var err error
		if hash, err = o.expand(at.prefix); err != nil {
			return Snapshot{}, err
		}
	}
	commit, err := o.commit(hash)
	if err != nil {
		return Snapshot{}, err
	}
	root, err := o.load(ctx, commit.TreeHash, commit.Committer.When)
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{
		Revision: desired.Revision{Ref: at.name, Commit: commit.Hash.String()},
		FS:       &treeFS{objects: o, root: root},
	}, nil
}
