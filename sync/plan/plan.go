package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// Plan is what one round would do, and what it leaves.
type Plan struct {
	Revision desired.Revision `json:"revision"`
	Cluster  string           `json:"cluster"`
	Steps    []Step           `json:"steps"` // in the order in which they are to be taken
	Holds    []Hold           `json:"holds"` // sorted by subject
}

// Effect says what a step does to who may get what.
type Effect uint8

// The effects. A round takes steps of one effect only for each subject.
const (
	Widen  Effect = iota // more is allowed than before; undone without harm
	Cross                // new pods get something else than before
	Narrow               // less is allowed than before
)

var effects = [...]string{"widen", "cross", "narrow"}

// String returns widen, cross or narrow.
func (e Effect) String() string { return effects[min(int(e), len(effects)-1)] }

// MarshalText writes the word.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the word.
func (e *Effect) UnmarshalText(b []byte) error {
	for i, word := range effects {
		if word == string(b) {
			*e = Effect(i)
			return nil
		}
	}
	return fmt.Errorf("effect %q is none of widen, cross, narrow", b)
}

// Step is one write: one plane, one subject.
type Step struct {
	Subject identity.Subject
	Plane   diff.Plane
	Effect  Effect
	Action  Action
	Guards  []Guard // all must hold on a fresh look, or the step is not taken
	Because string  // why, for a person
	Rescue  bool    // takes a failed move back, or keeps pods from harm: no pause and no budget of changes stops it
}

// ID is a hash of what the step does: the same step has the same ID in every round.
func (s Step) ID() string {
	b, err := json.Marshal(struct {
		Subject identity.Subject
		Kind    string
		Action  Action
	}{s.Subject, s.Action.Kind(), s.Action})
	if err != nil {
		panic("plan: an action that is not data: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// Removes reports whether the step counts against the removals of an hour.
func (s Step) Removes() bool { return s.Effect == Narrow }

// MarshalJSON writes the step with its ID and the kinds of its action and guards.
func (s Step) MarshalJSON() ([]byte, error) {
	type guard struct {
		Kind  string `json:"kind"`
		Guard Guard  `json:"is"`
	}
	guards := make([]guard, len(s.Guards))
	for i, g := range s.Guards {
		guards[i] = guard{g.Kind(), g}
	}
	return json.Marshal(struct {
		ID      string           `json:"id"`
		Subject identity.Subject `json:"subject"`
		Plane   diff.Plane       `json:"plane"`
		Effect  Effect           `json:"effect"`
		Kind    string           `json:"action"`
		Action  Action           `json:"with"`
		Guards  []guard          `json:"guards"`
		Text    string           `json:"text"`
		Because string           `json:"because"`
	}{s.ID(), s.Subject, s.Plane, s.Effect, s.Action.Kind(), s.Action, guards, s.Action.String(), s.Because})
}

// Reason says why something is not done. The list is closed; each has a paragraph
// in docs/holds.md.
type Reason string

// The reasons of the repair planner.
const (
	OwnerMustAct    Reason = "owner-must-act"   // what is wrong is someone else's, and not adopted
	Settling        Reason = "settling"         // the far side must have been seen to work for a while first
	Blind           Reason = "blind"            // a fact is missing
	Undecidable     Reason = "undecidable"      // the trust policy cannot be judged, so it is not built on
	InTransition    Reason = "in-transition"    // another mechanism is asked for: mode migrate's work
	RestartNeeded   Reason = "restart-needed"   // only new pods pick this up, and repair never restarts anything
	NotHitless      Reason = "not-hitless"      // it could only be done by taking something away first
	InUse           Reason = "in-use"           // a live pod or a workload uses what would be removed
	Paused          Reason = "paused"           // lanyard.io/pause
	Terminating     Reason = "terminating"      // the ServiceAccount or its namespace is going away
	GuardRail       Reason = "guard-rail"       // the operator's configuration forbids it
	CannotBe        Reason = "cannot-be"        // Git asks for what this cluster cannot have
	TrustFull       Reason = "trust-full"       // the trust policy has no room
	WriteConflict   Reason = "write-conflict"   // another writer changed it back twice within an hour
	PruneOff        Reason = "prune-off"        // `prune: never`
	RemovalBudget   Reason = "removal-budget"   // removals of this hour are used up
	MassRemoval     Reason = "mass-removal"     // more than a tenth of what is ours left Git
	ChangeBudget    Reason = "change-budget"    // changes of this round are used up
	ClusterMismatch Reason = "cluster-mismatch" // the API server is not that of the cluster
)

// The reasons of moves besides. Those of package migrate's own list have the same words.
const (
	NotEligible    Reason = "not-eligible"   // Pod Identity cannot serve the workload, or it is not known to
	Waiting        Reason = "waiting"        // for pods, a rollout or an answer that is on its way
	Held           Reason = "held"           // migration.hold
	OutsideWindow  Reason = "outside-window" // migration.window
	Concurrency    Reason = "concurrency"    // as many as may be are on their way
	ProbeRefused   Reason = "probe-refused"
	ProbeUnguarded Reason = "probe-unguarded"
	NoProof        Reason = "no-proof"
	NoRunYet       Reason = "no-run-yet"
	RolledBack     Reason = "rolled-back"
)

// Reasons returns the closed list, for documentation and its test.
func Reasons() []Reason {
	return []Reason{OwnerMustAct, Settling, Blind, Undecidable, InTransition, RestartNeeded, NotHitless, InUse, Paused,
		Terminating, GuardRail, CannotBe, TrustFull, WriteConflict, PruneOff, RemovalBudget, MassRemoval, ChangeBudget, ClusterMismatch,
		NotEligible, Waiting, Held, OutsideWindow, Concurrency, ProbeRefused, ProbeUnguarded, NoProof, NoRunYet, RolledBack}
}

// Hold is something that is not done in this round, with the reason and, where a
// person must act, the exact text for that person.
type Hold struct {
	Subject   identity.Subject `json:"subject,omitzero"`
	Plane     diff.Plane       `json:"plane,omitempty"`
	Reason    Reason           `json:"reason"`
	Message   string           `json:"message"`
	NotBefore time.Time        `json:"notBefore,omitzero"` // when waiting alone will end it
	Handoff   *Handoff         `json:"handoff,omitempty"`
}

// Waits reports whether time alone ends the hold.
func (h Hold) Waits() bool { return !h.NotBefore.IsZero() }

// Handoff is what to hand to the owner of something that lanyard may not write.
type Handoff struct {
	Owner   string `json:"owner,omitempty"`
	What    string `json:"what"`              // one sentence: what to do
	JSON    string `json:"json,omitempty"`    // a trust policy statement
	HCL     string `json:"hcl,omitempty"`     // the same for Terraform
	Command string `json:"command,omitempty"` // a command that does it
}
