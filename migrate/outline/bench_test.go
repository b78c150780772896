package outline_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// BenchmarkPlan is `lanyard plan -o table` of 5,000 mappings from a snapshot, each with a
// role, a Deployment and two pods; every other one is wanted on Pod Identity. The
// baseline beside it reads the same snapshot, and does nothing with it; count is what the
// daemon does after each whole round.
func BenchmarkPlan(b *testing.B) {
	state, text := fleet(b)
	for name, use := range map[string]func(*live.Snapshot) error{
		"read": func(*live.Snapshot) error { return nil },
		"count": func(s *live.Snapshot) error {
			if o := outline.New(state, s, outline.Options{Brief: true}); o.Summary.Workloads != many {
				return fmt.Errorf("%d workloads", o.Summary.Workloads)
			}
			return nil
		},
		"plan": func(s *live.Snapshot) error {
			return outline.New(state, s, outline.Options{}).Table(io.Discard, outline.View{})
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				snap, err := live.Decode(text)
				if err != nil {
					b.Fatal(err)
				}
				if err := use(snap); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMoves is what mode migrate adds to a round over the same fleet, none of
// which is at rest; the baseline beside it is the comparison that every round makes anyway.
func BenchmarkMoves(b *testing.B) {
	state, text := fleet(b)
	snap, err := live.Decode(text)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("compare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			diff.Compare(state, snap, diff.Options{})
		}
	})
	judged := diff.Compare(state, snap, diff.Options{}).Judged
	b.Run("next", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a := migrate.NewAssessor(snap, migrate.Options{Mappings: state.Mappings, Brief: true})
			if next := a.Next(judged, state.Mappings, migrate.Course{Settle: time.Minute}); len(next) != many { // the role that they copy trusts none of them
				b.Fatalf("%d are on their way", len(next))
			}
		}
	})
}

const many = 5000

// fleet is Git's state and a snapshot of 5,000 workloads.
func fleet(b *testing.B) (desired.State, []byte) {
	b.Helper()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		b.Fatal(err)
	}
	role, account := f.Roles[5], f.ServiceAccounts[0]
	f.ServiceAccounts, f.Workloads, f.Pods, f.Associations, f.Roles, f.Namespaces = nil, nil, nil, nil, nil, []live.Namespace{{Name: "many"}}
	state := desired.State{Cluster: "irsa-lab"}
	for n := range many {
		name := fmt.Sprintf("app-%04d", n)
		r := role
		r.ARN = identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: name}
		f.Roles = append(f.Roles, r)
		a := account
		a.Namespace, a.Name, a.Annotations = "many", name, map[string]string{"eks.amazonaws.com/role-arn": r.ARN.String()}
		f.ServiceAccounts = append(f.ServiceAccounts, a)
		f.Workloads = append(f.Workloads, live.Workload{Namespace: "many", Kind: "Deployment", Name: name, ServiceAccount: name, Replicas: 2, PodLabels: map[string]string{"app": name},
			Containers: []live.Template{{Name: "main", Image: "aws-cli:2.33.0"}}})
		for p := range 2 {
			f.Pods = append(f.Pods, live.Pod{Namespace: "many", Name: fmt.Sprint(name, "-", p), ServiceAccount: name, Node: f.Nodes[0].Name, Owner: live.WorkloadRef{Kind: "Deployment", Name: name},
				CreatedAt: f.TakenAt, Phase: "Running", Ready: true, Containers: []live.Container{{Name: "main", Credential: live.CredentialIRSA, Role: r.ARN.String()}}})
		}
		m := desired.Undeclared(identity.Subject{Namespace: "many", ServiceAccount: name}, r.ARN, identity.IRSA)
		if n%2 == 0 {
			m.Mechanism = identity.PodIdentity
		}
		state.Mappings = append(state.Mappings, m)
	}
	text, err := f.EncodeJSON()
	if err != nil {
		b.Fatal(err)
	}
	return state, text
}
