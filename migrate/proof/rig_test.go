package proof_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/time/rate"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/proof"
)

const (
	account = "123456789012"
	region  = "eu-west-1"
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	role    = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role"
)

var (
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"}
	lab     = identity.Cluster{Name: "irsa-lab", Region: region, Account: account, Partition: "aws", Issuer: issuer}
	begin   = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// world is an AWS with a role that trusts both mechanisms for every ServiceAccount of the
// cluster, and a prover that asks it over the wire with the SDK's own client.
type world struct {
	*awsd.Server
	t      *testing.T
	clock  *virtual.Clock
	url    string
	limits proof.Limits
	prover *proof.Prover
}

func newWorld(t *testing.T, o awsd.Options, change ...func(*proof.Options)) *world {
	t.Helper()
	o.Clock = virtual.NewClock(begin)
	w := &world{Server: awsd.New(o), t: t, clock: o.Clock}
	provider := lab.Issuer.ProviderARN("aws", account)
	host := lab.Issuer.HostPath()
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]},
		{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"%s:sub":"system:serviceaccount:demo:*"}}}]}`, provider, host)
	w.must(w.PutAccount(awsd.Account{ID: account}))
	w.must(w.PutCluster(awsd.Cluster{ARN: lab.ARN(), Issuer: issuer}))
	w.must(w.PutProvider(awsd.Provider{ARN: provider, ClientIDs: []string{"sts.amazonaws.com"}}))
	w.must(w.PutRole(awsd.Role{ARN: role, Trust: trust}))
	var err error
	w.url, err = w.Start("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { w.must(w.Close()) })
	w.limits = proof.Limits{Rate: rate.Inf, Pages: 100}
	options := proof.Options{CloudTrail: w.cloudtrail, Cluster: lab, Now: w.clock.Now, Limits: w.limits}
	for _, c := range change {
		c(&options)
	}
	w.prover = proof.New(options)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cloudtrail(region string) proof.LookupAPI {
	id, secret := awsd.AccessKey(account)
	return cloudtrail.NewFromConfig(aws.Config{Region: region, BaseEndpoint: &w.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), Retryer: connections})
}

// connections tries again, at once, where the client itself lost the connection, and
// nowhere else. On a busy machine it does: net/http may close one while the SDK reads a
// long answer, because that has closed the request's body.
func connections() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
}

// associate gives a ServiceAccount an association.
func (w *world) associate(s identity.Subject, change ...func(*awsd.Association)) {
	w.t.Helper()
	a := awsd.Association{Cluster: lab.ARN(), Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, RoleARN: role}
	for _, c := range change {
		c(&a)
	}
	_, err := w.PutAssociation(a)
	w.must(err)
}

func (w *world) token(s identity.Subject, audience string) string {
	return awsd.UnsignedToken(awsd.Claims{Issuer: issuer, Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Audience: []string{audience},
		Expires: w.clock.Now().Add(24 * time.Hour), PodName: s.ServiceAccount + "-0", PodUID: "u"})
}

// podIdentity is a pod that gets its credentials from the agent of its node.
func (w *world) podIdentity(s identity.Subject) int {
	w.t.Helper()
	payload, err := json.Marshal(map[string]string{"token": w.token(s, "pods.eks.amazonaws.com")})
	w.must(err)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/clusters/irsa-lab/assume-role-for-pod-identity", bytes.NewReader(payload))
	w.must(err)
	id, secret := awsd.AccessKey(account)
	sum := sha256.Sum256(payload)
	w.must(v4.NewSigner().SignHTTP(w.t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, req, hex.EncodeToString(sum[:]), "eks-auth", region, time.Now()))
	res, err := http.DefaultClient.Do(req)
	w.must(err)
	w.must(res.Body.Close())
	return res.StatusCode
}

// irsa is a pod that exchanges its token at STS, by the SDK's own client.
func (w *world) irsa(s identity.Subject, roleARN string) error {
	_, err := sts.NewFromConfig(aws.Config{Region: region, BaseEndpoint: &w.url, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}).
		AssumeRoleWithWebIdentity(w.t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: &roleARN, RoleSessionName: aws.String("session"), WebIdentityToken: aws.String(w.token(s, "sts.amazonaws.com"))})
	return err
}

// ask is the question about the subject after a crossing to Pod Identity at begin.
func ask(change ...func(*proof.Ask)) proof.Ask {
	r, err := identity.ParseRoleARN(role)
	if err != nil {
		panic(err)
	}
	a := proof.Ask{Subject: subject, Role: r, Wanted: identity.PodIdentity, Since: begin, Proof: desired.ProofCloudTrail, SessionTags: true}
	for _, c := range change {
		c(&a)
	}
	return a
}

func back(a *proof.Ask) { a.Wanted = identity.IRSA }

func (w *world) look(change ...func(*proof.Ask)) migrate.Use {
	return w.prover.Look(context.WithoutCancel(w.t.Context()), []proof.Ask{ask(change...)})[subject]
}

// pass lets time pass until what happened before is shown, and what was read is stale.
func (w *world) pass(d time.Duration) time.Time {
	w.clock.Advance(d)
	return w.clock.Now()
}

// lookups are the calls to CloudTrail since the last time.
func (w *world) lookups() (n int) {
	calls, _ := w.Calls(0)
	for _, c := range calls {
		if c.Service == "cloudtrail" {
			n++
		}
	}
	w.ForgetCalls()
	return n
}

func wantUse(t *testing.T, got migrate.Use, newest, old time.Time, why ...string) {
	t.Helper()
	if !got.New.Equal(newest) || !got.Old.Equal(old) {
		t.Errorf("new %s, old %s; want %s, %s: %+v", got.New, got.Old, newest, old, got)
	}
	if len(why) == 0 && got.Why != "" {
		t.Errorf("why %q, want none", got.Why)
	}
	for _, part := range why {
		if !strings.Contains(got.Why, part) {
			t.Errorf("why %q, want %q in it", got.Why, part)
		}
	}
}
