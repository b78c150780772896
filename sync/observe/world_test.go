package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	acct     = "123456789012"
	other    = "210987654321"
	lab      = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	issuer   = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	provider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

var reader = identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"}

// world is an AWS on loopback with real SDK clients, and client-go's fake clientset.
type world struct {
	*awsd.Server
	t      *testing.T
	clock  *virtual.Clock
	url    string
	kube   *fake.Clientset
	cursor int
}

func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	clock := virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	w := &world{Server: awsd.New(awsd.Options{Clock: clock}), t: t, clock: clock, kube: fake.NewClientset(objects...)}
	w.must(w.PutAccount(awsd.Account{ID: acct}))
	w.must(w.PutAccount(awsd.Account{ID: other}))
	w.must(w.PutCluster(awsd.Cluster{ARN: lab, Version: "1.35", Issuer: issuer}))
	w.must(w.PutProvider(awsd.Provider{ARN: provider, ClientIDs: []string{"sts.amazonaws.com"}}))
	var err error
	w.url, err = w.Start("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { w.must(w.Close()) })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// config signs as an account's administrator and tries again only where a connection broke.
func (w *world) config(account string) aws.Config {
	id, secret := awsd.AccessKey(account)
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &w.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
					again := retry.RetryableConnectionError{}.IsErrorRetryable(err)
					if again == aws.TrueTernary { // a second call in the record has its reason in the log
						w.t.Logf("a connection broke: %v", err)
					}
					return again
				})}
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	}
}

func (w *world) options() Options {
	return Options{
		Cluster: "irsa-lab", Kube: w.kube, EKS: eks.NewFromConfig(w.config(acct)), STS: sts.NewFromConfig(w.config(acct)),
		IAM:    func(account string) (IAMReader, error) { return iam.NewFromConfig(w.config(account)), nil },
		Issuer: func(context.Context) (string, error) { return issuer, nil },
		Now:    w.clock.Now,
		Limits: Limits{EKS: 1e6, IAM: 1e6, Burst: 1e6, Sync: 5 * time.Second},
	}
}

// observer returns a started observer.
func (w *world) observer(change ...func(*Options)) *Observer {
	w.t.Helper()
	opts := w.options()
	for _, c := range change {
		c(&opts)
	}
	o := New(opts)
	w.must(o.Start(w.t.Context()))
	w.t.Cleanup(o.Close)
	return o
}

func (w *world) observe(o *Observer, roles ...identity.RoleARN) *live.Snapshot {
	w.t.Helper()
	s, err := o.Observe(w.t.Context(), Ask{Roles: roles})
	w.must(err)
	return s
}

func (w *world) role(text string) identity.RoleARN {
	w.t.Helper()
	arn, err := identity.ParseRoleARN(text)
	w.must(err)
	return arn
}

// putRole makes a role and returns its ARN.
func (w *world) putRole(text string) identity.RoleARN {
	w.t.Helper()
	w.must(w.PutRole(awsd.Role{ARN: text, Trust: podTrust, Tags: map[string]string{"team": "a+b"}}))
	return w.role(text)
}

// putRoles makes n roles in an account.
func (w *world) putRoles(account string, n int) []identity.RoleARN {
	w.t.Helper()
	out := make([]identity.RoleARN, n)
	for i := range out {
		out[i] = w.putRole(fmt.Sprintf("arn:aws:iam::%s:role/r%04d", account, i))
	}
	return out
}

func (w *world) associate(namespace, account, role string) awsd.Association {
	w.t.Helper()
	a, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: namespace, ServiceAccount: account, RoleARN: role})
	w.must(err)
	return a
}

// calls returns how often each operation was called since the last time.
func (w *world) calls() map[string]int {
	calls, cursor := w.Calls(w.cursor)
	w.cursor = cursor
	out := map[string]int{}
	for _, c := range calls {
		if c.Mutating {
			w.t.Errorf("call %s of %s: it may change something", c.Operation, c.Service)
		}
		out[c.Operation]++
	}
	return out
}

// wantGap checks that exactly one gap of a source is there.
func wantGap(t *testing.T, s *live.Snapshot, source live.Source, scope string, reason live.GapReason, part string) {
	t.Helper()
	var of []live.Gap
	for _, g := range s.Gaps() {
		if g.Source == source {
			of = append(of, g)
		}
	}
	if len(of) != 1 || of[0].Scope != scope || of[0].Reason != reason || !strings.Contains(of[0].Message, part) {
		t.Errorf("gaps of %s:\n got %v\nwant one, scope %q, %s, containing %q", source, of, scope, reason, part)
	}
}

func wantNoGaps(t *testing.T, s *live.Snapshot) {
	t.Helper()
	if len(s.Gaps()) > 0 {
		t.Errorf("gaps: got %v, want none", s.Gaps())
	}
}

func presenceOf(s *live.Snapshot, arns ...identity.RoleARN) string {
	var out []string
	for _, arn := range arns {
		_, p := s.Role(arn)
		out = append(out, p.String())
	}
	return strings.Join(slices.Compact(out), ",")
}
