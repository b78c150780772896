package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	// Again looks at some subjects and their roles afresh, and shows everything else
	// as Observe last saw it.
	Again(ctx context.Context, state desired.State, subjects []identity.Subject) (*live.Snapshot, error)
}

// Applier runs a plan. It is the only one that writes.
type Applier interface {
	Apply(ctx context.Context, p plan.Plan) []report.Outcome
}

// Ledger keeps the last hour's removals where they outlive the process (design.md,
// law 9).
type Ledger interface {
	// Removing notes the moments of all removals of the last hour, those included that
	// are about to be made. They may be made only if it returns no error: a removal
	// that was noted and not made costs a place in the budget, one that was made and
	// not noted would cost the budget.
	Removing(ctx context.Context, at []time.Time) error
}

// Planner plans how workloads get from one mechanism to the other.
type Planner interface {
	// Resolve turns auto into what it means now, before Git and the live world are
	// compared.
	Resolve(state desired.State, s *live.Snapshot) desired.State
	// Moves plans what is next for each mapping that is on its way. State is what Git
	// wants as declared; in is what the planner of repairs will be given besides.
	Moves(ctx context.Context, state desired.State, in plan.Input) map[identity.Subject]plan.Move
}

// Options are what a loop is made of.
type Options struct {
	Source   Source
	Observer Observer
	Applier  Applier // nil: nothing can be written
	Planner  Planner // nil: nothing is moved from one mechanism to the other
	Ledger   Ledger  // nil: removals count in this process only
	Mode     desired.Mode
	Policy   plan.Policy
	Removed  []time.Time // removals of the last hour, by whoever ran before
	Now      func() time.Time
}

// Loop makes rounds, one after the other. It is not safe for use by several
// goroutines: rounds never overlap.
type Loop struct {
	opts   Options
	memory plan.Memory
	rounds int
	last   last
	first  map[string]time.Time // when each finding was first seen
}

// last is what the last round saw.
type last struct {
	state    desired.State
	cluster  identity.Cluster
	snapshot *live.Snapshot
}

// New returns a loop. A mode that writes without an Applier is an error of the
// caller's, and shows at the first round.
func New(opts Options) *Loop {
	return &Loop{opts: opts, memory: plan.Remembering(opts.Removed), first: map[string]time.Time{}}
}

// Snapshot returns what the last round saw; nil before the first.
func (l *Loop) Snapshot() *live.Snapshot { return l.last.snapshot }

// State returns what Git wanted in the last round, as declared. It must not be called
// during a round.
func (l *Loop) State() desired.State { return l.last.state }

// Removals counts the removals of the last hour.
func (l *Loop) Removals() int { return len(l.memory.Removals()) }

// Obey makes the rounds from now on keep to other guard rails.
func (l *Loop) Obey(p plan.Policy) { l.opts.Policy = p }

// Policy returns what the last round kept to. It must not be called during a round.
func (l *Loop) Policy() plan.Policy { return l.opts.Policy }

// Round makes one pass. An error means that there was no round to speak of: Git or
// the cluster could not be read at all. Everything milder is in the report.
func (l *Loop) Round(ctx context.Context) (report.Round, error) {
	r := l.begin()
	var err error
	if r.Cluster, err = l.opts.Observer.Cluster(ctx); err != nil {
		return r, &StageError{StageCluster, err}
	}
	state, err := l.opts.Source.Latest(ctx, r.Cluster)
	if err != nil {
		return r, &StageError{StageGit, err}
	}
	snapshot, err := l.opts.Observer.Observe(ctx, state)
	if err != nil {
		return r, &StageError{StageObserve, err}
	}
	l.last = last{state, r.Cluster, snapshot}
	return l.pass(ctx, r, nil), nil
}

// Again makes a pass for some subjects between two whole rounds. Git and everything
// else are as the last whole round saw them, so no other subject is written about.
func (l *Loop) Again(ctx context.Context, subjects []identity.Subject) (report.Round, error) {
	if l.last.snapshot == nil {
		return l.Round(ctx)
	}
	r := l.begin()
	r.Cluster, r.Partial = l.last.cluster, true
	snapshot, err := l.opts.Observer.Again(ctx, l.last.state, subjects)
	if err != nil {
		return r, &StageError{StageObserve, err}
	}
	l.last.snapshot = snapshot
	return l.pass(ctx, r, subjects), nil
}

func (l *Loop) begin() report.Round {
	l.rounds++
	return report.Round{Number: l.rounds, Started: l.opts.Now(), Mode: l.opts.Mode}
}

// pass compares, plans and applies; steps about none but the subjects given, if any.
func (l *Loop) pass(ctx context.Context, r report.Round, only []identity.Subject) report.Round {
	state, snapshot := l.last.state, l.last.snapshot
	r.Revision, r.Mappings, r.Held = state.Revision, len(state.Mappings), state.Held
	r.Gaps = snapshot.Gaps()
	resolved := state
	if l.opts.Planner != nil {
		resolved = l.opts.Planner.Resolve(state, snapshot)
	}
	r.Result = diff.Compare(resolved, snapshot, l.opts.Policy.Diff)
	l.date(r.Result.Findings)
	in := plan.Input{Revision: state.Revision, Result: r.Result, Snapshot: snapshot, Policy: l.opts.Policy, Memory: l.memory}
	if l.opts.Planner != nil && !r.Result.Mismatch() {
		in.Moves = l.opts.Planner.Moves(ctx, state, in)
		r.Moves = moves(in)
	}
	r.Plan, l.memory = plan.Repair(in)
	if only != nil {
		// Nothing is narrowed on what others looked like a minute ago (design.md, law 6).
		r.Plan.Steps = slices.DeleteFunc(r.Plan.Steps, func(s plan.Step) bool { return s.Removes() || !slices.Contains(only, s.Subject) })
	}
	r.Outcomes = l.apply(ctx, r.Plan)
	r.Ended = l.opts.Now()
	l.remember(r)
	if l.writes() {
		r.Moving, r.MovesAt = r.Motion()
	}
	return r
}

// moves are those of a round, for its record.
func moves(in plan.Input) []report.Move {
	var out []report.Move
	for i := range in.Result.Judged {
		j := &in.Result.Judged[i]
		if m, on := in.Moves[j.Mapping.Subject]; on && m.Phase != "" {
			out = append(out, report.Move{Subject: j.Mapping.Subject, Wanted: j.Wanted, Phase: m.Phase, Since: m.Since})
		}
	}
	return out
}

// date notes when each finding was first seen, and forgets those that are gone.
func (l *Loop) date(findings []diff.Finding) {
	first := make(map[string]time.Time, len(findings))
	for i := range findings {
		key := findings[i].Key()
		at, known := l.first[key]
		if !known {
			at = l.opts.Now()
		}
		first[key], findings[i].FirstSeen = at, at
	}
	l.first = first
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
	p, refused := l.reserve(ctx, p)
	return append(l.opts.Applier.Apply(ctx, p), refused...)
}

// reserve notes the plan's removals in the ledger before any is made. Where that
// fails, the plan goes without them.
func (l *Loop) reserve(ctx context.Context, p plan.Plan) (plan.Plan, []report.Outcome) {
	if l.opts.Ledger == nil || !slices.ContainsFunc(p.Steps, plan.Step.Removes) {
		return p, nil
	}
	at := l.memory.Removals()
	for _, s := range p.Steps {
		if s.Removes() {
			at = append(at, l.opts.Now())
		}
	}
	err := l.opts.Ledger.Removing(ctx, at)
	if err == nil {
		return p, nil
	}
	err = remedy.Mark(remedy.Retry, fmt.Errorf("not started: note the removal on lanyard's Lease: %w", err))
	var out []report.Outcome
	kept := p
	kept.Steps = nil
	for _, s := range p.Steps {
		if !s.Removes() {
			kept.Steps = append(kept.Steps, s)
			continue
		}
		out = append(out, report.Outcome{Step: s, Result: report.NotTaken, Err: err, Remedy: remedy.Of(err), At: l.opts.Now()})
	}
	return kept, out
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
	for unread := 0; ; {
		r, err := l.Round(ctx)
		if err != nil {
			return r, err
		}
		seen(r)
		if unread++; !passing(r.Gaps) {
			unread = 0
		}
		if r.AtRest() && (unread == 0 || unread > secondLooks) || !l.writes() || stuck(r) {
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

// secondLooks is how often in a row [Loop.Rest] looks again at a world in rest of which
// something could not be read.
const secondLooks = 3

// passing reports whether what could not be read may well be readable a moment later:
// nobody refused it.
func passing(gaps []live.Gap) bool {
	return slices.ContainsFunc(gaps, func(g live.Gap) bool {
		return g.Reason == live.GapFailed || g.Reason == live.GapThrottled || g.Reason == live.GapTruncated
	})
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
