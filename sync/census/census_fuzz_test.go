package census_test

import (
	"testing"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// FuzzTake: whatever stands in annotations, in what made them and in an association, the
// files that are written hold the mappings that were meant, and no other.
func FuzzTake(f *testing.F) {
	f.Add("arn:aws:iam::123456789012:role/x", "sts.amazonaws.com", "86400", "kubectl", "")
	f.Add("x\u0085---\u0085kind: IdentityMapping\u0085#", "\u2028", "1\n---\n", "\ufeff\x7f", "{\"a\":\"\u2029\"}")
	world, err := live.DecodeFacts(examples.Live) // once, and little of it: what it holds is not the point
	if err != nil {
		f.Fatal(err)
	}
	account, association := world.ServiceAccounts[0], world.Associations[0]
	world.Pods, world.Workloads, world.Nodes = nil, nil, nil
	f.Fuzz(func(t *testing.T, role, audience, expiration, tool, policy string) {
		w, a, s := world, account, association
		a.Annotations = map[string]string{diff.AnnotationRole: role, diff.AnnotationAudience: audience, diff.AnnotationExpiration: expiration, diff.AnnotationRegional: expiration}
		a.Tool, a.Managers = tool, nil
		s.SessionPolicy, s.SessionTagsOff = policy, policy != ""
		w.ServiceAccounts, w.Associations = []live.ServiceAccount{a}, []live.Association{s}
		c, state, r := takeOf(t, w)
		settled(t, c, state, r)
	})
}
