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
//	// v.Decision == trust.Deny, v.Cause == trust.OtherSubject
//	// v.Reason == "statement 1 allows demo/s3-writer, the pod is demo/s3-reader: :sub differs"
//
// With a Pod Identity target role, [Document.EvaluateChain] puts the second call to
// the target's document.
//
// The rules are those of the IAM User Guide; each is cited where it is coded.
// Where the guide is silent, lanyard is strict:
//
//   - A value that its operator cannot read (a number that is none, an ARN
//     pattern of fewer than six parts, a policy variable without its brace) makes
//     the condition undecidable; so does a key with several values under an
//     operator without ForAllValues or ForAnyValue, and such a key as a variable.
//   - "*" as a Federated or Service principal is a name that nobody bears.
//   - NotPrincipal, which today's guide rules out for trust policies and older
//     ones did not, is judged in a Deny and refused in an Allow.
//   - Operators or keys of one block that differ in case only are refused, as IAM
//     Access Analyzer does; empty lists and empty principals are refused, an empty
//     Condition, which the IAM console writes, is not.
//   - Two conditions on one unknown value are judged apart, even where between
//     them they cover whatever it may be.
package trust
