package prober

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Probe is one attempt of one container, and what came of it.
type Probe struct {
	Started, Ended time.Time

	Namespace, ServiceAccount string
	Pod                       string
	UID                       types.UID
	Admitted                  time.Time // To the second, as Kubernetes keeps it.
	Node, Container           string
	Mechanism                 Mechanism

	Session string // The ARN of the session that it got; empty if it got none.
	Failed  bool
	Plane   Plane  // What is at fault, if it failed.
	Code    string // AWS's error code, if AWS gave one.
	Error   string

	// Proven says that this container had credentials before, or was admitted after a pod
	// of its ServiceAccount had: from then on law 1 holds for it.
	Proven bool
	// YoungNode says that its node had no agent ready yet, and was less than two minutes old.
	YoungNode bool
	// OnItsOwn says that nothing recreates the pod: it is a Job's, or bare.
	OnItsOwn bool
}

func (p Probe) String() string {
	outcome := "got " + p.Session
	if p.Failed {
		outcome = fmt.Sprintf("%s at fault: %s", p.Plane, p.Error)
	}
	return fmt.Sprintf("%s %s/%s pod %s container %s on %s by %s: %s",
		p.Started.Format(time.RFC3339), p.Namespace, p.ServiceAccount, p.Pod, p.Container, p.Node, p.Mechanism, outcome)
}

// Book is where a probe is entered.
type Book string

// The books. Only what is Broken breaks law 1.
const (
	Fine     Book = "fine"
	Broken   Book = "broken"
	Exposed  Book = "exposed"  // By the delete of an association, until the restart.
	Young    Book = "young"    // A new node whose agent is not ready yet.
	Unproven Book = "unproven" // The wiring never worked for it.
)

// exposure is the delete of an association in a crossing back or a rollback.
type exposure struct {
	namespace, serviceAccount string
	deleted                   time.Time
	restarted                 time.Time // Zero until the restart is done.
	rollback                  bool
}

// book enters a probe by law 1 of the design.
func book(p Probe, exposures []exposure) Book {
	switch {
	case !p.Failed:
		return Fine
	case slices.ContainsFunc(exposures, func(e exposure) bool { return e.covers(p) }):
		return Exposed
	case p.YoungNode:
		return Young
	case !p.Proven:
		return Unproven
	}
	return Broken
}

// covers reports whether a failure is one that nothing at AWS can avoid: the pod has Pod
// Identity's variables, whether from before the delete or from a webhook that was late to
// hear of it, and has not been restarted yet. In a rollback nobody restarts a Job's pod or
// a bare one; those are exposed to their end.
//
// A probe that was under way at the delete may have met either world, and so counts as
// after it.
func (e exposure) covers(p Probe) bool {
	if p.Namespace != e.namespace || p.ServiceAccount != e.serviceAccount || p.Mechanism != Container || p.Ended.Before(e.deleted) {
		return false
	}
	if e.restarted.IsZero() || p.Started.Before(e.restarted) {
		return true
	}
	return e.rollback && p.OnItsOwn && p.Admitted.Before(e.restarted)
}

// Report is the books, oldest entry first.
type Report struct {
	Probes    int // All that were made.
	Broken    []Probe
	Exposed   []Probe
	Young     []Probe
	Unproven  []Probe
	Forgotten int // Failures that were too many to keep: the books are not whole.
}
