package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Move is what package migrate wants of one subject that is on its way from one
// mechanism to the other. The planner of repairs takes it in, so that no subject is
// planned for twice in a round, and so that every step passes the same guard rails,
// budgets and conflicts.
type Move struct {
	Subject identity.Subject
	// Prepare makes the wanted side ready while the other one is armed: its trust; and
	// towards IRSA, once that has settled, the annotations.
	Prepare bool
	// Let names the sides that the role's trust must let in besides those that pods live on.
	Let []identity.Mechanism
	// Alone leaves the mapping's drift as it is: what Git asks for is not what is
	// wanted now.
	Alone bool
	// Steps are taken once everything that they rest on stands: not in a round that
	// writes anything else for the subject.
	Steps []Step
	Holds []Hold
	// Seen are conditions that hold now: the memory dates them, and forgets the others.
	Seen []string
	// Phase is a word of package migrate's, and Since when this process first saw the
	// subject in it. They are for reports: nothing is decided by them.
	Phase string
	Since time.Time
}

// move plans for a subject that package migrate moves.
func (b *builder) move(j *diff.Judged, m Move) {
	for _, condition := range m.Seen {
		b.since(condition)
	}
	mends := !m.Alone && j.Class != diff.Transition
	if mends {
		b.mendDrift(j)
	}
	sides := m.Let
	for _, side := range j.LivesOn() {
		if !slices.Contains(sides, side) && !bugs.On("forget the old side") {
			sides = append(slices.Clip(sides), side)
		}
	}
	if mends || m.Prepare { // the wanted one is seen to apart
		sides = slices.DeleteFunc(slices.Clone(sides), func(side identity.Mechanism) bool { return side == j.Wanted })
	}
	ready := b.keep(j, sides)
	if m.Prepare {
		b.prepare(j)
	}
	b.plan.Holds = append(b.plan.Holds, m.Holds...)
	for _, s := range m.Steps {
		if b.busy(j.Mapping.Subject) {
			return // what the step rests on is being written: after a fresh look
		}
		if ready || s.Rescue {
			b.moveStep(j, s)
		}
	}
}

// abandoned names rollouts that bear the mark of lanyard's pause and whose mapping has left
// Git: nobody else knows that they wait. Git does not name them, and anybody may write
// such a mark, so that a person lets them go on.
func (b *builder) abandoned() {
	if b.in.Moves == nil {
		return // not in mode migrate
	}
	told := 0
	for _, w := range b.in.Snapshot.Facts().Workloads {
		s := identity.Subject{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount}
		if w.PausedBy == "" || slices.ContainsFunc(b.in.Result.Judged, func(j diff.Judged) bool { return j.Mapping.Subject == s }) {
			continue
		}
		if told++; told > mostAbandoned {
			return
		}
		b.hold(Hold{Subject: s, Plane: diff.PlanePods, Reason: OwnerMustAct,
			Message: fmt.Sprintf("%s %s bears the mark of a rollout that lanyard paused, and Git has no mapping for it: let it go on as docs/migration.md says for pause-rollout", w.Kind, w.Name)})
	}
}

// mostAbandoned is how many of them one plan names.
const mostAbandoned = 20

// prepare makes the wanted side ready, as [builder.repairDrift] would if it were armed.
func (b *builder) prepare(j *diff.Judged) {
	ready := b.repairTrust(j, j.Wanted)
	if j.Wanted == identity.IRSA {
		ready = b.provider(j) && ready
		b.annotations(j, ready)
		return
	}
	b.target(j)
}

// moveStep plans one step of a move. One that takes trust away is held against
// everybody who lives on the role.
func (b *builder) moveStep(j *diff.Judged, s Step) {
	role, edits := editedRole(s.Action)
	if !edits {
		b.try(s)
		return
	}
	hold := func(r Reason, format string, args ...any) {
		b.hold(Hold{Subject: s.Subject, Plane: s.Plane, Reason: r, Message: fmt.Sprintf(format, args...)})
	}
	doc := b.document(role)
	if doc == nil {
		hold(Undecidable, "the trust policy of role %s cannot be read as one, so it is not edited", role.Name)
		return
	}
	edit, err := takeOut(doc, s.Action)
	switch {
	case err != nil:
		hold(OwnerMustAct, "the trust policy of role %s is not narrowed: %v", role.Name, err)
		return
	case !edit.Changed:
		return // another step of this round takes it out already
	}
	if user := b.loses(role, doc, edit.Document); user != "" {
		hold(InUse, "the trust policy of role %s is not narrowed: %s lives on what it would lose", role.Name, user)
		return
	}
	s.Guards = append([]Guard{TrustIs{Role: role, Digest: doc.Digest()}}, s.Guards...)
	b.edit(edit, s)
}

// takeOut edits a trust policy as an action that takes something away does.
func takeOut(doc *trust.Document, a Action) (trust.Edit, error) {
	if drop, is := a.(DropTrustStatement); is {
		return doc.RemoveSid(drop.Sid)
	}
	if revoke, is := a.(RevokeTrust); is {
		return doc.Remove(revoke.Request)
	}
	panic("plan: a move with a step that is not its own: " + a.Kind())
}
