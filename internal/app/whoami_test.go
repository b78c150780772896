package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// sourced is a provider that says where its credentials come from.
type sourced []aws.CredentialSource

func (sourced) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials{}, nil }

func (s sourced) ProviderSources() []aws.CredentialSource { return s }

// TestPicked: each source that the SDK knows is one of the mechanisms; what a profile
// goes on to does not count.
func TestPicked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sources []aws.CredentialSource
		want    string
	}{
		{nil, ""},
		{[]aws.CredentialSource{aws.CredentialSourceEnvVars}, byStaticKeys},
		{[]aws.CredentialSource{aws.CredentialSourceEnvVarsSTSWebIDToken}, byWebIdentity},
		{[]aws.CredentialSource{aws.CredentialSourceHTTP}, byContainer},
		{[]aws.CredentialSource{aws.CredentialSourceIMDS}, byMetadata},
		{[]aws.CredentialSource{aws.CredentialSourceProfileNamedProvider, aws.CredentialSourceIMDS, aws.CredentialSourceSTSAssumeRole}, byProfile},
		{[]aws.CredentialSource{aws.CredentialSourceProfileSTSWebIDToken}, byProfile},
		{[]aws.CredentialSource{aws.CredentialSourceSSO}, byProfile},
	} {
		if got := picked(aws.NewCredentialsCache(sourced(tt.sources))); got != tt.want {
			t.Errorf("picked(%v): got %q, want %q", tt.sources, got, tt.want)
		}
	}
}

// TestWiring: container credentials are Pod Identity's only from the agent's addresses.
func TestWiring(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mechanism, full, relative string
		want                      identity.Mechanism
	}{
		{byWebIdentity, "", "", identity.IRSA},
		{byContainer, "http://169.254.170.23/v1/credentials", "", identity.PodIdentity},
		{byContainer, "http://[fd00:ec2::23]/v1/credentials", "", identity.PodIdentity},
		{byContainer, "http://169.254.170.23/v1/credentials", "/v2/task", identity.None}, // ECS's comes first
		{byContainer, "http://127.0.0.1/v1/credentials", "", identity.None},
		{byContainer, "http://169.254.170.23.example.com/", "", identity.None},
		{byContainer, ":", "", identity.None},
		{byProfile, "http://169.254.170.23/v1/credentials", "", identity.None},
	} {
		got := wiring(tt.mechanism, func(name string) string {
			return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": tt.full, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": tt.relative}[name]
		})
		if got != tt.want {
			t.Errorf("wiring(%s, %q, %q): got %q, want %q", tt.mechanism, tt.full, tt.relative, got, tt.want)
		}
	}
}

// TestScrub: no value of the environment's secrets, no token and no password of a URL is
// left in an error, whatever the SDK quotes.
func TestScrub(t *testing.T) {
	t.Parallel()
	env := map[string]string{"AWS_SECRET_ACCESS_KEY": "s3cr3t/key+1", "AWS_SESSION_TOKEN": "IQoJb3JpZ2lu", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic abc",
		"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/gone"}
	hide := unspoken(func(name string) string { return env[name] }, func(path string) ([]byte, error) {
		if path == "/gone" {
			return nil, errors.New("gone")
		}
		return []byte("opaque-token\n"), nil
	})
	text := scrub("s3cr3t/key+1 and IQoJb3JpZ2lu, Basic abc,\n opaque-token; eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln at http://me:pw@host:1/x?y=z", hide)
	if want := "*** and ***, ***, ***; *** at http://host:1/x?y=z"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

// TestRoleOf: the name in a session's ARN, of every partition, and of nothing else.
func TestRoleOf(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]string{
		"arn:aws:sts::123456789012:assumed-role/reader/session":     "reader",
		"arn:aws-cn:sts::123456789012:assumed-role/reader/i-0123":   "reader",
		"arn:aws:iam::123456789012:user/somebody":                   "",
		"arn:aws:sts::123456789012:federated-user/assumed-role/odd": "",
		"": "",
	} {
		if got := roleOf(arn); got != want {
			t.Errorf("roleOf(%q): got %q, want %q", arn, got, want)
		}
	}
}

// TestNextMove: there is one for every error, also for one that nobody has seen yet.
func TestNextMove(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"", byStaticKeys, byWebIdentity, byProfile, byContainer, byMetadata} {
		p := Whoami{Mechanism: mechanism}.problem(t.Context(), fmt.Errorf("get credentials: %w", errors.New("something odd")), nil)
		if p.Next == "" || !strings.HasSuffix(p.Error, "something odd") {
			t.Errorf("%s: got %+v", mechanism, p)
		}
	}
}

// TestMessage: an answer fits a termination message however long its parts are, and is
// JSON then; one that fits is told whole.
func TestMessage(t *testing.T) {
	t.Parallel()
	whole := Whoami{Account: "123456789012", Role: "reader", Session: "arn:aws:sts::123456789012:assumed-role/reader/x", Mechanism: byContainer, Wiring: identity.PodIdentity,
		Region: "eu-west-1", Endpoint: "https://sts.eu-west-1.amazonaws.com", Found: []Found{{byContainer, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"}}}}
	long := whole
	long.Problem = &Problem{Error: strings.Repeat("<ü\n", 10000), Next: strings.Repeat("next ", 2000), See: "https://docs.aws.amazon.com/"}
	long.Region, long.Endpoint, long.Session = strings.Repeat("r", 9000), strings.Repeat("e", 9000), strings.Repeat("s", 9000)
	for _, w := range []Whoami{whole, long, {Problem: &Problem{Error: strings.Repeat("\x00", 5000)}}} {
		b, err := w.Message()
		if err != nil || len(b) > MessageLimit || strings.Count(string(b), "\n") != 1 {
			t.Errorf("%d bytes, %v: %s", len(b), err, b)
		}
		var got Whoami
		if err := json.Unmarshal(b, &got); err != nil {
			t.Error(err)
		}
		if w.Problem == nil && !reflect.DeepEqual(got, whole) {
			t.Errorf("got %+v, want it whole", got)
		}
		if w.Problem != nil && (got.Problem == nil || !strings.HasSuffix(got.Problem.Error, "…")) {
			t.Errorf("got %+v, want its error cut", got)
		}
	}
}
