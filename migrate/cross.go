package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
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

// How long a new pod may take to become ready, and how often it may crash, before its
// move counts as failed. A Deployment gives its own pods as long.
// Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds
const (
	readyWithin = 10 * time.Minute
	crashes     = 3
)

// failing says what is wrong with a pod that its credentials may be the cause of; empty
// if nothing is, or something that no mechanism cures.
func failing(p live.Pod, now time.Time) string {
	switch {
	case p.Ready, p.Phase == "Succeeded", p.Terminating:
		return ""
	case p.Trouble == live.TroubleCrash && p.Restarts >= crashes:
		return "crash-loops"
	case p.Trouble != "" && p.Trouble != live.TroubleCrash:
		return "" // it has not even started
	case now.Sub(p.CreatedAt) > readyWithin:
		return "has not become ready for " + readyWithin.String()
	}
	return ""
}

// fails reports whether the move has failed, and takes it back: first the mark, so that
// whoever leads next knows (design.md section 6). What the other side would not cure is
// no reason.
func (m *mover) fails() bool {
	if !m.underWay() {
		return false
	}
	for _, o := range m.ownersOf() {
		for _, p := range o.fresh {
			why := failing(p, m.now())
			if why == "" || p.CreatedAt.Before(m.armedAt(m.j.Wanted)) {
				continue
			}
			// On the way back the old ones are not ready because their side is gone.
			if i := slices.IndexFunc(o.old, func(q live.Pod) bool { return !q.Ready && q.Uses(identity.IRSA) }); i >= 0 && m.j.Wanted == identity.PodIdentity {
				m.wait("pod %s on %s %s, but pod %s on %s is not ready either: going back would cure nothing", p.Name, m.j.Wanted, why, o.old[i].Name, other(m.j.Wanted))
				return true
			}
			if !m.canGoBack() {
				m.say(plan.Waiting, time.Time{}, "pod %s on %s %s, and %s is no longer there to go back to: look at the pod", p.Name, m.j.Wanted, why, other(m.j.Wanted))
				return true
			}
			if bugs.On("mark after delete") {
				m.arm(other(m.j.Wanted), true)
				return true
			}
			m.mark(fmt.Sprintf("pod %s %s on %s", p.Name, why, m.j.Wanted))
			return true
		}
	}
	return false
}

// canGoBack reports whether the other side still stands, or can be set up again without a
// pod going without.
func (m *mover) canGoBack() bool {
	if m.j.Wanted == identity.IRSA {
		return m.allows(identity.PodIdentity)
	}
	return m.j.ServiceAccount.Annotations[diff.AnnotationRole] == m.roleBy(identity.IRSA).String() && m.exchanges() == "" && m.allows(identity.IRSA)
}

// mayReturn reports whether the way back to IRSA is Git's role, and its trust lanyard's to
// keep: until all pods have moved, a move that fails must find it.
func (m *mover) mayReturn() bool {
	return m.j.ServiceAccount.Annotations[diff.AnnotationRole] != "" && m.roleBy(identity.IRSA) == m.m.Role && m.exchanges() == "" &&
		m.mayEdit(m.j.Grant(m.snap.Cluster(), identity.IRSA))
}

// roleBy returns the role that pods are given by a side. The annotation keeps the one of
// before until narrowing where Git changed role and mechanism together, so that is what a
// way back to IRSA leads to (design.md section 6, role changed in flight): if the
// operator's guard rails let the mapping have it, since others may edit the annotation.
func (m *mover) roleBy(side identity.Mechanism) identity.RoleARN {
	if side != identity.IRSA || m.j.Wanted != identity.PodIdentity && !m.next.Standing.RolledBack {
		return m.m.Role
	}
	role, err := identity.ParseRoleARN(m.j.ServiceAccount.Annotations[diff.AnnotationRole])
	if err != nil {
		return m.m.Role
	}
	as := m.m
	as.Role = role
	if m.c.Diff.Forbid != nil && role != m.m.Role {
		if _, forbidden := m.c.Diff.Forbid(as); forbidden {
			return m.m.Role
		}
	}
	return role
}

// audience is what the webhook asks for in the tokens of pods that are admitted now.
func (m *mover) audience() string {
	return cmp.Or(m.j.ServiceAccount.Annotations[diff.AnnotationAudience], diff.DefaultAudience)
}

// exchanges says what lacks at the OIDC provider, so that no token of a pod on IRSA would be
// exchanged; empty if nothing does.
func (m *mover) exchanges() string {
	role := m.roleBy(identity.IRSA)
	arn := m.snap.Cluster().Issuer.ProviderARN(role.Partition, role.Account)
	switch p, presence := m.snap.Provider(arn); {
	case presence != live.Present:
		return "OIDC provider " + arn + " is not seen"
	case !slices.Contains(p.ClientIDs, m.audience()):
		return "OIDC provider " + arn + " does not take audience " + m.audience()
	}
	return ""
}

// requests are the calls that pods make on a side, with the audience of now besides those
// that Git asks for.
func (m *mover) requests(side identity.Mechanism) []trust.Request {
	all := m.by(side).Requests(m.snap.Cluster(), side, m.c.Diff)
	if side == identity.IRSA && !slices.ContainsFunc(all, func(r trust.Request) bool { return r.Audience == m.audience() }) {
		now := all[0]
		now.Audience = m.audience()
		all = append(all, now)
	}
	return all
}

// by returns the mapping as it is judged for the role that a side gives.
func (m *mover) by(side identity.Mechanism) *diff.Judged {
	role := m.roleBy(side)
	if role == m.m.Role {
		return m.j
	}
	j := *m.j
	j.Mapping.Role = role
	j.Document, _, _ = m.snap.Trust(role) // nil where it was not read, or cannot be: that lets nobody in
	return &j
}

// allows reports whether the trust of the role that a side gives lets it in.
func (m *mover) allows(side identity.Mechanism) bool {
	doc := m.by(side).Document
	return doc != nil && !slices.ContainsFunc(m.requests(side), func(r trust.Request) bool { return doc.Evaluate(r).Decision != trust.Allow })
}

// admits is the guard for that.
func (m *mover) admits(side identity.Mechanism) plan.TrustAllows {
	return plan.TrustAllows{Role: m.roleBy(side), Requests: m.requests(side)}
}

// mark writes that the move has failed: nothing forward is tried until a person, or a
// changed mapping, says so.
func (m *mover) mark(why string) {
	account := m.j.ServiceAccount
	old, there := account.Annotations[RolledBackMark]
	at := []time.Time{m.now()}
	if before, err := ParseMark(old); err == nil {
		at = append(at, before.At[0])
	}
	value := Mark{Digest: Digest(m.declared), At: at, Reason: why}.String()
	m.step(plan.Step{Plane: diff.PlaneServiceAccount, Effect: plan.Widen, Rescue: true,
		Action:  plan.SetAnnotation{UID: account.UID, Key: RolledBackMark, Value: value, Old: old, Force: there},
		Guards:  []plan.Guard{plan.AnnotationIs{Subject: m.m.Subject, UID: account.UID, Key: RolledBackMark, Value: old}},
		Because: "the move has failed, so it is taken back: " + why})
}

// refuge returns the side that a rollback goes to. Auto never crosses back, so a move of
// it that failed was one to Pod Identity, whatever it means now. Another mapping's mark
// does not say; with it nothing is moved to Pod Identity.
func (m *mover) refuge() identity.Mechanism {
	if m.declared.Mechanism == identity.Auto || !m.ownMark() {
		return identity.IRSA
	}
	return other(m.j.Wanted)
}

// ownMark reports whether the mark is this mapping's. Another one holds, but does not
// say which side was fled: whoever may annotate the ServiceAccount may have written it,
// or Git asks for something else since.
func (m *mover) ownMark() bool {
	mark, err := ParseMark(m.j.ServiceAccount.Annotations[RolledBackMark])
	return err == nil && mark.Digest == Digest(m.declared)
}

// retreating reports whether a rollback is not at rest yet.
func (m *mover) retreating() bool {
	to := m.refuge()
	return m.ownMark() && (m.next.Standing.Armed != to || slices.ContainsFunc(m.j.Pods, func(p live.Pod) bool { return p.Uses(other(to)) }))
}

// rollback takes a failed move back, and then rests. Both trusts stay.
func (m *mover) rollback() {
	to := m.refuge()
	m.next.Move.Alone = true
	for _, side := range []identity.Mechanism{to, other(to)} {
		if side == to && (m.ownMark() || m.j.Wanted == to) || side == m.next.Standing.Armed || slices.ContainsFunc(m.j.Pods, func(p live.Pod) bool { return p.Uses(side) }) {
			if m.roleBy(side) == m.m.Role { // another role is not Git's any more, so its trust is not edited
				m.next.Move.Let = append(m.next.Move.Let, side)
			}
		}
	}
	if m.next.Standing.Armed == to { // whosever the mark: pods on the other side are exposed
		if !bugs.On("leave the exposed") {
			m.moveOver(to, true)
		}
		return
	}
	if !m.ownMark() && (m.j.Wanted != to || !m.hitless()) {
		return // nothing says that the association is to go but Git, and it does not
	}
	if m.j.HasAssociation && !diff.MayTakeAssociation(m.m, m.j.Association, m.snap.Cluster()) {
		m.say(plan.OwnerMustAct, time.Time{}, "association %s is not lanyard's: whoever made it deletes it", m.j.Association.ID)
		return
	}
	if to == identity.PodIdentity && !m.served() || !m.standsFor(to) || !m.answered() {
		return
	}
	m.arm(to, true)
}

// served reports whether pods would be answered on Pod Identity: the mark of a rollback
// is no proof that they ever were.
func (m *mover) served() bool {
	a := m.Assess(m.m)
	no := a.Verdict == KeepIRSA || a.Verdict == Unclear
	for _, r := range a.Reasons {
		no = no || slices.Contains([]Code{AgentAbsent, AgentNotReady, WebhookAbsent, VolumeConflict, MixedCompute}, r.Code)
	}
	if no {
		m.say(plan.NotEligible, time.Time{}, "the way back is Pod Identity, which does not surely serve the workload now (%s): `lanyard plan %s` shows why", a.Verdict, m.m.Subject)
	}
	return !no
}

// standsFor reports whether a side has stood ready for settle, whatever Git asks for.
func (m *mover) standsFor(side identity.Mechanism) bool {
	role := m.roleBy(side)
	if lacks := m.exchanges(); side == identity.IRSA && lacks != "" {
		m.say(plan.OwnerMustAct, time.Time{}, "the way back is IRSA, and %s: pods would get nothing there", lacks)
		return false
	}
	if !m.allows(side) {
		if role != m.m.Role { // else it is being restored, or the plan says why not
			m.say(plan.OwnerMustAct, time.Time{}, "the way back is role %s, whose trust policy does not surely let %s in; Git does not name that role any more, so lanyard does not edit it", role, side)
		}
		return false
	}
	condition := fmt.Sprintf("stands: %s %s %s", m.m.Subject, side, role)
	if have := m.j.ServiceAccount.Annotations[diff.AnnotationRole]; side == identity.IRSA && have != role.String() {
		m.say(plan.OwnerMustAct, time.Time{}, "the annotation is %q: IRSA cannot serve the workload until it names %s", have, role)
		return false
	}
	m.saw(condition)
	if until, ok := m.settled(condition, m.c.Settle); !ok {
		m.say(plan.Settling, until, "%s must have been seen ready for %s; then it is armed again", side, m.c.Settle)
		return false
	}
	return true
}
