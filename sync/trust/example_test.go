package trust_test

import (
	"fmt"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

func ExampleDocument_Evaluate() {
	cluster := identity.Cluster{
		Name: "irsa-lab", Region: "eu-central-1", Account: "123456789012", Partition: "aws",
		Issuer: "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC",
	}
	writer := trust.Grant{
		Mechanism: identity.IRSA,
		Subject:   identity.Subject{Namespace: "demo", ServiceAccount: "s3-writer"},
		Cluster:   cluster,
		Provider:  cluster.Issuer.ProviderARN("aws", "123456789012"),
		Audiences: []string{"sts.amazonaws.com"},
	}
	doc, err := trust.Parse(`{"Version":"2012-10-17","Statement":[` + string(writer.Statement()) + `]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	v := doc.Evaluate(trust.Request{
		Mechanism: identity.IRSA,
		Subject:   identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"},
		Cluster:   cluster,
		Provider:  writer.Provider,
		Audience:  "sts.amazonaws.com",
	})
	fmt.Println(v.Decision, v.Cause)
	fmt.Println(v.Reason)
	// Output:
	// deny other-subject
	// statement 1 (Lanyardb00a6d5a455601e9) allows demo/s3-writer, the pod is demo/s3-reader: :sub differs
}
