package status

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestQuotas: what may run out is shown with what there is, the fullest trust policies
// first, and how bad that is; of what was not read nothing is said.
func TestQuotas(t *testing.T) {
	t.Parallel()
	facts := live.Facts{Cluster: live.Cluster{Name: "lab", ARN: "arn:aws:eks:eu-west-1:123456789012:cluster/lab"},
		Accounts: []live.Account{{ID: "123456789012", TrustSizeQuota: 1000, IdentityProviders: 96}, {ID: "210987654321"}}}
	for i, size := range []int{500, 800, 950, 100, 200, 300} {
		text := `{"Version":"2012-10-17","Statement":[{"Sid":"`
		rest := `","Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`
		facts.Roles = append(facts.Roles, live.Role{ARN: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: fmt.Sprint("role-", i)}, Presence: live.Present,
			TrustPolicy: text + strings.Repeat("x", max(0, size-len(text)-len(rest))) + rest + strings.Repeat(" ", 500)})
	}
	facts.Roles = append(facts.Roles, live.Role{ARN: identity.RoleARN{Partition: "aws", Account: "210987654321", Path: "/", Name: "far"}, Presence: live.Present, TrustPolicy: `{}`})
	show := func(f live.Facts) (out []string) {
		snap, err := live.New(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range quotas(record{snapshot: snap, room: 10}) {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s of %s: %d of %d, %d %%, %s %s", q.What, q.Scope[strings.LastIndexByte(q.Scope, '/')+1:], q.Used, q.Limit, q.Percent, q.Level, strings.Split(q.Note, ",")[0])))
		}
		return out
	}
	for range 8 {
		facts.Associations = append(facts.Associations, live.Association{Namespace: "demo", ServiceAccount: fmt.Sprint("sa-", len(facts.Associations))})
	}
	want := []string{
		"Pod Identity associations of cluster lab: 8 of 10, 80 %, warn",
		"OIDC and SAML providers of account 123456789012: 96 of 100, 96 %, bad the quota by default",
		"OIDC and SAML providers of account 210987654321: 0 of 100, 0 %, good the quota by default",
		"trust policy of role-2: 950 of 1000, 95 %, bad the fullest of 6",
		"trust policy of role-1: 800 of 1000, 80 %, warn",
		"trust policy of role-0: 500 of 1000, 50 %, good",
		"trust policy of role-5: 300 of 1000, 30 %, good",
		"trust policy of role-4: 200 of 1000, 20 %, good",
	}
	if diff := cmp.Diff(want, show(facts)); diff != "" {
		t.Errorf("quotas (-want +got)\n%s", diff)
	}
	facts.Gaps = []live.Gap{{Source: live.SourceListAssociations, Reason: live.GapRefused}, {Source: live.SourceAccountSummary, Reason: live.GapRefused}}
	if diff := cmp.Diff(want[3:], show(facts)); diff != "" {
		t.Errorf("with gaps (-want +got)\n%s", diff)
	}
	if got := quotas(record{}); len(got) > 0 {
		t.Errorf("without a look: %v", got)
	}
}
