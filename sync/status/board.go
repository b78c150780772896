package status

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// defaultRounds is how many rounds are kept in short, and longestError how many
// characters of an error: one broken revision can have thousands of lines.
const (
	defaultRounds = 20
	longestError  = 4000
)

// ErrUnauthenticated is what [Options.Authorize] returns, or wraps, for a token that is
// nobody's: the answer is then 401, and not the 403 of a caller who is known.
var ErrUnauthenticated = errors.New("the token is not valid here")

// Options are what a board is made of.
type Options struct {
	// Rounds is how many rounds are kept in short; 20 if zero.
	Rounds int

	// Authorize says whether the bearer of a token may read a path. An error other than
	// [ErrUnauthenticated] means that this could not be found out. Nil lets nobody in:
	// every path is 404, as if there were no API.
	Authorize func(ctx context.Context, bearer, path string) (allowed bool, err error)

	Now func() time.Time // time.Now if nil
}

// Board is what the daemon shows of itself. It is safe for use by several goroutines.
type Board struct {
	opts    Options
	started time.Time
	large   chan struct{} // a place for each large answer that is in memory
	pages   chan struct{} // and for each page

	mu       sync.RWMutex
	state    State
	rounds   []Pass // oldest first
	good     *Pass
	failed   *Pass
	diff     *report.Diff // of the last good round; never changed once it stands here
	plan     plan.Plan
	ended    time.Time
	snapshot *live.Snapshot
	outline  func() ([]byte, error) // of the migrations
	moving   []Moving
	unlisted int // of those that move
	exposed  int
	probes   []IdentityProbe
	steps    []Step    // of the last hour, oldest first
	cut      time.Time // of the youngest step that there was no room for

	standings []Standing
	room      int // for associations
}

// New returns an empty board.
func New(opts Options) *Board {
	if opts.Rounds <= 0 {
		opts.Rounds = defaultRounds
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Board{opts: opts, started: opts.Now(), large: make(chan struct{}, atOnce), pages: make(chan struct{}, atOnce)}
}

// Saw shows a good round, and what it saw. Both are kept until the next and must not
// be changed; a nil snapshot leaves the last one.
func (b *Board) Saw(r report.Round, snapshot *live.Snapshot) { b.saw(r, snapshot, false) }

// Again is [Board.Saw] for a round that looked at some subjects only, between two whole
// ones. Several in a row are kept as one, or they would push out all others.
func (b *Board) Again(r report.Round, snapshot *live.Snapshot) { b.saw(r, snapshot, true) }

func (b *Board) saw(r report.Round, snapshot *live.Snapshot, partial bool) {
	diff := report.NewDiff(r.Mode, r.Revision, r.Result, r.Plan, r.Gaps)
	p := r.Plan
	p.Steps, p.Holds = diff.Steps, diff.Left // lists, never null
	summary := diff.Summary                  // a pointer into the report would keep all of it
	pass := Pass{Number: r.Number, Started: r.Started, Ended: r.Ended, Good: true, Partial: partial, Mode: string(r.Mode),
		Revision: r.Revision.String(), Summary: &summary, Writes: r.Writes(), Failures: r.Failures()}
	moves, unlisted, exposed := moving(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.diff, b.plan, b.ended = &diff, p, r.Ended
	b.moving, b.unlisted, b.exposed = moves, unlisted, exposed
	b.note(r.Outcomes)
	if snapshot != nil {
		b.snapshot = snapshot
	}
	if !partial {
		b.good = &pass
	} else if n := len(b.rounds); n > 0 && b.rounds[n-1].Partial {
		last := b.rounds[n-1]
		pass.Started, pass.Writes, pass.Failures = last.Started, pass.Writes+last.Writes, pass.Failures+last.Failures
		b.rounds[n-1] = pass
		return
	}
	b.keep(pass)
}

// note keeps the steps of the last hour. The caller holds the lock.
func (b *Board) note(outcomes []report.Outcome) {
	kept, cut := recent(log(b.steps, outcomes), b.opts.Now())
	slices.Reverse(kept)
	b.steps = kept
	if cut.After(b.cut) {
		b.cut = cut
	}
}

// Outline shows how migrations stand: a JSON document, made when somebody asks. It must
// be safe for use by several goroutines.
func (b *Board) Outline(of func() ([]byte, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outline = of
}

// IdentityProbes shows what identity probes came to, in place of what was shown before.
func (b *Board) IdentityProbes(all []IdentityProbe) {
	all = append([]IdentityProbe{}, all...)
	slices.SortStableFunc(all, func(x, y IdentityProbe) int { return x.rank() - y.rank() })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probes = all[:min(len(all), mostMoving)]
}

// Failed shows a round of which there is nothing to report: the stage that failed
// (cluster, git, observe, round), why, and when it began and ended.
func (b *Board) Failed(stage string, err error, started, ended time.Time) {
	pass := Pass{Started: started, Ended: ended, Stage: stage, Remedy: remedy.Of(err).String()}
	if err != nil {
		pass.Error = short(err.Error())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = &pass
	b.keep(pass)
}

// keep adds a round to the ring. The caller holds the lock.
func (b *Board) keep(p Pass) {
	b.rounds = append(b.rounds, p)
	if surplus := len(b.rounds) - b.opts.Rounds; surplus > 0 {
		b.rounds = slices.Delete(b.rounds, 0, surplus) // clears what falls out
	}
}

// State changes what is so of the daemon. The function gets the facts as they are, and
// nobody sees them half changed.
func (b *Board) State(change func(*State)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.state)
	b.state.Source.Paths = slices.Clone(b.state.Source.Paths)
	if h := b.state.Source.Held; h != nil {
		held := *h // the caller may go on with its own
		b.state.Source.Held = &held
	}
	if c := b.state.Source.Commit; c != nil {
		commit := *c
		b.state.Source.Commit = &commit
	}
}

// status returns the document as it is now.
func (b *Board) status() Status {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.document()
}

// document makes it. The caller holds the lock.
func (b *Board) document() Status {
	s := Status{Now: b.opts.Now().UTC(), Started: b.started.UTC(), Ready: b.diff != nil, Daemon: b.state,
		Last: b.good, Failed: b.failed, Rounds: slices.Clone(b.rounds)}
	slices.Reverse(s.Rounds)
	s.Moving, s.MovingUnlisted, s.Exposed = append([]Moving{}, b.moving...), b.unlisted, b.exposed
	s.IdentityProbes = append([]IdentityProbe{}, b.probes...)
	s.Steps, _ = recent(b.steps, s.Now)
	s.StepsSince = s.Now.Add(-stepsFor)
	for _, at := range []time.Time{s.Started, b.cut.UTC()} {
		if at.After(s.StepsSince) {
			s.StepsSince = at
		}
	}
	if s.Rounds == nil {
		s.Rounds = []Pass{}
	}
	if b.diff != nil {
		s.Summary = &b.diff.Summary
	}
	d := &s.Daemon
	d.Source.URL = bareURL(d.Source.URL)
	d.Source.Paths = append([]string{}, d.Source.Paths...)
	d.Configuration.Error = short(d.Configuration.Error)
	if h := d.Source.Held; h != nil {
		held := *h
		held.Message = short(held.Message)
		d.Source.Held = &held
	}
	return s
}

// record returns what a page is made of, as it is now.
func (b *Board) record() record {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return record{Status: b.document(), diff: b.diff, snapshot: b.snapshot, standings: b.standings, room: b.room}
}

// short cuts a text that is too long to be kept.
func short(s string) string {
	if len(s) <= longestError {
		return s
	}
	return strings.ToValidUTF8(s[:longestError], "") + " ... (cut)"
}
