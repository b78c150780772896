package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/report"
)

// Schedule says when [Loop.Run] makes rounds. Interval is required.
type Schedule struct {
	// Interval lies between the starts of two rounds, give or take a tenth: many
	// clusters' daemons read one repository and one account.
	Interval time.Duration

	// Least lies between the end of a round and the start of the next, whoever wakes the
	// loop: a storm of hooks comes to one round. The default is 5 s.
	Least time.Duration

	// Wake asks for a round now. One that is asked for during a round comes after it.
	Wake <-chan struct{}

	// Sleep waits, until the context ends. The default is the wall clock's.
	Sleep func(context.Context, time.Duration) error

	// Before is called before each round.
	Before func()

	// Seen is told of each round that was made, Failed of each that could not be.
	Seen   func(report.Round)
	Failed func(error)
}

// patience is how many intervals lie between rounds at most, however often they fail:
// a service that is down is not hammered, and one that is back is seen soon.
const patience = 5

func (s Schedule) withDefaults() Schedule {
	if s.Least <= 0 {
		s.Least = 5 * time.Second
	}
	if s.Sleep == nil {
		s.Sleep = sleep
	}
	if s.Before == nil {
		s.Before = func() {}
	}
	if s.Seen == nil {
		s.Seen = func(report.Round) {}
	}
	if s.Failed == nil {
		s.Failed = func(error) {}
	}
	return s
}

// Run makes rounds until the context ends, and returns its cause. A step that is in
// hand then is finished; nothing new is started.
//
// Between two whole rounds, subjects in motion get rounds of their own
// ([Loop.Again]): after a write, and when what they wait for is due.
func (l *Loop) Run(ctx context.Context, s Schedule) error {
	s = s.withDefaults()
	failures := 0
	whole := time.Time{} // when the next whole round is due
	var moving []identity.Subject
	for ctx.Err() == nil {
		s.Before()
		now := l.opts.Now()
		var r report.Round
		var err error
		if len(moving) > 0 && now.Before(whole) {
			r, err = l.guarded(func() (report.Round, error) { return l.Again(ctx, moving) })
		} else {
			r, err = l.guarded(func() (report.Round, error) { return l.Round(ctx) })
			whole = now.Add(jitter(s.Interval))
		}
		var pause time.Duration
		now = l.opts.Now()
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx) // it failed because it was to end
		case err != nil:
			failures++
			s.Failed(err)
			moving = nil
			pause = jitter(min(s.Least<<min(failures-1, 10), patience*s.Interval))
			whole = now.Add(pause)
		default:
			failures = 0
			s.Seen(r)
			moving = r.Moving
			pause = s.pause(r, now, whole)
		}
		woken, err := s.wait(ctx, pause)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if woken {
			whole = time.Time{}
		}
	}
	return context.Cause(ctx)
}

// pause says how long to wait after a good round: until the next whole one is due, or
// until something in motion is to be looked at again.
func (s Schedule) pause(r report.Round, now, whole time.Time) time.Duration {
	pause := whole.Sub(now)
	if len(r.Moving) > 0 {
		pause = min(pause, r.MovesAt.Sub(now))
	}
	return max(pause, s.Least)
}

// jitter returns a duration of up to a tenth more or less.
func jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5+1)
}

// wait pauses until the time is over or somebody wakes the loop; never less than
// Least.
func (s Schedule) wait(ctx context.Context, pause time.Duration) (woken bool, err error) {
	if err := s.Sleep(ctx, s.Least); err != nil {
		return false, err
	}
	select { // woken meanwhile, by however many
	case <-s.Wake:
		return true, nil
	default:
	}
	if pause <= s.Least {
		return false, nil
	}
	nap, end := context.WithCancelCause(ctx)
	listened := make(chan bool)
	go func() {
		select {
		case <-s.Wake:
			end(errWoken)
			listened <- true
		case <-nap.Done():
			listened <- false
		}
	}()
	err = s.Sleep(nap, pause-s.Least)
	end(nil)
	if <-listened { // also one that came as the time was over
		return true, ctx.Err()
	}
	return false, err
}

var errWoken = errors.New("woken")

// guarded makes a round, and turns a panic in it into an error: the round is halted,
// and the daemon goes on to say so.
func (l *Loop) guarded(round func() (report.Round, error)) (r report.Round, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = remedy.Mark(remedy.Halt, &Panic{Value: fmt.Sprint(p), Stack: string(debug.Stack())})
		}
	}()
	return round()
}

// Panic is a defect of lanyard's that halted a round.
type Panic struct {
	Value string
	Stack string
}

// Error returns one line; the stack is for a log.
func (p *Panic) Error() string {
	return "the round was halted by a defect of lanyard, please report it: " + p.Value
}

// StageError says which part of a round made it impossible.
type StageError struct {
	Stage Stage
	Err   error
}

// Stage is a part of a round.
type Stage string

// The stages that can make a round impossible.
const (
	StageCluster Stage = "cluster"
	StageGit     Stage = "git"
	StageObserve Stage = "observe"
	StageRound   Stage = "round" // anything else
)

var verbs = map[Stage]string{StageCluster: "look at the cluster", StageGit: "read what Git wants", StageObserve: "observe"}

// Error returns "verb: cause".
func (e *StageError) Error() string { return verbs[e.Stage] + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

// StageOf returns the stage at which a round failed.
func StageOf(err error) Stage {
	if s, ok := errors.AsType[*StageError](err); ok {
		return s.Stage
	}
	return StageRound
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
