package trust

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCallers: principals that are no ServiceAccounts, with what pins them; those of a
// Deny, EKS Pod Identity and a cluster's issuer are none.
func TestCallers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, statement string
		want            []Caller
	}{
		{"a ServiceAccount by IRSA", `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/X"},"Action":"sts:AssumeRoleWithWebIdentity"}`, nil},
		{"Pod Identity", `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}`, nil},
		{"a Deny", `{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}`, nil},
		{"anyone", `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}`, []Caller{{Kind: CallerAnyone, Name: "*"}}},
		{"anyone of an organization", `{"Sid":"O","Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}`,
			[]Caller{{Kind: CallerAnyone, Name: "*", Sid: "O", Pinned: true, Org: true}}},
		{"an account and a role", `{"Effect":"Allow","Principal":{"AWS":["210987654321","arn:aws:iam::210987654321:role/x"]},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"e"}}}`,
			[]Caller{{Kind: CallerAWS, Name: "210987654321", Account: "210987654321", Pinned: true, ExternalID: true}, {Kind: CallerAWS, Name: "arn:aws:iam::210987654321:role/x", Account: "210987654321", Pinned: true, ExternalID: true}}},
		{"an external ID if there is one", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"sts:AssumeRole","Condition":{"StringEqualsIfExists":{"sts:ExternalId":"e"}}}`,
			[]Caller{{Kind: CallerAWS, Name: "arn:aws:iam::210987654321:root", Account: "210987654321"}}},
		{"others", `{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"],"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com","CanonicalUser":"abc"},"Action":"sts:*"}`,
			[]Caller{{Kind: CallerService, Name: "ec2.amazonaws.com"}, {Kind: CallerFederated, Name: "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"}, {Kind: CallerCanonical, Name: "abc"}}},
		{"a deleted one", `{"Effect":"Allow","Principal":{"AWS":"AROAEXAMPLEDELETED1"},"Action":"sts:AssumeRole"}`, []Caller{{Kind: CallerAWS, Name: "AROAEXAMPLEDELETED1"}}},
		{"another action", `{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"sts:SetSourceIdentity"}`, nil},
	} {
		doc, err := Parse(`{"Version":"2012-10-17","Statement":[` + tt.statement + `]}`)
		if err != nil || doc.Valid() != nil {
			t.Fatalf("%s: %v %v", tt.name, err, doc.Valid())
		}
		if diff := cmp.Diff(tt.want, doc.Callers()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
	if got := (*Document)(nil).Callers(); got != nil {
		t.Errorf("of no document: %v", got)
	}
}
