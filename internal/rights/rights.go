package rights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Modes are the modes that this release has grants for, each with those of the one
// before.
func Modes() []string { return []string{"observe", "repair", "migrate"} }

// Feature is something optional that needs rights of its own.
type Feature struct {
	Name string
	Why  string // what it is for
	Mode string // the first one that makes use of it
}

// The optional features that need rights of their own.
const (
	Accounts      = "accounts"
	APIAccess     = "api-access"
	CloudTrail    = "cloudtrail"
	IdentityProbe = "identityProbe"
	Prune         = "prune"
)

// Features are the optional features that need rights of their own.
func Features() []Feature {
	return []Feature{
		{Accounts, "roles in other accounts, which the configuration's accounts names", "observe"},
		{APIAccess, "readers of the API whom the API server lets in (lanyard run --api-access)", "observe"},
		{CloudTrail, "proof of use from CloudTrail (features: {cloudtrail: true})", "observe"},
		{IdentityProbe, "identity probes: lanyard whoami in a pod of each ServiceAccount that has moved (features: {identityProbe: true}); mode migrate's", "migrate"},
		{Prune, "removal of what left Git (prune: owned); mode migrate has it anyway", "repair"},
	}
}

// idle are the features of the configuration that need no rights of AWS or Kubernetes:
// one lifts a guard rail, one has its rights at GitHub, and this release makes no use of
// the third.
var idle = []string{"pullRequests", "secretKeys", "self"}

// Place is where lanyard stands. What is empty becomes a word in capitals, to be
// replaced before the policy is used.
type Place struct {
	Partition, Region, Account, Cluster string
	Roles                               []string // patterns of the role ARNs that lanyard may write
	AccountRoles                        []string // the roles by which lanyard enters other accounts
	ExternalID                          string   // that goes with them
	Issuer                              string   // the cluster's OIDC issuer without https://, for the trust of IRSA
	Namespace, ServiceAccount, Lease    string   // lanyard's own
}

func (p Place) withDefaults() Place {
	p.Partition = cmp.Or(p.Partition, "aws")
	p.Region = cmp.Or(p.Region, "REGION")
	p.Account = cmp.Or(p.Account, "ACCOUNT")
	p.Cluster = cmp.Or(p.Cluster, "CLUSTER")
	p.Issuer = cmp.Or(p.Issuer, "oidc.eks."+p.Region+".amazonaws.com/id/ISSUER")
	p.ExternalID = cmp.Or(p.ExternalID, "EXTERNAL_ID")
	p.Namespace = cmp.Or(p.Namespace, "lanyard")
	p.ServiceAccount = cmp.Or(p.ServiceAccount, "lanyard")
	p.Lease = cmp.Or(p.Lease, "lanyard")
	if len(p.Roles) == 0 {
		p.Roles = []string{"arn:" + p.Partition + ":iam::" + p.Account + ":role/ROLE_PATTERN"}
	}
	if len(p.AccountRoles) == 0 {
		p.AccountRoles = []string{"arn:" + p.Partition + ":iam::OTHER_ACCOUNT:role/lanyard"}
	}
	return p
}

// clusterARN is also the value of the tag lanyard.io/cluster on associations.
func (p Place) clusterARN() string { return p.eks("cluster/" + p.Cluster) }

func (p Place) eks(resource string) string {
	return "arn:" + p.Partition + ":eks:" + p.Region + ":" + p.Account + ":" + resource
}

func (p Place) iam(resource string) string {
	return "arn:" + p.Partition + ":iam::" + p.Account + ":" + resource
}

// home are the role patterns of lanyard's own account, and away those of others.
func (p Place) home() (home, away []string) {
	for _, r := range p.Roles {
		if account := strings.Split(r, ":"); len(account) > 4 && account[4] != p.Account {
			away = append(away, r)
		} else {
			home = append(home, r)
		}
	}
	return home, away
}

// Wants is what lanyard needs.
type Wants struct {
	Place      Place
	Mode       string
	Features   []string
	Idle       []string    // features that were asked for and need nothing in this mode
	Statements []Statement // of the IAM policy in lanyard's own account
	Away       []Statement // of the one in each other account; with feature accounts
	Rules      []Rule      // of the ClusterRole
	Own        []Rule      // of the Role in lanyard's own namespace
}

// For returns what a mode needs with some features.
func For(mode string, features []string, place Place) (Wants, error) {
	if !slices.Contains(Modes(), mode) {
		return Wants{}, fmt.Errorf("mode %q is not one of %s", mode, strings.Join(Modes(), ", "))
	}
	w := Wants{Place: place.withDefaults(), Mode: mode}
	for _, f := range slices.Compact(slices.Sorted(slices.Values(features))) {
		switch {
		case slices.Contains(idle, f), f == IdentityProbe && mode != "migrate":
			w.Idle = append(w.Idle, f)
			continue
		case f == Prune && mode == "observe":
			return Wants{}, fmt.Errorf("feature prune: mode observe removes nothing: use --mode repair, or leave it out")
		case !slices.ContainsFunc(Features(), func(known Feature) bool { return known.Name == f }):
			return Wants{}, fmt.Errorf("feature %q is not one of %s, %s, %s, %s, %s", f, Accounts, APIAccess, CloudTrail, IdentityProbe, Prune)
		}
		w.Features = append(w.Features, f)
	}
	w.Statements, w.Away = w.statements()
	w.Rules, w.Own = w.rules()
	return w, nil
}

// writes reports whether the mode writes to ServiceAccounts, IAM and EKS.
func (w Wants) writes() bool { return w.Mode != "observe" }

// has reports whether a feature was asked for.
func (w Wants) has(feature string) bool { return slices.Contains(w.Features, feature) }
