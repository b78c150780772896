package review

import (
	"slices"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// repairs are the writes of a repair about one mapping. The itinerary of package migrate
// leaves out what is mended without a move, such as an annotation that tunes IRSA; and
// only on planes on which it has nothing are these told.
func (s *side) repairs(j *diff.Judged, told []Step) (steps []Step) {
	if j.Class != diff.Drift && j.Class != diff.Rest {
		return nil
	}
	for _, one := range s.writes[j.Mapping.Subject] {
		if !slices.ContainsFunc(told, func(t Step) bool { return t.Plane == one.Plane }) {
			if step, ok := s.written(one); ok {
				steps = append(steps, step)
			}
		}
	}
	return steps
}

// written is a step of a repair as a person is to read it.
func (s *side) written(one plan.Step) (Step, bool) {
	step := Step{By: ByRepair, Leg: migrate.Leg{Phase: migrate.PhasePending, Plane: one.Plane, Do: one.Because, Restarts: []string{}, Calls: 3}}
	account := "ServiceAccount " + one.Subject.String()
	switch a := one.Action.(type) {
	case plan.SetAnnotation:
		step.Do, step.Object, step.After, step.Undo = "annotate the ServiceAccount", account, a.Key+": "+a.Value, "take the annotation off"
		if a.Old != "" {
			step.Before, step.Undo = a.Key+": "+a.Old, "annotate it with "+a.Old+" again"
		}
	case plan.DropAnnotation:
		step.Do, step.Object, step.Before, step.Undo = "take the annotation off", account, a.Key+": "+a.Old, "annotate it again"
	case plan.PutTrustStatement:
		doc, presence, err := s.snap.Trust(a.Role)
		if presence != live.Present || err != nil {
			return step, false
		}
		edit, err := doc.Add(a.Grant, a.Quota)
		if err != nil {
			return step, false
		}
		step.role, step.Object, step.Before, step.After = a.Role, "trust policy of role "+a.Role.String(), doc.Text(), edit.Document.Text()
		step.Do, step.Undo = "write lanyard's own statement "+a.Grant.Sid(), "put the policy back as it was"
		if one.Effect == plan.Narrow {
			step.Phase = migrate.PhaseNarrowing
		}
	case plan.CreateAssociation:
		step.Do, step.Object, step.Undo = "create the association", "Pod Identity association of "+one.Subject.String(), "delete the association"
		step.After = migrate.AssociationJSON(live.Association{Namespace: one.Subject.Namespace, ServiceAccount: one.Subject.ServiceAccount, Role: a.Role,
			TargetRole: a.TargetRole, SessionTagsOff: a.SessionTagsOff, SessionPolicy: a.SessionPolicy, Tags: a.Tags})
	case plan.UpdateAssociation:
		was, _ := s.snap.Association(one.Subject)
		is := was
		if !a.Role.IsZero() {
			is.Role = a.Role
		}
		if !a.TargetRole.IsZero() {
			is.TargetRole = a.TargetRole
		}
		if a.SessionTagsOff != nil {
			is.SessionTagsOff = *a.SessionTagsOff
		}
		if a.SessionPolicy != "" {
			is.SessionPolicy = a.SessionPolicy
		}
		step.Do, step.Object, step.Undo = "update the association in place", "Pod Identity association "+a.ID, "update it to what it was"
		step.Before, step.After = migrate.AssociationJSON(was), migrate.AssociationJSON(is)
	case plan.DropTrustStatement, plan.DeleteAssociation, plan.RevokeTrust, plan.EvictPod, plan.RestartWorkload, plan.PauseRollout, plan.ResumeRollout:
		return step, false // what is removed goes as an orphan, and what is moved as a leg
	}
	return step, true
}

// leaves are the reasons for which a repair leaves something to others, or cannot do it.
var leaves = []plan.Reason{plan.OwnerMustAct, plan.NotHitless, plan.TrustFull, plan.Undecidable, plan.RestartNeeded, plan.RolledBack, plan.Terminating, plan.WriteConflict}

// left is what a repair leaves to others about a subject, or cannot do.
func (s *side) left(subject identity.Subject) (holds []plan.Hold) {
	for _, h := range s.holds[subject] {
		if slices.Contains(leaves, h.Reason) {
			holds = append(holds, h)
		}
	}
	return holds
}
