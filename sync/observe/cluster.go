package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
)

// Cluster tells which cluster a name means to the caller: its Region, account,
// partition and issuer. Account and Region are those of the cluster's ARN; a caller
// of another account is an error.
func Cluster(ctx context.Context, reader EKSReader, caller STSReader, name string) (identity.Cluster, error) {
	limits := Limits{}.withDefaults()
	seen, cluster, err := describeCluster(ctx, newLine(limits.EKS, limits), reader, name)
	if err != nil {
		return identity.Cluster{}, err
	}
	out, err := ask(ctx, newLine(limits.EKS, limits), caller.GetCallerIdentity, &sts.GetCallerIdentityInput{})
	if err != nil {
		return identity.Cluster{}, halting("ask who is calling", err)
	}
	if account := aws.ToString(out.Account); account != cluster.Account {
		return identity.Cluster{}, remedy.Mark(remedy.Hold, fmt.Errorf("describe cluster %s: it is %s, but the caller's account is %s: use credentials of the cluster's account", name, seen.ARN, account))
	}
	return cluster, nil
}

// describeCluster asks EKS about the cluster. Without an answer there is no look.
func describeCluster(ctx context.Context, l *line, reader EKSReader, name string) (live.Cluster, identity.Cluster, error) {
	what := "describe cluster " + name
	out, err := ask(ctx, l, reader.DescribeCluster, &eks.DescribeClusterInput{Name: &name})
	if err != nil {
		return live.Cluster{}, identity.Cluster{}, halting(what, err)
	}
	c := out.Cluster
	if c == nil {
		return live.Cluster{}, identity.Cluster{}, halting(what, errors.New("EKS answered without a cluster"))
	}
	seen := live.Cluster{
		Name: aws.ToString(c.Name), ARN: aws.ToString(c.Arn), Version: aws.ToString(c.Version), Status: string(c.Status),
		AutoMode: c.ComputeConfig != nil && aws.ToBool(c.ComputeConfig.Enabled),
		Hybrid:   c.RemoteNetworkConfig != nil,
		Outpost:  c.OutpostConfig != nil,
	}
	if c.Identity != nil && c.Identity.Oidc != nil {
		seen.Issuer = identity.Issuer(aws.ToString(c.Identity.Oidc.Issuer))
	}
	cluster, err := identity.ParseClusterARN(seen.ARN)
	if err != nil {
		return live.Cluster{}, identity.Cluster{}, halting(what, err)
	}
	cluster.Issuer = seen.Issuer
	return seen, cluster, nil
}

// ClusterIssuer returns a function that asks an API server which issuer its
// ServiceAccount tokens name.
// Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
func ClusterIssuer(kube kubernetes.Interface) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		client := kube.Discovery().RESTClient()
		if client == nil {
			return "", errors.New("read the issuer: this Kubernetes client has no way to ask")
		}
		body, err := client.Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
		if err != nil {
			return "", fmt.Errorf("read the issuer: %w", err)
		}
		var document struct {
			Issuer string `json:"issuer"`
		}
		if err := json.Unmarshal(body, &document); err != nil {
			return "", fmt.Errorf("read the issuer: %w", err)
		}
		if document.Issuer == "" {
			return "", errors.New("read the issuer: the API server's document names none")
		}
		return document.Issuer, nil
	}
}
