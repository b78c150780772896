package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// AWSIdentity is who AWS takes whoever runs this for.
type AWSIdentity struct {
	Trouble
	ARN       string
	Mechanism string             // how the SDK found credentials
	Wiring    identity.Mechanism // whose variables those are; None where nobody's
	InPod     bool
}

// Judge tells who it is. A pod that has the node's role has what every pod there has.
// Source: https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html#_restrict_access_to_the_instance_profile_assigned_to_the_worker_node
func (f AWSIdentity) Judge() Check {
	id := IDAWSIdentity
	const next = "see which credentials there are with lanyard whoami, and that they are not expired; a pod needs an association or an annotation on its ServiceAccount, and to be made after it"
	switch {
	case f.Is():
		return f.unreachable(id, next)
	case strings.HasSuffix(f.ARN, ":root"):
		return id.check(Warning, "it is the account's root user").fix("use a role: nothing can be taken from the root user")
	case f.InPod && f.Mechanism == "instance-metadata":
		return id.check(Failed, f.ARN+", which is the node's own role: every pod of the node has it").
			fix("give lanyard's ServiceAccount a role of its own: lanyard policy -o trust-pod-identity or -o trust-irsa prints its trust policy")
	}
	by := f.Mechanism
	if f.Wiring != identity.None {
		by = f.Wiring.String()
	}
	if by == "" {
		return id.check(OK, f.ARN)
	}
	return id.check(OK, f.ARN+", by "+by)
}

// AWSAccount compares the caller's account with those of the roles that may be written.
type AWSAccount struct {
	Trouble
	Caller, Region string
	Cluster        string   // the account of the cluster's ARN; empty where it is not known
	Allow          []string // accounts that the configuration's allow names; none means any
	Others         []string // accounts that it has a way into
}

// Judge tells whether it is an account that the configuration means.
func (f AWSAccount) Judge() Check {
	id := IDAWSAccount
	if f.Is() {
		return f.unknown(id)
	}
	seen := "account " + f.Caller + " in " + f.Region
	if f.Cluster != "" && f.Cluster != f.Caller {
		return id.check(Failed, seen, "the cluster is in account "+f.Cluster).fix("use credentials of account %s: an association and its role must be in the cluster's account", f.Cluster)
	}
	var far []string
	for _, a := range f.Allow {
		if a != f.Caller && !slices.Contains(f.Others, a) {
			far = append(far, "allow names roles of account "+a+", which is neither this one nor in accounts")
		}
	}
	if len(far) > 0 {
		return id.check(Failed, append([]string{seen}, far...)...).fix("use credentials of the cluster's account, or write the account into the configuration's accounts")
	}
	return id.check(OK, seen)
}

// Cluster is what EKS says of the cluster.
type Cluster struct {
	Trouble
	Name, Region, Account string
	Missing               bool
	Status, Version       string
	Outpost               bool
}

// Judge tells whether it is there and active.
func (f Cluster) Judge() Check {
	id := IDCluster
	switch {
	case f.Missing:
		return id.check(Failed, fmt.Sprintf("EKS has no cluster %s in %s of account %s", f.Name, f.Region, f.Account)).
			fix("check --cluster and AWS_REGION, and that the credentials are of the cluster's account: aws eks list-clusters")
	case f.Is():
		return f.unknown(id)
	case f.Status != "ACTIVE" && f.Status != "UPDATING":
		return id.check(Failed, "cluster "+f.Name+" is "+f.Status).fix("see what it waits for: aws eks describe-cluster --name %s", f.Name)
	}
	return id.check(OK, fmt.Sprintf("%s is %s, Kubernetes %s, in %s of account %s", f.Name, f.Status, f.Version, f.Region, f.Account))
}

// STSAudience is what tokens of IRSA carry unless an annotation says otherwise.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/enable-iam-roles-for-service-accounts.html
const STSAudience = "sts.amazonaws.com"

// OIDCProvider is IAM's provider of the cluster's issuer.
type OIDCProvider struct {
	Trouble
	ARN       string
	Present   bool
	Audiences []string
	Cluster   string
}

// Judge tells whether it is there, with STS's audience. Without it nobody is served by
// IRSA, and nothing can go back to it.
func (f OIDCProvider) Judge() Check {
	id := IDOIDCProvider
	switch {
	case f.Is():
		return f.unknown(id)
	case !f.Present:
		return id.check(Failed, "IAM has no OIDC provider "+f.ARN+": no token of the cluster's is taken, so IRSA serves nobody and nothing can go back to it").
			fix("eksctl utils associate-iam-oidc-provider --cluster %s --approve, or where the cluster is made: lanyard makes no provider", f.Cluster)
	case !slices.Contains(f.Audiences, STSAudience):
		return id.check(Failed, "OIDC provider "+f.ARN+" takes these audiences: "+orNone(strings.Join(f.Audiences, ", "))).
			fix("aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn %s --client-id %s", f.ARN, STSAudience)
	}
	return id.check(OK, f.ARN+" takes "+strings.Join(f.Audiences, ", "))
}

// Grant is how an action of IAM stands.
type Grant string

// How an action stands.
const (
	Granted  Grant = "granted"
	Denied   Grant = "denied"
	NotAsked Grant = "not-asked"
)

// Action is one action of the IAM policy, and how it stands on what it is needed on.
type Action struct {
	Name     string
	Resource string // the ARN or pattern; empty where a read says it, of all that it needs
	Grant    Grant
	Why      string // of what is denied or not asked
}

// AWSPermissions are the actions of the mode's IAM policy.
type AWSPermissions struct {
	Trouble
	Who       string // the role or user that was asked about
	Simulated bool   // by iam:SimulatePrincipalPolicy; else by harmless reads
	Refused   string // why it was not simulated
	Actions   []Action
	Command   string // what prints the policy
}

// Judge tells which are missing. What was not asked is not known, and never taken for
// granted: a write cannot be tried out.
func (f AWSPermissions) Judge() Check {
	id := IDAWSPermissions
	if f.Is() {
		return f.unknown(id)
	}
	var denied, open []string
	granted := 0
	for _, a := range f.Actions {
		text := a.Name
		if a.Resource != "" && a.Resource != "*" {
			text += " on " + a.Resource
		}
		if a.Why != "" {
			text += ": " + a.Why
		}
		switch a.Grant {
		case Granted:
			granted++
		case Denied:
			denied = append(denied, "missing: "+text)
		case NotAsked:
			open = append(open, text)
		}
	}
	how := "by simulation"
	if !f.Simulated {
		how = "by harmless reads"
	}
	seen := []string{fmt.Sprintf("%s: %d granted, %d missing, %d not known, %s", f.Who, granted, len(denied), len(open), how)}
	if f.Refused != "" {
		seen = append(seen, "not simulated: "+f.Refused)
	}
	seen = append(seen, denied...)
	if len(open) > 0 {
		seen = append(seen, "not known: "+strings.Join(open, "; "))
	}
	switch {
	case len(denied) > 0:
		return id.check(Failed, seen...).fix("give %s the policy that this prints: %s", f.Who, f.Command)
	case len(open) > 0:
		return id.check(Unknown, seen...).fix("let whoever runs this call iam:SimulatePrincipalPolicy on %s (docs/doctor.md has the policy), or compare its policies with: %s", f.Who, f.Command)
	}
	return id.check(OK, seen...)
}

// Entry is the way into one other account.
type Entry struct {
	Account, Role string
	Trouble
}

// OtherAccounts are those that the configuration names.
type OtherAccounts struct {
	Entries []Entry
	Command string // what prints the trust policy
}

// Judge tells which cannot be entered.
func (f OtherAccounts) Judge() Check {
	id := IDOtherAccounts
	if len(f.Entries) == 0 {
		return Skip(id, "the configuration names no other account")
	}
	var bad, good []string
	failed := false
	for _, e := range f.Entries {
		if !e.Is() {
			good = append(good, "account "+e.Account+" by "+e.Role)
			continue
		}
		bad = append(bad, "account "+e.Account+" by "+e.Role+": "+e.Message)
		failed = failed || e.Reason == live.GapRefused
	}
	switch {
	case failed:
		return id.check(Failed, bad...).fix("let the role trust lanyard's, with the external ID of the configuration, and let lanyard's role assume it: %s", f.Command)
	case len(bad) > 0:
		return id.check(Unknown, bad...).fix("%s", slow(id))
	}
	return id.check(OK, good...)
}
