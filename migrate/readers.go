package migrate

import (
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/live"
)

// readers finds who besides EKS's webhook uses the ServiceAccount's IRSA. They never
// show in a pod's environment, and fail when the annotation or the old trust goes.
//
// Sources: https://github.com/aws/secrets-store-csi-driver-provider-aws,
// https://external-secrets.io/latest/provider/aws-access/,
// https://keda.sh/docs/latest/authentication-providers/aws/,
// https://cert-manager.io/docs/configuration/acme/dns01/route53/,
// https://github.com/awslabs/mountpoint-s3-csi-driver, docs/CONFIGURATION.md
func (l *look) readers() {
	if l.m.Migration.Cleanup == desired.CleanupKeepAnnotation {
		return
	}
	var facts []Fact
	for _, r := range l.snap.Facts().Readers {
		if by := l.usedBy(r); by != "" {
			facts = append(facts, Fact{OfReader, r.String(), strings.TrimSuffix(r.Field+"; "+by, "; ")})
		}
	}
	l.reason(AnnotationReader, facts, "somebody besides EKS's webhook uses this ServiceAccount's IRSA, and would fail once it is gone",
		"let these objects use Pod Identity or a ServiceAccount of their own, or write migration.cleanup: keep-annotation")
}

// usedBy says by what a reader uses the subject's IRSA; empty if it does not.
func (l *look) usedBy(r live.Reader) string {
	s := l.m.Subject
	switch {
	case r.ServiceAccount != "":
		if namespace, name, _ := strings.Cut(r.ServiceAccount, "/"); name == s.ServiceAccount && (namespace == s.Namespace || namespace == "*") {
			return "names ServiceAccount " + s.ServiceAccount
		}
	case r.Mounted:
		for _, w := range l.workloads {
			if r.Claim != "" {
				if slices.ContainsFunc(w.Claims, func(claim string) bool { return live.Like(w.Namespace+"/"+claim, r.Claim) }) {
					return "mounted by " + workloadFact(w, "").Name
				}
			} else if r.Namespace == w.Namespace && slices.Contains(w.SecretClasses, r.Name) {
				return "mounted by " + workloadFact(w, "").Name
			}
		}
	default:
		for _, w := range l.workloads {
			if r.Namespace != "" && r.Namespace != w.Namespace {
				continue
			}
			if slices.Contains(r.Scaled, live.WorkloadRef{Kind: w.Kind, Name: w.Namespace + "/" + w.Name}) {
				return "scales " + workloadFact(w, "").Name
			}
		}
	}
	return ""
}
