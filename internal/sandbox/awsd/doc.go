// Package awsd is the sandbox's AWS: IAM, STS, EKS, EKS Auth and the event history of
// CloudTrail on loopback, speaking the protocols that the real services speak, so that
// an unmodified aws-sdk-go-v2 is both its user and its test.
//
// One endpoint serves all five services. The service, the Region and the account are
// read from the SigV4 Authorization header of a request: the credential scope names
// the service and Region, the access key the account ([AccessKey]) or, for temporary
// credentials, the role session. Signatures are not checked; nothing here is a secret.
//
// It is strict where AWS is strict: pages, tokens, error codes and their HTTP statuses,
// name rules, quotas, the shape of trust policies, who may assume what. That last
// judgement is this package's own code and shares nothing with lanyard's, so that a
// mistake in one is not believed by the other; tests may ask it directly with
// [Server.MayAssumeWebIdentity] and [Server.MayAssumePodIdentity].
//
// A [Server] never reads the wall clock: expiry, eventual consistency ([Consistency])
// and throttling ([Rate]) run on a virtual clock. Failures happen on demand ([Fault]) and every
// call is on record ([Server.Calls]).
//
// Tokens of ServiceAccounts are verified as AWS does, by the keys that their issuer
// publishes ([Server.PublishKeys]); an issuer that publishes none is taken at its word.
//
// A server listens on loopback only, reads no environment and no files, and opens no
// connection but those of a key source. It imports the standard library, go-jose for
// signatures, and the sandbox's clock. Only the sandbox and tests import it.
//
//	clock := virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
//	s := awsd.New(awsd.Options{Clock: clock})
//	s.PutAccount(awsd.Account{ID: "123456789012"})
//	s.PutRole(awsd.Role{ARN: "arn:aws:iam::123456789012:role/reader", Trust: doc})
//	url, err := s.Start("127.0.0.1:0") // AWS_ENDPOINT_URL for any SDK or the AWS CLI
//	defer s.Close()
package awsd
