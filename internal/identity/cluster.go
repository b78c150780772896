package identity

import (
	"fmt"
	"regexp"
	"strings"
)

// Issuer is an EKS cluster's OIDC issuer URL, with its scheme, as DescribeCluster
// returns it (identity.oidc.issuer). It is always read, never typed: hosts differ
// by Region, partition and address family.
type Issuer string

// HostPath returns the issuer without "https://": the spelling of IAM's provider
// ARNs and of condition keys.
func (i Issuer) HostPath() string { return strings.TrimPrefix(string(i), "https://") }

// ProviderARN returns the ARN of the IAM OIDC provider for this issuer in an account.
func (i Issuer) ProviderARN(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":oidc-provider/" + i.HostPath()
}

// ID returns the last path segment, which names the cluster whatever the host's spelling.
func (i Issuer) ID() string {
	return i.HostPath()[strings.LastIndexByte(i.HostPath(), '/')+1:]
}

// Cluster is the one EKS cluster that a round is about.
type Cluster struct {
	Name      string
	Region    string
	Account   string
	Partition string
	Issuer    Issuer
}

// ARN returns the cluster's ARN.
func (c Cluster) ARN() string {
	if c.Name == "" {
		return ""
	}
	return "arn:" + c.Partition + ":eks:" + c.Region + ":" + c.Account + ":cluster/" + c.Name
}

// A cluster's name as EKS takes it, and a Region as AWS writes them. Both go into files,
// commands and comments as they are.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
var (
	clusterNameRE = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
	regionRE      = regexp.MustCompile(`^[a-z0-9-]+$`)
)

// ParseClusterARN reads "arn:<partition>:eks:<region>:<account>:cluster/<name>".
func ParseClusterARN(s string) (Cluster, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "eks" {
		return Cluster{}, fmt.Errorf("%q is not an EKS cluster ARN", s)
	}
	name, ok := strings.CutPrefix(parts[5], "cluster/")
	if !ok || !clusterNameRE.MatchString(name) || !partitionRE.MatchString(parts[1]) || !regionRE.MatchString(parts[3]) || !accountRE.MatchString(parts[4]) {
		return Cluster{}, fmt.Errorf("%q is not an EKS cluster ARN", s)
	}
	return Cluster{Name: name, Region: parts[3], Account: parts[4], Partition: parts[1]}, nil
}
