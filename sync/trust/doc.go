// Package trust answers the question that everything else rests on: may this
// ServiceAccount assume this role? It parses a role's trust policy, judges it as
// AWS does, and edits it one whole statement at a time.
//
// It keeps the bytes of every statement that it does not own: what it does not
// model survives an edit. It never rewrites a document from structs, never
// guesses (a value that lanyard cannot know makes the answer [Undecidable], and
// only where it matters), and never touches the world: values in, values out.
//
// Anyone may import it; it imports [github.com/lanyard-io/lanyard/internal/identity]
// and the standard library only.
//
//	doc, err := trust.Parse(text)
//	if err != nil { ... }
//	v := doc.Evaluate(trust.Request{
//		Mechanism: identity.IRSA,
//		Subject:   identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"},
//		Cluster:   cluster,
//		Provider:  cluster.Issuer.ProviderARN("aws", "123456789012"),
//		Audience:  "sts.amazonaws.com",
//	})
//	// v.Decision == trust.Deny
//	// v.Reason == "statement 1 allows demo/s3-writer, the pod is demo/s3-reader: oidc.eks...:sub differs"
//
// The rules are those of the IAM User Guide; each is cited where it is coded.
// Where the guide is silent the answer is the strict one, and the code says so.
package trust
