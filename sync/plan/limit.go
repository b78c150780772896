package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// limit keeps the plan within what the operator allows, and within the budgets of a
// round and of an hour; it is the one place that every step passes. Trust that
// somebody waits for comes first, and what failed within the last hour last, so that
// refused steps starve nobody. The order in which steps are taken stays as planned.
func (b *builder) limit() {
	steps := b.plan.Steps
	held := make([]*Hold, len(steps))
	taken := make([]bool, len(steps))
	n, removals := 0, b.memory.removals()
	for pass := range 3 {
		for i, s := range steps {
			if b.urgency(s) != pass {
				continue
			}
			held[i] = b.refuse(s, n, removals)
			if on := buildsOn(steps, i); held[i] == nil && on >= 0 && !taken[on] {
				held[i] = &Hold{Reason: ChangeBudget, NotBefore: b.now, Message: "an earlier edit of the same role waits; after it: " + s.Action.String()}
				if held[on] != nil {
					held[i].NotBefore = held[on].NotBefore
				}
			}
			if held[i] != nil {
				continue
			}
			taken[i], n = true, n+1
			if s.Removes() {
				removals++
			}
		}
	}
	b.plan.Steps = []Step{}
	for i, s := range steps {
		if taken[i] {
			b.plan.Steps = append(b.plan.Steps, s)
			continue
		}
		held[i].Subject, held[i].Plane = s.Subject, s.Plane
		b.hold(*held[i])
	}
}

// urgency says in which pass a step is given its place: 0 trust to let somebody in,
// 1 everything else, 2 what failed within the last hour.
func (b *builder) urgency(s Step) int {
	switch _, failed := b.memory.Failed[s.ID()]; {
	case s.Rescue, s.Effect == Widen && !failed:
		return 0
	case failed:
		return 2
	}
	return 1
}

// buildsOn returns the index of the last earlier edit of the same role, whose outcome
// the step's guard expects; -1 if there is none.
func buildsOn(steps []Step, i int) int {
	role, edits := editedRole(steps[i].Action)
	for j := i - 1; edits && j >= 0; j-- {
		if r, e := editedRole(steps[j].Action); e && r == role {
			return j
		}
	}
	return -1
}

// refuse says why a step may not be taken in this round, if it may not.
func (b *builder) refuse(s Step, taken, removals int) *Hold {
	if why, forbidden := b.forbidden(s); forbidden {
		return &Hold{Reason: GuardRail, Message: "the operator's guard rails forbid this: " + why + ": " + s.Action.String()}
	}
	a, _ := b.in.Snapshot.ServiceAccount(s.Subject)
	ns, presence := b.in.Snapshot.Namespace(s.Subject.Namespace)
	why := a.Annotations[diff.PauseMark]
	if why == "" {
		why = ns.Pause
	}
	switch {
	case a.Terminating || ns.Terminating:
		return &Hold{Reason: Terminating, Message: "the ServiceAccount or its namespace is being deleted; not done: " + s.Action.String()}
	case s.Effect != Widen && !s.Rescue && presence == live.Unknown:
		return &Hold{Reason: Blind, Message: "the namespace cannot be read, so it may be paused; not done: " + s.Action.String()}
	case s.Effect != Widen && !s.Rescue && why != "":
		return &Hold{Reason: Paused, Message: "paused: " + why + "; not done: " + s.Action.String()}
	case taken >= b.in.Policy.ChangesPerRound && !s.Rescue:
		return &Hold{Reason: ChangeBudget, NotBefore: b.now,
			Message: fmt.Sprintf("%d changes are planned for this round already (budgets.changesPerRound); next round: %s", taken, s.Action)}
	case s.Removes() && removals >= b.in.Policy.RemovalsPerHour:
		return &Hold{Reason: RemovalBudget, NotBefore: b.nextRemoval(), // zero with a budget of none
			Message: fmt.Sprintf("%d removals within an hour are as many as budgets.removalsPerHour allows; then: %s", removals, s.Action)}
	}
	return nil
}

// forbidden asks the guard rails about a step's subject and roles: an orphan has no
// mapping of which they could have been asked before.
func (b *builder) forbidden(s Step) (why string, forbidden bool) {
	if b.in.Policy.Diff.Forbid == nil {
		return "", false
	}
	for _, role := range b.roles(s) {
		if why, forbidden = b.in.Policy.Diff.Forbid(desired.Mapping{Subject: s.Subject, Role: role}); forbidden {
			return why, true
		}
	}
	return "", false
}

// roles returns the roles that a step is about.
func (b *builder) roles(s Step) []identity.RoleARN {
	association, _ := b.in.Snapshot.Association(s.Subject)
	var out []identity.RoleARN
	switch a := s.Action.(type) {
	case PutTrustStatement:
		out = append(out, a.Role)
	case DropTrustStatement:
		out = append(out, a.Role)
	case CreateAssociation:
		out = append(out, a.Role, a.TargetRole)
	case UpdateAssociation:
		out = append(out, a.Role, a.TargetRole)
	case DeleteAssociation:
		out = append(out, association.Role)
	case RevokeTrust:
		out = append(out, a.Role)
	case EvictPod, RestartWorkload, PauseRollout, ResumeRollout:
		out = append(out, association.Role)
	case SetAnnotation:
		if role, err := identity.ParseRoleARN(a.Value); err == nil {
			out = append(out, role)
		}
	case DropAnnotation:
		if role, err := identity.ParseRoleARN(a.Old); err == nil {
			out = append(out, role)
		}
	}
	out = slices.DeleteFunc(out, identity.RoleARN.IsZero)
	if m, ok := b.mapping(s.Subject); len(out) == 0 && ok {
		out = append(out, m.Role)
	}
	return out
}

func (b *builder) mapping(s identity.Subject) (desired.Mapping, bool) {
	if j := b.judged(s); j != nil {
		return j.Mapping, true
	}
	return desired.Mapping{}, false
}

// nextRemoval returns when the oldest removal leaves the sliding hour.
func (b *builder) nextRemoval() time.Time {
	for _, w := range b.memory.Writes {
		if w.Removes {
			return w.At.Add(remembered)
		}
	}
	if b.in.Policy.RemovalsPerHour > 0 {
		return b.now.Add(remembered)
	}
	return time.Time{}
}
