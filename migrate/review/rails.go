package review

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// The guard rails besides those that forbid a mapping, which go by their own names.
const (
	railPrune    = "prune"
	railMass     = "mass-removal"
	railRemovals = "budgets.removalsPerHour"
	railChanges  = "budgets.changesPerRound"
	railPause    = "migration.pause"
	railMode     = "mode"
)

// rails are the operator's guard rails that the pull request meets and the base did not.
func (v *reviewer) rails(caused []Finding, workloads []Workload) []Rail {
	out, there := []Rail{}, map[[2]string]int{}
	add := func(rule, message string, mappings ...string) {
		if i, is := there[[2]string{rule, message}]; is {
			out[i].Mappings = append(out[i].Mappings, mappings...)
			return
		}
		there[[2]string{rule, message}] = len(out)
		out = append(out, Rail{Rule: rule, Message: message, Mappings: append([]string{}, mappings...)})
	}
	for _, f := range caused {
		if f.Kind == diff.MappingForbidden {
			add(ruleOf(f.Message), f.Message, f.who())
		}
	}
	had := map[plan.Reason]bool{}
	for _, holds := range v.base.holds {
		for _, h := range holds {
			had[h.Reason] = true
		}
	}
	for _, h := range slices.Concat(slices.Collect(maps.Values(v.head.holds))...) {
		switch {
		case had[h.Reason]:
		case h.Reason == plan.MassRemoval:
			add(railMass, h.Message, h.Subject.String())
		case h.Reason == plan.PruneOff:
			add(railPrune, h.Message, h.Subject.String())
		}
	}
	v.budgets(workloads, add)
	slices.SortFunc(out, func(a, b Rail) int { return strings.Compare(a.Rule+a.Message, b.Rule+b.Message) })
	for i := range out {
		slices.Sort(out[i].Mappings)
		out[i].Mappings = slices.Compact(out[i].Mappings)
	}
	return out
}

// budgets tells what takes longer than one round, or is not done at all.
func (v *reviewer) budgets(workloads []Workload, add func(rule, message string, mappings ...string)) {
	var writes, removals, moves []string
	for _, w := range workloads {
		for _, s := range w.Steps {
			if s.Old || s.By == ByOwner || s.Plane == diff.PlanePods {
				continue
			}
			writes = append(writes, w.Name())
			if s.Phase.String() == "narrowing" {
				removals = append(removals, w.Name())
			}
			if s.By == ByMigrate {
				moves = append(moves, w.Name())
			}
		}
	}
	p := v.in.Policy
	if most := p.ChangesPerRound; most > 0 && len(writes) > most {
		add(railChanges, fmt.Sprintf("%d writes at %d a round take at least %d rounds", len(writes), most, (len(writes)+most-1)/most), writes...)
	}
	if most := p.RemovalsPerHour; most > 0 && len(removals) > most {
		add(railRemovals, fmt.Sprintf("%d removals at %d an hour take at least %d hours", len(removals), most, (len(removals)-1)/most), removals...)
	}
	switch {
	case len(writes) > 0 && v.in.Mode == desired.ModeObserve:
		add(railMode, "in mode observe nothing is written", writes...)
	case len(moves) > 0 && v.in.Mode == desired.ModeRepair:
		add(railMode, "in mode repair nothing is moved from one mechanism to the other: mode migrate would", moves...)
	case len(moves) > 0 && v.in.Outline.Pace.Pause:
		add(railPause, "the operator pauses all migrations", moves...)
	}
}
