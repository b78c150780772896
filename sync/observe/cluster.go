package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
)

// describeCluster asks EKS about the cluster. Without an answer there is no look.
func (o *Observer) describeCluster(ctx context.Context) (live.Cluster, identity.Cluster, error) {
	o.progress("asking EKS about cluster %s", o.opts.Cluster)
	what := "describe cluster " + o.opts.Cluster
	out, err := ask(ctx, o.eks, o.opts.EKS.DescribeCluster, &eks.DescribeClusterInput{Name: &o.opts.Cluster})
	if missing(err) {
		return live.Cluster{}, identity.Cluster{}, o.noCluster(ctx, err)
	}
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

// noCluster says where the cluster is not.
func (o *Observer) noCluster(ctx context.Context, err error) error {
	where := "the caller's account"
	if arn, unknown := o.callerARN(ctx); unknown == nil && accountOf(arn) != "" {
		where = "account " + accountOf(arn)
	}
	return remedy.Mark(remedy.Hold, &worded{fmt.Sprintf("EKS cluster %s is not in %s of %s: check --cluster and AWS_REGION",
		o.opts.Cluster, cmp.Or(o.opts.Region, "this Region"), where), err})
}

// callerARN asks STS who is calling.
func (o *Observer) callerARN(ctx context.Context) (string, error) {
	out, err := ask(ctx, o.sts, o.opts.STS.GetCallerIdentity, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Arn), nil
}

// foreignCaller is an error where the caller is known, and is of another account than
// the cluster: its IAM would be taken for the cluster's.
func foreignCaller(c live.Cluster, account string) error {
	if caller := accountOf(c.Caller); caller != "" && caller != account {
		return remedy.Mark(remedy.Hold, fmt.Errorf("describe cluster %s: it is %s, but the caller's account is %s: use credentials of the cluster's account", c.Name, c.ARN, caller))
	}
	return nil
}

// accountOf returns the account in an ARN.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
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
