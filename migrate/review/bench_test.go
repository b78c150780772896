package review_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

const many = 5000

// BenchmarkReview reviews pull requests on 5,000 mappings, each with a role, a Deployment
// and two pods: one that flips a single one, and one whose default gives all of them
// another setting. The baseline beside them is what cannot be spared: both revisions
// compared with the live world.
func BenchmarkReview(b *testing.B) {
	base, snap := crowd(b, many)
	change := func(n int, f func(*desired.Mapping)) desired.State {
		s := base
		s.Mappings = slices.Clone(s.Mappings)
		for i := range n {
			f(&s.Mappings[i])
		}
		return s
	}
	flip := change(1, func(m *desired.Mapping) { m.Mechanism = identity.PodIdentity })
	defaults := change(many, func(m *desired.Mapping) { m.IRSA.TokenExpiration = 12 * time.Hour })
	b.Run("compare-twice", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			diff.Compare(base, snap, diff.Options{})
			diff.Compare(flip, snap, diff.Options{})
		}
	})
	for _, test := range []struct {
		name    string
		head    desired.State
		touches int
	}{{"flip-one", flip, 1}, {"default-of-all", defaults, many}} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := review.New(review.Input{Base: base, Head: test.head, Snapshot: snap, Mode: desired.ModeMigrate, Policy: plan.DefaultPolicy()})
				if r.Summary.Workloads != test.touches {
					b.Fatalf("%d workloads", r.Summary.Workloads)
				}
				if err := r.Markdown(io.Discard, 60_000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSARIF writes the log of pull requests on 8,000 mappings: one whose default gives
// all of them another setting, and one that gives all of them another name. The baseline
// beside each writes the same review as JSON.
func BenchmarkSARIF(b *testing.B) {
	const all = 8000
	base, snap := crowd(b, all)
	change := func(f func(*desired.Mapping)) desired.State {
		s := base
		s.Mappings = slices.Clone(s.Mappings)
		for i := range s.Mappings {
			f(&s.Mappings[i])
		}
		return s
	}
	for _, test := range []struct {
		name string
		head desired.State
	}{
		{"default-of-all", change(func(m *desired.Mapping) { m.IRSA.TokenExpiration = 12 * time.Hour })},
		{"rename-all", change(func(m *desired.Mapping) { m.Subject.Namespace, m.At.File = "more", "more/"+m.At.File })},
	} {
		in := review.Input{Base: base, Head: test.head, Snapshot: snap, Mode: desired.ModeMigrate, Policy: plan.DefaultPolicy()}
		r := review.New(in)
		if len(r.Workloads) != all || len(r.Caused) < all {
			b.Fatalf("%s: %d workloads, %d findings", test.name, len(r.Workloads), len(r.Caused))
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"review", func() error { review.New(in); return nil }},
			{"json", func() error { return json.NewEncoder(io.Discard).Encode(r) }},
			{"sarif", func() error { return r.SARIF(io.Discard) }},
		} {
			b.Run(test.name+"/"+step.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := step.do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// crowd is Git's state and the live world of so many workloads on IRSA.
func crowd(b *testing.B, many int) (desired.State, *live.Snapshot) {
	b.Helper()
	f := facts(b)
	role, account := f.Roles[5], f.ServiceAccounts[0]
	f.ServiceAccounts, f.Workloads, f.Pods, f.Associations, f.Roles, f.Namespaces = nil, nil, nil, nil, nil, []live.Namespace{{Name: "many"}}
	state := desired.State{Cluster: "irsa-lab"}
	for n := range many {
		name := fmt.Sprintf("app-%04d", n)
		r := role
		r.ARN = identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: name}
		r.TrustPolicy = strings.ReplaceAll(role.TrustPolicy, "cross:chained-reader", "many:"+name)
		f.Roles = append(f.Roles, r)
		a := account
		a.Namespace, a.Name, a.Annotations = "many", name, map[string]string{diff.AnnotationRole: r.ARN.String()}
		f.ServiceAccounts = append(f.ServiceAccounts, a)
		f.Workloads = append(f.Workloads, live.Workload{Namespace: "many", Kind: "Deployment", Name: name, ServiceAccount: name, Replicas: 2, PodLabels: map[string]string{"app": name},
			Containers: []live.Template{{Name: "main", Image: "aws-cli:2.33.0"}}})
		for p := range 2 {
			f.Pods = append(f.Pods, live.Pod{Namespace: "many", Name: fmt.Sprint(name, "-", p), ServiceAccount: name, Node: f.Nodes[0].Name, Owner: live.WorkloadRef{Kind: "Deployment", Name: name},
				CreatedAt: f.TakenAt, Phase: "Running", Ready: true, Containers: []live.Container{{Name: "main", Credential: live.CredentialIRSA, Role: r.ARN.String()}}})
		}
		m := desired.Undeclared(identity.Subject{Namespace: "many", ServiceAccount: name}, r.ARN, identity.IRSA)
		m.At = desired.Position{File: "fleet/" + name + ".yaml", Line: 4, Column: 9}
		state.Mappings = append(state.Mappings, m)
	}
	return state, snapshot(b, f)
}
