package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// The bounds on what is kept of moves and of steps.
const (
	mostMoving    = 500
	mostSteps     = 200
	mostStepBytes = 4 << 20 // of all values before and after together
	stepsFor      = time.Hour
)

// Moving is one ServiceAccount on its way from one mechanism to the other.
type Moving struct {
	Namespace      string    `json:"namespace"`
	ServiceAccount string    `json:"serviceAccount"`
	Wanted         string    `json:"wanted"` // irsa, pod-identity
	Phase          string    `json:"phase"`
	Since          time.Time `json:"since"` // when this process first saw it there
	Step           *Taken    `json:"step"`  // of the last round; null where it took none
	Holds          []Hold    `json:"holds"`
	Exposed        []string  `json:"exposedPods"` // pods that may be without credentials until they have been made again
}

// Taken is a step of the last round, in short.
type Taken struct {
	Text   string `json:"text"`
	Result string `json:"result"`
}

// Hold is why nothing is done.
type Hold struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Until   time.Time `json:"until,omitzero"` // when waiting ends it; absent where somebody must act
}

// IdentityProbe is what AWS took a new pod of a ServiceAccount for that had moved. A check:
// nothing depends on it.
type IdentityProbe struct {
	Namespace      string    `json:"namespace"`
	ServiceAccount string    `json:"serviceAccount"`
	Wanted         string    `json:"wanted"` // irsa, pod-identity
	Role           string    `json:"role"`   // that it should be
	Result         string    `json:"result"` // pending, or a word of package migrate's
	Session        string    `json:"session,omitempty"`
	Message        string    `json:"message"`
	At             time.Time `json:"at,omitzero"` // of the answer
}

// Wrong reports whether AWS took the pod otherwise than Git asks: for somebody else, by
// other means, or for nobody. Where nobody answered, nothing is known.
func (p IdentityProbe) Wrong() bool {
	return slices.Contains([]string{"other-role", "other-mechanism", "no-identity"}, p.Result)
}

// rank puts first what somebody should look at.
func (p IdentityProbe) rank() int { return slices.Index([]string{"pending", "as-git"}, p.Result) }

// stays reports whether it was asked to move, and neither has begun to nor can.
func (m Moving) stays() bool {
	return m.Phase == "pending" && slices.ContainsFunc(m.Holds, func(h Hold) bool { return h.Reason == string(plan.NotEligible) })
}

// Step is a step that was taken, with the whole value on both sides of it: whoever wants
// to undo it by hand finds there what to write.
type Step struct {
	At             time.Time `json:"at"` // of the last attempt
	Namespace      string    `json:"namespace"`
	ServiceAccount string    `json:"serviceAccount"`
	Plane          string    `json:"plane"`
	Effect         string    `json:"effect"`
	Action         string    `json:"action"`
	Text           string    `json:"text"`
	Because        string    `json:"because"`
	Result         string    `json:"result"`
	Before         string    `json:"before"`
	After          string    `json:"after"`
	Error          string    `json:"error"`
	Attempts       int       `json:"attempts"` // that came to the same, one after the other

	id string
}

// moving tells of a round how what moves stands, the most urgent first.
func moving(r report.Round) (list []Moving, unlisted, exposed int) {
	pods := map[identity.Subject][]string{}
	for _, e := range r.Exposed() {
		pods[e.Subject] = e.Pods
		exposed += len(e.Pods)
	}
	moves := slices.Clone(r.Moves)
	rank := func(m report.Move) int {
		if len(pods[m.Subject]) > 0 {
			return -1
		}
		return slices.Index(urgent, m.Phase)
	}
	slices.SortStableFunc(moves, func(a, b report.Move) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Subject.String(), b.Subject.String()))
	})
	if unlisted = max(0, len(moves)-mostMoving); unlisted > 0 {
		moves = moves[:mostMoving]
	}
	at := make(map[identity.Subject]*Moving, len(moves))
	list = make([]Moving, len(moves))
	for i, m := range moves {
		list[i] = Moving{Namespace: m.Subject.Namespace, ServiceAccount: m.Subject.ServiceAccount, Wanted: m.Wanted.String(), Phase: m.Phase,
			Since: m.Since.UTC(), Holds: []Hold{}, Exposed: append([]string{}, pods[m.Subject]...)}
		at[m.Subject] = &list[i]
	}
	for _, h := range r.Plan.Holds {
		if m := at[h.Subject]; m != nil {
			m.Holds = append(m.Holds, Hold{Reason: string(h.Reason), Message: short(h.Message), Until: h.NotBefore})
		}
	}
	for _, o := range r.Outcomes {
		if m := at[o.Step.Subject]; m != nil && o.Step.Action != nil {
			m.Step = &Taken{Text: o.Step.Action.String(), Result: string(o.Result)}
		}
	}
	return list, unlisted, exposed
}

// urgent are the phases in the order in which somebody should look at them.
var urgent = []string{"rolled-back", "crossing", "narrowing", "soaking", "widened", "pending"}

// log adds the steps of a round to those of the last hour. One that comes to nothing
// again and again is told once: it would push out what was written.
func log(steps []Step, outcomes []report.Outcome) []Step {
	steps = slices.Clone(steps)
	for _, o := range outcomes {
		if o.Result == report.NotTaken || o.Step.Action == nil {
			continue
		}
		s := Step{At: o.At.UTC(), Namespace: o.Step.Subject.Namespace, ServiceAccount: o.Step.Subject.ServiceAccount, Plane: string(o.Step.Plane),
			Effect: o.Step.Effect.String(), Action: o.Step.Action.Kind(), Text: o.Step.Action.String(), Because: o.Step.Because,
			Result: string(o.Result), Before: o.Before, After: o.After, Attempts: 1, id: o.Step.ID()}
		if o.Err != nil {
			s.Error = short(o.Err.Error())
		}
		if i := slices.IndexFunc(steps, func(was Step) bool { return was.id == s.id && was.Result == s.Result && !o.Wrote() }); i >= 0 {
			s.Attempts += steps[i].Attempts
			steps = slices.Delete(steps, i, i+1)
		}
		steps = append(steps, s)
	}
	return steps
}

// recent returns the steps that are younger than an hour, newest first, as far as there
// is room, and when the youngest was taken that there is none for.
func recent(steps []Step, now time.Time) (list []Step, cut time.Time) {
	list = []Step{}
	size := 0
	for _, s := range slices.Backward(steps) {
		if now.Sub(s.At) > stepsFor {
			continue
		}
		if size += len(s.Before) + len(s.After); len(list) >= mostSteps || size > mostStepBytes {
			return list, s.At
		}
		list = append(list, s)
	}
	return list, time.Time{}
}
