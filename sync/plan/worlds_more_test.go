// Worlds in which a law was broken once, found by review; each test is named after
// its case, and fails where the law is broken again.

package plan_test

import (
	"fmt"
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

func (s *sim) admits(t *testing.T) bool {
	a := s.facts.ServiceAccounts[0].Annotations
	role, _ := identity.ParseRoleARN(a[diff.AnnotationRole])
	aud := a[diff.AnnotationAudience]
	if aud == "" {
		aud = "sts.amazonaws.com"
	}
	doc, _, _ := s.snapshot().Trust(role)
	v := doc.Evaluate(trust.Request{Mechanism: identity.IRSA, Subject: reader, Cluster: cluster, Provider: providerARN(), Audience: aud})
	t.Logf("new pod: role %s audience %s: %v", role.Name, aud, v.Decision)
	return v.Decision == trust.Allow
}

func TestWorldRoleCrossesAudienceHeld(t *testing.T) {
	s := one(t, identity.IRSA)
	s.mapping().Role = roleARN("two")
	s.mapping().IRSA.Audience = "example.com"
	s.mapping().Adopt.Annotation = false
	a := &s.facts.ServiceAccounts[0]
	a.Annotations[diff.AnnotationAudience] = "sts.amazonaws.com"
	a.Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "lanyard", Operation: "Apply"}, {Annotation: diff.AnnotationAudience, Manager: "helm"}}
	for range 6 {
		dump(t, s.round())
		if !s.admits(t) {
			t.Errorf("at %v new pods get no credentials", s.facts.TakenAt.Sub(start))
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldRoleCrossesForeignTrust(t *testing.T) {
	s := one(t, identity.IRSA)
	s.mapping().Role = roleARN("two")
	s.mapping().IRSA.Audience = "example.com"
	s.mapping().Adopt.Trust = false
	g := grantFor(reader, identity.IRSA, "example.com")
	s.facts.Roles[1].TrustPolicy = document(strings.Replace(string(g.Statement()), `"Sid":"`+g.Sid()+`",`, "", 1))
	for range 8 {
		snap := s.snapshot()
		var p plan.Plan
		p, s.memory = plan.Repair(plan.Input{Revision: s.state.Revision, Result: diff.Compare(s.state, snap, s.policy.Diff), Snapshot: snap, Policy: s.policy, Memory: s.memory})
		dump(t, p)
		if len(p.Steps) > 0 {
			s.take(p.Steps[0]) // the second write fails, or lanyard is stopped
		}
		if !s.admits(t) {
			t.Errorf("at %v new pods get no credentials", s.facts.TakenAt.Sub(start))
		}
		s.later(2 * time.Minute)
	}
}

func TestWorldSessionTagsDeadlock(t *testing.T) {
	s := one(t, identity.PodIdentity)
	s.facts.Associations[0].SessionTagsOff = true // somebody turned them off: pinned trust now denies
	done := false
	for range 6 {
		p := s.round()
		dump(t, p)
		done = done || len(p.Steps) > 0
		s.later(2 * time.Minute)
	}
	if !done {
		t.Errorf("association-settings is never repaired")
	}
}

func TestWorldAudienceTypoDeadlock(t *testing.T) {
	s := one(t, identity.IRSA)
	s.mapping().IRSA.Audience = "sts.amazonaws.com"
	s.facts.ServiceAccounts[0].Annotations[diff.AnnotationAudience] = "typo"
	done := false
	for range 6 {
		p := s.round()
		dump(t, p)
		for _, st := range p.Steps {
			_, is := st.Action.(plan.SetAnnotation)
			done = done || is
		}
		s.later(2 * time.Minute)
	}
	if !done {
		t.Errorf("the annotation is never repaired")
	}
}

func TestWorldAudienceTypoForeignTrust(t *testing.T) {
	s := one(t, identity.IRSA)
	s.mapping().IRSA.Audience = "sts.amazonaws.com"
	s.mapping().Adopt.Trust = false
	g := grantFor(reader, identity.IRSA)
	s.facts.Roles[0].TrustPolicy = document(strings.Replace(string(g.Statement()), `"Sid":"`+g.Sid()+`",`, "", 1))
	s.facts.ServiceAccounts[0].Annotations[diff.AnnotationAudience] = "example.com"
	done := false
	for range 6 {
		p := s.round()
		dump(t, p)
		done = done || len(p.Steps) > 0
		s.later(2 * time.Minute)
	}
	if !done {
		t.Errorf("the annotation is never repaired")
	}
}

func TestWorldOldRoleStatementRestored(t *testing.T) {
	s := one(t, identity.IRSA)
	s.mapping().Role = roleARN("two")
	s.facts.Roles[0].TrustPolicy = document(rootStatement) // taken away while the pods still live on it
	s.mapping().Adopt.Annotation = false
	s.facts.ServiceAccounts[0].Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm"}}
	for range 6 {
		dump(t, s.round())
		s.later(2 * time.Minute)
	}
	if !mayAssume(s.snapshot(), s.facts.Pods[0])[0] {
		t.Errorf("the statement that live pods depend on is not restored")
	}
}

func TestWorldMassRemovalTruncated(t *testing.T) {
	s := one(t, identity.PodIdentity)
	s.policy.Prune = desired.PruneOwned
	s.facts.Pods = nil
	for i := range 30 {
		sub := fmt.Sprintf("sa-%02d", i)
		if i >= 20 && i < 29 {
			continue // of 30, ten left Git; nine of those are on the page that did not come
		}
		s.facts.Associations = append(s.facts.Associations, live.Association{Namespace: "demo", ServiceAccount: sub, ID: "b" + sub, Described: true, Role: roleARN("two"), Tags: map[string]string{diff.TagCluster: cluster.ARN(), diff.TagMapping: "demo/" + sub}})
		if i < 20 {
			s.state.Mappings = append(s.state.Mappings, desired.Mapping{Subject: identity.Subject{Namespace: "demo", ServiceAccount: sub}, Role: roleARN("two"), Mechanism: identity.PodIdentity, PodIdentity: desired.PodIdentity{SessionTags: true}})
		}
	}
	s.facts.Gaps = []live.Gap{{Source: live.SourceListAssociations, Reason: live.GapTruncated}}
	p := s.round()
	for _, st := range p.Steps {
		if st.Removes() {
			t.Errorf("pruned under a truncated list: %v", st.Action)
		}
	}
}
