package sync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
	lsync "github.com/lanyard-io/lanyard/sync"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// running is a loop that runs in a bubble of virtual time.
type running struct {
	hands  *hands
	seen   []report.Round
	failed []error
	at     []time.Duration // since the start
	start  time.Time
	wake   chan struct{}
	ledger lsync.Ledger
}

func newRunning() *running { return &running{hands: newHands()} }

// run runs the loop for a time, with what is done meanwhile.
func (r *running) run(t *testing.T, d time.Duration, meanwhile ...func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r.start = start
		r.wake = make(chan struct{}, 1) // of the bubble
		r.hands.clock = time.Now
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		loop := lsync.New(lsync.Options{Source: r.hands, Observer: r.hands, Applier: r.hands, Ledger: r.ledger, Mode: desired.ModeRepair, Policy: plan.DefaultPolicy(), Now: time.Now})
		for _, do := range meanwhile {
			go do()
		}
		err := loop.Run(ctx, lsync.Schedule{Interval: time.Minute, Wake: r.wake,
			Seen: func(round report.Round) {
				r.seen, r.at = append(r.seen, round), append(r.at, time.Since(start))
			},
			Failed: func(err error) {
				r.failed, r.at = append(r.failed, err), append(r.at, time.Since(start))
			}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v; want the context's end", err)
		}
	})
}

func (r *running) calls(what string) int {
	n := 0
	for _, c := range r.hands.log {
		if c == what {
			n++
		}
	}
	return n
}

// TestRunKeepsTheInterval: rounds over a still world begin an interval apart, give or
// take a tenth, and write nothing.
func TestRunKeepsTheInterval(t *testing.T) {
	t.Parallel()
	r := newRunning()
	r.hands.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = role.String()
	r.run(t, 10*time.Minute)
	for i := 1; i < len(r.at); i++ {
		if gap := r.at[i] - r.at[i-1]; gap < 54*time.Second || gap > 66*time.Second {
			t.Errorf("round %d came %v after the one before; want a minute, give or take a tenth", i, gap)
		}
	}
	if len(r.at) < 9 || r.calls("apply") > 0 {
		t.Errorf("%d rounds in ten minutes with %d writes; want 9 or more, and none", len(r.at), r.calls("apply"))
	}
}

// TestRunGivesMovingSubjectsRoundsOfTheirOwn: what waits for a moment is looked at
// then, and after a write soon again, without a whole round.
func TestRunGivesMovingSubjectsRoundsOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := newRunning()
	r.run(t, 2*time.Minute)
	if r.calls("again") == 0 || !slices.Contains(r.hands.again, subject) {
		t.Fatalf("calls %v; want a look at the one subject again", r.hands.log)
	}
	if got := r.calls("cluster"); got > 3 {
		t.Errorf("%d whole rounds in two minutes; want 3 at most", got)
	}
	wrote := slices.IndexFunc(r.seen, func(round report.Round) bool { return round.Writes() > 0 })
	if wrote < 0 || wrote+1 >= len(r.seen) {
		t.Fatalf("%d rounds, none of which wrote with one after it", len(r.seen))
	}
	if gap := r.at[wrote+1] - r.at[wrote]; gap > 6*time.Second {
		t.Errorf("after the write the next look came %v later; want 5 s", gap)
	}
	if last := r.seen[len(r.seen)-1]; !last.InSync() {
		t.Errorf("not in sync at the end: %v", last.Result.Findings)
	}
}

// TestRunStormOfHooks: ten thousand wakes come to one round each five seconds.
func TestRunStormOfHooks(t *testing.T) {
	t.Parallel()
	r := newRunning()
	r.hands.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = role.String()
	r.run(t, time.Minute, func() {
		for range 10_000 {
			select {
			case r.wake <- struct{}{}:
			default:
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	if n := r.calls("cluster"); n < 8 || n > 13 {
		t.Errorf("%d whole rounds in a minute with 50 s of storm; want about ten", n)
	}
}

// TestRunWake: one wake brings the next whole round forward, also one that comes while
// a round is made or in the pause that is never cut.
func TestRunWake(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"in the pause": 20 * time.Second, "right after a round": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRunning()
			r.hands.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = role.String()
			r.run(t, 40*time.Second, func() {
				time.Sleep(after)
				r.wake <- struct{}{}
			})
			if len(r.at) != 2 || r.at[1] > max(after, 5*time.Second)+time.Second {
				t.Errorf("rounds at %v; want a second one within a second of %v", r.at, max(after, 5*time.Second))
			}
		})
	}
}

// TestRunSlowsButDoesNotStarve: failing rounds come further and further apart, never
// more than five intervals, and the first good one ends that.
func TestRunSlowsButDoesNotStarve(t *testing.T) {
	t.Parallel()
	r := newRunning()
	r.hands.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = role.String()
	r.hands.lookFault = func() error {
		if time.Now().Before(r.start.Add(45 * time.Minute)) {
			return errors.New("throttled")
		}
		return nil
	}
	r.run(t, time.Hour)
	var most time.Duration
	for i := 1; i < len(r.failed); i++ {
		most = max(most, r.at[i]-r.at[i-1])
	}
	if most > 331*time.Second || most < 4*time.Minute {
		t.Errorf("failing rounds were %v apart at most; want about five intervals", most)
	}
	if len(r.failed) > 20 || len(r.seen) < 9 {
		t.Errorf("%d failures in 45 minutes, then %d good rounds in 15; want 20 at most, 9 at least", len(r.failed), len(r.seen))
	}
	if lsync.StageOf(r.failed[0]) != lsync.StageObserve {
		t.Errorf("stage %q; want observe", lsync.StageOf(r.failed[0]))
	}
}

// TestRunPanic: a defect halts the round and not the daemon.
func TestRunPanic(t *testing.T) {
	t.Parallel()
	r := newRunning()
	r.hands.outcome = func(plan.Step) report.Outcome { panic("a defect") }
	r.run(t, 10*time.Minute)
	if len(r.failed) == 0 || remedy.Of(r.failed[0]) != remedy.Halt || !strings.Contains(r.failed[0].Error(), "a defect") {
		t.Fatalf("failures %v; want a halt that names the defect", r.failed)
	}
	if p, is := errors.AsType[*lsync.Panic](r.failed[0]); !is || !strings.Contains(p.Stack, "run_test.go") {
		t.Error("the error does not carry the stack")
	}
	if len(r.seen) == 0 {
		t.Error("no round was made after the halted one")
	}
}

// ledger notes removals, or refuses to.
type ledger struct {
	err   error
	noted [][]time.Time
}

func (l *ledger) Removing(_ context.Context, at []time.Time) error {
	l.noted = append(l.noted, at)
	return l.err
}

// TestLaw9RemovalsAreNotedFirst: a removal is made only once the ledger has it.
func TestLaw9RemovalsAreNotedFirst(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"noted": nil, "not noted": errors.New("conflict")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, book := newHands(), &ledger{err: failure}
			removed := []time.Time{h.now.Add(-10 * time.Minute), h.now.Add(-2 * time.Hour)}
			h.orphan()
			policy := plan.DefaultPolicy()
			policy.Prune, policy.Accept = desired.PruneOwned, commit
			loop := lsync.New(lsync.Options{Source: h, Observer: h, Applier: h, Ledger: book, Mode: desired.ModeRepair, Policy: policy, Removed: removed, Now: func() time.Time { return h.now }})
			took := 0
			for range 4 {
				r, err := loop.Round(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range r.Outcomes {
					if o.Wrote() && o.Step.Removes() {
						took++
					}
				}
				h.now = h.now.Add(time.Minute)
			}
			if len(book.noted) == 0 {
				t.Fatal("the ledger was never asked")
			}
			if first := book.noted[0]; len(first) != 2 || !first[0].Equal(removed[0]) {
				t.Errorf("noted %v; want the removal of ten minutes ago and the new one", first)
			}
			if want := map[bool]int{true: 1, false: 0}[failure == nil]; took != want {
				t.Errorf("%d removals were made; want %d", took, want)
			}
		})
	}
}

// TestRemovalsOfARunBeforeCount: a restart does not give the budget back.
func TestRemovalsOfARunBeforeCount(t *testing.T) {
	t.Parallel()
	h := newHands()
	h.orphan()
	var removed []time.Time
	for range 5 {
		removed = append(removed, h.now.Add(-time.Minute))
	}
	policy := plan.DefaultPolicy()
	policy.Prune, policy.Accept = desired.PruneOwned, commit
	loop := lsync.New(lsync.Options{Source: h, Observer: h, Applier: h, Mode: desired.ModeRepair, Policy: policy, Removed: removed, Now: func() time.Time { return h.now }})
	for range 5 {
		r, err := loop.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Writes() > 0 {
			t.Fatalf("wrote %v; want nothing while the hour's removals are spent", r.Outcomes)
		}
		h.now = h.now.Add(time.Minute)
	}
}
