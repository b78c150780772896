package app

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/time/rate"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// DescribeInterval is how old an association's description may get, if nobody says.
const DescribeInterval = observe.DescribeInterval

// Options are what lanyard is put together from. Zero values mean what the
// environment says: the kubeconfig, the AWS credential chain, the wall clock.
type Options struct {
	Cluster string // the EKS cluster's name
	Desired Desired
	// Config is the operator's configuration; nil means none, and then nothing is
	// written.
	Config *desired.Configuration

	Kubeconfig, Context string
	Kube                kubernetes.Interface                       // in place of the kubeconfig's
	Dynamic             dynamic.Interface                          // beside Kube, for Argo's Rollouts; none is no error
	Dial                dial                                       // of one API server by its address, in place of the kubeconfig's; beside Kube, which is asked for all if nil
	Issuer              func(context.Context) (string, error)      // in place of asking the API server
	AWS                 *aws.Config                                // in place of the environment's
	DescribeInterval    time.Duration                              // how old an association's description may be; the observer's default if zero
	Progress            func(what string)                          // told what is being done
	Called              Called                                     // told of every call to AWS
	Waited              func(service string, d time.Duration)      // told how long each waited for lanyard's own rate limit
	Log                 *slog.Logger                               // the audit trail of writes
	Now                 func() time.Time                           // the clock
	Sleep               func(context.Context, time.Duration) error // between two rounds
	Spacing             func() time.Duration                       // before a write to a trust policy
	Until               func() time.Time                           // when the Lease could pass on; nil without one
	Settle              time.Duration                              // in place of the configuration's, for tests and the sandbox
	SessionLife         time.Duration                              // in place of the six hours that credentials of Pod Identity live, for tests and the sandbox
	Limits              observe.Limits                             // of what is asked; the observer's defaults where zero
}

// Unlimited are [Options.Limits] without a rate, for a world with a time of its own.
func Unlimited() observe.Limits { return observe.Limits{EKS: rate.Inf, IAM: rate.Inf} }

// Desired says where Git is read from: directories of a working tree, or a ref of a
// repository and paths in it.
type Desired struct {
	Dirs  []string // a working tree
	URL   string   // a repository
	Ref   string
	Paths []string // in the repository
	Token string   // for https
	// Username goes with the token; the host's usual one if empty.
	Username string

	Source  *desired.Source // in place of all but the token: a configuration's
	WorkDir string          // where what Source fetches is kept; in memory if empty
}

func (o Options) withDefaults() Options {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Spacing == nil {
		// Daemons of other clusters write the same roles (design.md section 5).
		o.Spacing = func() time.Duration { return rand.N(10 * time.Second) }
	}
	if o.Config != nil && o.Cluster == "" {
		o.Cluster = o.Config.Cluster
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// agent is the Pod Identity agent's ServiceAccount: without it nobody has Pod
// Identity, so it is never touched.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
var agent = identity.Subject{Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent"}
