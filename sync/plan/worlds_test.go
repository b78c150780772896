// Worlds in which a law was broken once, found by review; each test is named after
// its case, and fails where the law is broken again.

package plan_test

import (
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

func dump(t *testing.T, p plan.Plan) {
	for _, s := range p.Steps {
		t.Logf("  step %s %s %v guards %v", s.Effect, s.Subject, s.Action, s.Guards)
	}
	for _, h := range p.Holds {
		t.Logf("  hold %s %s: %s", h.Reason, h.Subject, h.Message)
	}
}

func (s *sim) later(d time.Duration) { s.facts.TakenAt = s.facts.TakenAt.Add(d) }

func TestWorldPruneStatementSAUnknown(t *testing.T) {
	s := one(t, identity.IRSA)
	s.state.Mappings, s.policy.Prune, s.policy.Accept, s.facts.Pods = nil, desired.PruneOwned, strings.Repeat("ab", 20), nil
	s.facts.ServiceAccounts = nil
	s.facts.Gaps = []live.Gap{{Source: live.SourceServiceAccounts, Reason: live.GapRefused}}
	for range 3 {
		p := s.round()
		dump(t, p)
		if len(p.Steps) > 0 {
			t.Errorf("pruned blind")
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldLosesUndescribed(t *testing.T) {
	s := one(t, identity.PodIdentity)
	other := identity.Subject{Namespace: "demo", ServiceAccount: "other"}
	g := grantFor(reader, identity.PodIdentity)
	wide := g
	wide.Width = identity.WidthBare
	s.facts.Roles[0].TrustPolicy = document(g, wide)
	s.facts.Associations = append(s.facts.Associations, live.Association{Namespace: "demo", ServiceAccount: "other", ID: "a-2", Described: false})
	s.facts.ServiceAccounts = append(s.facts.ServiceAccounts, live.ServiceAccount{Namespace: "demo", Name: "other", UID: "u2"})
	s.facts.Gaps = []live.Gap{{Source: live.SourceDescribeAssociation, Scope: "a-2", Reason: live.GapThrottled}}
	_ = other
	for range 3 {
		p := s.round()
		dump(t, p)
		if len(p.Steps) > 0 {
			t.Errorf("narrowed while another association's role is unknown")
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldRoleAndAudience(t *testing.T) {
	s := one(t, identity.IRSA)
	s.mapping().Role = roleARN("two")
	s.mapping().IRSA.Audience = "example.com"
	for range 5 {
		snap := s.snapshot()
		var p plan.Plan
		p, s.memory = plan.Repair(plan.Input{Revision: s.state.Revision, Result: diff.Compare(s.state, snap, s.policy.Diff), Snapshot: snap, Policy: s.policy, Memory: s.memory})
		dump(t, p)
		for _, st := range p.Steps {
			s.take(st)
			a := s.facts.ServiceAccounts[0].Annotations
			role, _ := identity.ParseRoleARN(a[diff.AnnotationRole])
			aud := a[diff.AnnotationAudience]
			if aud == "" {
				aud = "sts.amazonaws.com"
			}
			doc, _, _ := s.snapshot().Trust(role)
			v := doc.Evaluate(trust.Request{Mechanism: identity.IRSA, Subject: reader, Cluster: cluster, Provider: providerARN(), Audience: aud})
			if v.Decision != trust.Allow {
				t.Errorf("after %v a new pod gets role %s audience %s: %v", st.Action, role.Name, aud, v.Reason)
				// lanyard stops here; new process
				s.memory = plan.Memory{}
				s.mapping().Adopt.Trust = false
				for range 4 {
					s.later(2 * time.Minute)
					t.Log("after restart, trust not adopted:")
					dump(t, s.round())
				}
				return
			}
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldWidenNarrows(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Roles[0].TrustPolicy = document(rootStatement, grantFor(reader, identity.IRSA, "sts.amazonaws.com", "example.com"))
	// the pods have moved to example.com; one with a long grace period still ends, on the old audience
	s.facts.ServiceAccounts[0].Annotations[diff.AnnotationAudience] = "example.com"
	s.facts.Pods[0].Terminating = true
	s.mapping().IRSA.Audience = "third.example"
	s.facts.Providers[0].ClientIDs = append(s.facts.Providers[0].ClientIDs, "third.example")
	before := mayAssume(s.snapshot(), s.facts.Pods[0])
	p := s.round()
	dump(t, p)
	if after := mayAssume(s.snapshot(), s.facts.Pods[0]); before[0] && !after[0] {
		t.Errorf("a widen step took the audience away from a running (terminating) pod")
	}
}
func TestWorldWidenNarrowsBoth(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Roles[0].TrustPolicy = document(rootStatement, grantFor(reader, identity.IRSA, "sts.amazonaws.com", "example.com"))
	s.facts.ServiceAccounts[0].Annotations[diff.AnnotationAudience] = "example.com"
	s.facts.Pods[0].Containers[0].Credential = live.CredentialBoth
	s.mapping().IRSA.Audience = "third.example"
	s.facts.Providers[0].ClientIDs = append(s.facts.Providers[0].ClientIDs, "third.example")
	p := s.round()
	dump(t, p)
	doc, _, _ := s.snapshot().Trust(roleARN("one"))
	if v := doc.Evaluate(trust.Request{Mechanism: identity.IRSA, Subject: reader, Cluster: cluster, Provider: providerARN(), Audience: "sts.amazonaws.com"}); v.Decision != trust.Allow {
		t.Errorf("a widen step took the audience away from a live pod that has both")
	}
}

func TestWorldPruneProtected(t *testing.T) {
	s := one(t, identity.PodIdentity)
	s.state.Mappings, s.policy.Prune, s.policy.Accept, s.facts.Pods = nil, desired.PruneOwned, strings.Repeat("ab", 20), nil
	s.policy.Diff.Forbid = func(m desired.Mapping) (string, bool) { return "protect: demo", true }
	p := s.round()
	dump(t, p)
	if len(p.Steps) > 0 {
		t.Errorf("prune in a namespace that the guard rails protect")
	}
}

func TestWorldPausedNarrows(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Roles[1].TrustPolicy = document(rootStatement, grantFor(reader, identity.IRSA))
	s.facts.ServiceAccounts[0].Annotations[diff.PauseMark] = "release week"
	for range 3 {
		p := s.round()
		dump(t, p)
		if len(p.Steps) > 0 {
			t.Errorf("narrowed while paused")
		}
		s.later(2 * time.Minute)
	}
	s = one(t, identity.PodIdentity)
	s.state.Mappings, s.policy.Prune, s.policy.Accept, s.facts.Pods = nil, desired.PruneOwned, strings.Repeat("ab", 20), nil
	s.facts.ServiceAccounts[0].Annotations[diff.PauseMark] = "release week"
	p := s.round()
	dump(t, p)
	if len(p.Steps) > 0 {
		t.Errorf("pruned while paused")
	}
}

func TestWorldWidthWider(t *testing.T) {
	s := one(t, identity.PodIdentity)
	s.mapping().PodIdentity.Trust = identity.WidthAccount
	for range 4 {
		p := s.round()
		dump(t, p)
		r := diff.Compare(s.state, s.snapshot(), s.policy.Diff)
		t.Log(r.Judged[0].Class, r.Findings)
		if len(r.Findings) > 0 && len(p.Steps)+len(p.Holds) == 0 {
			t.Errorf("a finding for ever, no step and no hold")
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldAutoCrossAccount(t *testing.T) {
	s := one(t, identity.PodIdentity)
	far := identity.RoleARN{Partition: "aws", Account: "210987654321", Path: "/", Name: "far"}
	s.mapping().Mechanism = identity.Auto
	s.mapping().Role = far
	s.facts.Accounts = append(s.facts.Accounts, live.Account{ID: far.Account, TrustSizeQuota: 2048})
	s.facts.Roles = append(s.facts.Roles, live.Role{ARN: far, Presence: live.Present, TrustPolicy: document(rootStatement)})
	for range 3 {
		p := s.round()
		dump(t, p)
		if len(p.Steps) > 0 {
			t.Errorf("an association cannot have a role of another account")
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldLateReadsConflict(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Roles[0].TrustPolicy = document(rootStatement)
	s.facts.Pods = nil
	for i := range 4 {
		snap := s.snapshot() // IAM still shows what stood before
		var p plan.Plan
		p, s.memory = plan.Repair(plan.Input{Revision: s.state.Revision, Result: diff.Compare(s.state, snap, s.policy.Diff), Snapshot: snap, Policy: s.policy, Memory: s.memory})
		dump(t, p)
		for _, st := range p.Steps {
			s.memory = s.memory.Record(s.facts.TakenAt, st) // Unverified: Wrote() && Before != After
		}
		for _, h := range p.Holds {
			if h.Reason == plan.WriteConflict {
				t.Errorf("round %d, %v after the first write: nobody else wrote", i, s.facts.TakenAt.Sub(start))
			}
		}
		s.later(5 * time.Second)
	}
}

func TestWorldStarve(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Pods = nil
	s.state.Mappings, s.facts.ServiceAccounts = nil, nil
	for i := range 25 {
		sub := identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprintf("sa-%02d", i)}
		m := desired.Mapping{Subject: sub, Name: sub.ServiceAccount, Role: roleARN(sub.ServiceAccount), Mechanism: identity.IRSA, Adopt: desired.Adopt{Trust: true}}
		s.state.Mappings = append(s.state.Mappings, m)
		s.facts.ServiceAccounts = append(s.facts.ServiceAccounts, live.ServiceAccount{Namespace: "demo", Name: sub.ServiceAccount, UID: "u" + sub.ServiceAccount, Annotations: map[string]string{diff.AnnotationRole: m.Role.String()}})
		s.facts.Roles = append(s.facts.Roles, live.Role{ARN: m.Role, Presence: live.Present, TrustPolicy: document(rootStatement)})
	}
	planned := map[string]int{}
	for range 50 { // every write is refused, AccessDenied
		snap := s.snapshot()
		var p plan.Plan
		p, s.memory = plan.Repair(plan.Input{Revision: s.state.Revision, Result: diff.Compare(s.state, snap, s.policy.Diff), Snapshot: snap, Policy: s.policy, Memory: s.memory})
		for _, st := range p.Steps {
			planned[st.Subject.ServiceAccount]++
			s.memory = s.memory.RecordFailed(s.facts.TakenAt, st)
		}
		s.later(time.Minute)
	}
	if planned["sa-24"] == 0 {
		t.Errorf("sa-24 was never planned in 50 rounds: %v", planned)
	}
}

func TestWorldNamespaceGap(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.ServiceAccounts[0].Annotations = map[string]string{}
	s.facts.Namespaces = nil
	s.facts.Gaps = []live.Gap{{Source: live.SourceNamespaces, Reason: live.GapRefused}}
	for range 3 {
		p := s.round()
		dump(t, p)
		if len(p.Steps) > 0 {
			t.Errorf("written although nobody knows whether the namespace is paused or terminating")
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldStaleSA(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Gaps = []live.Gap{{Source: live.SourceServiceAccounts, Reason: live.GapRefused}}
	_, p := s.snapshot().ServiceAccount(reader)
	t.Log(p)
	r := diff.Compare(s.state, s.snapshot(), s.policy.Diff)
	t.Log(r.Judged[0].Class)
	if p != live.Unknown {
		t.Errorf("what a refused list showed last counts as present")
	}
}

func TestWorldGuardRewired(t *testing.T) {
	s := one(t, identity.PodIdentity)
	s.facts.Roles[1].TrustPolicy = document(rootStatement, grantFor(reader, identity.PodIdentity))
	var p plan.Plan
	for range 3 {
		snap := s.snapshot()
		p, s.memory = plan.Repair(plan.Input{Revision: s.state.Revision, Result: diff.Compare(s.state, snap, s.policy.Diff), Snapshot: snap, Policy: s.policy, Memory: s.memory})
		if len(p.Steps) > 0 {
			break
		}
		s.later(2 * time.Minute)
	}
	dump(t, p)
	// between the cached Describe and the write somebody gives the association the old role
	s.facts.Associations[0].Role = roleARN("two")
	s.facts.Associations[0].ModifiedAt = s.facts.TakenAt
	for _, g := range p.Steps[0].Guards {
		if err := g.Check(s.snapshot()); err != nil {
			t.Logf("guard %s: %v", g.Kind(), err)
			return
		}
	}
	was := mayAssume(s.snapshot(), s.facts.Pods[0])
	s.take(p.Steps[0])
	is := mayAssume(s.snapshot(), s.facts.Pods[0])
	if was[0] && !is[0] {
		t.Errorf("all guards hold, and the pod has lost its role")
	}
}

func TestWorldRoleFromReference(t *testing.T) {
	s := one(t, identity.IRSA)
	s.facts.Roles[1].TrustPolicy = document(rootStatement, grantFor(reader, identity.IRSA))
	s.facts.Pods[0].Containers[0].Role = ""
	s.facts.Pods[0].Containers[0].Why = "AWS_ROLE_ARN comes from a reference, which is not read"
	for range 3 {
		p := s.round()
		dump(t, p)
		if slices.ContainsFunc(p.Steps, func(st plan.Step) bool { return st.Effect == plan.Narrow }) {
			t.Errorf("narrowed although a live pod's role is unknown")
		}
		s.later(2 * time.Minute)
	}
}

// TestWorldOldRoleSoaks: IRSA's statement on the role of before stays for the soak after a
// move to Pod Identity: who read the annotation in secret would show in it.
func TestWorldOldRoleSoaks(t *testing.T) {
	s := one(t, identity.PodIdentity)
	s.mapping().Migration.Soak = 30 * time.Minute
	s.facts.Roles[1].TrustPolicy = document(rootStatement, grantFor(reader, identity.IRSA))
	drops := func() bool {
		p := s.round()
		dump(t, p)
		return slices.ContainsFunc(p.Steps, func(st plan.Step) bool { return st.Action.Kind() == "drop-trust-statement" })
	}
	for range 14 {
		if drops() {
			t.Fatalf("dropped %s after the first look", s.facts.TakenAt.Sub(start))
		}
		s.later(2 * time.Minute)
	}
	s.later(2 * time.Minute)
	if !drops() {
		t.Errorf("not dropped %s after the first look", s.facts.TakenAt.Sub(start))
	}
}
