package migrate

import (
	"fmt"

	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// Phase is where a workload is on its way to the mechanism that Git wants.
type Phase uint8

// The phases (design.md section 6).
const (
	PhasePending    Phase = iota // the wanted side is not ready
	PhaseWidened                 // it is, and is not armed yet
	PhaseCrossing                // new pods are on it, and not all pods are new
	PhaseSoaking                 // all pods are on it; the old side stands still
	PhaseNarrowing               // the old side may go
	PhaseRolledBack              // it was tried and failed, and waits for a person
	PhaseSettled                 // nothing is left to do
)

var phases = [...]string{"pending", "widened", "crossing", "soaking", "narrowing", "rolled-back", "settled"}

// Phases returns all of them, in order.
func Phases() []Phase {
	all := make([]Phase, len(phases))
	for i := range all {
		all[i] = Phase(i)
	}
	return all
}

// String returns the phase's word.
func (p Phase) String() string { return phases[min(int(p), len(phases)-1)] }

// MarshalText writes the word.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word.
func (p *Phase) UnmarshalText(b []byte) error {
	for i, word := range phases {
		if word == string(b) {
			*p = Phase(i)
			return nil
		}
	}
	return fmt.Errorf("phase %q is none of %v", b, phases)
}

// Standing is all that tells the phases apart. Each field is a fact of the live world,
// of its mark, or of what the process has seen: none of them is remembered progress, so
// a new process finds the phase that the last one left.
type Standing struct {
	Wanted     identity.Mechanism // IRSA or PodIdentity
	RolledBack bool               // the mark on the ServiceAccount holds this mapping
	Foreign    bool               // an association that is not lanyard's, not adopted, and not what Git asks for
	Armed      identity.Mechanism // what a pod admitted now gets: PodIdentity with an association, else IRSA
	Trusted    bool               // the trust policies surely let the wanted side in
	Ready      bool               // and the rest of that side is as Git asks, and has been for long enough
	Moving     bool               // a live pod is on the other side, an owner is in the middle of a rollout, or what is armed is not yet as Git asks
	OldWired   bool               // something of the other side stands that is lanyard's to take away
	Proven     bool               // every owner has run on the wanted side, for the soak time, and its use is proven
}

// Phase is a total function: the first rule that matches wins (design.md section 6).
func (s Standing) Phase() Phase {
	switch {
	case s.RolledBack:
		return PhaseRolledBack
	case s.Foreign:
		return PhasePending
	case s.Armed != s.Wanted && (s.Trusted && s.Ready || bugs.On("cross before widen")):
		return PhaseWidened
	case s.Armed != s.Wanted:
		return PhasePending
	case (!s.Trusted || s.Moving) && !bugs.On("narrow in the crossing round"):
		return PhaseCrossing
	case s.OldWired && (s.Proven || bugs.On("narrow ungated")):
		return PhaseNarrowing
	case s.OldWired:
		return PhaseSoaking
	}
	return PhaseSettled
}
