package migrate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// owner is one workload of the subject with its live pods, told apart by what they were
// given at admission.
type owner struct {
	w     live.Workload
	old   []live.Pod // on the side that they are to leave
	fresh []live.Pod // on the other one
	bare  []live.Pod // on neither
}

func (o owner) ref() live.WorkloadRef { return live.WorkloadRef{Kind: o.w.Kind, Name: o.w.Name} }

func (o owner) String() string { return o.w.Kind + " " + o.w.Name }

func (o owner) pods() []live.Pod { return slices.Concat(o.fresh, o.old, o.bare) }

// restartable reports whether the owner makes a pod again that is evicted. A Job's is
// left to end by itself.
func (o owner) restartable() bool {
	return slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout"}, o.w.Kind)
}

// rolls reports whether the owner replaces its pods by itself, once its template changes.
func (o owner) rolls() bool {
	return o.restartable() && o.w.Kind != "ReplicaSet" && !o.w.Suspended && o.w.Strategy.Type != "OnDelete"
}

// ownersOf returns the subject's owners, sorted, with their pods told apart for a move to
// a side.
func (m *mover) ownersTo(to identity.Mechanism) []owner {
	workloads, _ := m.snap.Workloads(m.m.Subject)
	var out []owner
	for _, w := range workloads {
		if w.Done {
			continue
		}
		o := owner{w: w}
		for _, p := range m.j.Pods {
			if p.Owner.Kind != w.Kind || p.Owner.Name != w.Name || p.Phase == "Succeeded" {
				continue
			}
			switch {
			case p.Uses(other(to)), to == identity.PodIdentity && m.outdated(p):
				o.old = append(o.old, p)
			case p.Uses(to):
				o.fresh = append(o.fresh, p)
			default:
				o.bare = append(o.bare, p)
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b owner) int { return cmp.Or(cmp.Compare(a.w.Kind, b.w.Kind), cmp.Compare(a.w.Name, b.w.Name)) })
	return out
}

func (m *mover) ownersOf() []owner { return m.ownersTo(m.j.Wanted) }

// crossing moves the pods that are still on the other side.
func (m *mover) crossing() {
	to := m.j.Wanted
	back := to == identity.IRSA
	if !m.next.Standing.Trusted || len(m.differs()) > 0 {
		return
	}
	if !m.underWay() { // a rollout of its owner's own: nobody is moved
		m.goOn(to)
		return
	}
	if !back && m.mayReturn() {
		m.next.Move.Let = append(m.next.Move.Let, identity.IRSA)
	}
	if m.halt() {
		return
	}
	if m.fails() && (!back || len(m.next.Move.Steps) > 0) {
		return // else pods are exposed, and are moved all the same
	}
	if until := m.changed().Add(m.c.Settle); until.After(m.now()) {
		m.say(plan.Settling, until, "the association was updated: agents may give new pods the role of before until it has stood for %s", m.c.Settle)
		return
	}
	m.moveOver(to, back)
}

// underWay reports whether lanyard is moving the workload: pods are on the side to leave,
// or were when this process saw them last, or that side waits to be taken away. A rollout
// of a workload that is where Git wants it is its owner's business, failures included.
//
// Trust for Pod Identity alone does not show that a workload on IRSA ever was there: a
// role may trust both for good.
func (m *mover) underWay() bool {
	return m.j.Wanted == identity.PodIdentity && m.next.Standing.OldWired || m.leaves() || !m.since(m.leaving()).IsZero()
}

// leaves reports whether something is on the side to leave.
func (m *mover) leaves() bool {
	return m.j.Wanted == identity.IRSA && m.j.HasAssociation || slices.ContainsFunc(m.j.Pods, func(p live.Pod) bool { return p.Uses(other(m.j.Wanted)) })
}

// leaving names the condition that the subject leaves a side, or just has.
func (m *mover) leaving() string {
	return "leaves: " + m.m.Subject.String() + " " + other(m.j.Wanted).String()
}

// goOn lets rollouts go on that lanyard paused.
func (m *mover) goOn(to identity.Mechanism) {
	for _, o := range m.ownersTo(to) {
		switch {
		case o.w.PausedBy != "":
			m.resume(o, to)
			return
		case o.w.Rolling && m.next.Standing.OldWired: // after it something is to be taken away
			m.wait("%s is in the middle of a rollout", o)
		}
	}
}

// stragglers recreates pods that came up without credentials during the move: nothing is
// taken away while there are any.
func (m *mover) stragglers() bool {
	any := false
	for _, o := range m.ownersOf() {
		if len(m.uninjected(o)) == 0 {
			continue
		}
		any = true
		if m.carry(o, m.j.Wanted, false); len(m.next.Move.Steps) > 0 {
			break
		}
	}
	return any
}

// moveOver moves pods to a side that is armed: one step for one owner.
func (m *mover) moveOver(to identity.Mechanism, rescue bool) {
	for _, o := range m.ownersTo(to) {
		m.carry(o, to, rescue)
		if len(m.next.Move.Steps) > 0 {
			return
		}
	}
	for _, p := range m.j.Pods {
		if p.Owner.Name == "" && p.Uses(other(to)) {
			m.say(plan.NoRunYet, time.Time{}, "pod %s belongs to nobody who would make it again: it stays on %s until it has ended", p.Name, other(to))
		}
	}
}

// carry takes the next step for one owner.
func (m *mover) carry(o owner, to identity.Mechanism, rescue bool) {
	late := m.late(o, to)
	switch {
	case o.w.PausedBy != "":
		m.resume(o, to)
	case o.w.Rolling && len(m.missed(o)) > 0 && o.rolls():
		m.pause(o)
	case len(o.old) == 0 && len(o.bare) == 0:
		if o.w.Rolling {
			m.wait("%s is in the middle of a rollout", o)
		}
	case !o.restartable():
		if len(o.old) > 0 {
			m.say(plan.NoRunYet, time.Time{}, "%s has pods on %s, and its next run will be on %s", o, other(to), to)
		}
		if bare := m.uninjected(o); len(bare) > 0 {
			m.say(plan.NoRunYet, time.Time{}, "%s: pod %s has no credentials, and is left to end by itself: nothing is taken away before its next run has some", o, bare[0].Name)
		}
	case rescue && len(late) > 0: // they have the variables of a side that nobody answers on
		if m.shows(o, to) {
			m.evict(o, late[0], to, rescue, "it was admitted with "+other(to).String()+"'s variables after that side was taken away")
		}
	case o.w.Rolling && !(rescue && m.stuck(o)):
		m.wait("%s is in the middle of a rollout", o)
	case len(o.old) == 0: // pods without any credentials, no rollout under way
		m.reinject(o, to)
	case !rescue && m.m.Migration.Restart == desired.RestartNatural:
		m.say(plan.Waiting, time.Time{}, "%s has %s on %s; migration.restart is natural, so its own next rollout moves them", o, count(len(o.old), "pod"), other(to))
	case !rescue && !m.unheld():
	case !m.shows(o, to):
	case rescue:
		m.recreate(o, to)
	default:
		m.roll(o, to)
	}
}

// stuck reports whether a rollout does not go on: its owner has paused it, or no pod was
// made for a while. Pods that nobody answers are not left to it.
func (m *mover) stuck(o owner) bool {
	if o.w.Suspended {
		return true
	}
	return !slices.ContainsFunc(o.pods(), func(p live.Pod) bool { return m.now().Sub(p.CreatedAt) < stuckAfter })
}

// stuckAfter is how long a rollout may be without a new pod. It is short: pods on a side
// that is gone lose what they hold within minutes.
const stuckAfter = 2 * time.Minute

// roll moves an owner forward: one pod first, whose successor must be injected and ready;
// then all of them.
func (m *mover) roll(o owner, to identity.Mechanism) {
	if i := slices.IndexFunc(o.old, func(p live.Pod) bool { return !p.Ready && m.outdated(p) }); i >= 0 {
		m.evict(o, o.old[i], to, false, "it is not ready, and may have the role of before")
		return
	}
	if bugs.On("no canary") {
		m.evict(o, youngest(o.old), to, false, "all at once")
		return
	}
	ready := func(p live.Pod) bool { return p.Ready }
	down := slices.IndexFunc(o.pods(), func(p live.Pod) bool { return !p.Ready })
	switch {
	case down >= 0 && slices.ContainsFunc(o.pods(), ready):
		m.wait("%s: pod %s is not ready", o, o.pods()[down].Name)
	case len(o.pods()) < o.w.Replicas:
		m.wait("%s: %d of %d pods are there", o, len(o.pods()), o.w.Replicas)
	case slices.ContainsFunc(o.fresh, ready):
		if o.rolls() && len(o.old) > 1 && !m.restarted(o, to) {
			m.restart(o, to, false, "a pod on "+to.String()+" is ready; now the rest")
			return
		}
		m.evict(o, youngest(o.old), to, false, "the rest of its owner is on "+to.String()+" already")
	case !slices.ContainsFunc(o.old, ready) && slices.ContainsFunc(o.old, func(p live.Pod) bool { return m.now().Sub(p.CreatedAt) < readyWithin }):
		m.wait("%s: none of its pods is ready yet", o)
	case !slices.ContainsFunc(o.old, ready):
		m.say(plan.Waiting, time.Time{}, "%s: none of its pods is ready on %s, so none would show whether %s is as good", o, other(to), to)
	case len(o.old) == 1 && o.rolls() && o.w.Kind == "Deployment" && !m.restarted(o, to):
		m.restart(o, to, false, "its only pod is replaced by a rollout, which waits for the new one")
	default:
		m.evict(o, youngest(slices.DeleteFunc(slices.Clone(o.old), func(p live.Pod) bool { return !p.Ready })), to, false, "one pod first: its successor must be injected and ready")
	}
}

// recreate moves an owner's pods off a side that is gone, as fast as disruption budgets
// let.
func (m *mover) recreate(o owner, to identity.Mechanism) {
	if o.rolls() && !o.w.Rolling && len(o.old) > 1 && len(o.fresh) == 0 && !m.restarted(o, to) {
		m.restart(o, to, true, "its pods are on "+other(to).String()+", which is no longer there")
		return
	}
	m.evict(o, youngest(o.old), to, true, "it is on "+other(to).String()+", which is no longer there")
}

// late are the pods that were given the variables of a side after that side was taken
// away: a webhook that did not know yet. Nobody answers them.
func (m *mover) late(o owner, to identity.Mechanism) []live.Pod {
	since := m.since(m.disarmed())
	if to != identity.IRSA || since.IsZero() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.old), func(p live.Pod) bool { return !p.CreatedAt.After(since) && (p.Ready || p.Trouble == "") })
}

// armedAt is when a side was armed, as far as anything dates it.
func (m *mover) armedAt(to identity.Mechanism) time.Time {
	if to == identity.PodIdentity {
		return latest(m.j.Association.CreatedAt, m.changed())
	}
	if at := m.since(m.disarmed()); !at.IsZero() {
		return at
	}
	return m.now()
}

// restarted reports whether an owner was restarted since a side was armed: what is left
// of its pods then is recreated one by one.
func (m *mover) restarted(o owner, to identity.Mechanism) bool {
	at, err := time.Parse(time.RFC3339, o.w.RestartedAt)
	return err == nil && at.After(m.armedAt(to))
}

// uninjected are the pods that have no credentials, though what they should be given is
// wired: the webhook was down, or it was wired after they were admitted.
func (m *mover) uninjected(o owner) []live.Pod {
	return slices.DeleteFunc(slices.Clone(o.bare), func(p live.Pod) bool { return !m.j.Uninjected(p) })
}

// missed are those of them that were admitted since. The older ones may never have had
// any: to make them again is a step forward, and no rescue.
func (m *mover) missed(o owner) []live.Pod {
	return slices.DeleteFunc(m.uninjected(o), func(p live.Pod) bool { return p.CreatedAt.Before(m.j.WiredSince()) })
}

// halt stops a rollout that makes pods without credentials, whatever else is waited for.
func (m *mover) halt() bool {
	for _, o := range m.ownersOf() {
		if o.w.Rolling && o.w.PausedBy == "" && len(m.missed(o)) > 0 && o.rolls() {
			m.pause(o)
			return true
		}
	}
	return false
}

// pause stops a rollout that makes pods without credentials.
func (m *mover) pause(o owner) {
	why := "pod " + m.missed(o)[0].Name + " was admitted without credentials"
	m.step(plan.Step{Plane: diff.PlanePods, Effect: plan.Widen, Rescue: true, Action: plan.PauseRollout{Workload: o.ref(), UID: o.w.UID, Why: why},
		Guards:  []plan.Guard{plan.WorkloadIs{Subject: m.m.Subject, Workload: o.ref(), UID: o.w.UID, RestartedAt: o.w.RestartedAt}},
		Because: why + ": the rest of the rollout would have none either"})
}

// resume lets a rollout go on that lanyard paused, once new pods are injected again and
// those without credentials are gone.
func (m *mover) resume(o owner, to identity.Mechanism) {
	if !m.shows(o, to) {
		return
	}
	if len(m.missed(o)) > 0 {
		m.reinject(o, to)
		return
	}
	m.step(plan.Step{Plane: diff.PlanePods, Effect: plan.Cross, Rescue: true, Action: plan.ResumeRollout{Workload: o.ref(), UID: o.w.UID},
		Guards:  []plan.Guard{plan.WorkloadIs{Subject: m.m.Subject, Workload: o.ref(), UID: o.w.UID, RestartedAt: o.w.RestartedAt}},
		Because: "new pods are injected again"})
}

// reinject recreates one pod that came up without credentials, once new pods are injected
// again and the last one made is ready.
func (m *mover) reinject(o owner, to identity.Mechanism) {
	bare, rescue := m.missed(o), true
	if len(bare) == 0 {
		bare, rescue = m.uninjected(o), m.exposes()
	}
	switch {
	case len(bare) == 0:
	case !rescue && m.m.Migration.Restart == desired.RestartNatural:
		m.say(plan.Waiting, time.Time{}, "%s has %s without credentials; migration.restart is natural, so its own next rollout gives them some", o, count(len(bare), "pod"))
	case !rescue && !m.unheld():
	case slices.ContainsFunc(o.fresh, func(p live.Pod) bool { return !p.Ready }):
		m.wait("%s: a pod on %s is not ready yet", o, to)
	case m.shows(o, to):
		m.evict(o, bare[0], to, rescue, "it came up without credentials, and new pods are injected again")
	}
}

// armedGuards hold while a side is armed and lets the workload in.
func (m *mover) armedGuards(to identity.Mechanism) []plan.Guard {
	a := m.j.Association
	return []plan.Guard{
		plan.AssociationIs{Subject: m.m.Subject, ID: a.ID, Role: a.Role},
		m.admits(to),
	}
}

func (m *mover) evict(o owner, p live.Pod, to identity.Mechanism, rescue bool, why string) {
	m.step(plan.Step{Plane: diff.PlanePods, Effect: plan.Cross, Rescue: rescue, Action: plan.EvictPod{Pod: p.Name, UID: p.UID},
		Guards:  append(m.armedGuards(to), plan.PodIs{Subject: m.m.Subject, Pod: p.Name, UID: p.UID}),
		Because: o.String() + ": " + why})
}

func (m *mover) restart(o owner, to identity.Mechanism, rescue bool, why string) {
	m.step(plan.Step{Plane: diff.PlanePods, Effect: plan.Cross, Rescue: rescue, Action: plan.RestartWorkload{Workload: o.ref(), UID: o.w.UID, Old: o.w.RestartedAt},
		Guards:  append(m.armedGuards(to), plan.WorkloadIs{Subject: m.m.Subject, Workload: o.ref(), UID: o.w.UID, RestartedAt: o.w.RestartedAt, Idle: true}),
		Because: o.String() + ": " + why})
}

// youngest returns the pod that was made last: the least is lost with it.
func youngest(pods []live.Pod) live.Pod {
	return slices.MaxFunc(pods, func(a, b live.Pod) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Name, b.Name))
	})
}
