package desired

import (
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Restart says how running pods are moved to a new mechanism.
type Restart string

// The ways to restart.
const (
	RestartRolling Restart = "rolling" // lanyard rolls the workload; the default
	RestartNatural Restart = "natural" // lanyard waits for the workload's own next rollout
)

// Proof says what counts as positive proof that a new mechanism is used.
type Proof string

// The kinds of proof.
const (
	ProofCloudTrail Proof = "cloudtrail" // an STS event with this subject; the default
	ProofDeclared   Proof = "declared"   // the author vouches
	ProofQuery      Proof = "query"      // Migration.Query returns a sample other than 0
)

// Cleanup says what is narrowed once a workload has moved.
type Cleanup string

// The kinds of cleanup.
const (
	CleanupFull           Cleanup = "full"            // annotation and old trust go; the default
	CleanupKeepTrust      Cleanup = "keep-trust"      // the annotation goes, the old trust stays
	CleanupKeepAnnotation Cleanup = "keep-annotation" // both stay
)

// IRSA holds the ServiceAccount annotations that tune IRSA. A zero field is not
// managed: it is never written and never compared.
type IRSA struct {
	Audience             string        // eks.amazonaws.com/audience
	TokenExpiration      time.Duration // eks.amazonaws.com/token-expiration; whole seconds
	STSRegionalEndpoints *bool         // eks.amazonaws.com/sts-regional-endpoints
}

// PodIdentity holds what an association and its trust statement are made of.
type PodIdentity struct {
	SessionTags   bool             // true unless Git says otherwise
	Trust         identity.Width   // pinned; account when session tags are off and Git names no width
	TargetRole    identity.RoleARN // zero: none
	SessionPolicy string           // JSON as written; empty: none
}

// Migration holds how one mapping moves between mechanisms.
type Migration struct {
	Restart         Restart
	AllowDisruption bool
	Soak            time.Duration
	Proof           Proof
	Query           string // PromQL; set exactly when Proof is ProofQuery
	SDK             string // "name/version" as SDKs name themselves in user agents; empty: not declared
	Cleanup         Cleanup
	Windows         Windows // the zero value is always open
	Hold            string  // why not to move; empty: move
}

// Adopt names the planes on which lanyard may take over what others made.
type Adopt struct {
	Annotation, Trust, Association bool
}

// Mapping says which role one ServiceAccount of one cluster uses, and by which
// mechanism. Defaults are applied and templates expanded.
type Mapping struct {
	Subject   identity.Subject
	Name      string // metadata.name: the ServiceAccount's unless spec.serviceAccount names another
	Role      identity.RoleARN
	Mechanism identity.Mechanism // as declared: it may be identity.Auto

	IRSA        IRSA
	PodIdentity PodIdentity
	Migration   Migration
	Adopt       Adopt

	At                  Position // of metadata.name
	RoleAt, MechanismAt Position // of these values, wherever they were written: a default's is in another file
}

// Key returns "namespace/name" of the document, which is the value of the tag
// lanyard.io/mapping on what lanyard makes for it.
func (m Mapping) Key() string { return m.Subject.Namespace + "/" + m.Name }

// Waiver silences one check of `audit` for one ServiceAccount or one role.
type Waiver struct {
	Name    string // metadata.name; may be empty
	Check   string
	Subject identity.Subject // zero when the waiver is for a role
	Role    identity.RoleARN // zero when the waiver is for a ServiceAccount
	Owner   string
	Reason  string
	Expires time.Time // the first moment at which the waiver no longer counts
	At      Position  // of spec.check
}

// State is what a revision says about one cluster.
type State struct {
	Revision Revision
	Cluster  string
	Mappings []Mapping // sorted by Subject, which no two share
	Waivers  []Waiver  // in the order of their places
	Skipped  int       // documents of other API groups in the revision
	Held     *Held     // why a newer head is not followed; nil: Revision is the head
}

// Mapping returns the mapping of a subject.
func (s State) Mapping(subject identity.Subject) (Mapping, bool) {
	for lo, hi := 0, len(s.Mappings); lo < hi; {
		mid := (lo + hi) / 2
		switch c := s.Mappings[mid].Subject.Compare(subject); {
		case c == 0:
			return s.Mappings[mid], true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return Mapping{}, false
}
