package awsd

import (
	"crypto/sha256"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Account is one AWS account.
type Account struct {
	ID             string // Twelve digits.
	Partition      string // "aws" if empty.
	OrganizationID string // "o-..." if the account is in an organization.

	// AssumeRolePolicySizeQuota is the longest trust policy in characters, 2,048 if zero.
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
	AssumeRolePolicySizeQuota int

	// AssociationsPerCluster is the quota of Pod Identity associations, 5,000 if zero.
	// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
	AssociationsPerCluster int
}

// Role is one IAM role. Account, path and name are those of its ARN.
type Role struct {
	ARN                string
	ID                 string // "AROA..."; derived from the ARN if empty.
	Trust              string // The trust policy document, as JSON, not URL-encoded.
	Description        string
	Tags               map[string]string
	Inline             map[string]string // Inline policies: name to document.
	Attached           []string          // ARNs of attached managed policies.
	MaxSessionDuration time.Duration     // One hour if zero.
	Boundary           string            // ARN of the permissions boundary.
	SourceRoleTemplate string            // ARN of the role template, for roles of AWS role manager.
	Created            time.Time         // The server's time if zero.
	LastUsed           time.Time         // Zero if never.
	LastUsedRegion     string
}

// Policy is one managed policy, with one version. The account of an AWS managed
// policy's ARN is "aws".
type Policy struct {
	ARN      string
	Document string
	Version  string // "v1" if empty.
	Created  time.Time
}

// Provider is one IAM OIDC provider. Its URL is the part of the ARN after
// "oidc-provider/", without a scheme, as IAM returns it.
type Provider struct {
	ARN         string
	ClientIDs   []string
	Thumbprints []string
	Tags        map[string]string
	Created     time.Time
}

// URL returns the issuer's URL without "https://".
func (p Provider) URL() string {
	_, url, _ := strings.Cut(p.ARN, ":oidc-provider/")
	return url
}

// Cluster is one EKS cluster. Account, Region and name are those of its ARN.
type Cluster struct {
	ARN             string
	Version         string
	PlatformVersion string
	Status          string // "ACTIVE" if empty.
	Endpoint        string
	Issuer          string // The OIDC issuer with "https://"; empty if the cluster has none.
	RoleARN         string
	AutoMode        bool // computeConfig.enabled.
	NodePools       []string
	NodeRoleARN     string
	RemoteNodeCIDRs []string // remoteNetworkConfig.remoteNodeNetworks: hybrid nodes.
	RemotePodCIDRs  []string
	OutpostARNs     []string // outpostConfig: a local cluster on Outposts.
	Tags            map[string]string
	Created         time.Time
}

// NodeGroup is one managed node group of a cluster. What it needs of EC2 is not here.
type NodeGroup struct {
	Cluster string // The cluster's ARN.
	Name    string
	RoleARN string
	Status  string // "ACTIVE" if empty.
	Created time.Time
}

// Addon is one EKS add-on of a cluster.
type Addon struct {
	Cluster                 string // The cluster's ARN.
	Name                    string
	Version                 string
	Status                  string // "ACTIVE" if empty.
	ServiceAccountRoleARN   string
	PodIdentityAssociations []string // ARNs of the associations that the add-on owns.
	Namespace               string
	ConfigurationValues     string
	Tags                    map[string]string
	Created, Modified       time.Time
}

// ARN returns the add-on's ARN, which its associations bear as ownerArn.
func (a Addon) ARN() string { return eksARN(a.Cluster, "addon", a.Name, uuidOf(a.Cluster+a.Name)) }

// AddonConfiguration is what EKS knows about one version of an add-on.
type AddonConfiguration struct {
	Name, Version   string
	Schema          string          // The JSON schema of the configuration values.
	ServiceAccounts []AddonIdentity // podIdentityConfiguration; empty if the add-on has no support for it.
}

// AddonIdentity is a ServiceAccount of an add-on and the policies suggested for it.
type AddonIdentity struct {
	ServiceAccount string
	Policies       []string
}

// FargateProfile is one Fargate profile of a cluster.
type FargateProfile struct {
	Cluster             string // The cluster's ARN.
	Name                string
	Status              string // "ACTIVE" if empty.
	PodExecutionRoleARN string
	Selectors           []FargateSelector
	Subnets             []string
	Tags                map[string]string
	Created             time.Time
}

// FargateSelector says which pods a Fargate profile takes. Namespace, label keys and
// label values may have the wildcards * and ?.
type FargateSelector struct {
	Namespace string
	Labels    map[string]string
}

// Association is one Pod Identity association.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_PodIdentityAssociation.html
type Association struct {
	Cluster            string // The cluster's ARN.
	ID                 string // "a-" and 17 letters or digits; made up if empty.
	Namespace          string
	ServiceAccount     string
	RoleARN            string
	TargetRoleARN      string
	ExternalID         string // Made up if empty: region/account/cluster/namespace/ServiceAccount.
	Policy             string
	DisableSessionTags bool
	OwnerARN           string
	Tags               map[string]string
	Created, Modified  time.Time
}

// ARN returns the association's ARN.
func (a Association) ARN() string { return eksARN(a.Cluster, "podidentityassociation", a.ID) }

func (a Association) subject() subject { return subject{a.Namespace, a.ServiceAccount} }

// subject is a ServiceAccount of a cluster.
type subject struct{ namespace, serviceAccount string }

func (r Role) clone() Role {
	r.Tags, r.Inline, r.Attached = maps.Clone(r.Tags), maps.Clone(r.Inline), slices.Clone(r.Attached)
	return r
}

func (p Provider) clone() Provider {
	p.ClientIDs, p.Thumbprints, p.Tags = slices.Clone(p.ClientIDs), slices.Clone(p.Thumbprints), maps.Clone(p.Tags)
	return p
}

func (c Cluster) clone() Cluster {
	c.NodePools, c.OutpostARNs, c.Tags = slices.Clone(c.NodePools), slices.Clone(c.OutpostARNs), maps.Clone(c.Tags)
	c.RemoteNodeCIDRs, c.RemotePodCIDRs = slices.Clone(c.RemoteNodeCIDRs), slices.Clone(c.RemotePodCIDRs)
	return c
}

func (a Addon) clone() Addon {
	a.PodIdentityAssociations, a.Tags = slices.Clone(a.PodIdentityAssociations), maps.Clone(a.Tags)
	return a
}

func (f FargateProfile) clone() FargateProfile {
	f.Selectors, f.Subnets, f.Tags = slices.Clone(f.Selectors), slices.Clone(f.Subnets), maps.Clone(f.Tags)
	for i, s := range f.Selectors {
		f.Selectors[i].Labels = maps.Clone(s.Labels)
	}
	return f
}

func (a Association) clone() Association {
	a.Tags = maps.Clone(a.Tags)
	return a
}

// arn is an Amazon Resource Name, taken apart.
type arn struct{ partition, service, region, account, resource string }

func parseARN(s string) (arn, bool) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[1] == "" || p[2] == "" || p[5] == "" {
		return arn{}, false
	}
	return arn{p[1], p[2], p[3], p[4], p[5]}, true
}

func (a arn) String() string {
	return strings.Join([]string{"arn", a.partition, a.service, a.region, a.account, a.resource}, ":")
}

// roleName returns the account, the path and the name in a role's ARN.
func roleName(s string) (account, path, name string, ok bool) {
	a, ok := parseARN(s)
	if !ok || a.service != "iam" || a.region != "" || !isAccount(a.account) {
		return "", "", "", false
	}
	rest, ok := strings.CutPrefix(a.resource, "role/")
	if !ok || rest == "" {
		return "", "", "", false
	}
	i := strings.LastIndexByte(rest, '/')
	path, name = "/"+rest[:i+1], rest[i+1:]
	return a.account, path, name, iamName.MatchString(name) && len(name) <= 64
}

// clusterKey is how requests name a cluster: the caller's account, the Region of the
// credential scope, and the name.
type clusterKey struct{ account, region, name string }

func parseClusterARN(s string) (clusterKey, bool) {
	a, ok := parseARN(s)
	name, found := strings.CutPrefix(a.resource, "cluster/")
	ok = ok && found && a.service == "eks" && a.region != "" && isAccount(a.account) && clusterName.MatchString(name)
	return clusterKey{a.account, a.region, name}, ok
}

// eksARN returns the ARN of something in the cluster with the ARN given.
func eksARN(cluster, kind string, parts ...string) string {
	a, _ := parseARN(cluster)
	a.resource = kind + strings.TrimPrefix(a.resource, "cluster") + "/" + strings.Join(parts, "/")
	return a.String()
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// made returns n lower-case letters and digits that depend on seed alone.
func made(seed string, n int) string {
	sum := sha256.Sum256([]byte(seed))
	s := new(big.Int).SetBytes(sum[:]).Text(36)
	return s[len(s)-n:]
}

func uuidOf(seed string) string {
	s := made(seed, 32)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}
