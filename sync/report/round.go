package report

import (
	"slices"
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
	Held     *desired.Held // why a newer head is not followed; nil: it is
	Partial  bool          // a round of subjects in motion: the rest is as the last whole one saw it
	Moves    []Move        // of what is on its way from one mechanism to the other, sorted by subject

	Moving  []identity.Subject // to be looked at before the next whole round
	MovesAt time.Time          // when; zero: as soon as may be
}

// Move is one subject that is on its way from one mechanism to the other.
type Move struct {
	Subject identity.Subject
	Wanted  identity.Mechanism
	Phase   string    // a word of package migrate's
	Since   time.Time // when this process first saw it there
}

// Exposed are the pods of one subject that may be without credentials.
type Exposed struct {
	Subject identity.Subject
	Pods    []string
}

// Exposed returns the pods that were given Pod Identity while there is no association:
// nobody answers them once what they hold has run out. A crossing back and a rollback
// make them, until each has been made again (design.md, law 1); so does whoever deletes
// an association by hand. Where a fact is missing nothing is said.
func (r Round) Exposed() []Exposed {
	var out []Exposed
	for _, j := range r.Result.Judged {
		if j.HasAssociation || len(j.Unknown) > 0 {
			continue
		}
		e := Exposed{Subject: j.Mapping.Subject}
		for _, p := range j.Pods {
			if p.Uses(identity.PodIdentity) {
				e.Pods = append(e.Pods, p.Name)
			}
		}
		if len(e.Pods) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// crowd is how many subjects at most get rounds of their own. The others are not
// forgotten: the next whole round is for everybody.
const crowd = 20

// Motion returns the subjects that a look before the next whole round is worth for:
// those just written about, and those of which a crossing could not be made just now, at
// once; and those that wait for a moment, then, or together with the others: whoever is
// on its way does not wait for others to be still. Steps that waited only for the budget
// of a round go on waiting for a whole one.
func (r Round) Motion() (subjects []identity.Subject, at time.Time) {
	add := func(s identity.Subject) {
		if !s.IsZero() && !slices.Contains(subjects, s) && len(subjects) < crowd {
			subjects = append(subjects, s)
		}
	}
	for _, o := range r.Outcomes {
		again := (o.Result == Failed || o.Result == Skipped) && (o.Remedy == remedy.Retry || o.Remedy == remedy.Replan)
		if o.Wrote() || again && (o.Step.Effect == plan.Cross || o.Step.Rescue) {
			add(o.Step.Subject)
		}
	}
	soon := len(subjects) > 0
	holds := slices.DeleteFunc(slices.Clone(r.Plan.Holds), func(h plan.Hold) bool {
		return !h.Waits() || h.Reason == plan.ChangeBudget || h.Subject.IsZero()
	})
	slices.SortStableFunc(holds, func(a, b plan.Hold) int { return a.NotBefore.Compare(b.NotBefore) })
	for _, h := range holds {
		add(h.Subject)
	}
	if len(holds) > 0 && !soon {
		at = holds[0].NotBefore
	}
	return subjects, at
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
