package explain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/explain"
)

// TestUnderstand: the errors that people paste, as SDKs print them, are decided at the
// right link.
func TestUnderstand(t *testing.T) {
	t.Parallel()
	for text, link := range map[string]string{
		"An error occurred (InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: No OpenIDConnect provider found in your account for https://oidc.eks.eu-west-1.amazonaws.com/id/X":              "oidc-provider",
		"WebIdentityErr: failed to retrieve credentials\ncaused by: InvalidIdentityToken: Incorrect token audience\n\tstatus code: 400":                                                                                 "oidc-provider",
		"An error occurred (InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint":                                 "oidc-provider",
		"An error occurred (ValidationError) when calling the AssumeRoleWithWebIdentity operation: Request ARN is invalid":                                                                                              "wiring",
		"An error occurred (AccessDenied) when calling the AssumeRoleWithWebIdentity operation: Not authorized to perform sts:AssumeRoleWithWebIdentity":                                                                "trust",
		"operation error STS: AssumeRoleWithWebIdentity, https response error StatusCode: 403, api error AccessDenied: Not authorized to perform\n   sts:AssumeRoleWithWebIdentity":                                     "trust",
		"failed to load credentials: [b8ed7d2a]: (AccessDeniedException): Unauthorized Exception! EKS does not have permissions to assume the associated role., fault: client":                                          "trust",
		"User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized to perform: sts:TagSession on resource: arn:aws:iam::123456789012:role/c":                                                                   "trust",
		`failed to refresh cached credentials, failed to load credentials, exceeded maximum number of attempts, 3, Get "http://169.254.170.23/v1/credentials": dial tcp 169.254.170.23:80: connect: connection refused`: "agent",
		`Get "http://[fd00:ec2::23]/v1/credentials": context deadline exceeded`:                                                                                                                                         "agent",
		"botocore.exceptions.NoCredentialsError: Unable to locate credentials":                                                                                                                                          "pods",
		"NoCredentialProviders: no valid providers in chain. Deprecated.":                                                                                                                                               "pods",
		"failed to refresh cached credentials, no EC2 IMDS role found, operation error ec2imds: GetMetadata, http response error StatusCode: 404":                                                                       "pods",
		"An error occurred (ExpiredTokenException) when calling the AssumeRoleWithWebIdentity operation: Token expired":                                                                                                 "pods",
	} {
		m, known := explain.Understand(text)
		if !known || m.Link != link || m.Means == "" || !strings.HasPrefix(m.Source, "https://") {
			t.Errorf("%.90q is decided at %q (known: %t), want %q", text, m.Link, known, link)
			continue
		}
		of := []identity.Mechanism{identity.IRSA, identity.PodIdentity}
		if m.Mechanism != identity.None {
			of = []identity.Mechanism{m.Mechanism}
		}
		for _, mechanism := range of { // the link is one of that chain
			if c := healthy(t, mechanism).walk(t); !slices.ContainsFunc(c.Links, func(l explain.Link) bool { return l.Name == m.Link }) {
				t.Errorf("%.60q: the chain of %s has no link %s", text, mechanism, m.Link)
			}
		}
	}
	for _, text := range []string{"", "AccessDenied: not authorized to perform s3:GetObject", strings.Repeat("x", 1<<20) + "thumbprint"} {
		if m, known := explain.Understand(text); known {
			t.Errorf("%.40q is taken for %q", text, m.Means)
		}
	}
}
