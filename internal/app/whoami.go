package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/explain"
)

// The mechanisms by which a process gets AWS credentials: a closed list.
const (
	byStaticKeys  = "static-keys"
	byWebIdentity = "web-identity"
	byProfile     = "profile"
	byContainer   = "container"
	byMetadata    = "instance-metadata"
)

// Whoami is who AWS takes a process for, and how the process came to that. It bears no
// key and no token. Its JSON is docs/schemas/whoami.json and only ever grows.
type Whoami struct {
	Account   string             `json:"account"`
	Role      string             `json:"role"`      // name; AWS shows no path of it. Empty: no role's session
	Session   string             `json:"session"`   // ARN; empty where there is no identity
	Mechanism string             `json:"mechanism"` // that the SDK picked; empty where it did not come that far
	Wiring    identity.Mechanism `json:"wiring"`    // whose variables those are; empty: nobody's
	Expires   *time.Time         `json:"expires,omitempty"`
	Region    string             `json:"region"`
	Endpoint  string             `json:"endpoint"` // of STS, as it was asked last
	Found     []Found            `json:"found"`    // in the order of the SDK's chain
	Problem   *Problem           `json:"problem,omitempty"`
}

// Found are variables of one mechanism that the environment has.
type Found struct {
	Mechanism string   `json:"mechanism"`
	Variables []string `json:"variables"` // names; no value is told
}

// Problem is why there is no identity.
type Problem struct {
	Error string `json:"error"`
	Next  string `json:"next"`          // what it means, and the next move
	See   string `json:"see,omitempty"` // where that is written
}

// JSON is the public form.
func (w Whoami) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(w, "", "  ")
	return append(b, '\n'), err
}

// MessageLimit is how many bytes Kubernetes keeps of what a container leaves at its
// termination message path.
// Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
const MessageLimit = 4096

// Message is the public form on one line, in no more than [MessageLimit] bytes: of an
// answer that is longer its longest texts are cut, and it stays JSON.
func (w Whoami) Message() ([]byte, error) {
	for most := MessageLimit; ; most /= 2 {
		b, err := json.Marshal(w)
		if err != nil || len(b) < MessageLimit || most < len("…") {
			return append(b, '\n'), err
		}
		w = w.clipped(most)
	}
}

// clipped cuts each text that somebody else has a say in.
func (w Whoami) clipped(most int) Whoami {
	for _, text := range []*string{&w.Account, &w.Role, &w.Session, &w.Region, &w.Endpoint} {
		*text = clip(*text, most)
	}
	if w.Problem != nil { // a See is lanyard's own, and short
		w.Problem = &Problem{Error: clip(w.Problem.Error, most), Next: clip(w.Problem.Next, most), See: w.Problem.See}
	}
	return w
}

// WhoAmI asks the SDK's default chain for credentials as any program here would, and STS
// whose they are. Why there are none is told in the answer. It ends with ctx, at the
// latest when a name that the environment gives was looked up.
func WhoAmI(ctx context.Context) Whoami {
	w := Whoami{Found: found(os.Getenv), Region: cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))}
	hide := unspoken(os.Getenv, os.ReadFile)
	asked := func(at string) { w.Endpoint = at }
	// Not config.WithAppID: the SDK resolves it after the clients that get credentials.
	named := awsmiddleware.AddSDKAgentKey(awsmiddleware.ApplicationIdentifier, identity.WhoamiAppID)
	c, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}),
		config.WithAPIOptions([]func(*middleware.Stack) error{endpointOf(asked), named}))
	if err != nil {
		w.Mechanism = meant(err, os.Getenv)
		w.Wiring = wiring(w.Mechanism, os.Getenv)
		w.Problem = w.problem(ctx, err, hide)
		return w
	}
	w.Region, w.Mechanism = c.Region, picked(c.Credentials)
	w.Wiring = wiring(w.Mechanism, os.Getenv)
	if w.Region == "" {
		w.Problem = &Problem{Error: "no AWS Region", Next: "set AWS_REGION, or region in the AWS profile; EKS's webhook sets it in the pods that it injects"}
		return w
	}
	got, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		w.Problem = w.problem(ctx, err, hide)
		return w
	}
	hide = append(hide, got.AccessKeyID, got.SecretAccessKey, got.SessionToken)
	me, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil)
	if err != nil {
		w.Problem = w.problem(ctx, err, hide)
		return w
	}
	w.Account, w.Session = aws.ToString(me.Account), aws.ToString(me.Arn)
	w.Role = roleOf(w.Session)
	if got.CanExpire {
		until := got.Expires.UTC().Truncate(time.Second)
		w.Expires = &until
	}
	return w
}

// endpointOf tells where STS is asked: scheme and host of each request, no user and no
// password that somebody wrote into a URL.
func endpointOf(told func(string)) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("lanyard:endpoint",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				if r, is := in.Request.(*smithyhttp.Request); is && awsmiddleware.GetServiceID(ctx) == sts.ServiceID {
					told(r.URL.Scheme + "://" + r.URL.Host)
				}
				return next.HandleDeserialize(ctx, in)
			}), middleware.Before)
	}
}

// chain is the order in which the SDK looks at the environment.
//
// Source: resolveCredentialChain in resolve_credentials.go of
// https://github.com/aws/aws-sdk-go-v2/tree/main/config
var chain = []struct {
	mechanism string
	variables []string
}{
	{byStaticKeys, []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"}},
	{byWebIdentity, []string{"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}},
	{byProfile, []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}},
	{byContainer, []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}},
}

// found returns what the environment has of each mechanism.
func found(getenv func(string) string) []Found {
	all := []Found{}
	for _, c := range chain {
		set := slices.DeleteFunc(slices.Clone(c.variables), func(name string) bool { return getenv(name) == "" })
		if len(set) > 0 {
			all = append(all, Found{c.mechanism, set})
		}
	}
	return all
}

// picked is the mechanism that the SDK resolved to, by its own word.
func picked(p aws.CredentialsProvider) string {
	by, is := p.(aws.CredentialProviderSource)
	if !is || len(by.ProviderSources()) == 0 {
		return ""
	}
	switch by.ProviderSources()[0] { // what follows is what a profile goes on to
	case aws.CredentialSourceEnvVars:
		return byStaticKeys
	case aws.CredentialSourceEnvVarsSTSWebIDToken:
		return byWebIdentity
	case aws.CredentialSourceHTTP:
		return byContainer
	case aws.CredentialSourceIMDS:
		return byMetadata
	}
	return byProfile
}

// meant is the mechanism that the SDK was about to resolve to when it refused.
func meant(err error, getenv func(string) string) string {
	env := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return getenv(name) != "" })
	}
	switch {
	case ofProfile(err):
		return byProfile
	case env("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY") && env("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"):
		return byStaticKeys
	case env("AWS_WEB_IDENTITY_TOKEN_FILE"):
		return byWebIdentity
	case env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
		return byContainer
	}
	return ""
}

// ofProfile reports whether an error is about the files of profiles.
func ofProfile(err error) bool {
	_, load := errors.AsType[config.SharedConfigLoadError](err)
	_, missing := errors.AsType[config.SharedConfigProfileNotExistError](err)
	_, role := errors.AsType[config.SharedConfigAssumeRoleError](err)
	return load || missing || role
}

// agents are the addresses of the Pod Identity agent.
var agents = []string{"169.254.170.23", "fd00:ec2::23"}

// wiring is whose variables they are: web identity is what IRSA injects, and container
// credentials are Pod Identity's where they come from the agent.
func wiring(mechanism string, getenv func(string) string) identity.Mechanism {
	switch mechanism {
	case byWebIdentity:
		return identity.IRSA
	case byContainer:
		at, err := url.Parse(getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		if err == nil && getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == "" && slices.Contains(agents, at.Hostname()) {
			return identity.PodIdentity
		}
	}
	return identity.None
}

// roleOf returns the name of the role in a session's ARN; empty for a user's.
func roleOf(session string) string {
	_, name, is := strings.Cut(session, ":assumed-role/")
	if !is {
		return ""
	}
	name, _, _ = strings.Cut(name, "/")
	return name
}

// problem says what an error of the SDK means, and what to do next: in the words of
// explain where it is a classic one.
func (w Whoami) problem(ctx context.Context, err error, hide []string) *Problem {
	text := err.Error()
	if _, is := errors.AsType[*processcreds.ProviderError](err); is {
		// The SDK quotes what the process wrote, and that may be its keys.
		text = "the credential_process of the profile gave no credentials"
	}
	p := &Problem{Error: scrub(text, hide), Next: w.refused(err)}
	if p.Next != "" {
		return p
	}
	if w.Wiring == identity.PodIdentity && unanswered(err) {
		text += " " + agents[0] // the SDK does not always say whom it asked
	}
	if m, known := explain.Understand(text); known {
		p.Next, p.See = m.Means, m.Source
	} else if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		p.Next = "nothing answered in time: give it longer with --timeout, or see whether the way there is open (NetworkPolicy, proxy, VPC endpoint)"
	} else {
		p.Next = w.fallback(err)
	}
	return p
}

// refused is the next move where it was this program's own SDK that refused.
func (w Whoami) refused(err error) string {
	if _, is := errors.AsType[*processcreds.ProviderError](err); is {
		return "run the credential_process by hand: it has to end with 0 and to print credentials as JSON, with Version 1"
	}
	text := err.Error()
	tokened := w.Mechanism == byWebIdentity || w.Mechanism == byContainer
	switch {
	case tokened && strings.Contains(text, "no such file"):
		return "the token's file is not there: the pod was not injected, or has a volume or a mount of its own at that place"
	case tokened && strings.Contains(text, "permission denied"):
		return "the token's file may not be read by this user: set fsGroup in the pod's securityContext, or run as the user that it belongs to"
	case ofProfile(err):
		return "mend the profile, or name one that is there with AWS_PROFILE; the files are those of AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/config and ~/.aws/credentials"
	case strings.Contains(text, "role ARN is not set"):
		return "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: where a container has one of the two of its own, EKS's webhook adds neither; take it out of the pod template"
	case strings.Contains(text, "invalid endpoint host"):
		return "AWS_CONTAINER_CREDENTIALS_FULL_URI is not the agent's address, http://169.254.170.23/v1/credentials: the container overrides it; take it out of the pod template"
	}
	return ""
}

// unanswered reports whether a question came to nobody, or nobody answered it.
func unanswered(err error) bool {
	_, unsent := errors.AsType[*smithyhttp.RequestSendError](err)
	return unsent || errors.Is(err, context.DeadlineExceeded)
}

// fallback is the next move for an error that is no classic.
func (w Whoami) fallback(err error) string {
	switch code := codeOf(err); {
	case code == "InvalidClientTokenId" || code == "SignatureDoesNotMatch" || code == "UnrecognizedClientException":
		return "AWS does not know the key: it was deleted, replaced or is of another partition; take it away where a role is meant to be used"
	case w.Mechanism == byContainer:
		return "the address that AWS_CONTAINER_CREDENTIALS_FULL_URI names gave no credentials: see the log of the Pod Identity agent on this node, and `lanyard explain NAMESPACE/POD`"
	case unanswered(err) || code == "5xx":
		return "STS does not answer: see whether the way there is open (NetworkPolicy, proxy, VPC endpoint), and AWS_REGION and AWS_ENDPOINT_URL_STS"
	}
	return "`lanyard explain NAMESPACE/POD` walks the chain from the ServiceAccount to its role, link by link"
}

var (
	userInfo = regexp.MustCompile(`://[^/@\s"]*@`)
	webToken = regexp.MustCompile(`eyJ[\w-]*\.[\w-]*\.[\w-]*`)
)

// unspoken are the values that must not be told, as far as the environment has them.
func unspoken(getenv func(string) string, read func(string) ([]byte, error)) []string {
	var all []string
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"} {
		all = append(all, getenv(name))
	}
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"} {
		if path := getenv(name); path != "" {
			if token, err := read(path); err == nil {
				all = append(all, strings.TrimSpace(string(token)))
			}
		}
	}
	return all
}

// scrub takes secrets out of a text, and makes it one line.
func scrub(text string, hide []string) string {
	for _, secret := range hide {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	text = webToken.ReplaceAllString(userInfo.ReplaceAllString(text, "://"), "***")
	return strings.Join(strings.Fields(text), " ")
}
