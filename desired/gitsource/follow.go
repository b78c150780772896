package gitsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Follower follows a ref as a daemon must (design.md section 2, law 5): what a head
// says counts once the head is accepted, and until then what the last accepted
// commit said. It remembers parsed revisions but no decision: which commit was
// accepted last is told with every question, because it is on lanyard's Lease and
// another replica may have written it.
type Follower struct {
	source *Source
	paths  []string

	head, last parsed
	// The pair of commits of which the first is known not to descend from the second.
	apart [2]string
}

// parsed is a commit whose documents were read. Mistakes are kept, errors of reading
// are not.
type parsed struct {
	commit string
	said   Commit
	repo   *desired.Repository
	err    error // desired.Errors
}

// Follow returns a Follower of what the source reads below paths; all of it if there
// are none. It must be the source's only user.
func Follow(s *Source, paths []string) *Follower { return &Follower{source: s, paths: paths} }

// Close closes the source.
func (f *Follower) Close() error { return f.source.Close() }

// Ask is a question to a Follower.
type Ask struct {
	Cluster identity.Cluster
	// Last is the commit that was accepted last; empty if none ever was.
	Last string
	// Accept is source.accept: a commit that is accepted although it does not
	// descend from Last, or is empty. Spent says that it has been, once: what was looked
	// at then is not what a branch that is rewound to it later would undo.
	Accept string
	Spent  bool
}

// Standing is what Git wants, and how it stands with the ref.
type Standing struct {
	// State is that of the last accepted commit, State.Revision, which is to be
	// stored and given as Ask.Last from then on. If the head was accepted just now
	// it is the head's, and Moved is set.
	State desired.State
	Moved bool
	// Commit is what the commit of State says of itself.
	Commit Commit
	// Head is the revision that the ref stands on; zero if it could not be read.
	Head desired.Revision
	// Held says why State is not Head's; nil if it is.
	Held *HeldError
}

// HeldError says why a head is held. It is an [ErrHeld].
type HeldError struct {
	Reason Reason
	Head   desired.Revision // zero if it could not be read
	Last   string           // the last accepted commit, which is kept; empty if there is none
	Err    error            // the cause: a SignatureError, desired.Errors, an error of transport
}

// Error says what is wrong, what is kept, and what to do.
func (e *HeldError) Error() string {
	text := fmt.Sprintf("%v: %v", ErrHeld, e.Err)
	if e.Last != "" {
		text += "; commit " + e.Last + " stays in force"
	}
	return text
}

// Unwrap returns the cause.
func (e *HeldError) Unwrap() error { return e.Err }

// Is makes every HeldError an [ErrHeld].
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Latest says what Git wants of a cluster. With a head that does not count it says
// what the last accepted commit wanted, after a restart too, for which it fetches
// that commit again. Only if that cannot be had, or if nothing was ever accepted, it
// returns an error, which is an [ErrNothingKnown]: then nothing is known, and nothing
// may be removed.
func (f *Follower) Latest(ctx context.Context, ask Ask) (standing Standing, err error) {
	err = f.source.during(ctx, func(ctx context.Context) error {
		standing, err = f.latest(ctx, ask)
		return err
	})
	if err != nil {
		return Standing{}, err
	}
	if h := standing.Held; h != nil { // it goes to logs as errors do
		h.Err = scrub(h.Err, f.source.origin.hidden())
	}
	return standing, nil
}

func (f *Follower) latest(ctx context.Context, ask Ask) (Standing, error) {
	head, err := f.source.refresh(ctx)
	if err != nil {
		reason := Unreachable
		if remedy.Of(err) == remedy.Hold && !errors.Is(err, ErrAuth) {
			reason = Unreadable
		}
		return f.hold(ctx, ask, &HeldError{Reason: reason, Err: err})
	}
	facts := Facts{Head: head.commit.hash, Last: ask.Last}
	if !ask.Spent {
		facts.Accept = ask.Accept
	}
	held := &HeldError{Head: head.snapshot.Revision, Last: ask.Last}
	if facts.Head != facts.Last {
		if held.Err = f.source.verify.check(head.commit, f.source.now()); held.Err != nil {
			facts.Unverified = true
		}
	}
	var state desired.State
	if !facts.Unverified {
		if state, err = f.read(&f.head, head.snapshot, ask.Cluster); err != nil {
			facts.Broken, held.Err = true, err
		}
		facts.Mappings = len(state.Mappings)
	}
	judged := Judge(facts)
	for ; judged.Ask != Nothing; judged = Judge(facts) {
		if err := f.answer(ctx, judged.Ask, head, ask, &facts); err != nil {
			reason := Unreachable
			if remedy.Of(err) == remedy.Hold { // it is too much to fetch
				reason = Stale
			}
			held.Reason, held.Err = reason, fmt.Errorf("compare commit %s with the last accepted one: %w", facts.Head, err)
			return f.hold(ctx, ask, held)
		}
	}
	if !judged.Accepted {
		held.Reason = judged.Reason
		held.explain(facts, ask)
		return f.hold(ctx, ask, held)
	}
	f.last = f.head
	return Standing{State: state, Commit: f.last.said, Head: head.snapshot.Revision, Moved: facts.Head != facts.Last}, nil
}

// answer finds out what Judge wants to know.
func (f *Follower) answer(ctx context.Context, q Question, head *revision, ask Ask, facts *Facts) error {
	if q == AskLastHadSome {
		// Where it cannot be found out, unknown is not absent.
		facts.LastHadSome = Yes
		if state, err := f.content(ctx, ask); err == nil && len(state.Mappings) == 0 {
			facts.LastHadSome = No
		}
		return nil
	}
	pair := [2]string{head.commit.hash, ask.Last}
	facts.Descends = No
	if f.apart == pair || len(ask.Last) != full || !isHash(ask.Last) {
		return nil
	}
	found, err := f.source.descends(ctx, head, plumbing.NewHash(ask.Last))
	switch {
	case err != nil:
		return err
	case found:
		facts.Descends = Yes
	default:
		f.apart = pair
	}
	return nil
}

// explain gives reasons that have no error of their own one.
func (e *HeldError) explain(facts Facts, ask Ask) {
	set := fmt.Sprintf("set source.accept to %s", facts.Head)
	if ask.Spent && ask.Accept == facts.Head {
		set = "take source.accept out of the configuration, which has let this commit in once already, and set it again after that was read"
	}
	next := "push a commit that has it as an ancestor, or look at what the head would change and " + set
	switch e.Reason {
	case Stale:
		e.Err = fmt.Errorf("commit %s does not descend from %s, which was accepted last, within %d commits: the branch was rewound or replaced: %s",
			facts.Head, facts.Last, deepest, next)
	case Emptied:
		e.Err = fmt.Errorf("commit %s has no mapping for this cluster, and %s, which was accepted last, has: if everything is to go, %s; else push the mappings again",
			facts.Head, facts.Last, set)
	default:
	}
}

// hold keeps to the last accepted commit.
func (f *Follower) hold(ctx context.Context, ask Ask, held *HeldError) (Standing, error) {
	held.Last = ask.Last
	class := remedy.Hold
	if held.Reason == Unreachable {
		class = remedy.Of(held.Err)
	}
	held.Err = remedy.Mark(class, held.Err)
	if ask.Last == "" {
		return Standing{}, fmt.Errorf("%w: %w", ErrNothingKnown, held)
	}
	state, err := f.content(ctx, ask)
	if err != nil {
		return Standing{}, fmt.Errorf("%w; and %w", err, held)
	}
	return Standing{State: state, Commit: f.last.said, Head: held.Head, Held: held}, nil
}

// content is what the last accepted commit wants.
func (f *Follower) content(ctx context.Context, ask Ask) (state desired.State, err error) {
	if f.last.commit == ask.Last && f.last.repo != nil {
		return f.last.repo.For(ask.Cluster)
	}
	if f.head.commit == ask.Last && f.head.repo != nil {
		f.last = f.head
		return f.last.repo.For(ask.Cluster)
	}
	err = f.source.at(ctx, ask.Last, func(snapshot Snapshot) error {
		state, err = f.read(&f.last, snapshot, ask.Cluster)
		return err
	})
	if err != nil && !errors.Is(err, ErrNothingKnown) {
		err = remedy.Mark(remedy.Hold, fmt.Errorf("%w: commit %s, which was accepted before, is not now: %w", ErrNothingKnown, ask.Last, err))
	}
	return state, err
}

// read parses a revision once.
func (f *Follower) read(into *parsed, snapshot Snapshot, c identity.Cluster) (desired.State, error) {
	if into.commit != snapshot.Revision.Commit {
		repo, err := desired.Parse(snapshot.FS, f.paths, snapshot.Revision)
		mistakes, are := errors.AsType[desired.Errors](err)
		if err != nil && !are {
			return desired.State{}, fmt.Errorf("revision %s cannot be read: %w", snapshot.Revision, err)
		}
		*into = parsed{commit: snapshot.Revision.Commit, said: snapshot.Commit, repo: repo}
		if are {
			into.err = fmt.Errorf("revision %s is not accepted:\n%w", snapshot.Revision, mistakes)
		}
	}
	if into.err != nil {
		return desired.State{}, into.err
	}
	state, err := into.repo.For(c)
	if err != nil {
		return desired.State{}, fmt.Errorf("revision %s is not accepted for cluster %s:\n%w", snapshot.Revision, c.Name, err)
	}
	return state, nil
}
