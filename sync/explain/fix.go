package explain

import (
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// told are the holds that say what a person must do.
var told = []plan.Reason{plan.OwnerMustAct, plan.RestartNeeded, plan.TrustFull, plan.Undecidable, plan.GuardRail, plan.CannotBe}

// fixes are what mends a finding: the plan's holds with what to hand to whom, else the
// step that lanyard would take, else what Git would have to say.
func (w *walk) fixes(l *Link, from *look, f diff.Finding) []string {
	var out []string
	if from == nil { // about the cluster, and Git does not name the subject
		return []string{"make it so: " + f.Expected}
	}
	for _, h := range from.repair.Holds {
		if h.Subject != w.subject || h.Plane != f.Plane || !slices.Contains(told, h.Reason) || !ofLink(l.Name, h) {
			continue
		}
		if h.Handoff == nil || h.Reason != plan.RestartNeeded && from == w.wish { // else the text for the owner says the same
			out = append(out, h.Message)
		}
		if h.Handoff != nil {
			out = append(out, handoff(*h.Handoff, l.Owner)...)
		}
	}
	for _, s := range from.repair.Steps {
		if from == w.wish && s.Subject == w.subject && s.Plane == f.Plane && l.Name != "oidc-provider" { // a provider is never written
			out = append(out, "lanyard would do it in mode repair: "+s.Action.String())
			if put, is := s.Action.(plan.PutTrustStatement); is {
				out = append(out, string(put.Grant.Statement()))
			}
		}
	}
	if len(out) == 0 && from == w.wish && from.j.Class == diff.Transition {
		out = append(out, fmt.Sprintf("`lanyard plan %s` shows each step of the move", w.subject))
	}
	if len(out) == 0 {
		out = append(out, "make it so: "+f.Expected)
	}
	return out
}

// ofLink tells the holds of the trust plane apart: those of the OIDC provider come with a
// command, those of the trust policy with a statement.
func ofLink(link string, h plan.Hold) bool {
	provider := h.Handoff != nil && h.Handoff.Command != ""
	return h.Plane != diff.PlaneTrust || provider == (link == "oidc-provider")
}

func handoff(h plan.Handoff, owner string) []string {
	out := []string{h.What}
	if h.Owner != "" && h.Owner != owner {
		out[0] += " (made by " + h.Owner + ")"
	}
	for _, text := range []string{h.JSON, h.Command} {
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}
