package prober

import (
	"errors"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
)

// Plane is what must be mended for a pod to get credentials: one of the planes of
// lanyard's world, or what stands around it.
type Plane string

// The planes.
const (
	ServiceAccount Plane = "service-account" // The annotations named what is not there.
	Trust          Plane = "trust"           // The role's trust policy, the role, or the OIDC provider.
	Association    Plane = "association"     // There is none, or it names another role.
	Pods           Plane = "pods"            // The pod was not given what it needs.
	Agent          Plane = "agent"           // Nothing answers on the node.
	Kubernetes     Plane = "kubernetes"      // The API server or its token.
	AWS            Plane = "aws"             // STS or EKS Auth failed of themselves.
)

// agentCode finds EKS Auth's error code in the agent's plain text.
var agentCode = regexp.MustCompile(`\((\w+)\): `)

// blame says which plane an error is to be laid to, and the error code that AWS gave.
func blame(w wiring, err error) (Plane, string) {
	var noToken *tokenError
	var noWiring *wiringError
	switch {
	case errors.As(err, &noToken):
		return Kubernetes, ""
	case errors.As(err, &noWiring):
		return Pods, ""
	}
	code, text := "", ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code, text = api.ErrorCode(), api.ErrorMessage()
	}
	if w.mechanism == WebIdentity {
		return blameSTS(w, code, text), code
	}
	if api == nil {
		return Agent, "" // No answer at all: nothing listens, or the connection broke.
	}
	if m := agentCode.FindStringSubmatch(text); m != nil {
		code = m[1]
	}
	return blameAgent(w, code, text), code
}

// blameSTS reads STS's answer to a web identity token.
func blameSTS(w wiring, code, text string) Plane {
	switch code {
	case "AccessDenied":
		return Trust
	case "ValidationError":
		return ServiceAccount // A role ARN that is none.
	case "ExpiredTokenException":
		return Kubernetes
	case "InvalidIdentityToken":
		switch {
		case strings.Contains(text, "No OpenIDConnect provider"):
			return Trust
		case !strings.Contains(text, "audience"):
			return Kubernetes
		case w.token.audience == "sts.amazonaws.com":
			return Trust // The default, which the provider should list.
		}
		return ServiceAccount // Asked for by annotation.
	}
	return AWS
}

// blameAgent reads what the agent passes on from EKS Auth, or says itself.
func blameAgent(w wiring, code, text string) Plane {
	switch code {
	case "ResourceNotFoundException":
		return Association
	case "AccessDeniedException":
		return Trust
	case "ExpiredTokenException":
		return Kubernetes
	case "InvalidTokenException":
		if w.token.audience != "pods.eks.amazonaws.com" {
			return Pods // A volume of that name was there before the webhook came.
		}
		return Kubernetes
	}
	if strings.HasPrefix(text, "Service account token") {
		return Kubernetes
	}
	return AWS
}
