package review

import (
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// side is what one revision leads to.
type side struct {
	in       Input
	state    desired.State
	snap     *live.Snapshot
	assessor *migrate.Assessor
	result   diff.Result
	plan     plan.Plan
}

// lookAt judges a revision. In mode migrate auto is resolved as the daemon does; in the
// others, in which nothing is moved, it stays on what it is, as in `lanyard diff`.
func lookAt(in Input, state desired.State) *side {
	o := in.Outline.Migrate
	o.Mappings = state.Mappings
	s := &side{in: in, state: state, snap: in.Snapshot, assessor: migrate.NewAssessor(in.Snapshot, o)}
	judged := state
	if in.Mode == desired.ModeMigrate {
		judged.Mappings = make([]desired.Mapping, len(state.Mappings))
		for i, m := range state.Mappings {
			judged.Mappings[i] = s.assessor.Resolve(m)
		}
	}
	s.result = diff.Compare(judged, in.Snapshot, in.Policy.Diff)
	s.plan, _ = plan.Repair(plan.Input{Revision: state.Revision, Result: s.result, Snapshot: in.Snapshot, Policy: in.Policy})
	return s
}

// judged returns a mapping's judgement; nil if the revision does not name it.
func (s *side) judged(subject identity.Subject) *diff.Judged {
	i, found := slices.BinarySearchFunc(s.result.Judged, subject, func(j diff.Judged, t identity.Subject) int { return j.Mapping.Subject.Compare(t) })
	if !found {
		return nil
	}
	return &s.result.Judged[i]
}

// key tells findings of two revisions apart by what they say of the world, and not by
// where the revisions say it: a file that was moved, or a line that slid, is no news.
func (s *side) key(f diff.Finding) string {
	parts := []string{f.Subject.Namespace, f.Subject.ServiceAccount, string(f.Kind), string(f.Severity), f.Expected, f.Actual}
	if j := s.judged(f.Subject); j != nil && f.Plane == diff.PlaneTrust {
		parts = append(parts, j.Mapping.Role.String())
	}
	return strings.Join(parts, "\x00")
}

// subtract puts every finding of the head into caused or before, and every finding of
// the base that the head has not into heals.
func subtract(base, head *side) (caused, before, heals []Finding) {
	caused, before, heals = []Finding{}, []Finding{}, []Finding{}
	there := map[string]int{}
	for _, f := range base.result.Findings {
		there[base.key(f)]++
	}
	for _, f := range head.result.Findings {
		if k := head.key(f); there[k] > 0 {
			there[k]--
			before = append(before, public(f))
		} else {
			caused = append(caused, public(f))
		}
	}
	// Of several with one key the first are those that stayed, so the last are gone.
	for _, f := range slices.Backward(base.result.Findings) {
		if k := base.key(f); there[k] > 0 {
			there[k]--
			heals = append(heals, public(f))
		}
	}
	slices.Reverse(heals)
	return caused, before, heals
}

func public(f diff.Finding) Finding { return Finding{Finding: report.NewFinding(f), at: f.Position} }
