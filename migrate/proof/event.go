package proof

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// The events that show a use, both of STS.
const (
	byPodIdentity = "AssumeRole"
	byIRSA        = "AssumeRoleWithWebIdentity"
	stsSource     = "sts.amazonaws.com"
)

// podIdentityService is who assumes a role for a pod.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
const podIdentityService = "pods.eks.amazonaws.com"

// largestEvent bounds what is parsed of an event, and longestAgent what is kept of a user
// agent: whoever calls STS chooses that text.
// Source: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/WhatIsCloudTrail-Limits.html
// (an event has at most 256 KB).
const (
	largestEvent = 256 << 10
	longestAgent = 512
)

// record is what is read of an event, as CloudTrail has it. What else is there does not
// matter.
// Source: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type record struct {
	EventTime    time.Time `json:"eventTime"`
	EventSource  string    `json:"eventSource"`
	EventName    string    `json:"eventName"`
	UserAgent    string    `json:"userAgent"`
	ErrorCode    string    `json:"errorCode"`
	UserIdentity struct {
		Type             string `json:"type"`
		InvokedBy        string `json:"invokedBy"`
		PrincipalID      string `json:"principalId"`
		UserName         string `json:"userName"`
		IdentityProvider string `json:"identityProvider"`
	} `json:"userIdentity"`
	RequestParameters struct {
		RoleARN string `json:"roleArn"`
		Tags    []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"tags"`
	} `json:"requestParameters"`
}

// sight is one use, or an attempt, by a ServiceAccount of the cluster.
type sight struct {
	subject   identity.Subject
	mechanism identity.Mechanism
	role      identity.RoleARN
	provider  string // of IRSA: the OIDC provider's ARN
	at        time.Time
	refused   bool
	probe     bool // by lanyard whoami: no workload's use, see [identity.ProbePrefix]
	agent     string
}

// errUnreadable is an event that is not one.
var errUnreadable = errors.New("an event that cannot be read")

// parse reads an event. It is none of the cluster's if ours is false.
func parse(text string, cluster identity.Cluster) (s sight, ours bool, err error) {
	if len(text) > largestEvent {
		return sight{}, false, errUnreadable
	}
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.EventTime.IsZero() {
		return sight{}, false, errUnreadable
	}
	if r.EventSource != stsSource {
		return sight{}, false, nil
	}
	s = sight{at: r.EventTime.UTC(), refused: r.ErrorCode != ""}
	switch r.EventName {
	case byPodIdentity:
		ours = s.podIdentity(r, cluster)
	case byIRSA:
		ours = s.irsa(r, cluster)
	}
	if !ours {
		return sight{}, false, nil
	}
	if s.role, err = identity.ParseRoleARN(r.RequestParameters.RoleARN); err != nil {
		return sight{}, false, errUnreadable
	}
	return s, true, nil
}

// podIdentity reads an assumption by EKS for a pod of this cluster. Anybody who may tag a
// session can write these tags, so it counts only from AWS's own service: who called is
// for AWS to say.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
func (s *sight) podIdentity(r record, cluster identity.Cluster) bool {
	if r.UserIdentity.Type != "AWSService" || r.UserIdentity.InvokedBy != podIdentityService {
		return false
	}
	tags := map[string]string{}
	for _, t := range r.RequestParameters.Tags {
		tags[t.Key] = t.Value
	}
	s.mechanism = identity.PodIdentity
	s.subject = identity.Subject{Namespace: tags["kubernetes-namespace"], ServiceAccount: tags["kubernetes-service-account"]}
	s.probe = strings.HasPrefix(tags["kubernetes-pod-name"], identity.ProbePrefix)
	return tags["eks-cluster-arn"] == cluster.ARN() && s.subject.Namespace != "" && s.subject.ServiceAccount != ""
}

// irsa reads an exchange of a token of this cluster. The principal names the provider,
// the audience and the subject; what else names them must agree. The provider is that of
// the cluster's issuer in some account: hosts may be spelled in two ways, the ID in one.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html
func (s *sight) irsa(r record, cluster identity.Cluster) bool {
	u := r.UserIdentity
	subject, known := identity.ParseOIDCSubject(u.UserName)
	if !known || u.Type != "WebIdentityUser" || cluster.Issuer == "" ||
		!strings.HasPrefix(u.PrincipalID, u.IdentityProvider+":") || !strings.HasSuffix(u.PrincipalID, ":"+u.UserName) ||
		!strings.Contains(u.IdentityProvider, ":oidc-provider/") || !strings.HasSuffix(u.IdentityProvider, "/"+cluster.Issuer.ID()) {
		return false
	}
	s.mechanism, s.subject, s.provider, s.agent = identity.IRSA, subject, u.IdentityProvider, printable(r.UserAgent)
	s.probe = slices.Contains(strings.Fields(r.UserAgent), "app/"+identity.WhoamiAppID)
	return true
}

// printable makes a stranger's text fit to be shown.
func printable(text string) string {
	if len(text) > longestAgent {
		text = text[:longestAgent]
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
