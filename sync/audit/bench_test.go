package audit_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/sync/audit"
	"github.com/lanyard-io/lanyard/sync/live"
)

// BenchmarkAudit is `lanyard audit -o table` of 5,000 ServiceAccounts on IRSA, each with
// a role, a Deployment and two pods, without what it takes to read the snapshot.
func BenchmarkAudit(b *testing.B) {
	const many = 5000
	w := sound()
	account, role, workload, pod := w.f.ServiceAccounts[0], w.f.Roles[0], w.f.Workloads[0], w.f.Pods[0]
	w.f.ServiceAccounts, w.f.Roles, w.f.Workloads, w.f.Pods, w.f.Associations = nil, nil, nil, nil, nil
	for n := range many {
		name := fmt.Sprintf("app-%04d", n)
		r := role
		r.ARN = arn("arn:aws:iam::123456789012:role/eks-irsa-lab-demo-" + name + "-role")
		r.TrustPolicy = policy(irsa("StringEquals", "system:serviceaccount:demo:"+name))
		a := account
		a.Name, a.Annotations = name, map[string]string{"eks.amazonaws.com/role-arn": r.ARN.String()}
		d := workload
		d.Name, d.ServiceAccount = name, name
		w.f.ServiceAccounts, w.f.Roles, w.f.Workloads = append(w.f.ServiceAccounts, a), append(w.f.Roles, r), append(w.f.Workloads, d)
		for k := range 2 {
			p := pod
			p.Name, p.ServiceAccount, p.Containers = fmt.Sprint(name, "-", k), name, []live.Container{{Name: "main", Credential: live.CredentialIRSA, Role: r.ARN.String(), Audience: "sts.amazonaws.com"}}
			w.f.Pods = append(w.f.Pods, p)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r := w.audit(b)
		if len(r.ServiceAccounts) != many || len(r.Findings) > 0 || strings.Contains(fmt.Sprint(r.Summary), "unclear") {
			b.Fatalf("%d ServiceAccounts, %d findings", len(r.ServiceAccounts), len(r.Findings))
		}
		if err := r.Table(io.Discard, audit.View{}); err != nil {
			b.Fatal(err)
		}
	}
}
