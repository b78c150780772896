package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// clients are the SDK's clients: one of each service and account, so that retry
// budgets and rate limits are shared.
type clients struct {
	kube   kubernetes.Interface
	custom dynamic.Interface // for kinds besides Kubernetes' own; nil beside a cluster in memory
	dial   dial              // of one API server by its address; nil beside a cluster in memory
	eks    *eks.Client
	sts    *sts.Client

	base     aws.Config
	accounts map[string]desired.Account
	whoami   func() (string, error) // asks for the caller's account
	mu       sync.Mutex             // guards what follows
	home     string                 // the caller's account, once it is known
	iam      map[string]*iam.Client
	trails   map[string]*cloudtrail.Client // by Region
}

func newClients(ctx context.Context, o Options) (*clients, error) {
	api, err := roundsClients(o)
	if err != nil {
		return nil, err
	}
	base, err := awsConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	return assemble(ctx, o, api, base), nil
}

// awsConfig finds credentials and Region as the AWS CLI would.
func awsConfig(ctx context.Context, o Options) (*aws.Config, error) {
	base := o.AWS
	if base == nil {
		loaded, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("load AWS configuration: %w", err)
		}
		base = &loaded
	}
	if base.Region == "" {
		return nil, errors.New("no AWS Region: set AWS_REGION, or region in the AWS profile")
	}
	return base, nil
}

func assemble(ctx context.Context, o Options, api apiClients, base *aws.Config) *clients {
	configured := patient(*base)
	if base = &configured; o.Called != nil {
		base.APIOptions = append(slices.Clone(base.APIOptions), attempts("calls", o.Called))
	}
	c := &clients{kube: api.kube, custom: api.custom, dial: api.dial, eks: eks.NewFromConfig(*base), sts: sts.NewFromConfig(*base), base: *base,
		accounts: map[string]desired.Account{}, iam: map[string]*iam.Client{}, trails: map[string]*cloudtrail.Client{}}
	if o.Config != nil {
		for _, a := range o.Config.Accounts {
			c.accounts[a.ID] = a
		}
	}
	c.whoami = func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		id, err := c.sts.GetCallerIdentity(ctx, nil)
		if err != nil {
			return "", fmt.Errorf("ask STS who this is: %w", err)
		}
		return aws.ToString(id.Account), nil
	}
	return c
}

// StaticAWS returns the configuration of an AWS at a fixed address with a fixed key:
// the sandbox's.
func StaticAWS(region, endpoint, id, secret string) *aws.Config {
	return &aws.Config{Region: region, BaseEndpoint: aws.String(endpoint), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}
}

// The rates of the API server's clients, in requests a second; in one moment twice that.
const (
	roundsRate = 50
	leaseRate  = 10
	reviewRate = 20
)

// kubeConfig finds the API server as kubectl would; without a kubeconfig, as a pod does.
func kubeConfig(o Options, rate int) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	restConfig, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		restConfig, err = rest.InClusterConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API server: %w: name a kubeconfig with --kubeconfig, or run in a pod", err)
	}
	restConfig.UserAgent = "lanyard"
	restConfig.QPS, restConfig.Burst = float32(rate), 2*rate
	return restConfig, nil
}

func kubeClient(o Options, rate int) (kubernetes.Interface, error) {
	restConfig, err := kubeConfig(o, rate)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API server: %w", err)
	}
	return client, nil
}

// dial connects to the one API server at an address, anew for each request.
type dial = func(address string) (kubernetes.Interface, error)

// apiClients are those that rounds are made with, of one rate limit together.
type apiClients struct {
	kube   kubernetes.Interface
	custom dynamic.Interface
	dial   dial
}

func roundsClients(o Options) (apiClients, error) {
	if o.Kube != nil {
		return apiClients{o.Kube, o.Dynamic, o.Dial}, nil
	}
	restConfig, err := kubeConfig(o, roundsRate)
	if err != nil {
		return apiClients{}, err
	}
	restConfig.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(restConfig.QPS, restConfig.Burst)
	kube, err := kubernetes.NewForConfig(restConfig)
	custom, wrong := dynamic.NewForConfig(restConfig)
	if err := errors.Join(err, wrong); err != nil {
		return apiClients{}, fmt.Errorf("connect to the Kubernetes API server: %w", err)
	}
	if o.Dial == nil {
		o.Dial = probe.Dialer(restConfig, nil)
	}
	return apiClients{kube, custom, o.Dial}, nil
}

// iamOf returns the IAM client for an account: the caller's own, or one reached by
// the role that the configuration names, with its external ID.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html
func (c *clients) iamOf(account string) (*iam.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.home == "" {
		home, err := c.whoami()
		if err != nil {
			return nil, err // and not remembered: the next round asks again
		}
		c.home = home
	}
	if client := c.iam[account]; client != nil {
		return client, nil
	}
	cfg := c.base.Copy()
	if account != c.home {
		a, configured := c.accounts[account]
		if !configured {
			return nil, fmt.Errorf("account %s is not the caller's, which is %s: %w", account, c.home, observe.ErrUnconfigured)
		}
		cache := aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(c.sts, a.Role.String(), func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "lanyard"
			if a.ExternalID != "" {
				o.ExternalID = aws.String(a.ExternalID)
			}
		}))
		cfg.Credentials = cache
		// The cache goes by this machine's clock; AWS's says when a session is over.
		cfg.APIOptions = append(slices.Clone(cfg.APIOptions), attempts("sessions", func(_, _, code string, _ time.Duration) {
			if code == "ExpiredToken" {
				cache.Invalidate()
			}
		}))
	}
	c.iam[account] = iam.NewFromConfig(cfg)
	return c.iam[account], nil
}
