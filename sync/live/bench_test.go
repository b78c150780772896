package live_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// large is a cluster with 5,000 wired ServiceAccounts and 20,000 pods, the size that
// lanyard is built for (design.md section 10).
func large() live.Facts {
	const subjects, podsEach = 5000, 4
	f := base()
	f.TakenAt = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	f.Providers = []live.OIDCProvider{{ARN: provider, Account: account, Described: true}}
	for i := range 500 {
		f.Nodes = append(f.Nodes, live.Node{Name: fmt.Sprintf("ip-10-0-%d-%d", i/250, i%250), Ready: true, AgentReady: true})
	}
	for i := range subjects {
		ns, name := fmt.Sprintf("team-%d", i/50), fmt.Sprintf("service-%d", i)
		arn := identity.RoleARN{Partition: "aws", Account: account, Path: "/", Name: name}
		f.ServiceAccounts = append(f.ServiceAccounts, live.ServiceAccount{Namespace: ns, Name: name, UID: name,
			Annotations: map[string]string{"eks.amazonaws.com/role-arn": arn.String()}})
		f.Workloads = append(f.Workloads, live.Workload{Namespace: ns, Kind: "Deployment", Name: name, ServiceAccount: name, Replicas: podsEach})
		f.Roles = append(f.Roles, live.Role{ARN: arn, Presence: live.Present, TrustPolicy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
"Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:sub":"system:serviceaccount:%s:%s"}}}]}`, provider, ns, name)})
		if i%2 == 0 {
			f.Associations = append(f.Associations, live.Association{Namespace: ns, ServiceAccount: name, ID: fmt.Sprint("a-", i), Described: true, Role: arn})
		}
		for p := range podsEach {
			f.Pods = append(f.Pods, live.Pod{Namespace: ns, Name: fmt.Sprintf("%s-%d", name, p), ServiceAccount: name, Node: f.Nodes[(i+p)%500].Name, Phase: "Running",
				CreatedAt: f.TakenAt, Ready: true, Owner: live.WorkloadRef{Kind: "Deployment", Name: name},
				Containers: []live.Container{{Name: "main", Credential: live.CredentialIRSA, Role: arn.String(), Audience: "sts.amazonaws.com", TokenSeconds: 86400}}})
		}
	}
	return f
}

// heap returns what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIndex builds the index, and reports how much memory it takes beside the facts.
func BenchmarkIndex(b *testing.B) {
	f := large()
	before := heap()
	var s *live.Snapshot
	for b.Loop() {
		s = index(b, f)
	}
	b.ReportMetric(float64(heap())-float64(before), "heap-bytes")
	runtime.KeepAlive(s)
	runtime.KeepAlive(f)
}

// BenchmarkLookups asks what a comparison asks, once for each of the 5,000 mappings.
func BenchmarkLookups(b *testing.B) {
	f := large()
	before := heap()
	s := index(b, f)
	for b.Loop() {
		for _, a := range f.ServiceAccounts {
			subject := a.Subject()
			arn, err := identity.ParseRoleARN(a.Annotations["eks.amazonaws.com/role-arn"])
			if err != nil {
				b.Fatal(err)
			}
			_, p := s.ServiceAccount(subject)
			pods, q := s.Pods(subject)
			s.Association(subject)
			s.Workloads(subject)
			s.Node(pods[0].Node)
			s.Provider(provider)
			if _, r, err := s.Trust(arn); p != live.Present || q != live.Present || r != live.Present || err != nil {
				b.Fatal(subject, p, q, r, err)
			}
		}
	}
	b.ReportMetric(float64(heap())-float64(before), "heap-bytes")
	runtime.KeepAlive(s)
	runtime.KeepAlive(f)
}

// BenchmarkDecode reads the file of that cluster.
func BenchmarkDecode(b *testing.B) {
	f := large()
	for form, encode := range map[string]func(live.Facts) ([]byte, error){"json": live.Facts.EncodeJSON, "yaml": live.Facts.EncodeYAML} {
		data, err := encode(f)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(form, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := live.DecodeFacts(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
