package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// fleet is a world of n mappings, each with its role and four pods; one in ten has
// lost its trust statement.
func fleet(n int) (desired.State, live.Facts) {
	state := desired.State{}
	facts := live.Facts{TakenAt: start, Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: issuer, APIServerIssuer: issuer},
		Accounts:  []live.Account{{ID: account, TrustSizeQuota: 2048}},
		Providers: []live.OIDCProvider{{ARN: providerARN(), Account: account, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}}}
	for i := range n {
		sub := identity.Subject{Namespace: fmt.Sprintf("team-%03d", i/50), ServiceAccount: fmt.Sprintf("app-%05d", i)}
		role := roleARN(fmt.Sprintf("app-%05d", i))
		state.Mappings = append(state.Mappings, desired.Mapping{Subject: sub, Name: sub.ServiceAccount, Role: role, Mechanism: identity.IRSA,
			PodIdentity: desired.PodIdentity{SessionTags: true}, Adopt: desired.Adopt{Trust: true}})
		facts.ServiceAccounts = append(facts.ServiceAccounts, live.ServiceAccount{Namespace: sub.Namespace, Name: sub.ServiceAccount, UID: fmt.Sprint(i),
			Annotations: map[string]string{diff.AnnotationRole: role.String()}})
		text := document(rootStatement, grantFor(sub, identity.IRSA))
		if i%10 == 0 {
			text = document(rootStatement)
		}
		facts.Roles = append(facts.Roles, live.Role{ARN: role, Presence: live.Present, TrustPolicy: text})
		for p := range 4 {
			facts.Pods = append(facts.Pods, live.Pod{Namespace: sub.Namespace, Name: fmt.Sprintf("%s-%d", sub.ServiceAccount, p), ServiceAccount: sub.ServiceAccount,
				CreatedAt: start.Add(-time.Hour), Phase: "Running", Containers: []live.Container{{Name: "app", Credential: live.CredentialIRSA, Role: role.String(), Audience: "sts.amazonaws.com"}}})
		}
	}
	return state, facts
}

// BenchmarkRound is what one round decides about 5,000 mappings and 20,000 pods:
// "cold" parses every trust policy, "still" judges a world whose documents are parsed.
func BenchmarkRound(b *testing.B) {
	state, facts := fleet(5000)
	policy := plan.DefaultPolicy()
	snap, err := live.New(facts)
	if err != nil {
		b.Fatal(err)
	}
	decide := func(snap *live.Snapshot) {
		r := diff.Compare(state, snap, policy.Diff)
		if p, _ := plan.Repair(plan.Input{Result: r, Snapshot: snap, Policy: policy}); len(p.Steps) != policy.ChangesPerRound {
			b.Fatalf("%d steps, want %d", len(p.Steps), policy.ChangesPerRound)
		}
	}
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fresh, err := live.New(facts)
			if err != nil {
				b.Fatal(err)
			}
			decide(fresh)
		}
	})
	b.Run("still", func(b *testing.B) {
		b.ReportAllocs()
		decide(snap)
		for b.Loop() {
			decide(snap)
		}
	})
}
