package report

import (
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// Result is what a step came to.
type Result string

// The results.
const (
	Done       Result = "done"       // written, and read back as meant
	Unverified Result = "unverified" // written without an error, but not yet read back as meant
	Skipped    Result = "skipped"    // a guard did not hold on the fresh look: nothing was written
	Failed     Result = "failed"     // the write was refused, or nobody knows whether it took effect
	NotTaken   Result = "not-taken"  // mode observe, or an earlier step of the subject did not succeed
)

// Outcome is one step and what it came to. Before and After are the whole value on
// both sides of the write: the audit trail.
type Outcome struct {
	Step   plan.Step
	Result Result
	Before string
	After  string
	Err    error
	Remedy remedy.Class
	At     time.Time
}

// Wrote reports whether the step may have changed the world.
func (o Outcome) Wrote() bool { return o.Result == Done || o.Result == Unverified }

// Round is one pass of the loop.
type Round struct {
	Number   int
	Started  time.Time
	Ended    time.Time
	Mode     desired.Mode
	Revision desired.Revision
	Cluster  identity.Cluster
	Mappings int
	Result   diff.Result
	Plan     plan.Plan
	Outcomes []Outcome
	Gaps     []live.Gap
}

// InSync reports whether the live world is as Git wants it: no finding, nothing unread.
func (r Round) InSync() bool {
	return len(r.Result.Findings) == 0 && len(r.Gaps) == 0
}

// AtRest reports whether another round over the same world would find nothing to
// write: no step was planned and no hold ends by waiting.
func (r Round) AtRest() bool {
	if len(r.Plan.Steps) > 0 {
		return false
	}
	_, waits := r.NotBefore()
	return !waits
}

// NotBefore returns the earliest moment at which waiting alone ends a hold.
func (r Round) NotBefore() (at time.Time, waits bool) {
	h, waits := r.next()
	return h.NotBefore, waits
}

// next returns the hold that waiting ends first.
func (r Round) next() (first plan.Hold, waits bool) {
	for _, h := range r.Plan.Holds {
		if h.Waits() && (!waits || h.NotBefore.Before(first.NotBefore)) {
			first, waits = h, true
		}
	}
	return first, waits
}

// Writes counts the steps that changed something.
func (r Round) Writes() int {
	n := 0
	for _, o := range r.Outcomes {
		if o.Wrote() {
			n++
		}
	}
	return n
}

// Failures counts the steps that failed.
func (r Round) Failures() int {
	n := 0
	for _, o := range r.Outcomes {
		if o.Result == Failed {
			n++
		}
	}
	return n
}
