package review

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	ldiff "github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// trace follows a subject from where it stands to where the revision wants it. Auto is
// resolved as mode migrate does, whatever the mode: what would move then is told.
func (s *side) trace(subject identity.Subject) (w outline.Workload, j *ldiff.Judged) {
	declared, named := s.state.Mapping(subject)
	if !named {
		return outline.Workload{}, nil
	}
	j = s.judged(subject)
	if m := s.assessor.Resolve(declared); m.Mechanism != j.Mapping.Mechanism && m.Mechanism != j.Wanted {
		one := s.state
		one.Mappings = []desired.Mapping{m}
		j = &ldiff.Compare(one, s.snap, s.in.Policy.Diff).Judged[0]
	}
	return outline.Trace(s.assessor, s.snap.Cluster().Name, j, declared, s.in.Outline), j
}

// way is every step that a revision leads to for a subject, the next one first: those of
// its mapping, then those that take away what lanyard made and Git asks for no more.
func (s *side) way(subject identity.Subject, w outline.Workload, j *ldiff.Judged) []Step {
	steps := []Step{}
	if j != nil && j.Class != ldiff.Held { // of what is held nothing is written
		for _, l := range w.Steps {
			step := Step{Leg: l, By: ByRepair, role: j.Mapping.Role}
			switch {
			case l.Others:
				step.By = ByOwner
			case j.Class == ldiff.Transition, l.Plane == ldiff.PlanePods, l.Phase == migrate.PhaseNarrowing:
				step.By = ByMigrate
			}
			steps = append(steps, step)
		}
		steps = append(steps, s.repairs(j, steps)...)
	}
	for _, o := range s.orphans[subject] {
		steps = append(steps, s.removal(o, j)...)
	}
	for i := range steps {
		steps[i].Namespace, steps[i].ServiceAccount = subject.Namespace, subject.ServiceAccount
		steps[i].allows()
	}
	return steps
}

// removal is how an orphan goes; nothing where it stays.
func (s *side) removal(o ldiff.Orphan, j *ldiff.Judged) []Step {
	if o.Gone && s.in.Policy.Prune != desired.PruneOwned || j != nil && (j.Class == ldiff.Held || j.Class == ldiff.Blind) {
		return nil
	}
	step := Step{By: ByRepair, role: o.Role, Leg: migrate.Leg{Phase: migrate.PhaseNarrowing, Owner: "", Restarts: []string{}, Calls: 3, Waits: s.waits(o)}}
	switch {
	case o.Association != nil:
		step.Plane, step.Object, step.Before = ldiff.PlaneAssociation, "Pod Identity association "+o.Association.ID, migrate.AssociationJSON(*o.Association)
		step.Do, step.Undo = "delete the association: new pods get no credentials from it", "create it again"
	case o.Sid != "":
		doc, presence, err := s.snap.Trust(o.Role)
		if presence != live.Present || err != nil {
			return nil
		}
		edit, err := doc.RemoveSid(o.Sid)
		if err != nil {
			return nil
		}
		step.Plane, step.Object, step.Before, step.After = ldiff.PlaneTrust, "trust policy of role "+o.Role.String(), doc.Text(), edit.Document.Text()
		step.Do, step.Undo = "take lanyard's statement "+o.Sid+" out", "put the statement back"
	default:
		step.Plane, step.Object, step.Before = ldiff.PlaneServiceAccount, "ServiceAccount "+o.Subject.String(), ldiff.AnnotationRole+": "+o.Annotation
		step.Do, step.Undo = "take the annotation off: new pods get no role by it", "annotate it again"
	}
	return []Step{step}
}

// waits says for what the removal of an orphan waits: what holds it now, or what comes
// before it in any case.
func (s *side) waits(o ldiff.Orphan) string {
	for _, h := range s.holds[o.Subject] {
		if slices.Contains([]plan.Reason{plan.InUse, plan.MassRemoval, plan.Blind, plan.Settling}, h.Reason) {
			return h.Message
		}
	}
	switch {
	case o.Sid == "":
		return "until no live pod and no workload uses it"
	case o.Gone:
		return "until nothing wires the ServiceAccount, and no credentials of before can be alive"
	}
	return "until nothing live asks for it"
}

// allows tells of a trust policy whom it lets in then and did not, and the other way
// round; and shows the edit line by line.
func (s *Step) allows() {
	s.Gains, s.Loses = []string{}, []string{}
	if s.Plane != ldiff.PlaneTrust {
		return
	}
	before, err := trust.Parse(s.Before)
	after, failed := trust.Parse(s.After)
	if err != nil || failed != nil {
		return // the statement alone, for whoever makes the role
	}
	d := trust.Compare(before, after)
	s.gains, s.loses = d.OnlyB, d.OnlyA
	for _, a := range d.OnlyB {
		s.Gains = append(s.Gains, a.String())
	}
	for _, a := range d.OnlyA {
		s.Loses = append(s.Loses, a.String())
	}
	s.now, s.then = before.Size(), after.Size()
	s.Diff = hunks(indented(s.Before), indented(s.After))
}

func indented(text string) []byte {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return []byte(text)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// hunks is a unified diff without the lines that name files.
func hunks(before, after []byte) string {
	text := string(diff.Diff("before", before, "after", after))
	if at := strings.Index(text, "\n@@ "); at >= 0 {
		return text[at+1:]
	}
	return ""
}

// key tells steps apart by what they write.
func (s Step) key() string {
	return strings.Join([]string{s.Namespace, s.ServiceAccount, string(s.Plane), s.Do, s.Object, s.Before, s.After, string(s.By)}, "\x00")
}

// fresh marks the steps of the head that the base leads to as well, and returns those of
// the base that the head does not lead to; and whether the two differ at all, be it in
// what steps wait for.
func fresh(base, head []Step) (noLonger []Step, differ bool) {
	noLonger = []Step{}
	there := map[string][]string{}
	for _, s := range base {
		there[s.key()] = append(there[s.key()], s.waits())
	}
	for i := range head {
		was := there[head[i].key()]
		if head[i].Old = len(was) > 0; !head[i].Old {
			differ = true
			continue
		}
		differ = differ || was[0] != head[i].waits()
		there[head[i].key()] = was[1:]
	}
	for _, s := range slices.Backward(base) {
		if k := s.key(); len(there[k]) > 0 {
			there[k] = there[k][1:]
			noLonger = append(noLonger, s)
		}
	}
	slices.Reverse(noLonger)
	return noLonger, differ || len(noLonger) > 0
}

func (s Step) waits() string { return fmt.Sprint(s.Waits, s.Restarts) }
