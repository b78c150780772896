package explain

import (
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Message is what an error of an SDK or of AWS means.
type Message struct {
	Link      string             `json:"link"`      // of the chain, at which it is decided
	Mechanism identity.Mechanism `json:"mechanism"` // by which it comes; empty: either
	Means     string             `json:"means"`
	Source    string             `json:"source"`
	all       []string           // texts that must be in it, in small letters
}

const (
	guideIRSA  = "https://repost.aws/knowledge-center/eks-troubleshoot-irsa-errors"
	guideOIDC  = "https://repost.aws/knowledge-center/eks-troubleshoot-oidc-and-irsa"
	guideAgent = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html"
	guideRole  = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html"
)

// messages are the errors that people meet, the most telling first.
var messages = []Message{
	{"oidc-provider", identity.IRSA, "the role's account has no OIDC provider for the issuer that the token names: none was made, or the cluster was made again", guideIRSA, []string{"no openidconnect provider found"}},
	{"oidc-provider", identity.IRSA, "the OIDC provider does not list the token's audience among its client IDs", guideIRSA, []string{"incorrect token audience"}},
	{"oidc-provider", identity.IRSA, "the OIDC provider's thumbprint is not that of the issuer's certificate", guideIRSA, []string{"thumbprint"}},
	{"wiring", identity.IRSA, "the annotation is no role ARN", guideIRSA, []string{"request arn is invalid"}},
	{"trust", identity.PodIdentity, "the association's role does not trust pods.eks.amazonaws.com for this ServiceAccount, or its conditions do not match the session tags", "https://github.com/aws/eks-pod-identity-agent/issues/139", []string{"eks does not have permissions to assume the associated role"}},
	{"trust", identity.PodIdentity, "a trust policy allows sts:AssumeRole and not sts:TagSession, which Pod Identity needs beside it; in a chain that of the next role", guideRole, []string{"sts:tagsession"}},
	{"trust", identity.IRSA, "the role's trust policy does not let this ServiceAccount in: its :sub, :aud or issuer differs, or there is no statement", guideIRSA, []string{"not authorized to perform", "assumerolewithwebidentity"}},
	{"pods", identity.IRSA, "the token in the pod is over: the program read it once and not again, so its SDK is older than web identity with renewal", guideIRSA, []string{"expiredtoken"}},
	{"pods", identity.IRSA, "the token's file is not there: the pod was not injected, or overrides the volume", guideOIDC, []string{"aws_web_identity_token_file"}},
	{"agent", identity.PodIdentity, "no agent answers on the node: it is not installed or not ready there, or a proxy or NetworkPolicy stands in between", guideAgent, []string{"169.254.170.23"}},
	{"agent", identity.PodIdentity, "no agent answers on the node: it is not installed or not ready there, or a proxy or NetworkPolicy stands in between", guideAgent, []string{"fd00:ec2::23"}},
	{"pods", identity.None, "the SDK found nothing: the pod is older than its ServiceAccount's wiring, was not injected, or its SDK knows neither mechanism", guideIRSA, []string{"unable to locate credentials"}},
	{"pods", identity.None, "the SDK found nothing: the pod is older than its ServiceAccount's wiring, was not injected, or its SDK knows neither mechanism", guideIRSA, []string{"nocredentialproviders"}},
	{"pods", identity.None, "the SDK found nothing that works: the pod is older than its ServiceAccount's wiring, was not injected, or its SDK knows neither mechanism", guideIRSA, []string{"no ec2 imds role found"}},
}

// longestMessage bounds what is looked at of a text that somebody pasted.
const longestMessage = 64 << 10

// Understand says what an error means; false for one that is not known. Which letters
// are large does not matter, nor what stands around the words that count.
func Understand(text string) (Message, bool) {
	text = strings.ToLower(strings.Join(strings.Fields(text[:min(len(text), longestMessage)]), " "))
	for _, m := range messages {
		found := true
		for _, part := range m.all {
			found = found && strings.Contains(text, part)
		}
		if found {
			return m, true
		}
	}
	return Message{}, false
}

// lines say what the error means, and where that is written.
func (m Message) lines() []string {
	by := ""
	if m.Mechanism != identity.None {
		by = ", by " + m.Mechanism.String()
	}
	return []string{"the error means" + by + ": " + m.Means, "it is decided at link " + m.Link + "; see " + m.Source}
}

// Text is what the error means, for a person.
func (m Message) Text() string { return strings.Join(m.lines(), "\n") + "\n" }
