package rights

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Statement is one statement of an IAM policy.
type Statement struct {
	Sid       string
	Actions   []string
	Resources []string
	Condition map[string]map[string][]string
	Why       string // not part of the policy
}

// podsService is who uses a role that is passed to an association.
const podsService = "pods.eks.amazonaws.com"

// tagCluster is the tag that marks an association as a cluster's lanyard's
// (design.md section 5).
const tagCluster = "lanyard.io/cluster"

// statements returns the statements for lanyard's own account, and for each other one.
//
// Which resource and which condition an action knows.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelastickubernetesservice.html
// and https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
//
// That reference names no action besides for associations; the guide does: who creates
// one must have iam:PassRole. An update hands over a role as well. The reference says of
// create that it takes tags, and who may tag what is created is eks:TagResource's to say.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html
//
// sts:GetCallerIdentity needs no permission.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (w Wants) statements() (own, away []Statement) {
	p := w.Place
	home, elsewhere := p.home()
	own = append(readCluster(p), readRoles(p.iam("role/*"), p.iam("oidc-provider/*"))...)
	if w.has(Accounts) {
		own = append(own, Statement{
			Sid: "EnterAccounts", Actions: []string{"sts:AssumeRole"}, Resources: p.AccountRoles,
			Condition: map[string]map[string][]string{"StringEquals": {"sts:ExternalId": {p.ExternalID}}},
			Why:       "roles in other accounts are read, and in the modes that write written, through the roles that the configuration names. Where it has no externalID for them, leave the condition out",
		})
		away = readRoles("arn:"+p.Partition+":iam::*:role/*", "arn:"+p.Partition+":iam::*:oidc-provider/*")
	}
	if w.writes() {
		own = append(own, writeTrust(home))
		own = append(own, writeAssociations(p, home)...)
		if w.has(Accounts) && len(elsewhere) > 0 {
			away = append(away, writeTrust(elsewhere))
		}
	}
	if w.has(CloudTrail) {
		own = append(own, lookUpEvents())
	}
	if w.has(Prune) || w.Mode == "migrate" {
		own = append(own, Statement{
			Sid: "DeleteOwnAssociations", Actions: []string{"eks:DeletePodIdentityAssociation"},
			Resources: []string{p.eks("podidentityassociation/" + p.Cluster + "/*")},
			Condition: map[string]map[string][]string{"StringEquals": {"aws:ResourceTag/" + tagCluster: {p.clusterARN()}}},
			Why:       "prune removes associations that left Git, and a workload goes back to IRSA by the loss of its own: only those that bear the mark of this cluster's lanyard",
		})
	}
	return own, away
}

func readCluster(p Place) []Statement {
	return []Statement{
		{Sid: "ReadCluster", Actions: []string{"eks:DescribeCluster", "eks:ListAddons", "eks:ListFargateProfiles", "eks:ListPodIdentityAssociations"},
			Resources: []string{p.clusterARN()}, Why: "which cluster this is, and what it has"},
		{Sid: "ReadAssociations", Actions: []string{"eks:DescribePodIdentityAssociation"},
			Resources: []string{p.eks("podidentityassociation/" + p.Cluster + "/*")}, Why: "an association's role and tags: the list does not have them"},
		{Sid: "ReadAddons", Actions: []string{"eks:DescribeAddon"},
			Resources: []string{p.eks("addon/" + p.Cluster + "/*/*")}, Why: "which add-on owns an association or an annotation"},
		{Sid: "ReadNodeGroups", Actions: []string{"eks:DescribeNodegroup"},
			Resources: []string{p.eks("nodegroup/" + p.Cluster + "/*/*")}, Why: "whose role it is that the Pod Identity agent asks EKS with"},
		{Sid: "ReadFargateProfiles", Actions: []string{"eks:DescribeFargateProfile"},
			Resources: []string{p.eks("fargateprofile/" + p.Cluster + "/*/*")}, Why: "pods on Fargate have no Pod Identity"},
	}
}

func readRoles(roles, providers string) []Statement {
	return []Statement{
		{Sid: "ReadAccount", Actions: []string{"iam:GetAccountAuthorizationDetails", "iam:GetAccountSummary", "iam:ListOpenIDConnectProviders", "iam:ListRoles"},
			Resources: []string{"*"}, Why: "trust and permission policies in bulk, the size quota, and providers. IAM knows no narrower resource for these. ListRoles takes the place of GetAccountAuthorizationDetails where that is refused"},
		{Sid: "ReadRoles", Actions: []string{"iam:GetRole"},
			Resources: []string{roles}, Why: "one trust policy, where that is fewer calls, and right before and after each write"},
		{Sid: "ReadProviders", Actions: []string{"iam:GetOpenIDConnectProvider"},
			Resources: []string{providers}, Why: "whether the account trusts the cluster's issuer, and for which audiences"},
	}
}

// lookUpEvents: LookupEvents knows no resource and no condition of its own.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudtrail.html
func lookUpEvents() Statement {
	return Statement{Sid: "LookUpEvents", Actions: []string{"cloudtrail:LookupEvents"}, Resources: []string{"*"},
		Why: "who has assumed a role: proof that a moved workload uses what it was given, and that nobody uses what it had. CloudTrail knows no narrower resource: this shows all management events of the account"}
}

func writeTrust(roles []string) Statement {
	return Statement{Sid: "WriteTrust", Actions: []string{"iam:UpdateAssumeRolePolicy"}, Resources: roles,
		Why: "lanyard's own statements in trust policies. Who may do this to a role can let anybody use it: name no role that lanyard is not to manage, and never lanyard's own"}
}

func writeAssociations(p Place, roles []string) []Statement {
	ours := map[string]map[string][]string{"StringEquals": {"aws:RequestTag/" + tagCluster: {p.clusterARN()}}}
	return []Statement{
		{Sid: "CreateAssociations", Actions: []string{"eks:CreatePodIdentityAssociation"}, Resources: []string{p.clusterARN()}, Condition: ours,
			Why: "associations that are missing. Each is created with lanyard's mark"},
		{Sid: "TagAssociations", Actions: []string{"eks:TagResource"}, Resources: []string{p.eks("podidentityassociation/" + p.Cluster + "/*")}, Condition: ours,
			Why: "EKS asks for it where an association is created with tags"},
		{Sid: "UpdateAssociations", Actions: []string{"eks:UpdatePodIdentityAssociation"}, Resources: []string{p.eks("podidentityassociation/" + p.Cluster + "/*")},
			Why: "role, target role and session settings, in place"},
		{Sid: "PassRoles", Actions: []string{"iam:PassRole"}, Resources: roles,
			Condition: map[string]map[string][]string{"StringEquals": {"iam:PassedToService": {podsService}}},
			Why:       "EKS asks for it where an association names a role; to no other service"},
	}
}

// document is an IAM policy as JSON wants it.
type document struct {
	Version   string      `json:"Version"`
	Statement []statement `json:"Statement"`
}

type statement struct {
	Sid       string                    `json:"Sid"`
	Effect    string                    `json:"Effect"`
	Principal map[string]string         `json:"Principal,omitempty"`
	Action    any                       `json:"Action"`
	Resource  any                       `json:"Resource,omitempty"`
	Condition map[string]map[string]any `json:"Condition,omitempty"`
}

// IAM returns the policy for lanyard's role in its own account.
func (w Wants) IAM() string { return policy(w.Statements) }

// IAMAway returns the policy for the role by which lanyard enters another account;
// empty without feature accounts.
func (w Wants) IAMAway() string {
	if len(w.Away) == 0 {
		return ""
	}
	return policy(w.Away)
}

func policy(statements []Statement) string {
	d := document{Version: "2012-10-17"}
	for _, s := range statements {
		d.Statement = append(d.Statement, statement{Sid: s.Sid, Effect: "Allow", Action: one(s.Actions), Resource: one(s.Resources), Condition: conditions(s.Condition)})
	}
	return text(d)
}

// TrustPodIdentity returns the trust policy of lanyard's own role where lanyard itself
// runs on Pod Identity: this cluster's ServiceAccount and no other.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
func (w Wants) TrustPodIdentity() string {
	p := w.Place
	return text(document{Version: "2012-10-17", Statement: []statement{{
		Sid: "LetLanyardIn", Effect: "Allow", Principal: map[string]string{"Service": podsService}, Action: []string{"sts:AssumeRole", "sts:TagSession"},
		Condition: map[string]map[string]any{"StringEquals": {
			"aws:SourceAccount":                         p.Account,
			"aws:RequestTag/eks-cluster-arn":            p.clusterARN(),
			"aws:RequestTag/kubernetes-namespace":       p.Namespace,
			"aws:RequestTag/kubernetes-service-account": p.ServiceAccount,
		}},
	}}})
}

// TrustIRSA returns the trust policy of lanyard's own role where lanyard runs on IRSA.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
func (w Wants) TrustIRSA() string {
	p := w.Place
	return text(document{Version: "2012-10-17", Statement: []statement{{
		Sid: "LetLanyardIn", Effect: "Allow", Principal: map[string]string{"Federated": p.iam("oidc-provider/" + p.Issuer)}, Action: "sts:AssumeRoleWithWebIdentity",
		Condition: map[string]map[string]any{"StringEquals": {
			p.Issuer + ":aud": "sts.amazonaws.com",
			p.Issuer + ":sub": "system:serviceaccount:" + p.Namespace + ":" + p.ServiceAccount,
		}},
	}}})
}

// TrustAway returns the trust policy of the role by which lanyard enters another
// account.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html
func (w Wants) TrustAway() string {
	p := w.Place
	return text(document{Version: "2012-10-17", Statement: []statement{{
		Sid: "LetLanyardIn", Effect: "Allow", Principal: map[string]string{"AWS": p.iam("role/LANYARD_ROLE")}, Action: "sts:AssumeRole",
		Condition: map[string]map[string]any{"StringEquals": {"sts:ExternalId": p.ExternalID}},
	}}})
}

// Actions are all IAM actions of some statements, sorted.
func Actions(statements ...[]Statement) []string {
	var out []string
	for _, list := range statements {
		for _, s := range list {
			out = append(out, s.Actions...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func one(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func conditions(c map[string]map[string][]string) map[string]map[string]any {
	out := make(map[string]map[string]any, len(c))
	for operator, keys := range c {
		out[operator] = make(map[string]any, len(keys))
		for key, values := range keys {
			out[operator][key] = one(values)
		}
	}
	return out
}

func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err.Error() // maps, slices and texts: it does not fail
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
