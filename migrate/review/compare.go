package review

import (
	"math"
	"slices"
	"strings"
	"time"

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

	// Of the subjects that are looked at closely: see [side.focus].
	holds   map[identity.Subject][]plan.Hold
	writes  map[identity.Subject][]plan.Step
	orphans map[identity.Subject][]diff.Orphan
}

// lookAt judges a revision. In mode migrate auto is resolved as the daemon does; in the
// others, in which nothing is moved, it stays on what it is, as in `lanyard diff`.
func lookAt(in Input, state desired.State) *side {
	o := in.Outline.Migrate
	o.Mappings, o.Brief = state.Mappings, true // the sizes that a trust policy would have in every width are not told here
	s := &side{in: in, state: state, snap: in.Snapshot, assessor: migrate.NewAssessor(in.Snapshot, o)}
	judged := state
	if in.Mode == desired.ModeMigrate {
		judged.Mappings = make([]desired.Mapping, len(state.Mappings))
		for i, m := range state.Mappings {
			judged.Mappings[i] = s.assessor.Resolve(m)
		}
	}
	s.result = diff.Compare(judged, in.Snapshot, in.Policy.Diff)
	return s
}

// focus plans the repairs of some subjects: what the next round would hold, and what all
// rounds would come to, with every wait over and no budget. A plan of the whole fleet
// would say the same of them, only later.
func (s *side) focus(some map[identity.Subject]bool) {
	s.holds, s.writes, s.orphans = map[identity.Subject][]plan.Hold{}, map[identity.Subject][]plan.Step{}, map[identity.Subject][]diff.Orphan{}
	in := plan.Input{Revision: s.state.Revision, Snapshot: s.snap, Policy: s.in.Policy, Result: s.result}
	in.Result.Judged = slices.DeleteFunc(slices.Clone(s.result.Judged), func(j diff.Judged) bool { return !some[j.Mapping.Subject] })
	next, seen := plan.Repair(in)
	for _, h := range next.Holds {
		s.holds[h.Subject] = append(s.holds[h.Subject], h)
	}
	for _, o := range s.result.Orphans {
		s.orphans[o.Subject] = append(s.orphans[o.Subject], o)
	}
	in.Policy.ChangesPerRound, in.Policy.RemovalsPerHour, in.Result.Orphans = math.MaxInt, math.MaxInt, nil
	in.Memory.Seen = map[string]time.Time{}
	for condition, at := range seen.Seen {
		in.Memory.Seen[condition] = at.Add(-longAgo)
	}
	all, _ := plan.Repair(in)
	for _, step := range all.Steps {
		s.writes[step.Subject] = append(s.writes[step.Subject], step)
	}
}

// longAgo is longer than anything is waited for.
const longAgo = 365 * 24 * time.Hour

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
