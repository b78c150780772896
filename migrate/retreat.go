package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

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
