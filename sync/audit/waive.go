package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/desired"
)

// WaiverState says what became of a waiver.
type WaiverState string

// The states.
const (
	InForce      WaiverState = "in-force"
	Expired      WaiverState = "expired"       // it no longer waives
	Unused       WaiverState = "unused"        // it is in force, and nothing is found that it would waive
	UnknownCheck WaiverState = "unknown-check" // there is no such check
)

// Waiver is one waiver in Git, and what became of it.
type Waiver struct {
	Name           string      `json:"name"`
	Check          Check       `json:"check"`
	Namespace      string      `json:"namespace"`
	ServiceAccount string      `json:"serviceAccount"`
	Role           string      `json:"role"`
	Owner          string      `json:"owner"`
	Reason         string      `json:"reason"`
	Expires        time.Time   `json:"expires"` // the first moment at which it no longer counts
	Position       string      `json:"position"`
	State          WaiverState `json:"state"`
	Findings       int         `json:"findings"` // that it waives, or, expired, would
}

// About says whom a waiver is for.
func (w Waiver) About() string {
	return Finding{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Role: w.Role}.About()
}

func (w Waiver) matches(check Check, namespace, serviceAccount, role string) bool {
	if check != w.Check {
		return false
	}
	if w.Role != "" {
		return w.Role == role
	}
	return w.Namespace == namespace && w.ServiceAccount == serviceAccount && serviceAccount != ""
}

// waive holds waivers against the findings. What counts is the moment at which the live
// world was looked at, not the clock: the same snapshot gives the same audit. An expired
// waiver waives nothing, and neither does one of a check that there is not.
func (r *Report) waive(all []desired.Waiver) {
	for _, d := range all {
		w := Waiver{Name: d.Name, Check: Check(d.Check), Namespace: d.Subject.Namespace, ServiceAccount: d.Subject.ServiceAccount,
			Owner: d.Owner, Reason: d.Reason, Expires: d.Expires.UTC(), Position: d.At.String(), State: InForce}
		if !d.Role.IsZero() {
			w.Role = d.Role.String()
		}
		expired := !r.TakenAt.Before(d.Expires)
		for i := range r.Findings {
			f := &r.Findings[i]
			if !w.matches(f.Check, f.Namespace, f.ServiceAccount, f.Role) {
				continue
			}
			w.Findings++
			if !expired && !f.Waived {
				f.Waived, f.WaivedBy = true, fmt.Sprintf("%s: %s (until %s)", w.Owner, w.Reason, w.Expires.Format(time.RFC3339))
			}
		}
		used := w.Findings
		for i := range r.Unknown {
			u := &r.Unknown[i]
			if w.matches(w.Check, u.Namespace, u.ServiceAccount, u.Role) && slices.Contains(u.Checks, w.Check) {
				used++
				if !expired {
					u.Checks = slices.DeleteFunc(u.Checks, func(c Check) bool { return c == w.Check })
				}
			}
		}
		switch {
		case w.Check.order() < 0:
			w.State = UnknownCheck
		case expired:
			w.State = Expired
		case used == 0:
			w.State = Unused
		}
		r.Waivers = append(r.Waivers, w)
	}
	r.Unknown = slices.DeleteFunc(r.Unknown, func(u Unknown) bool { return len(u.Checks) == 0 })
}
