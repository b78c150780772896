package census_test

import (
	"testing"

	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// FuzzTake: whatever stands in annotations, in what made them and in an association, the
// files that are written hold the mappings that were meant, and no other.
func FuzzTake(f *testing.F) {
	f.Add("arn:aws:iam::123456789012:role/x", "sts.amazonaws.com", "86400", "kubectl", "")
	f.Add("x\u0085---\u0085kind: IdentityMapping\u0085#", "\u2028", "1\n---\n", "\ufeff\x7f", "{\"a\":\"\u2029\"}")
	f.Fuzz(func(t *testing.T, role, audience, expiration, tool, policy string) {
		c, state, r := take(t, func(f *live.Facts) {
			a := &f.ServiceAccounts[0]
			a.Annotations = map[string]string{diff.AnnotationRole: role, diff.AnnotationAudience: audience, diff.AnnotationExpiration: expiration, diff.AnnotationRegional: expiration}
			a.Tool, a.Managers = tool, nil
			for i := range f.Associations {
				f.Associations[i].SessionPolicy, f.Associations[i].SessionTagsOff = policy, policy != ""
			}
		})
		settled(t, c, state, r)
	})
}
