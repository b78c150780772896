package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// work is one action at work. All errors that it returns bear a remedy.
type work interface {
	// prepare takes what stands from the fresh look and makes the write ready. It
	// reports whether what the action wants stands already.
	prepare(ctx context.Context, fresh *live.Snapshot) (before string, stands bool, err error)
	// write sends the one call.
	write(ctx context.Context) error
	// readBack finds out what stands now, and whether that is what was meant.
	readBack(ctx context.Context) (after string, meant bool, err error)
	// value is what is to stand after the write.
	value() string
}

// work returns the hand for a step.
func (a *Applier) work(s plan.Step) work {
	switch action := s.Action.(type) {
	case plan.PutTrustStatement:
		return &trustWork{a: a, role: action.Role, edit: put(action)}
	case plan.DropTrustStatement:
		return &trustWork{a: a, role: action.Role, edit: drop(action), left: dropped(action)}
	case plan.RevokeTrust:
		return &trustWork{a: a, role: action.Role, edit: revoke(action), left: revoked(action)}
	case plan.SetAnnotation:
		return &annotationSet{a: a, step: s, action: action}
	case plan.DropAnnotation:
		return &annotationDrop{a: a, step: s, action: action}
	case plan.CreateAssociation:
		return &associationCreate{a: a, step: s, action: action}
	case plan.UpdateAssociation:
		return &associationUpdate{a: a, step: s, action: action}
	case plan.DeleteAssociation:
		return &associationDelete{a: a, step: s, action: action}
	case plan.EvictPod:
		return &podEvict{a: a, step: s, action: action}
	case plan.RestartWorkload:
		return &workloadRestart{object: object{a: a, step: s, ref: action.Workload, uid: action.UID}, action: action}
	case plan.PauseRollout:
		return &rolloutPause{draft: draft{object: object{a: a, step: s, ref: action.Workload, uid: action.UID}}, action: action}
	case plan.ResumeRollout:
		return &rolloutResume{draft: draft{object: object{a: a, step: s, ref: action.Workload, uid: action.UID}}}
	}
	panic("apply: an action that package plan does not have: " + s.Action.Kind()) // the list is sealed
}

// take takes one step. The note is the error of a call that failed and yet took effect.
func (a *Applier) take(ctx context.Context, s plan.Step) (o report.Outcome, note error) {
	o = report.Outcome{Step: s, Result: report.Skipped}
	a.opts.Started(s)
	w := a.work(s)
	if t, is := w.(*trustWork); is {
		done, err := a.turn(ctx, t.role)
		if err != nil {
			o.Result, o.Err = report.NotTaken, err
			return o, nil
		}
		defer done()
	}
	ctx, cancel := a.inHand(ctx)
	defer cancel()
	fresh, err := a.look(ctx, s)
	if err != nil {
		o.Err = err
		return o, nil
	}
	before, stands, err := w.prepare(ctx, fresh)
	if err != nil {
		o.Err = err
		return o, nil
	}
	o.Before, o.After = before, before
	if stands {
		o.Result = report.Done
		return o, nil
	}
	failure := send(ctx, w)
	a.opts.Wrote(s)
	after, meant, unread := w.readBack(ctx)
	return judge(o, w, failure, after, meant, unread)
}

// send sends the write, and leaves a third of the step's time for reading back: a call
// that never answered may have taken effect.
func send(ctx context.Context, w work) error {
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)*2/3)
	defer cancel()
	return w.write(ctx)
}

// judge is the table of the package comment.
func judge(o report.Outcome, w work, failure error, after string, meant bool, unread error) (report.Outcome, error) {
	switch {
	case unread == nil && meant:
		o.Result, o.After = report.Done, after
		return o, failure
	case failure == nil:
		o.Result, o.After = report.Unverified, w.value()
		switch {
		case unread != nil:
			o.Err = remedy.Mark(remedy.Retry, fmt.Errorf("written, but reading back: %w", unread))
		case after == o.Before:
			o.Err = remedy.Mark(remedy.Retry, errors.New("written, but not visible yet"))
		default:
			o.Err = remedy.Mark(remedy.Replan, fmt.Errorf("written, but someone else wrote too: read back as %q", after))
		}
		return o, nil
	}
	o.Result, o.After = report.Failed, after
	switch { // in each, the failure's own remedy is the one that counts
	case unread != nil:
		o.After = ""
		o.Err = fmt.Errorf("%w; nobody knows whether it took effect: %w", failure, unread)
	case after == o.Before:
		o.Err = fmt.Errorf("%w; read back: unchanged", failure)
	default:
		o.Err = fmt.Errorf("%w; read back: neither as before nor as meant", failure)
	}
	return o, nil
}

// inHand returns the context of a step that has begun: it outlives a cancelled parent,
// but neither the step's time nor the parent's deadline. The deadline is how the
// caller says when the Lease could pass on to another replica (design.md section 5).
func (a *Applier) inHand(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(a.opts.StepTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if a.opts.Until != nil {
		if until := a.opts.Until(); !until.IsZero() && until.Before(deadline) {
			deadline = until
		}
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

// look looks at the step's subject again and checks its guards.
func (a *Applier) look(ctx context.Context, s plan.Step) (*live.Snapshot, error) {
	roles, err := rolesOf(s)
	if err != nil {
		return nil, err
	}
	fresh, err := a.lookAt(ctx, s.Subject, roles...)
	if err != nil {
		return nil, err
	}
	for _, g := range s.Guards {
		if err := g.Check(fresh); err != nil {
			return nil, remedy.Mark(remedy.Replan, fmt.Errorf("guard %s: %w", g.Kind(), err))
		}
	}
	return fresh, nil
}

func (a *Applier) lookAt(ctx context.Context, s identity.Subject, roles ...identity.RoleARN) (*live.Snapshot, error) {
	fresh, err := a.opts.Look.Look(ctx, s, roles...)
	if err != nil {
		return nil, remedy.Mark(remedy.Retry, fmt.Errorf("look at %s: %w", s, err))
	}
	return fresh, nil
}

// rolesOf returns the roles that a step's look must show. A guard about another
// subject halts: the look shows one subject only, and whatever it does not show would
// read as absent.
func rolesOf(s plan.Step) ([]identity.RoleARN, error) {
	var roles []identity.RoleARN
	for _, g := range s.Guards {
		about := s.Subject
		switch g := g.(type) {
		case plan.TrustIs:
			roles = append(roles, g.Role)
		case plan.TrustAllows:
			roles = append(roles, g.Role)
		case plan.AnnotationIs:
			about = g.Subject
		case plan.AssociationIs:
			about = g.Subject
		case plan.Unused:
			about = g.Subject
		case plan.NotWired:
			about = g.Subject
		case plan.AudiencesWithin:
			about = g.Subject
		case plan.PodIs:
			about = g.Subject
		case plan.WorkloadIs:
			about = g.Subject
		}
		if about != s.Subject {
			return nil, remedy.Mark(remedy.Halt, fmt.Errorf("guard %s is about %s, and the step about %s", g.Kind(), about, s.Subject))
		}
	}
	switch action := s.Action.(type) {
	case plan.PutTrustStatement:
		roles = append(roles, action.Role)
	case plan.DropTrustStatement:
		roles = append(roles, action.Role)
	case plan.RevokeTrust:
		roles = append(roles, action.Role)
	case plan.SetAnnotation, plan.DropAnnotation, plan.CreateAssociation, plan.UpdateAssociation, plan.DeleteAssociation,
		plan.EvictPod, plan.RestartWorkload, plan.PauseRollout, plan.ResumeRollout:
	}
	slices.SortFunc(roles, identity.RoleARN.Compare)
	return slices.Compact(roles), nil
}

// stale is an error that asks to plan again.
func stale(format string, args ...any) error {
	return remedy.Mark(remedy.Replan, fmt.Errorf("%w: %w", plan.ErrStale, fmt.Errorf(format, args...)))
}

// unreadable is the error of a fact that the look could not show.
func unreadable(format string, args ...any) error {
	return remedy.Mark(remedy.Retry, fmt.Errorf("%s cannot be read", fmt.Sprintf(format, args...)))
}
