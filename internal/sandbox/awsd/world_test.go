package awsd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

const (
	acct     = "123456789012"
	other    = "210987654321"
	region   = "eu-west-1"
	lab      = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	issuer   = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	provider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	reader   = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role"

	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

func irsaTrust(sub string) string {
	host := strings.TrimPrefix(issuer, "https://")
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:aud":"sts.amazonaws.com","%s:sub":%q}}}]}`,
		provider, host, host, sub)
}

// world is a server with two accounts, a cluster, a provider and a role that trusts Pod
// Identity, and SDK clients for it.
type world struct {
	*awsd.Server
	t     *testing.T
	clock *virtual.Clock
	url   string
}

func newWorld(t *testing.T, o awsd.Options) *world {
	t.Helper()
	if o.Clock == nil {
		o.Clock = virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	}
	w := &world{Server: awsd.New(o), t: t, clock: o.Clock}
	w.must(w.PutAccount(awsd.Account{ID: acct, OrganizationID: "o-example"}))
	w.must(w.PutAccount(awsd.Account{ID: other}))
	w.must(w.PutCluster(awsd.Cluster{ARN: lab, Version: "1.35", Issuer: issuer}))
	w.must(w.PutProvider(awsd.Provider{ARN: provider, ClientIDs: []string{"sts.amazonaws.com"}}))
	w.must(w.PutRole(awsd.Role{ARN: reader, Trust: podTrust}))
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

// config signs as the administrator of an account and never tries twice.
func (w *world) config(account string) aws.Config {
	id, secret := awsd.AccessKey(account)
	return aws.Config{
		Region: region, BaseEndpoint: &w.url,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func (w *world) iam(account string) *iam.Client { return iam.NewFromConfig(w.config(account)) }
func (w *world) sts(account string) *sts.Client { return sts.NewFromConfig(w.config(account)) }
func (w *world) eks(account string) *eks.Client { return eks.NewFromConfig(w.config(account)) }

// wantError checks the code and the HTTP status of an SDK's error, and part of its text.
func wantError(t *testing.T, err error, code string, status int, part string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("error %v: got no API error, want %s", err, code)
	}
	var res *awshttp.ResponseError
	got := 0
	if errors.As(err, &res) {
		got = res.HTTPStatusCode()
	}
	if api.ErrorCode() != code || got != status || !strings.Contains(api.ErrorMessage(), part) {
		t.Errorf("error:\n got %s %d %q\nwant %s %d containing %q", api.ErrorCode(), got, api.ErrorMessage(), code, status, part)
	}
}

// as returns an error as the type that the SDK models it with.
func as[T error](t *testing.T, err error) T {
	t.Helper()
	var e T
	if !errors.As(err, &e) {
		t.Errorf("error %v: want it modelled as %T", err, e)
	}
	return e
}

func create(namespace, account, role string, more ...func(*eks.CreatePodIdentityAssociationInput)) *eks.CreatePodIdentityAssociationInput {
	in := &eks.CreatePodIdentityAssociationInput{
		ClusterName: aws.String("irsa-lab"), Namespace: &namespace, ServiceAccount: &account, RoleArn: &role,
	}
	for _, m := range more {
		m(in)
	}
	return in
}

func (w *world) putTrust(doc string) error {
	_, err := w.iam(acct).UpdateAssumeRolePolicy(w.ctx(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String("eks-irsa-lab-demo-s3-reader-role"), PolicyDocument: &doc,
	})
	return err
}

func (w *world) ctx() context.Context { return w.t.Context() }

// last returns the record of the newest call.
func (w *world) last() awsd.Call {
	w.t.Helper()
	calls, n := w.Calls(0)
	if n == 0 {
		w.t.Fatal("calls: got none")
	}
	return calls[n-1]
}

var _ http.Handler = awsd.New(awsd.Options{}).Handler()
