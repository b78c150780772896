package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// Source says what Git wants of a cluster now.
type Source interface {
	Latest(ctx context.Context, cluster identity.Cluster) (desired.State, error)
}

// Observer looks at the live world, and never changes it.
type Observer interface {
	// Cluster tells which cluster this is, so that templates can be expanded.
	Cluster(ctx context.Context) (identity.Cluster, error)
	// Observe looks at everything that a comparison with the state needs.
	Observe(ctx context.Context, state desired.State) (*live.Snapshot, error)
}

// Applier runs a plan. It is the only one that writes.
type Applier interface {
	Apply(ctx context.Context, p plan.Plan) []report.Outcome
}

// Options are what a loop is made of.
type Options struct {
	Source   Source
	Observer Observer
	Applier  Applier // nil: nothing can be written
	Mode     desired.Mode
	Policy   plan.Policy
	Now      func() time.Time
}

// Loop makes rounds, one after the other. It is not safe for use by several
// goroutines: rounds never overlap.
type Loop struct {
	opts   Options
	memory plan.Memory
	rounds int
}

// New returns a loop. A mode that writes without an Applier is an error of the
// caller's, and shows at the first round.
func New(opts Options) *Loop { return &Loop{opts: opts} }

// Round makes one pass. An error means that there was no round to speak of: Git or
// the cluster could not be read at all. Everything milder is in the report.
func (l *Loop) Round(ctx context.Context) (report.Round, error) {
	l.rounds++
	r := report.Round{Number: l.rounds, Started: l.opts.Now(), Mode: l.opts.Mode}
	var err error
	if r.Cluster, err = l.opts.Observer.Cluster(ctx); err != nil {
		return r, fmt.Errorf("look at the cluster: %w", err)
	}
	state, err := l.opts.Source.Latest(ctx, r.Cluster)
	if err != nil {
		return r, fmt.Errorf("read what Git wants: %w", err)
	}
	r.Revision, r.Mappings = state.Revision, len(state.Mappings)
	snapshot, err := l.opts.Observer.Observe(ctx, state)
	if err != nil {
		return r, fmt.Errorf("observe: %w", err)
	}
	r.Gaps = snapshot.Gaps()
	r.Result = diff.Compare(state, snapshot, l.opts.Policy.Diff)
	r.Plan, l.memory = plan.Repair(plan.Input{
		Revision: state.Revision, Result: r.Result, Snapshot: snapshot, Policy: l.opts.Policy, Memory: l.memory,
	})
	r.Outcomes = l.apply(ctx, r.Plan)
	r.Ended = l.opts.Now()
	l.remember(r)
	return r, nil
}

// writes reports whether the loop may change anything: its mode says so, and it has
// what it takes. Without a configuration there is no mode.
func (l *Loop) writes() bool {
	return (l.opts.Mode == desired.ModeRepair || l.opts.Mode == desired.ModeMigrate) && l.opts.Applier != nil
}

func (l *Loop) apply(ctx context.Context, p plan.Plan) []report.Outcome {
	if len(p.Steps) == 0 {
		return nil
	}
	if !l.writes() {
		out := make([]report.Outcome, len(p.Steps))
		for i, s := range p.Steps {
			out[i] = report.Outcome{Step: s, Result: report.NotTaken, At: l.opts.Now()}
		}
		return out
	}
	return l.opts.Applier.Apply(ctx, p)
}

// remember records the writes that changed something, for budgets and conflicts. A
// removal of which nobody knows whether it took effect counts as one.
func (l *Loop) remember(r report.Round) {
	for _, o := range r.Outcomes {
		changed := o.Wrote() && o.Before != o.After
		maybe := o.Result == report.Failed && o.Remedy == remedy.Retry && o.Step.Removes()
		if changed || maybe {
			l.memory = l.memory.Record(o.At, o.Step)
		}
		if o.Result == report.Failed {
			l.memory = l.memory.RecordFailed(o.At, o.Step)
		}
	}
}

// Rest makes rounds until one finds nothing more to write or to wait for, or until
// the deadline of waiting. Each is handed to seen. The sleep between two rounds is
// until the moment that the plan waits for, or a little longer after each round that
// got nothing done.
func (l *Loop) Rest(ctx context.Context, limit time.Duration, sleep func(context.Context, time.Duration) error, seen func(report.Round)) (report.Round, error) {
	deadline := l.opts.Now().Add(limit)
	backoff := time.Second
	for {
		r, err := l.Round(ctx)
		if err != nil {
			return r, err
		}
		seen(r)
		if r.AtRest() || !l.writes() || stuck(r) {
			return r, nil
		}
		pause := l.pause(r, &backoff)
		if l.opts.Now().Add(pause).After(deadline) {
			return r, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return r, errors.Join(err, ctx.Err())
		}
	}
}

// pause says how long to wait before the next round.
func (l *Loop) pause(r report.Round, backoff *time.Duration) time.Duration {
	if r.Writes() > 0 {
		*backoff = time.Second
		return 0
	}
	if until, waits := r.NotBefore(); waits && len(r.Plan.Steps) == 0 {
		return max(0, until.Sub(l.opts.Now())) + time.Millisecond
	}
	*backoff = min(2*(*backoff), time.Minute)
	return *backoff
}

// stuck reports whether more rounds would not help: a step met an error that stops
// everything, or all that is left was refused until a person acts.
func stuck(r report.Round) bool {
	refused := 0
	for _, o := range r.Outcomes {
		switch o.Remedy {
		case remedy.Halt:
			return true
		case remedy.Hold:
			refused++
		case remedy.None, remedy.Retry, remedy.Replan:
		}
	}
	_, waits := r.NotBefore()
	return refused > 0 && refused == len(r.Outcomes) && !waits
}
