package migrate

import (
	"slices"

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
	s := l.m.Subject
	by := map[int]string{} // of [live.Facts].Readers: by what it uses the subject's IRSA
	note := func(list []int, how string) {
		for _, i := range list {
			if by[i] == "" {
				by[i] = how
			}
		}
	}
	note(l.reading.accounts[s.String()], "names ServiceAccount "+s.ServiceAccount)
	note(l.reading.accounts["*/"+s.ServiceAccount], "names ServiceAccount "+s.ServiceAccount)
	all := l.snap.Facts().Readers
	for _, w := range l.workloads {
		name := workloadFact(w, "").Name
		for _, class := range w.SecretClasses {
			note(l.reading.classes[w.Namespace+"/"+class], "mounted by "+name)
		}
		for _, claim := range w.Claims {
			note(slices.DeleteFunc(slices.Clone(l.reading.claims), func(i int) bool { return !live.Like(w.Namespace+"/"+claim, all[i].Claim) }), "mounted by "+name)
		}
		note(l.reading.scaled[live.WorkloadRef{Kind: w.Kind, Name: w.Namespace + "/" + w.Name}], "scales "+name)
	}
	var facts []Fact
	for i, how := range by {
		facts = append(facts, Fact{OfReader, all[i].String(), all[i].Field + "; " + how})
	}
	l.reason(AnnotationReader, facts, "somebody besides EKS's webhook uses this ServiceAccount's IRSA, and would fail once it is gone",
		"let these objects use Pod Identity or a ServiceAccount of their own, or write migration.cleanup: keep-annotation")
}

// reading finds readers, as indexes into [live.Facts].Readers, by what they say: there may
// be as many of them as people make.
type reading struct {
	accounts map[string][]int // by the ServiceAccount's namespace/name; the namespace may be *
	classes  map[string][]int // by their own namespace/name, of those that are mounted
	claims   []int
	scaled   map[live.WorkloadRef][]int
}

func readingOf(all []live.Reader) reading {
	r := reading{accounts: map[string][]int{}, classes: map[string][]int{}, scaled: map[live.WorkloadRef][]int{}}
	for i, one := range all {
		switch {
		case one.ServiceAccount != "":
			r.accounts[one.ServiceAccount] = append(r.accounts[one.ServiceAccount], i)
		case one.Claim != "":
			r.claims = append(r.claims, i)
		case one.Mounted:
			r.classes[one.Namespace+"/"+one.Name] = append(r.classes[one.Namespace+"/"+one.Name], i)
		default:
			for _, ref := range one.Scaled {
				r.scaled[ref] = append(r.scaled[ref], i)
			}
		}
	}
	return r
}
