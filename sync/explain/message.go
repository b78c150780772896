package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Message is what an error of an SDK or of AWS means.
type Message struct {
	Link      string             `json:"link"`      // of the chain, at which it is decided; "permissions" is past its end
	Mechanism identity.Mechanism `json:"mechanism"` // by which it comes; empty: either
	Means     string             `json:"means"`
	Source    string             `json:"source"`
	all       []string           // texts that must be in it, in small letters
	form      *regexp.Regexp     // that it must have; nil: any
	program   bool               // it is about the program in the pod, of which no link tells
	role      string             // whose session met the error, in small letters; empty where it does not say
}

// permissions is the link of errors that come after the chain: the pod has its role.
const permissions = "permissions"

const (
	guideIRSA   = "https://repost.aws/knowledge-center/eks-troubleshoot-irsa-errors"
	guideOIDC   = "https://repost.aws/knowledge-center/eks-troubleshoot-oidc-and-irsa"
	guideAgent  = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html"
	guideRole   = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html"
	guideTags   = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html"
	guideSDK    = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html"
	guideNode   = "https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html"
	guideRoles  = "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html"
	guideDenied = "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"
)

const (
	meansNothing = "the SDK found nothing that works: the pod is older than its ServiceAccount's wiring, was not injected, or its SDK knows neither mechanism"
	meansAgent   = "no agent answers on the node: it is not installed or not ready there, or a proxy or NetworkPolicy stands in between"
)

var (
	// session is who made a call that was refused: a role, and the name of its session.
	session = regexp.MustCompile(`assumed-role/([\w+=,.@-]+)/([\w+=,.@-]+)`)
	// ofNode is a session of a node's role: EC2 names those after the instance.
	ofNode = regexp.MustCompile(`assumed-role/[\w+=,.@-]+/i-[0-9a-f]{8,17}\b`)
	// chain is a session that may not go on to another role.
	chain = regexp.MustCompile(`not authorized to perform: sts:assumerole\b`)
)

// messages are the errors that people meet, the most telling first.
var messages = []Message{
	{Link: "oidc-provider", Mechanism: identity.IRSA, Source: guideIRSA, all: []string{"no openidconnect provider found"},
		Means: "the role's account has no OIDC provider for the issuer that the token names: none was made, or the cluster was made again"},
	{Link: "oidc-provider", Mechanism: identity.IRSA, Source: guideIRSA, all: []string{"incorrect token audience"},
		Means: "the OIDC provider does not list the token's audience among its client IDs"},
	{Link: "oidc-provider", Mechanism: identity.IRSA, Source: guideIRSA, all: []string{"thumbprint"},
		Means: "the OIDC provider's thumbprint is not that of the issuer's certificate"},
	{Link: "oidc-provider", Mechanism: identity.IRSA, Source: guideOIDC, all: []string{"retrieve verification key"},
		Means: "STS could not fetch the issuer's keys: it is slow or out of reach for a while, or the cluster that signed the token is gone"},
	{Link: "oidc-provider", Mechanism: identity.IRSA, Source: guideOIDC, all: []string{"web identity token provided could not be validated"},
		Means: "STS does not take the token's issuer: the role's account has no OIDC provider for it, or one of another cluster"},
	{Link: "wiring", Mechanism: identity.IRSA, Source: guideIRSA, all: []string{"request arn is invalid"},
		Means: "the annotation is no role ARN"},
	{Link: "pods", Mechanism: identity.PodIdentity, Source: guideSDK, all: []string{"invalid endpoint host"}, program: true,
		Means: "the program's SDK refuses the agent's address: it is older than EKS Pod Identity; update it, or leave this ServiceAccount on IRSA"},
	{Link: "trust", Mechanism: identity.PodIdentity, Source: "https://github.com/aws/eks-pod-identity-agent/issues/139", all: []string{"eks does not have permissions to assume the associated role"},
		Means: "the association's role does not trust pods.eks.amazonaws.com for this ServiceAccount, or its conditions do not match the session tags"},
	{Link: "chained-roles", Mechanism: identity.PodIdentity, Source: "https://github.com/aws/containers-roadmap/issues/2413", all: []string{"packed"}, program: true,
		Means: "the session tags of Pod Identity and those that the program adds are too large together: write podIdentity.sessionTags: false, or send fewer", form: regexp.MustCompile(`packedpolicytoolarge|packed size of session tags`)},
	{Link: "chained-roles", Mechanism: identity.PodIdentity, Source: guideTags, all: []string{"sts:tagsession", "assumed-role/"},
		Means: "the role that the program goes on to allows sts:AssumeRole and not sts:TagSession, which the session tags of Pod Identity need; or write podIdentity.sessionTags: false"},
	{Link: "trust", Mechanism: identity.PodIdentity, Source: guideRole, all: []string{"sts:tagsession"},
		Means: "a trust policy allows sts:AssumeRole and not sts:TagSession, which Pod Identity needs beside it"},
	{Link: "trust", Mechanism: identity.IRSA, Source: guideIRSA, all: []string{"not authorized to perform", "assumerolewithwebidentity"},
		Means: "the role's trust policy does not let this ServiceAccount in: its :sub, :aud or issuer differs, or there is no statement"},
	{Link: "pods", Source: guideIRSA, all: []string{"expiredtoken"}, program: true,
		Means: "the pod's token, or the session that was got with it, is over: the program read it once and not again, so its SDK is too old or keeps what it has"},
	{Link: "pods", Mechanism: identity.IRSA, Source: guideOIDC, all: []string{"aws_web_identity_token_file"},
		Means: "the token's file is not there: the pod was not injected, or overrides the volume"},
	{Link: "pods", Mechanism: identity.IRSA, Source: guideOIDC, all: []string{"/secrets/eks.amazonaws.com/serviceaccount/token", "no such file"},
		Means: "the token's file is not there: the pod was not injected, or overrides the volume"},
	{Link: "pods", Mechanism: identity.PodIdentity, Source: guideRole, all: []string{"eks-pod-identity-token", "no such file"},
		Means: "the token's file is not there: the pod was not injected, or overrides the volume"},
	{Link: "pods", Mechanism: identity.PodIdentity, Source: "https://github.com/aws/aws-sdk-php/issues/3188", all: []string{"service account token cannot be empty"}, program: true,
		Means: "the program asked the agent without its token: its SDK does not read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"},
	{Link: "agent", Mechanism: identity.PodIdentity, Source: guideAgent, all: []string{"container-role", "non 200 response"},
		Means: "the agent answered and gave no credentials: its log says why; most often the association is new or gone, or the role does not trust pods.eks.amazonaws.com"},
	{Link: "agent", Mechanism: identity.PodIdentity, Source: guideAgent, all: []string{"169.254.170.23"}, Means: meansAgent},
	{Link: "agent", Mechanism: identity.PodIdentity, Source: guideAgent, all: []string{"fd00:ec2::23"}, Means: meansAgent},
	{Link: "pods", Source: guideNode, all: []string{"not authorized"}, form: ofNode,
		Means: "the call was made with the node's role: the pod was given no role of its own, or its SDK found none and went on to the node's; keep pods from the node's role with an IMDS hop limit of 1"},
	{Link: "pods", Source: guideIRSA, all: []string{"unable to locate credentials"}, Means: meansNothing},
	{Link: "pods", Source: guideIRSA, all: []string{"nocredentialproviders"}, Means: meansNothing},
	{Link: "pods", Source: guideIRSA, all: []string{"no ec2 imds role found"}, Means: meansNothing},
	{Link: "chained-roles", Source: guideRoles, all: []string{"assumed-role/"}, form: chain,
		Means: "the program has its role and goes on to another, which does not let it in: that role's trust policy does not name it, or asks for an external ID; or the role's own policies do not allow the call"},
	{Link: permissions, Source: guideDenied, all: []string{"assumed-role/", "not authorized to perform"},
		Means: "the pod has a role and works with it; what that role may do, by its permission policies, a boundary, the resource's policy or the organization's, does not include this call"},
}

// longestMessage bounds what is looked at of a text that somebody pasted: its end, where
// the error of a log is.
const longestMessage = 1 << 20

// Understand says what an error means; false for one that is not known. Which letters
// are large does not matter, nor what stands around the words that count.
func Understand(text string) (Message, bool) {
	text = strings.ToLower(strings.Join(strings.Fields(text[max(0, len(text)-longestMessage):]), " "))
	for _, m := range messages {
		found := m.form == nil || m.form.MatchString(text)
		for _, part := range m.all {
			found = found && strings.Contains(text, part)
		}
		if !found {
			continue
		}
		if who := session.FindStringSubmatch(text); who != nil && m.Link == permissions {
			m.role = who[1]
		}
		return m, true
	}
	return Message{}, false
}

// lines say what the error means, and where that is written.
func (m Message) lines() []string {
	by := ""
	if m.Mechanism != identity.None {
		by = ", by " + m.Mechanism.String()
	}
	at := "it is decided at link " + m.Link
	if m.Link == permissions {
		at = "it comes after the chain"
	}
	return []string{"the error means" + by + ": " + m.Means, at + "; see " + m.Source}
}

// Text is what the error means, for a person.
func (m Message) Text() string { return strings.Join(m.lines(), "\n") + "\n" }

// JSON is what the error means, in its public form: a chain that was not walked.
func (m Message) JSON() ([]byte, error) { return Chain{Links: []Link{}, Message: &m}.JSON() }

// held holds an error that somebody met against the chain as it is now.
func (c Chain) held() string {
	m := c.Message
	i := slices.IndexFunc(c.Links, func(l Link) bool { return l.Name == m.Link })
	_, name, _ := strings.Cut(c.Role, ":role/")
	name = name[strings.LastIndex(name, "/")+1:]
	switch {
	case c.Mechanism == identity.None && i < 0:
		return "no link of the error is here: what was walked ends at wiring"
	case m.Mechanism != identity.None && m.Mechanism != c.Mechanism:
		return fmt.Sprintf("the error comes by %s, and this ServiceAccount is on %s: its pods are older than that, or the error is another's", m.Mechanism, c.Mechanism)
	case m.role != "" && m.role != strings.ToLower(name):
		return fmt.Sprintf("the error was met by role %s, and this ServiceAccount's is %s: its pods are older than that, or the error is another's", m.role, name)
	case m.Link == permissions:
		return "no link of the chain is broken by the error: look at the permissions of role " + name
	case c.Links[i].State == Good && m.program:
		return "link " + m.Link + " is good, as far as it shows from outside: the error is about the program in the pod"
	case c.Links[i].State == Good:
		return "the link of the error, " + m.Link + ", is good now: it was mended since, or the error is another pod's, or IAM has not caught up yet; look whether it comes again"
	}
	return "the link of the error is " + m.Link + ", which is " + string(c.Links[i].State)
}
