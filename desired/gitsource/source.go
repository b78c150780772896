package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Options say what a [Source] reads.
type Options struct {
	// URL is https://host/path, ssh://user@host/path, user@host:path, file:///path,
	// or the path of a repository, bare or not. Plain http is accepted on loopback
	// only, unless Auth.PlainHTTP is set.
	URL string
	// Ref is a branch, a tag, a full name such as refs/heads/main, or a commit's
	// hash, of which seven digits do. If empty, the repository's HEAD.
	Ref  string
	Auth Auth
	// Verify says whose signature the commit needs.
	Verify Verify
	// Limits bound every look; the zero value means the defaults.
	Limits Limits
	// WorkDir is where fetches are kept while in use; in memory if it is empty. What
	// a process that crashed has left there is removed.
	WorkDir string
	// Transport replaces the one for https that Auth and the environment describe.
	Transport http.RoundTripper
}

// Snapshot is a revision and its files.
type Snapshot struct {
	Revision desired.Revision
	Commit   Commit
	// FS has the files of the revision. It implements [fs.ReadDirFS],
	// [fs.ReadFileFS], [fs.StatFS] and [fs.ReadLinkFS], follows symbolic links
	// inside the tree as an operating system would, and is safe for concurrent
	// use. It can be read until the Source finds the ref moved, or is closed.
	FS fs.FS
}

// Commit is what a commit says of itself. Nobody vouches for it: whoever made the commit
// wrote it.
type Commit struct {
	Author  string // the name
	Subject string // the first line of the message
	At      time.Time
}

// longestSubject bounds what is kept of an author and a subject.
const longestSubject = 200

// said reads what a commit says of itself.
func said(c *object.Commit) Commit {
	first, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	cut := func(s string) string {
		if len(s) > longestSubject {
			s = s[:longestSubject] + "..."
		}
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return Commit{Author: cut(c.Author.Name), Subject: cut(first), At: c.Committer.When}
}

// Source reads one ref of one repository. It is safe for concurrent use; looks
// run one after another.
type Source struct {
	place  place
	ref    string
	verify Verify
	origin origin
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	closed  bool
	head    *revision // what the ref stood on at the last look that could read it
	good    *revision // what Latest returned last; often the same
	refused refusal   // of what the ref stood on when it could not be read
	absent  absence
	graph   graph // what [Source.Merge] knows of the history
}

// revision is a commit that was fetched.
type revision struct {
	at       target
	commit   signedCommit
	hash     plumbing.Hash
	objects  *objects
	snapshot Snapshot
}

// origin is where a repository comes from. All kinds look at the refs first and
// read objects, if at all, through that look.
type origin interface {
	look(context.Context) (look, error)
	hidden() []Secret // what must not be printed
	close() error
}

type look interface {
	refsSeen() *listing
	// handsOut reports whether a commit can be fetched by its hash.
	handsOut(plumbing.Hash) bool
	// fetch makes the target's objects readable, or the history that it is in.
	fetch(context.Context, target) (*objects, error)
	// history fetches the commits below some tips, with or without their files.
	history(ctx context.Context, tips []plumbing.Hash, depth int, full bool) (*objects, error)
	// contents fetches some commits and their files, which have to be handed out.
	contents(context.Context, []plumbing.Hash) (*objects, error)
	// everything fetches all branches and tags with their history, and other tips.
	everything(context.Context, []plumbing.Hash) (*objects, error)
	// close ends the look; objects that it gave stay readable.
	close() error
}

// Open checks the options and returns a Source. It asks nothing of the repository
// yet.
func Open(o Options) (*Source, error) {
	at, auth, err := parsePlace(o.URL, o.Auth)
	if err != nil {
		return nil, err
	}
	s := &Source{place: at, ref: o.Ref, verify: o.Verify, limits: o.Limits.orDefault(), now: time.Now}
	if !at.remote() {
		s.origin = &local{dir: at.path, limits: s.limits}
		return s, nil
	}
	if err := sweep(o.WorkDir, s.now()); err != nil {
		return nil, err
	}
	s.origin = newRemote(at, auth, o.Transport, o.WorkDir, s.limits)
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
func (s *Source) Latest(ctx context.Context) (snapshot Snapshot, changed bool, err error) {
	err = s.during(ctx, func(ctx context.Context) error {
		head, err := s.refresh(ctx)
		if err != nil {
			return err
		}
		if head != s.good {
			if err := s.verify.check(head.commit, s.now()); err != nil {
				return err
			}
			if s.good != nil {
				_ = s.good.objects.close() // to fail here would lose the news that the ref moved
			}
			s.good, changed = head, true
		}
		snapshot = head.snapshot
		return nil
	})
	if err != nil {
		return Snapshot{}, false, err
	}
	return snapshot, changed, nil
}

// during runs one look: alone, in time, and with secrets kept out of its error.
func (s *Source) during(ctx context.Context, run func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("read %s: %w", s, ErrClosed)
	}
	slow := remedy.Mark(remedy.Retry, fmt.Errorf("%w: the look was not done after %s: try again; if that does not help, look at the server and the network, or raise Time",
		ErrTimeout, s.limits.Time))
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.Time, slow)
	defer cancel()
	err := run(ctx)
	if err == nil {
		return nil
	}
	if _, held := errors.AsType[*HeldError](err); !held && errors.Is(context.Cause(ctx), slow) {
		err = slow
	}
	return scrub(fmt.Errorf("read %s: %w", s, err), s.origin.hidden())
}

// refresh returns the revision that the ref stands on, whether its signature counts
// or not.
func (s *Source) refresh(ctx context.Context) (_ *revision, err error) {
	if s.head != nil && s.head.at.prefix == s.ref && len(s.ref) == full {
		return s.head, nil
	}
	seen, err := s.origin.look(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, seen.close()) }()
	at, err := seen.refsSeen().resolve(s.ref)
	if err != nil {
		return nil, err
	}
	if s.unmoved(at) {
		return s.head, nil
	}
	if err := s.refused.of(at, s.now()); err != nil {
		return nil, err
	}
	found, err := s.bring(ctx, seen, at)
	if err != nil {
		s.refused.note(at, err, s.now())
		return nil, err
	}
	if s.head != nil && s.head.hash == found.hash { // a tag made anew on the same commit
		s.head.at = at
		return s.head, found.objects.close()
	}
	if s.head != nil && s.head != s.good {
		_ = s.head.objects.close()
	}
	s.head = found
	return found, nil
}

// unmoved reports whether the head answers for at. A commit that was found by its
// short hash does not move.
func (s *Source) unmoved(at target) bool {
	return s.head != nil && (at == s.head.at || at.prefix != "" && at.prefix == s.head.at.prefix)
}

// bring fetches a target and reads its directories.
func (s *Source) bring(ctx context.Context, seen look, at target) (*revision, error) {
	found, err := seen.fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	r, err := found.revision(ctx, at)
	if err != nil {
		return nil, errors.Join(err, found.close())
	}
	return r, nil
}

// Close drops what was fetched and closes idle connections.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.origin.close()
	if s.head != nil {
		err = errors.Join(err, s.head.objects.close())
	}
	if s.good != nil && s.good != s.head {
		err = errors.Join(err, s.good.objects.close())
	}
	return err
}

// revision reads the directories of the target's commit.
func (o *objects) revision(ctx context.Context, at target) (*revision, error) {
	hash := at.hash
	if hash.IsZero() || at.prefix != "" && !o.has(hash) {
		var err error
		if hash, err = o.expand(at.prefix); err != nil {
			return nil, err
		}
	}
	commit, err := o.commit(hash)
	if err != nil {
		return nil, err
	}
	raw, err := o.raw(commit.Hash)
	if err != nil {
		return nil, err
	}
	root, err := o.load(ctx, commit.TreeHash, commit.Committer.When)
	if err != nil {
		return nil, err
	}
	return &revision{
		at: at, hash: commit.Hash, objects: o,
		commit: signedCommit{hash: commit.Hash.String(), raw: raw, made: commit.Committer.When},
		snapshot: Snapshot{
			Revision: desired.Revision{Ref: at.name, Commit: commit.Hash.String()},
			Commit:   said(commit),
			FS:       &treeFS{objects: o, root: root},
		},
	}, nil
}

// refusal remembers what was too large or broken, so that it is not fetched again
// with every look. After a while it is, for it may have been the way that broke it.
type refusal struct {
	at    target
	err   error
	until time.Time
}

const refusedFor = 10 * time.Minute

func (r *refusal) note(at target, err error, now time.Time) {
	*r = refusal{}
	if remedy.Of(err) == remedy.Hold && (errors.Is(err, ErrLimit) || errors.Is(err, ErrMalformed)) {
		*r = refusal{at: at, err: err, until: now.Add(refusedFor)}
	}
}

func (r *refusal) of(at target, now time.Time) error {
	if r.err != nil && r.at == at && now.Before(r.until) {
		return r.err
	}
	return nil
}
