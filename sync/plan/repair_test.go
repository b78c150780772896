package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

var reader = identity.Subject{Namespace: "demo", ServiceAccount: "reader"}

func grantFor(sub identity.Subject, m identity.Mechanism, audiences ...string) trust.Grant {
	if len(audiences) == 0 {
		audiences = []string{"sts.amazonaws.com"}
	}
	return trust.Grant{Mechanism: m, Subject: sub, Cluster: cluster, Provider: providerARN(), Audiences: audiences, SessionTags: true}
}

const rootStatement = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}`

func document(statements ...any) string {
	var all []string
	for _, s := range statements {
		if g, ok := s.(trust.Grant); ok {
			all = append(all, string(g.Statement()))
		} else {
			all = append(all, s.(string))
		}
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`
}

// one is a world of one subject in sync on a mechanism, with everything adopted.
func one(t *testing.T, m identity.Mechanism) *sim {
	s := &sim{t: t, policy: plan.DefaultPolicy()}
	s.state = desired.State{Revision: desired.Revision{Ref: "main", Commit: strings.Repeat("ab", 20)}, Mappings: []desired.Mapping{{
		Subject: reader, Name: "reader", Role: roleARN("one"), Mechanism: m, PodIdentity: desired.PodIdentity{SessionTags: true},
		Adopt: desired.Adopt{Annotation: true, Trust: true, Association: true}, At: desired.Position{File: "f.yaml", Line: 4, Column: 9}}}}
	s.facts = live.Facts{TakenAt: start, Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: issuer, APIServerIssuer: issuer},
		Accounts:        []live.Account{{ID: account, TrustSizeQuota: 2048}},
		Namespaces:      []live.Namespace{{Name: "demo"}},
		Providers:       []live.OIDCProvider{{ARN: providerARN(), Account: account, ClientIDs: []string{"sts.amazonaws.com", "example.com"}, Described: true}},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "reader", UID: "uid-1", Annotations: map[string]string{}}},
		Roles: []live.Role{{ARN: roleARN("one"), Presence: live.Present, TrustPolicy: document(rootStatement, grantFor(reader, m))},
			{ARN: roleARN("two"), Presence: live.Present, TrustPolicy: document(rootStatement)}},
		Pods: []live.Pod{{Namespace: "demo", Name: "reader-1", ServiceAccount: "reader", CreatedAt: start.Add(-time.Hour), Phase: "Running"}},
	}
	if m == identity.IRSA {
		s.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = roleARN("one").String()
		s.facts.Pods[0].Containers = []live.Container{{Name: "app", Credential: live.CredentialIRSA, Role: roleARN("one").String(), Audience: "sts.amazonaws.com"}}
	} else {
		s.facts.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "reader", ID: "a-1", Described: true, Role: roleARN("one"),
			Tags: map[string]string{diff.TagCluster: cluster.ARN(), diff.TagMapping: "demo/reader"}, CreatedAt: start.Add(-24 * time.Hour), ModifiedAt: start.Add(-24 * time.Hour)}}
		s.facts.Pods[0].Containers = []live.Container{{Name: "app", Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com"}}
	}
	return s
}

func (s *sim) mapping() *desired.Mapping { return &s.state.Mappings[0] }

// story runs rounds to rest and writes down each round that did or held something.
func story(s *sim, restart func(p plan.Plan)) []string {
	var out []string
	s.rest(func(before live.Facts, p plan.Plan) {
		for _, step := range p.Steps {
			out = append(out, fmt.Sprintf("%s %s", step.Effect, step.Action.Kind()))
		}
		for _, h := range p.Holds {
			line := "hold " + string(h.Reason)
			if len(out) == 0 || out[len(out)-1] != line {
				out = append(out, line)
			}
		}
		if restart != nil {
			restart(p)
		}
	})
	return out
}

func TestStories(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		world func(*testing.T) *sim
		after func(s *sim) func(plan.Plan) // what others do after a round
		want  []string
	}{
		{"in sync", func(t *testing.T) *sim { return one(t, identity.IRSA) }, nil, nil},
		{"a trust statement is lost", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			return s
		}, nil, []string{"widen put-trust-statement"}},
		{"not adopted: the statement is handed over", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			s.mapping().Adopt.Trust = false
			return s
		}, nil, []string{"hold owner-must-act"}},
		{"a lost annotation comes back after settle", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.ServiceAccounts[0].Annotations = map[string]string{}
			return s
		}, nil, []string{"hold settling", "cross set-annotation"}},
		{"an annotation of Helm's without adoption is handed over", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.ServiceAccounts[0].Annotations = map[string]string{diff.AnnotationRole: roleARN("two").String()}
			s.facts.ServiceAccounts[0].Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm"}}
			s.facts.Roles[1].TrustPolicy = document(grantFor(reader, identity.IRSA))
			s.mapping().Adopt.Annotation = false
			s.facts.Pods = nil
			return s
		}, nil, []string{"hold owner-must-act"}},
		{"the role changes on IRSA: widen, settle, cross, and narrow once the pods have moved", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.mapping().Role = roleARN("two")
			return s
		}, func(s *sim) func(plan.Plan) {
			return func(p plan.Plan) {
				if slices.ContainsFunc(p.Steps, func(st plan.Step) bool { return st.Effect == plan.Cross }) {
					s.facts.Pods = slices.Clone(s.facts.Pods)
					s.facts.Pods[0].Containers = []live.Container{{Name: "app", Credential: live.CredentialIRSA, Role: roleARN("two").String(), Audience: "sts.amazonaws.com"}}
				}
			}
		}, []string{"widen put-trust-statement", "hold restart-needed", "hold settling",
			"hold restart-needed", "hold settling", "cross set-annotation", "hold restart-needed", "hold settling", "narrow drop-trust-statement"}},
		{"an association under live pods is made again", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.facts.Associations = nil
			return s
		}, nil, []string{"hold settling", "cross create-association"}},
		{"an association is not made while pods are on IRSA", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.mapping().Mechanism = identity.PodIdentity
			return s
		}, nil, []string{"hold in-transition"}},
		{"in transition the trust that pods live on is repaired all the same", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.mapping().Mechanism = identity.PodIdentity
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			return s
		}, nil, []string{"widen put-trust-statement", "hold in-transition"}},
		{"an association's role is updated in place", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.facts.Associations[0].Role = roleARN("two")
			return s
		}, nil, []string{"hold settling", "cross update-association"}},
		{"a target role cannot be cleared hitlessly", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.facts.Associations[0].TargetRole = roleARN("two")
			return s
		}, nil, []string{"hold not-hitless"}},
		{"a target role is reached for only once it trusts the association's role", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.mapping().PodIdentity.TargetRole = roleARN("two")
			s.facts.Roles[1].TrustPolicy = document(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/other"},"Action":["sts:AssumeRole","sts:TagSession"]}`)
			return s
		}, nil, []string{"hold owner-must-act"}},
		{"a target role that trusts: settle, then update", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.mapping().PodIdentity.TargetRole = roleARN("two")
			s.facts.Roles[1].TrustPolicy = document(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/one"},"Action":["sts:AssumeRole","sts:TagSession"]}`)
			return s
		}, nil, []string{"hold settling", "cross update-association"}},
		{"a missing target role does not stop the repair of the role's own trust", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.mapping().PodIdentity.TargetRole = roleARN("two")
			s.facts.Roles[1] = live.Role{ARN: roleARN("two"), Presence: live.Absent}
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			return s
		}, nil, []string{"widen put-trust-statement", "hold owner-must-act"}},
		{"an add-on's association is the add-on's", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.facts.Associations[0].Role = roleARN("two")
			s.facts.Associations[0].OwnerARN = "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1"
			return s
		}, nil, []string{"hold owner-must-act"}},
		{"an audience joins the list first and the old one goes last", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.mapping().IRSA.Audience = "example.com"
			return s
		}, func(s *sim) func(plan.Plan) {
			return func(p plan.Plan) {
				if slices.ContainsFunc(p.Steps, func(st plan.Step) bool { return st.Effect == plan.Cross }) {
					s.facts.Pods = slices.Clone(s.facts.Pods)
					s.facts.Pods[0].Containers = []live.Container{{Name: "app", Credential: live.CredentialIRSA, Role: roleARN("one").String(), Audience: "example.com"}}
				}
			}
		}, []string{"widen put-trust-statement", "hold settling", "cross set-annotation", "hold settling", "narrow put-trust-statement"}},
		{"a width changes: the new statement stands for settle before the old one goes", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			wide := grantFor(reader, identity.PodIdentity)
			wide.Width = identity.WidthBare
			s.facts.Roles[0].TrustPolicy = document(wide)
			return s
		}, nil, []string{"widen put-trust-statement", "hold settling", "narrow drop-trust-statement"}},
		{"a width grows: the new statement stands beside the old one first", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.mapping().PodIdentity.Trust = identity.WidthAccount
			return s
		}, nil, []string{"widen put-trust-statement", "hold settling", "narrow drop-trust-statement"}},
		{"paused: only trust is repaired", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			s.facts.ServiceAccounts[0].Annotations = map[string]string{diff.PauseMark: "release week"}
			return s
		}, nil, []string{"widen put-trust-statement", "hold paused"}},
		{"gone from Git, prune never", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.state.Mappings = nil
			return s
		}, nil, []string{"hold prune-off"}},
		{"gone from Git, everything at once, not accepted", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.state.Mappings, s.policy.Prune = nil, desired.PruneOwned
			return s
		}, nil, []string{"hold mass-removal"}},
		{"gone from Git, accepted, in use", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.state.Mappings, s.policy.Prune, s.policy.Accept = nil, desired.PruneOwned, strings.Repeat("ab", 20)
			return s
		}, nil, []string{"hold in-use"}},
		{"gone from Git, accepted, unused: the association, then, six hours later, the trust", func(t *testing.T) *sim {
			s := one(t, identity.PodIdentity)
			s.state.Mappings, s.policy.Prune, s.policy.Accept, s.facts.Pods = nil, desired.PruneOwned, strings.Repeat("ab", 20), nil
			return s
		}, nil, []string{"narrow delete-association", "hold in-use", "hold settling", "narrow drop-trust-statement"}},
		{"a namespace on its way out is left alone", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			s.facts.Namespaces[0].Terminating = true
			return s
		}, nil, []string{"hold terminating"}},
		{"no room in the trust policy", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			s.facts.Accounts[0].TrustSizeQuota = 300
			return s
		}, nil, []string{"hold trust-full"}},
		{"the API server is another cluster's", func(t *testing.T) *sim {
			s := one(t, identity.IRSA)
			s.facts.Roles[0].TrustPolicy = document(rootStatement)
			s.facts.Cluster.APIServerIssuer = "https://example.com"
			return s
		}, nil, []string{"hold cluster-mismatch"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := tt.world(t)
			var after func(plan.Plan)
			if tt.after != nil {
				after = tt.after(s)
			}
			if got := story(s, after); !slices.Equal(got, tt.want) {
				t.Errorf("story\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestWriteConflict: another writer takes our annotation back again and again. lanyard
// writes twice, then stops and names the opponent; a statement that live pods depend
// on is restored all the same, every five minutes.
func TestWriteConflict(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		undo func(*sim)
		kind string
		want int
	}{
		{"annotation", func(s *sim) {
			s.annotate(reader, diff.AnnotationRole, roleARN("two").String())
			s.facts.ServiceAccounts[0].Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm-controller"}}
		}, "set-annotation", 2},
		{"statement that pods depend on", func(s *sim) { s.facts.Roles[0].TrustPolicy = document(rootStatement) }, "put-trust-statement", 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := one(t, identity.IRSA)
			writes, conflict := 0, ""
			for range 60 { // half an hour, a round each 30 s
				tt.undo(s)
				p := s.round()
				for _, step := range p.Steps {
					if step.Action.Kind() == tt.kind {
						writes++
					}
				}
				for _, h := range p.Holds {
					if h.Reason == plan.WriteConflict {
						conflict = h.Message
					}
				}
				s.facts.TakenAt = s.facts.TakenAt.Add(30 * time.Second)
			}
			if writes != tt.want {
				t.Errorf("%d writes in half an hour, want %d", writes, tt.want)
			}
			if conflict == "" || tt.kind == "set-annotation" && !strings.Contains(conflict, "helm-controller") {
				t.Errorf("conflict hold is %q; want one that names the opponent", conflict)
			}
		})
	}
}

// TestHandoffTexts: what is handed over is the exact text for the owner.
func TestHandoffTexts(t *testing.T) {
	t.Parallel()
	s := one(t, identity.IRSA)
	s.facts.Roles[0].TrustPolicy = document(rootStatement)
	s.mapping().Adopt.Trust = false
	p := s.round()
	if len(p.Holds) != 1 || p.Holds[0].Handoff == nil {
		t.Fatalf("holds %+v; want one handoff", p.Holds)
	}
	h := p.Holds[0].Handoff
	doc, err := trust.Parse(document(rootStatement, h.JSON))
	if err != nil {
		t.Fatalf("handed over statement does not parse: %v", err)
	}
	v := doc.Evaluate(trust.Request{Mechanism: identity.IRSA, Subject: reader, Cluster: cluster, Provider: providerARN(), Audience: "sts.amazonaws.com"})
	if v.Decision != trust.Allow || !strings.Contains(h.HCL, "system:serviceaccount:demo:reader") {
		t.Errorf("handoff %+v judged %v; want a statement that allows, in JSON and HCL", h, v)
	}
}

// TestSameInputSamePlan: the plan is deterministic to the byte.
func TestSameInputSamePlan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		a, b := generated(t, seed), generated(t, seed)
		x, errX := json.Marshal(a.round())
		y, errY := json.Marshal(b.round())
		if errX != nil || errY != nil || !bytes.Equal(x, y) {
			t.Errorf("seed %d: two plans of one world differ (%v, %v):\n%s\n%s", seed, errX, errY, x, y)
		}
	}
}
