package live

import "fmt"

// Presence is the answer to "is it there?". Its zero value is Unknown, so that what
// nobody looked at is never taken for absent.
type Presence uint8

// The three answers.
const (
	Unknown Presence = iota
	Present
	Absent
)

var presences = [...]string{"unknown", "present", "absent"}

// String returns unknown, present or absent.
func (p Presence) String() string { return presences[min(int(p), len(presences)-1)] }

// MarshalText writes the word.
func (p Presence) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word.
func (p *Presence) UnmarshalText(b []byte) error {
	for i, word := range presences {
		if word == string(b) {
			*p = Presence(i)
			return nil
		}
	}
	return fmt.Errorf("presence %q is none of unknown, present, absent", b)
}

// Source names a kind of read: the AWS action, or the Kubernetes resource.
type Source string

// The reads of a round.
const (
	SourceServiceAccounts Source = "kubernetes:serviceaccounts"
	SourceNamespaces      Source = "kubernetes:namespaces"
	SourcePods            Source = "kubernetes:pods"
	SourceWorkloads       Source = "kubernetes:workloads"
	SourceNodes           Source = "kubernetes:nodes"
	SourceWebhook         Source = "kubernetes:mutatingwebhookconfigurations"
	SourceIssuer          Source = "kubernetes:openid-configuration"

	SourceCluster              Source = "eks:DescribeCluster"
	SourceListAssociations     Source = "eks:ListPodIdentityAssociations"
	SourceDescribeAssociation  Source = "eks:DescribePodIdentityAssociation"
	SourceListAddons           Source = "eks:ListAddons"
	SourceDescribeAddon        Source = "eks:DescribeAddon"
	SourceListFargateProfiles  Source = "eks:ListFargateProfiles"
	SourceDescribeFargate      Source = "eks:DescribeFargateProfile"
	SourceRole                 Source = "iam:GetRole"
	SourceRoles                Source = "iam:ListRoles"
	SourceAuthorizationDetails Source = "iam:GetAccountAuthorizationDetails"
	SourceListProviders        Source = "iam:ListOpenIDConnectProviders"
	SourceProvider             Source = "iam:GetOpenIDConnectProvider"
	SourceAccountSummary       Source = "iam:GetAccountSummary"
	SourceAssumeRole           Source = "sts:AssumeRole"
	SourceCallerIdentity       Source = "sts:GetCallerIdentity"
)

// GapReason says why a read has no answer.
type GapReason string

// Why a read has no answer.
const (
	GapRefused      GapReason = "refused"      // not authorised
	GapThrottled    GapReason = "throttled"    // told to slow down until the budget ended
	GapTruncated    GapReason = "truncated"    // some pages came, then no more
	GapFailed       GapReason = "failed"       // a server or network error
	GapUnconfigured GapReason = "unconfigured" // lanyard has no way in: an account without a role to assume
)

// Gap is a read without an answer. Scope is what was asked for: an ARN, an
// association's ID, "namespace/name", or an account's ID; empty means all that the
// Source would have told.
type Gap struct {
	Source  Source    `json:"source"`
	Scope   string    `json:"scope,omitempty"`
	Reason  GapReason `json:"reason"`
	Message string    `json:"message,omitempty"`
}

// String returns "source scope: reason: message".
func (g Gap) String() string {
	s := string(g.Source)
	if g.Scope != "" {
		s += " " + g.Scope
	}
	s += ": " + string(g.Reason)
	if g.Message != "" {
		s += ": " + g.Message
	}
	return s
}
