package explain_test

import (
	"fmt"
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
		"An error occurred (InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: No OpenIDConnect provider found in your account for https://oidc.eks.eu-west-1.amazonaws.com/id/X":                           "oidc-provider",
		"WebIdentityErr: failed to retrieve credentials\ncaused by: InvalidIdentityToken: Incorrect token audience\n\tstatus code: 400":                                                                                              "oidc-provider",
		"An error occurred (InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint":                                              "oidc-provider",
		"An error occurred (ValidationError) when calling the AssumeRoleWithWebIdentity operation: Request ARN is invalid":                                                                                                           "wiring",
		"An error occurred (AccessDenied) when calling the AssumeRoleWithWebIdentity operation: Not authorized to perform sts:AssumeRoleWithWebIdentity":                                                                             "trust",
		"operation error STS: AssumeRoleWithWebIdentity, https response error StatusCode: 403, api error AccessDenied: Not authorized to perform\n   sts:AssumeRoleWithWebIdentity":                                                  "trust",
		"failed to load credentials: [b8ed7d2a]: (AccessDeniedException): Unauthorized Exception! EKS does not have permissions to assume the associated role., fault: client":                                                       "trust",
		"User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized to perform: sts:TagSession on resource: arn:aws:iam::123456789012:role/c":                                                                                "chained-roles",
		"Not authorized: the trust policy of role c does not allow sts:TagSession":                                                                                                                                                   "trust",
		`Ignoring, HTTP credential provider invalid endpoint host, "169.254.170.23", only loopback hosts are allowed.`:                                                                                                               "pods",
		"An error occurred (AccessDenied) when calling the ListBuckets operation: User: arn:aws:sts::123456789012:assumed-role/eksctl-lab-NodeInstanceRole-1A/i-0abc1234def567890 is not authorized to perform: s3:ListAllMyBuckets": "pods",
		"An error occurred (AccessDenied) when calling the ListBuckets operation: User: arn:aws:sts::123456789012:assumed-role/api/botocore-session-1 is not authorized to perform: s3:ListAllMyBuckets":                             "permissions",
		"User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::210987654321:role/c":                                                                                "chained-roles",
		"An error occurred (PackedPolicyTooLarge) when calling the AssumeRole operation: Packed size of session tags consumes 112% of allotted space.":                                                                               "chained-roles",
		"InvalidIdentityTokenException: Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements":                                                  "oidc-provider",
		"operation error STS: AssumeRoleWithWebIdentity, InvalidIdentityToken: The web identity token provided could not be validated":                                                                                               "oidc-provider",
		"WebIdentityErr: unable to read file at /var/run/secrets/eks.amazonaws.com/serviceaccount/token: open: no such file or directory":                                                                                            "pods",
		"read /var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token: no such file or directory":                                                                                                              "pods",
		"Client error: `GET http://169.254.170.23/v1/credentials` resulted in a `400 Bad Request` response: Service account token cannot be empty":                                                                                   "pods",
		"CredentialRetrievalError: Error when retrieving credentials from container-role: Error retrieving metadata: Received non 200 response (400) from ECS metadata: AccessDenied":                                                "agent",
		"starting\n" + strings.Repeat("all is well\n", 1<<16) + "botocore.exceptions.NoCredentialsError: Unable to locate credentials":                                                                                               "pods",
		`failed to refresh cached credentials, failed to load credentials, exceeded maximum number of attempts, 3, Get "http://169.254.170.23/v1/credentials": dial tcp 169.254.170.23:80: connect: connection refused`:              "agent",
		`Get "http://[fd00:ec2::23]/v1/credentials": context deadline exceeded`:                                                                                                                                                      "agent",
		"botocore.exceptions.NoCredentialsError: Unable to locate credentials":                                                                                                                                                       "pods",
		"NoCredentialProviders: no valid providers in chain. Deprecated.":                                                                                                                                                            "pods",
		"failed to refresh cached credentials, no EC2 IMDS role found, operation error ec2imds: GetMetadata, http response error StatusCode: 404":                                                                                    "pods",
		"An error occurred (ExpiredTokenException) when calling the AssumeRoleWithWebIdentity operation: Token expired":                                                                                                              "pods",
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
		if m.Link == "permissions" {
			continue // past the chain
		}
		for _, mechanism := range of { // the link is one of that chain
			if c := healthy(t, mechanism).walk(t); !slices.ContainsFunc(c.Links, func(l explain.Link) bool { return l.Name == m.Link }) {
				t.Errorf("%.60q: the chain of %s has no link %s", text, mechanism, m.Link)
			}
		}
	}
	for _, text := range []string{"", "AccessDenied: not authorized to perform s3:GetObject", "thumbprint" + strings.Repeat("x", 1<<20)} {
		if m, known := explain.Understand(text); known {
			t.Errorf("%.40q is taken for %q", text, m.Means)
		}
	}
}

// TestHeld: an error is held against the chain as it is now.
func TestHeld(t *testing.T) {
	t.Parallel()
	denied := "User: arn:aws:sts::123456789012:assumed-role/%s/x is not authorized to perform: s3:GetObject"
	for name, test := range map[string]struct {
		m      identity.Mechanism
		change func(w *world)
		said   string
		says   string
	}{
		"mended":           {identity.IRSA, nil, "Incorrect token audience", "the link of the error, oidc-provider, is good now"},
		"broken":           {identity.IRSA, func(w *world) { w.f.Providers = nil }, "No OpenIDConnect provider found", "which is broken"},
		"of the other":     {identity.IRSA, nil, "169.254.170.23: connection refused", "comes by pod-identity, and this ServiceAccount is on irsa"},
		"on IRSA still":    {identity.IRSA, func(w *world) { w.m[0].Mechanism = identity.PodIdentity }, "Incorrect token audience", "is good now"},
		"the program's":    {identity.IRSA, nil, "ExpiredTokenException: Token expired", "the error is about the program in the pod"},
		"its permissions":  {identity.IRSA, nil, fmt.Sprintf(denied, "api"), "look at the permissions of role api"},
		"of another role":  {identity.IRSA, nil, fmt.Sprintf(denied, "Other"), "was met by role other, and this ServiceAccount's is api"},
		"wired to nothing": {identity.IRSA, func(w *world) { w.m, w.f.ServiceAccounts[0].Annotations = nil, nil }, "Incorrect token audience", "what was walked ends at wiring"},
	} {
		w := healthy(t, test.m)
		if test.change != nil {
			test.change(w)
		}
		c := w.walk(t)
		m, known := explain.Understand(test.said)
		if !known {
			t.Fatalf("%s: %q is not known", name, test.said)
		}
		c.Message = &m
		var b strings.Builder
		if err := c.Text(&b, nil); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(strings.Fields(b.String()), " "); !strings.Contains(text, test.says) {
			t.Errorf("%s: %s, want %q", name, b.String(), test.says)
		}
	}
}
