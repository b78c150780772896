package diff

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// Plane is where a difference shows (design.md section 1), or "git".
type Plane string

// The planes.
const (
	PlaneGit            Plane = "git"
	PlaneServiceAccount Plane = "service-account"
	PlaneTrust          Plane = "trust"
	PlaneAssociation    Plane = "association"
	PlanePods           Plane = "pods"
)

// Kind names a difference. The list is closed; each has a paragraph in
// docs/findings.md.
type Kind string

// The kinds of findings (design.md section 5).
const (
	ServiceAccountMissing Kind = "service-account-missing"
	AnnotationMissing     Kind = "annotation-missing"
	AnnotationMismatch    Kind = "annotation-mismatch"
	AnnotationUnexpected  Kind = "annotation-unexpected"
	AnnotationTuning      Kind = "annotation-tuning"

	RoleMissing             Kind = "role-missing"
	TrustSubjectMissing     Kind = "trust-subject-missing"
	TrustIssuerStale        Kind = "trust-issuer-stale"
	TrustAudienceWrong      Kind = "trust-audience-wrong"
	TrustTooWide            Kind = "trust-too-wide"
	TrustPodIdentityMissing Kind = "trust-pod-identity-missing"
	TrustTagSessionMissing  Kind = "trust-tag-session-missing"
	TrustUndecidable        Kind = "trust-undecidable"
	OIDCProviderMissing     Kind = "oidc-provider-missing"
	OIDCAudienceMissing     Kind = "oidc-audience-missing"

	AssociationMissing    Kind = "association-missing"
	AssociationRole       Kind = "association-role"
	AssociationSettings   Kind = "association-settings"
	AssociationUnexpected Kind = "association-unexpected"
	AssociationForeign    Kind = "association-foreign"

	PodsUninjected     Kind = "pods-uninjected"
	PodsWrongMechanism Kind = "pods-wrong-mechanism"
	PodsWrongRole      Kind = "pods-wrong-role"
	PodsStaticKeys     Kind = "pods-static-keys"
	PodsAgentMissing   Kind = "pods-agent-missing"
	PodsUnservable     Kind = "pods-unservable"

	MappingInvalid   Kind = "mapping-invalid"
	MappingForbidden Kind = "mapping-forbidden"
	MappingGone      Kind = "mapping-gone"
	RevisionStale    Kind = "revision-stale"
	ClusterMismatch  Kind = "cluster-mismatch"
)

// planes holds every kind and its plane, in the order of design.md section 5.
var planes = []struct {
	plane Plane
	kinds []Kind
}{
	{PlaneServiceAccount, []Kind{ServiceAccountMissing, AnnotationMissing, AnnotationMismatch, AnnotationUnexpected, AnnotationTuning}},
	{PlaneTrust, []Kind{RoleMissing, TrustSubjectMissing, TrustIssuerStale, TrustAudienceWrong, TrustTooWide, TrustPodIdentityMissing,
		TrustTagSessionMissing, TrustUndecidable, OIDCProviderMissing, OIDCAudienceMissing}},
	{PlaneAssociation, []Kind{AssociationMissing, AssociationRole, AssociationSettings, AssociationUnexpected, AssociationForeign}},
	{PlanePods, []Kind{PodsUninjected, PodsWrongMechanism, PodsWrongRole, PodsStaticKeys, PodsAgentMissing, PodsUnservable}},
	{PlaneGit, []Kind{MappingInvalid, MappingForbidden, MappingGone, RevisionStale, ClusterMismatch}},
}

// Kinds returns the closed list, in the order of design.md section 5.
func Kinds() []Kind {
	var all []Kind
	for _, p := range planes {
		all = append(all, p.kinds...)
	}
	return all
}

// Plane returns the plane on which findings of this kind show.
func (k Kind) Plane() Plane {
	for _, p := range planes {
		for _, kind := range p.kinds {
			if kind == k {
				return p.plane
			}
		}
	}
	return ""
}

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	Info     Severity = "info"     // to know
	Warning  Severity = "warning"  // to mend in time
	Critical Severity = "critical" // a pod has lost, or will lose, its credentials, or has others than Git says
)

func (s Severity) rank() int {
	switch s {
	case Critical:
		return 0
	case Warning:
		return 1
	}
	return 2
}

// Finding is one difference between Git and the live world.
type Finding struct {
	Subject  identity.Subject // zero for what concerns the whole cluster
	Plane    Plane
	Kind     Kind
	Severity Severity
	Message  string // one sentence for a person: what is so, and what it means
	Expected string
	Actual   string
	Position desired.Position // where Git asks for it; zero where Git is silent
	Owner    string           // who made what is there, where that can be told

	// FirstSeen is when this process first saw it; zero where one look is all there is.
	FirstSeen time.Time
}

// Key tells findings apart from round to round: what is wrong where, however it is put.
func (f Finding) Key() string {
	return f.Subject.String() + " " + string(f.Kind) + " " + f.Position.String()
}

// String returns "namespace/name kind: message".
func (f Finding) String() string {
	if f.Subject.IsZero() {
		return string(f.Kind) + ": " + f.Message
	}
	return fmt.Sprintf("%s %s: %s", f.Subject, f.Kind, f.Message)
}

// compare orders findings by subject, plane as in design.md, severity, kind and text.
func (f Finding) compare(g Finding) int {
	return cmp.Or(
		f.Subject.Compare(g.Subject),
		cmp.Compare(planeRank(f.Plane), planeRank(g.Plane)),
		cmp.Compare(f.Severity.rank(), g.Severity.rank()),
		strings.Compare(string(f.Kind), string(g.Kind)),
		strings.Compare(f.Message, g.Message),
	)
}

func planeRank(p Plane) int {
	for i, row := range planes {
		if row.plane == p {
			return i
		}
	}
	return len(planes)
}
