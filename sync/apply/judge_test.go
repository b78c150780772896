package apply

import (
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TestJudgeTrust has a policy that package trust would never make of the grant.
func TestJudgeTrust(t *testing.T) {
	t.Parallel()
	doc, err := trust.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	g := trust.Grant{Mechanism: identity.PodIdentity, Subject: identity.Subject{Namespace: "demo", ServiceAccount: "reader"}, SessionTags: true,
		Cluster: identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws"}}
	if err := judgeTrust(doc, g); err != nil {
		t.Errorf("judgeTrust(%s): got %v, want nil", doc.Text(), err)
	}
	g.Mechanism, g.Provider, g.Audiences = identity.IRSA, "arn:aws:iam::123456789012:oidc-provider/example.com/id/1", []string{"sts.amazonaws.com"}
	if err := judgeTrust(doc, g); remedy.Of(err) != remedy.Halt || err == nil {
		t.Errorf("judgeTrust(%s): got %v, want an error that halts", doc.Text(), err)
	}
}
