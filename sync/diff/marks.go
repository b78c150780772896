package diff

import (
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// The marks by which lanyard knows its own (design.md section 5).
const (
	TagCluster   = "lanyard.io/cluster" // on associations: the cluster's ARN
	TagMapping   = "lanyard.io/mapping" // on associations: namespace/name of the mapping
	FieldManager = "lanyard"            // of annotations, in managedFields
	PauseMark    = "lanyard.io/pause"   // on ServiceAccounts and Namespaces: stops steps forward

	RolledBackMark = "lanyard.io/rolled-back" // on ServiceAccounts: a move failed and was taken back
)

// The annotations that EKS's webhook reads.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
const (
	AnnotationRole       = "eks.amazonaws.com/role-arn"
	AnnotationAudience   = "eks.amazonaws.com/audience"
	AnnotationRegional   = "eks.amazonaws.com/sts-regional-endpoints"
	AnnotationExpiration = "eks.amazonaws.com/token-expiration"
)

// DefaultAudience is the audience of a web identity token without an annotation.
const DefaultAudience = "sts.amazonaws.com"

// Ours reports whether the association bears lanyard's mark for this cluster and for
// its own namespace: tags are copied by tools and people, and a copy is not lanyard's.
// One that an EKS add-on owns is never ours, whatever its tags say.
func Ours(a live.Association, c identity.Cluster) bool {
	namespace, mapping, _ := strings.Cut(a.Tags[TagMapping], "/")
	return a.OwnerARN == "" && a.Tags[TagCluster] == c.ARN() && namespace == a.Namespace && mapping != ""
}

// OwnerOfAssociation names who made an association, as far as its tags and owner tell.
func OwnerOfAssociation(a live.Association, c identity.Cluster) string {
	switch {
	case a.OwnerARN != "":
		if parts := strings.Split(a.OwnerARN, "/"); strings.Contains(a.OwnerARN, ":addon/") && len(parts) >= 3 {
			return "EKS add-on " + parts[2]
		}
		return a.OwnerARN
	case Ours(a, c):
		return "lanyard"
	case a.Tags[TagCluster] != "":
		return "lanyard of " + a.Tags[TagCluster]
	}
	return ownerByTags(a.Tags)
}

// makers are the tools that tag what they make (domain: eksctl and CloudFormation
// document theirs; ACK and Crossplane by their sources), most telling first.
var makers = []struct{ prefix, name string }{
	{"aws:cloudformation:stack-name", "CloudFormation"},
	{"alpha.eksctl.io/", "eksctl"},
	{"eksctl.cluster.k8s.io/", "eksctl"},
	{"services.k8s.aws/", "ACK"},
	{"crossplane-", "Crossplane"},
}

func ownerByTags(tags map[string]string) string {
	for _, m := range makers {
		for key := range tags {
			if strings.HasPrefix(key, m.prefix) {
				return m.name
			}
		}
	}
	return ""
}

// OwnerOfRole names who made a role, as far as its tags tell. Terraform leaves no
// mark, so an empty answer means nothing.
func OwnerOfRole(r live.Role) string { return ownerByTags(r.Tags) }

// OwnerOfAnnotation names the field manager of an annotation, or the tool that the
// ServiceAccount's labels name.
func OwnerOfAnnotation(a live.ServiceAccount, annotation string) string {
	owner := ""
	for _, m := range a.Managers {
		if m.Annotation != annotation {
			continue
		}
		if m.Manager != FieldManager {
			return m.Manager
		}
		owner = m.Manager
	}
	if owner == "" {
		return a.Tool
	}
	return owner
}

// MayTakeAnnotation reports whether an annotation may be written: it is not there,
// it is lanyard's own, or the mapping adopts the plane.
func MayTakeAnnotation(m desired.Mapping, a live.ServiceAccount, annotation string) bool {
	if _, there := a.Annotations[annotation]; !there || m.Adopt.Annotation {
		return true
	}
	return OwnerOfAnnotation(a, annotation) == FieldManager
}
