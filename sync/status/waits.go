package status

import (
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

func (v *view) waiting(r record, d *report.Diff, phases map[string]string) {
	var list []plan.Hold
	for _, h := range d.Left {
		texts := []string{h.Message}
		if h.Handoff != nil {
			texts = append(texts, h.Handoff.Owner, h.Handoff.What, h.Handoff.Command)
		}
		if v.Filter.passes(line{h.Subject.Namespace, h.Subject.ServiceAccount, string(h.Plane), phases[h.Subject.String()], []string{string(h.Reason)}, texts}) {
			list = append(list, h)
		}
	}
	slices.SortStableFunc(list, func(a, b plan.Hold) int { // what a person must do comes first
		_, x := whom(a.Reason)
		_, y := whom(b.Reason)
		switch {
		case x == y:
			return a.NotBefore.Compare(b.NotBefore)
		case x:
			return -1
		}
		return 1
	})
	groups := alike(list)
	shown, p := cutOut(v.Filter, "waiting", "what waits", groups, len(d.Left), mostWaiting)
	p.Total, p.Of = len(list), len(groups)
	v.Waiting.Part = p
	for _, g := range shown {
		h := g[0]
		about := h.Subject
		w := wait{ID: id("waiting", about.Namespace, about.ServiceAccount, string(h.Plane), string(h.Reason), h.Message), Plane: string(h.Plane), Reason: string(h.Reason),
			Message: cell(h.Message), For: left(r.Now, h.NotBefore)}
		w.Whom, w.Person = whom(h.Reason)
		for _, one := range g[:min(len(g), mostNamed)] {
			w.Names = append(w.Names, named{id("waits", w.ID, one.Subject.String()), cell(name(one.Subject.Namespace, one.Subject.ServiceAccount)), v.Filter.Only(one.Subject.Namespace, one.Subject.ServiceAccount)})
		}
		w.More = len(g) - len(w.Names)
		if o := h.Handoff; o != nil {
			w.Handoff = &plan.Handoff{What: cell(o.What), JSON: laid(o.JSON), HCL: laid(o.HCL), Command: laid(o.Command)}
			if strings.Contains(w.Message, w.Handoff.What) {
				w.Handoff.What = ""
			}
			if o.Owner != "" {
				w.Whom = cell(o.Owner)
			}
		}
		v.Waiting.List = append(v.Waiting.List, w)
	}
}

// mostNamed bounds how many ServiceAccounts one line names.
const mostNamed = 200

// alike puts holds together that say the same of several ServiceAccounts, in the order of
// the first of each.
func alike(list []plan.Hold) [][]plan.Hold {
	type key struct {
		reason  plan.Reason
		message string
	}
	var out [][]plan.Hold
	at := map[key]int{}
	for _, h := range list {
		k := key{h.Reason, h.Message}
		if i, known := at[k]; known && h.Handoff == nil {
			out[i] = append(out[i], h)
			continue
		}
		if h.Handoff == nil {
			at[k] = len(out)
		}
		out = append(out, []plan.Hold{h})
	}
	return out
}

// whom says who or what ends a hold, and whether that is a person.
func whom(reason plan.Reason) (who string, person bool) {
	switch reason {
	case plan.Settling:
		return "time", false
	case plan.Blind:
		return "a missing fact", false
	case plan.InTransition:
		return "mode migrate", false
	case plan.Terminating:
		return "its end", false
	case plan.ChangeBudget, plan.RemovalBudget:
		return "the budget", false
	case plan.Waiting:
		return "the cluster", false
	case plan.OutsideWindow:
		return "its window", false
	case plan.Concurrency:
		return "its turn", false
	case plan.NoProof:
		return "proof", false
	case plan.NoRunYet:
		return "its next run", false
	case plan.OwnerMustAct, plan.RestartNeeded, plan.WriteConflict, plan.InUse:
		return "its owner", true
	case plan.CannotBe, plan.Held:
		return "the mapping's author", true
	case plan.GuardRail, plan.PruneOff, plan.MassRemoval, plan.ClusterMismatch, plan.ProbeUnguarded:
		return "the operator", true
	}
	return "a person", true
}
