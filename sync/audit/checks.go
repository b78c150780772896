package audit

import (
	"slices"

	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Check names something that an audit looks for. The list is closed, and a waiver names
// one of it. Checks of single trust statements are those of package trust.
type Check string

// The checks that are this package's own.
const (
	TrustTooWide     Check = "trust-too-wide" // the standing negative test
	TrustOpen        Check = "trust-open"
	SubjectUnwired   Check = "subject-unwired"
	ExternalID       Check = "external-id-missing"
	SharedRole       Check = "shared-role"
	RoleName         Check = "role-name"
	RoleMalformed    Check = "role-malformed"
	RoleElsewhere    Check = "role-elsewhere"
	RoleUnused       Check = "role-unused"
	OrphanRole       Check = "orphan-role"
	Boundary         Check = "boundary-missing"
	Tags             Check = "tags-missing"
	StarAction       Check = "star-action"
	StarResource     Check = "star-resource"
	AWSManaged       Check = "aws-managed-policy"
	WiringUnused     Check = "wiring-unused"
	AssociationAlone Check = "association-without-service-account"
	StaticKeys       Check = "static-keys"
	ProviderCount    Check = "oidc-provider-count"
)

// rule is what is known of a check beforehand.
type rule struct {
	check      Check
	severities []trust.Severity // that it can have
	fix        string           // where the finding does not say more
	source     string           // AWS's or Kubernetes' own page
}

const (
	eksBest    = "https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html"
	eksIRSA    = "https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html"
	eksPodRole = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html"
	eksHow     = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html"
	eksLimits  = "https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html"
	eksIssuer  = "https://docs.aws.amazon.com/eks/latest/userguide/enable-iam-roles-for-service-accounts.html"
	iamBest    = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html"
	iamKeysWIF = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif"
	iamWhom    = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html"
)

// rules are all checks, in the order of docs/audit.md: whom a role lets in, what the role
// is, what it may do, how it is wired, and what concerns the account.
var rules = []rule{
	{TrustTooWide, severe(trust.Critical, trust.Warning), "let the trust policy name this ServiceAccount and no other, by StringEquals", eksBest},
	{TrustOpen, severe(trust.Critical), "name the principals that are meant, or test who they are in a condition", iamWhom},
	{SubjectUnwired, severe(trust.Warning), "take the ServiceAccount out of the trust policy, or wire it if it is meant to use the role", iamBest},
	{ExternalID, severe(trust.Warning), "let the statement test sts:ExternalId, or aws:PrincipalOrgID if the other account is your own", "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html"},
	{Check(trust.CheckSubjectMissing), severe(trust.Critical), "", eksIRSA},
	{Check(trust.CheckSubjectWide), severe(trust.Critical, trust.Warning), "", eksIRSA},
	{Check(trust.CheckAudienceMissing), severe(trust.Warning), "", iamKeysWIF},
	{Check(trust.CheckLikeWithout), severe(trust.Info), "", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"},
	{Check(trust.CheckSeveralSubjects), severe(trust.Info), "", eksBest},
	{Check(trust.CheckIssuerForeign), severe(trust.Info), "", eksIssuer},
	{Check(trust.CheckIssuerStale), severe(trust.Warning), "", eksIssuer},
	{Check(trust.CheckIssuerKey), severe(trust.Critical), "", iamKeysWIF},
	{Check(trust.CheckPodIdentityWide), severe(trust.Warning), "", eksPodRole},
	{Check(trust.CheckNeverHolds), severe(trust.Critical, trust.Warning), "", iamKeysWIF},
	{Check(trust.CheckAssociationARN), severe(trust.Critical), "", eksPodRole},
	{Check(trust.CheckDeleted), severe(trust.Critical), "", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids"},
	{Check(diff.TrustSubjectMissing), severe(trust.Critical), "add a statement for this ServiceAccount to the role's trust policy: `lanyard explain` prints it", eksIRSA},
	{Check(diff.TrustIssuerStale), severe(trust.Critical), "let the statement name the OIDC provider of this cluster", eksIRSA},
	{Check(diff.TrustAudienceWrong), severe(trust.Critical), "let the statement's :aud name the audience that tokens carry", eksIRSA},
	{Check(diff.TrustPodIdentityMissing), severe(trust.Critical), "let the role's trust policy allow sts:AssumeRole and sts:TagSession to pods.eks.amazonaws.com", eksPodRole},
	{Check(diff.TrustTagSessionMissing), severe(trust.Critical), "allow sts:TagSession beside sts:AssumeRole, or turn session tags off in the association", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html"},
	{Check(diff.TrustUndecidable), severe(trust.Warning), "test values that can be known beforehand: this ServiceAccount, namespace and cluster", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"},

	{SharedRole, severe(trust.Warning), "give each ServiceAccount a role of its own", eksBest},
	{RoleName, severe(trust.Info), "make a role of that name, or tell the audit your pattern with --role-name", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"},
	{RoleMalformed, severe(trust.Critical), "write the role's whole ARN into the annotation: arn:aws:iam::ACCOUNT:role/NAME", eksIRSA},
	{RoleElsewhere, severe(trust.Critical, trust.Warning), "name a role of the cluster's account and partition", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html"},
	{Check(diff.RoleMissing), severe(trust.Critical), "create the role where roles are made, or wire the ServiceAccount to one that exists", eksIRSA},
	{RoleUnused, severe(trust.Info), "find out whether it is needed still; if not, take the wiring away, then the role", "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_last-accessed.html"},
	{OrphanRole, severe(trust.Warning), "find out who uses it still; if nobody does, delete the role where it was made", "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_manage_delete.html"},
	{Boundary, severe(trust.Info), "set a permissions boundary where the role is made", "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html"},
	{Tags, severe(trust.Info), "tag the role where it is made", "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags_roles.html"},

	{StarAction, severe(trust.Critical), "name the actions that the workload needs", iamBest + "#grant-least-privilege"},
	{StarResource, severe(trust.Warning), "name the resources, or bound the statement by a condition", iamBest + "#grant-least-privilege"},
	{AWSManaged, severe(trust.Info), "write a policy of your own with what the workload needs", iamBest + "#bp-use-aws-defined-policies"},

	{WiringUnused, severe(trust.Info), "take the wiring away if no workload is to come", iamBest + "#remove-credentials"},
	{AssociationAlone, severe(trust.Warning), "delete the association, or create the ServiceAccount where workloads are made", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html"},
	{Check(diff.AnnotationUnexpected), severe(trust.Info), "take the annotation off where the ServiceAccount is made, once nobody else reads it", eksIRSA},
	{Check(diff.PodsUninjected), severe(trust.Critical), "recreate the pods", eksHow},
	{Check(diff.PodsWrongMechanism), severe(trust.Warning), "recreate the pods, and take variables that are set by hand out of the template", eksHow},
	{Check(diff.PodsWrongRole), severe(trust.Critical), "recreate the pods", eksIRSA},
	{Check(diff.PodsAgentMissing), severe(trust.Critical), "let the Pod Identity agent run on each node", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html"},
	{Check(diff.PodsUnservable), severe(trust.Critical), "leave these pods on IRSA: give them a ServiceAccount of their own", eksLimits},
	{StaticKeys, severe(trust.Critical), "take the keys out of the template, delete them in IAM, and let the ServiceAccount's role serve", "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#bp-workloads-use-roles"},

	{Check(diff.OIDCProviderMissing), severe(trust.Critical), "create the IAM OIDC provider of the cluster's issuer in the role's account", eksIssuer},
	{Check(diff.OIDCAudienceMissing), severe(trust.Critical), "add the audience to the OIDC provider's client IDs", eksIssuer},
	{ProviderCount, severe(trust.Warning), "delete the providers of clusters that are gone, or ask AWS to raise the quota", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"},
	{Check(diff.ClusterMismatch), severe(trust.Critical), "name the cluster whose API server this is", eksIssuer},
}

func severe(s ...trust.Severity) []trust.Severity { return s }

// Checks returns the closed list, in the order of docs/audit.md.
func Checks() []Check {
	out := make([]Check, len(rules))
	for i, r := range rules {
		out[i] = r.check
	}
	return out
}

// Severities returns those that a check can have, the worst first.
func (c Check) Severities() []trust.Severity { return slices.Clone(c.rule().severities) }

// Source returns the page of AWS's documentation that the check rests on.
func (c Check) Source() string { return c.rule().source }

func (c Check) order() int {
	return slices.IndexFunc(rules, func(r rule) bool { return r.check == c })
}

func (c Check) rule() rule {
	if i := c.order(); i >= 0 {
		return rules[i]
	}
	return rule{check: c}
}

// ofDiff says which finding of package diff is which check. The others are about what
// Git asks for, or judged here.
var ofDiff = map[diff.Kind]Check{
	diff.ServiceAccountMissing: AssociationAlone, diff.MappingInvalid: RoleElsewhere,
	diff.RoleMissing: Check(diff.RoleMissing), diff.AnnotationUnexpected: Check(diff.AnnotationUnexpected),
	diff.TrustSubjectMissing: Check(diff.TrustSubjectMissing), diff.TrustIssuerStale: Check(diff.TrustIssuerStale),
	diff.TrustAudienceWrong: Check(diff.TrustAudienceWrong), diff.TrustPodIdentityMissing: Check(diff.TrustPodIdentityMissing),
	diff.TrustTagSessionMissing: Check(diff.TrustTagSessionMissing), diff.TrustUndecidable: Check(diff.TrustUndecidable),
	diff.OIDCProviderMissing: Check(diff.OIDCProviderMissing), diff.OIDCAudienceMissing: Check(diff.OIDCAudienceMissing),
	diff.PodsUninjected: Check(diff.PodsUninjected), diff.PodsWrongMechanism: Check(diff.PodsWrongMechanism), diff.PodsWrongRole: Check(diff.PodsWrongRole),
	diff.PodsAgentMissing: Check(diff.PodsAgentMissing), diff.PodsUnservable: Check(diff.PodsUnservable),
	diff.ClusterMismatch: Check(diff.ClusterMismatch),
}

// Groups of checks that rest on one read.
var (
	linted = []Check{
		Check(trust.CheckSubjectMissing), Check(trust.CheckSubjectWide), Check(trust.CheckAudienceMissing), Check(trust.CheckLikeWithout),
		Check(trust.CheckSeveralSubjects), Check(trust.CheckIssuerForeign), Check(trust.CheckIssuerStale), Check(trust.CheckIssuerKey),
		Check(trust.CheckPodIdentityWide), Check(trust.CheckNeverHolds), Check(trust.CheckAssociationARN), Check(trust.CheckDeleted),
	}
	ofTrust    = append([]Check{TrustTooWide, TrustOpen, SubjectUnwired, ExternalID}, linted...)
	ofVerdict  = []Check{Check(diff.TrustSubjectMissing), Check(diff.TrustIssuerStale), Check(diff.TrustAudienceWrong), Check(diff.TrustPodIdentityMissing), Check(diff.TrustTagSessionMissing), Check(diff.TrustUndecidable)}
	ofDetails  = []Check{RoleUnused, Boundary, Tags}
	ofPolicies = []Check{ExternalID, StarAction, StarResource, AWSManaged}
	ofPods     = []Check{WiringUnused, Check(diff.PodsUninjected), Check(diff.PodsWrongMechanism), Check(diff.PodsWrongRole), Check(diff.PodsAgentMissing), Check(diff.PodsUnservable), StaticKeys}
	ofProvider = []Check{Check(diff.OIDCProviderMissing), Check(diff.OIDCAudienceMissing)}
	ofRole     = slices.Concat(ofTrust, ofVerdict, []Check{Check(diff.RoleMissing)}, ofDetails, ofPolicies)
)
