package live

import (
	"fmt"
	"slices"
	"strings"
)

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
	SourceBudgets         Source = "kubernetes:poddisruptionbudgets"
	SourceNetworkPolicies Source = "kubernetes:networkpolicies"
	SourceReaders         Source = "kubernetes:annotation-readers" // scope: the resource, "secretstores.external-secrets.io"

	SourceCluster              Source = "eks:DescribeCluster"
	SourceListAssociations     Source = "eks:ListPodIdentityAssociations"
	SourceDescribeAssociation  Source = "eks:DescribePodIdentityAssociation"
	SourceListAddons           Source = "eks:ListAddons"
	SourceDescribeAddon        Source = "eks:DescribeAddon"
	SourceListFargateProfiles  Source = "eks:ListFargateProfiles"
	SourceDescribeFargate      Source = "eks:DescribeFargateProfile"
	SourceDescribeNodeGroup    Source = "eks:DescribeNodegroup"
	SourceRole                 Source = "iam:GetRole"
	SourceRoles                Source = "iam:ListRoles"
	SourceAuthorizationDetails Source = "iam:GetAccountAuthorizationDetails"
	SourceListProviders        Source = "iam:ListOpenIDConnectProviders"
	SourceProvider             Source = "iam:GetOpenIDConnectProvider"
	SourceAccountSummary       Source = "iam:GetAccountSummary"
	SourceAssumeRole           Source = "sts:AssumeRole"
	SourceCallerIdentity       Source = "sts:GetCallerIdentity"
)

var sources = []Source{
	SourceServiceAccounts, SourceNamespaces, SourcePods, SourceWorkloads, SourceNodes, SourceWebhook, SourceIssuer,
	SourceBudgets, SourceNetworkPolicies, SourceReaders, SourceDescribeNodeGroup,
	SourceCluster, SourceListAssociations, SourceDescribeAssociation, SourceListAddons, SourceDescribeAddon,
	SourceListFargateProfiles, SourceDescribeFargate, SourceRole, SourceRoles, SourceAuthorizationDetails,
	SourceListProviders, SourceProvider, SourceAccountSummary, SourceAssumeRole, SourceCallerIdentity,
}

// UnmarshalText reads a read's name. An unknown one is refused: a gap that no lookup
// asks for would make what was not read look absent.
func (s *Source) UnmarshalText(b []byte) error { return word(s, b, "source", sources) }

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

var gapReasons = []GapReason{GapRefused, GapThrottled, GapTruncated, GapFailed, GapUnconfigured}

// UnmarshalText reads the word, which must be one of the list.
func (r *GapReason) UnmarshalText(b []byte) error { return word(r, b, "reason", gapReasons) }

// word reads a word of a closed list.
func word[T ~string](to *T, b []byte, what string, list []T) error {
	if !slices.Contains(list, T(b)) {
		return fmt.Errorf("%s %q is none of %s", what, b, strings.Trim(fmt.Sprint(list), "[]"))
	}
	*to = T(b)
	return nil
}

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
