package report

import (
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// YAML returns the report as YAML, with the keys of its JSON form.
func (d Diff) YAML() ([]byte, error) {
	data, err := d.JSON()
	if err != nil {
		return nil, err
	}
	return live.ToYAML(data)
}

// PublicRound is a round in its public form: what was found and left, as in [Diff],
// and what each step came to.
type PublicRound struct {
	Number   int             `json:"round"`
	Started  time.Time       `json:"started"`
	Ended    time.Time       `json:"ended"`
	Mode     desired.Mode    `json:"mode"`
	Diff     Diff            `json:"diff"`
	Outcomes []PublicOutcome `json:"outcomes"`
}

// PublicOutcome is an outcome in its public form.
type PublicOutcome struct {
	Step   plan.Step `json:"step"`
	Result Result    `json:"result"`
	Before string    `json:"before"`
	After  string    `json:"after"`
	Error  string    `json:"error,omitempty"`
	Remedy string    `json:"remedy,omitempty"`
	At     time.Time `json:"at"`
}

// Public returns the round in its public form.
func (r Round) Public() PublicRound {
	p := PublicRound{Number: r.Number, Started: r.Started, Ended: r.Ended, Mode: r.Mode,
		Diff: NewDiff(r.Mode, r.Revision, r.Result, r.Plan, r.Gaps), Outcomes: []PublicOutcome{}}
	for _, o := range r.Outcomes {
		out := PublicOutcome{Step: o.Step, Result: o.Result, Before: o.Before, After: o.After, At: o.At}
		if o.Err != nil {
			out.Error = o.Err.Error()
		}
		if o.Remedy != remedy.None {
			out.Remedy = o.Remedy.String()
		}
		p.Outcomes = append(p.Outcomes, out)
	}
	return p
}
