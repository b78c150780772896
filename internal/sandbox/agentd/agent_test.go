package agentd_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/agentd"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

const (
	account = "123456789012"
	cluster = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	role    = "arn:aws:iam::123456789012:role/reader"
	trust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	node    = "node-1"
)

// lab is EKS Auth with an association of demo/s3-reader, and a fleet with one node.
type lab struct {
	t     *testing.T
	clock *virtual.Clock
	aws   *awsd.Server
	url   string
	fleet *agentd.Fleet
}

func newLab(t *testing.T, startUp time.Duration) *lab {
	t.Helper()
	l := &lab{t: t, clock: virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))}
	l.aws = awsd.New(awsd.Options{Clock: l.clock})
	l.must(l.aws.PutAccount(awsd.Account{ID: account}))
	l.must(l.aws.PutCluster(awsd.Cluster{ARN: cluster, Issuer: issuer}))
	l.must(l.aws.PutRole(awsd.Role{ARN: role, Trust: trust}))
	l.associate()
	var err error
	l.url, err = l.aws.Start("127.0.0.1:0")
	l.must(err)
	l.fleet = agentd.New(agentd.Options{Clock: l.clock, Cluster: "irsa-lab", Region: "eu-west-1", Endpoint: l.url, StartUp: startUp,
		Credentials: credentials.StaticCredentialsProvider{Value: l.key()}})
	l.must(l.fleet.Start(node))
	t.Cleanup(func() { l.must(l.fleet.Close()); l.must(l.aws.Close()) })
	return l
}

func (l *lab) key() aws.Credentials {
	id, secret := awsd.AccessKey(account)
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) associate() {
	l.t.Helper()
	_, err := l.aws.PutAssociation(awsd.Association{Cluster: cluster, Namespace: "demo", ServiceAccount: "s3-reader", RoleARN: role})
	l.must(err)
}

func (l *lab) token(pod string, life time.Duration) string {
	return awsd.UnsignedToken(awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: "s3-reader", PodName: pod, PodUID: "uid-of-" + pod,
		Audience: []string{"pods.eks.amazonaws.com"}, Expires: l.clock.Now().Add(life)})
}

// client reaches the agent by the address that pods have.
func (l *lab) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		address, ok := l.fleet.Address(node)
		if !ok {
			return nil, net.UnknownNetworkError("no agent")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
}

// ask returns what a plain GET with the token gets.
func (l *lab) ask(token, host string) (status int, body string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://"+host+"/v1/credentials", nil)
	l.must(err)
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	res, err := l.client().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	l.must(err)
	return res.StatusCode, string(b)
}

const host = "169.254.170.23"

// calls returns how often EKS Auth was asked.
func (l *lab) calls() int {
	n := 0
	calls, _ := l.aws.Calls(0)
	for _, c := range calls {
		if c.Service == "eks-auth" {
			n++
		}
	}
	return n
}

// The SDK's own provider gets credentials of the role, with the six session tags.
func TestSDKGetsCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	p := endpointcreds.New("http://"+host+"/v1/credentials", func(o *endpointcreds.Options) {
		o.HTTPClient, o.AuthorizationToken = l.client(), l.token("p", 24*time.Hour)
	})
	got, err := p.Retrieve(t.Context())
	l.must(err)
	if want := l.clock.Now().Add(6 * time.Hour); !got.Expires.Equal(want) || got.AccountID != account {
		t.Errorf("got %s in account %s, want %s in %s", got.Expires, got.AccountID, want, account)
	}
	me, err := sts.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: &l.url, Credentials: credentials.StaticCredentialsProvider{Value: got}}).GetCallerIdentity(t.Context(), nil)
	l.must(err)
	if !strings.HasPrefix(*me.Arn, "arn:aws:sts::123456789012:assumed-role/reader/eks-irsa-lab-p-") {
		t.Errorf("caller: got %s", *me.Arn)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	status, body := l.ask(l.token("p", time.Hour), host)
	var keys map[string]string
	l.must(json.Unmarshal([]byte(body), &keys))
	for _, k := range []string{"AccessKeyId", "SecretAccessKey", "Token", "AccountId", "Expiration"} {
		if status != 200 || keys[k] == "" {
			t.Errorf("%d without %s: %s", status, k, body)
		}
	}
	stranger := awsd.UnsignedToken(awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: "other", Audience: []string{"pods.eks.amazonaws.com"}, Expires: l.clock.Now().Add(time.Hour)})
	irsa := awsd.UnsignedToken(awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: "s3-reader", Audience: []string{"sts.amazonaws.com"}, Expires: l.clock.Now().Add(time.Hour)})
	for _, tt := range []struct {
		name, token, host string
		status            int
		text              string
	}{
		{"another address", l.token("p", time.Hour), "127.0.0.1", 403, "Called agent through invalid address"},
		{"IPv6", l.token("p", time.Hour), "[fd00:ec2::23]", 200, "AccessKeyId"},
		{"no token", "", host, 400, "Service account token cannot be empty"},
		{"no JWT", "x", host, 400, "Service account token cannot be parsed"},
		{"expired", l.token("p", -time.Second), host, 400, "failed basic claim validations"},
		{"no association", stranger, host, 404, "]: (ResourceNotFoundException): No pod identity association found for service account other in namespace demo., fault: client"},
		{"token of IRSA", irsa, host, 400, "]: (InvalidTokenException): "},
	} {
		if status, body := l.ask(tt.token, tt.host); status != tt.status || !strings.Contains(body, tt.text) {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, status, body, tt.status, tt.text)
		}
	}
	l.aws.DeleteRole(role)
	if status, body := l.ask(l.token("q", time.Hour), host); status != 400 || !strings.Contains(body, "(AccessDeniedException)") {
		t.Errorf("role gone: got %d %s, want 400 AccessDeniedException", status, body)
	}
}

// A pod that runs keeps its credentials while the agent has them; a new one gets none.
func TestCacheOutlivesTheAssociation(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	old := l.token("old", 24*time.Hour)
	_, first := l.ask(old, host)
	l.aws.DeleteAssociation(cluster, "demo", "s3-reader")
	l.clock.Advance(3*time.Hour - time.Second)
	if status, body := l.ask(old, host); status != 200 || body != first {
		t.Errorf("running pod: got %d %s, want what it had", status, body)
	}
	if status, _ := l.ask(l.token("new", time.Hour), host); status != 404 {
		t.Errorf("new pod: got %d, want 404", status)
	}
	l.clock.Advance(time.Second)
	if status, body := l.ask(old, host); status != 404 {
		t.Errorf("after three hours: got %d %s, want 404", status, body)
	}
	l.associate()
	if status, _ := l.ask(old, host); status != 200 {
		t.Errorf("association back: got %d, want 200", status)
	}
}

// Each of the four codes drops the entry; any other error keeps it until it expires.
func TestCacheOnErrors(t *testing.T) {
	t.Parallel()
	for code, drops := range map[string]bool{
		"ResourceNotFoundException": true, "AccessDeniedException": true, "ExpiredTokenException": true, "InvalidTokenException": true,
		"InvalidParameterException": false, "InvalidRequestException": false,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 0)
			token := l.token("p", 24*time.Hour)
			_, first := l.ask(token, host)
			l.clock.Advance(3 * time.Hour)
			lift := l.aws.AddFault(awsd.Fault{Service: "eks-auth", Kind: awsd.Answer, Code: code})
			status, body := l.ask(token, host)
			if kept := status == 200 && body == first; kept == drops {
				t.Errorf("renewal failed: got %d %s, want dropped %t", status, body, drops)
			}
			before := l.calls()
			l.ask(token, host)
			if asked := l.calls() > before; asked != drops {
				t.Errorf("right after: asked EKS Auth again %t, want %t", asked, drops)
			}
			lift()
			l.clock.Advance(time.Minute)
			if status, body := l.ask(token, host); status != 200 || body == first {
				t.Errorf("a minute later: got %d %s, want new credentials", status, body)
			}
		})
	}
}

func TestCacheKeepsNothingThatExpires(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	token := l.token("p", 24*time.Hour)
	l.ask(token, host)
	l.aws.AddFault(awsd.Fault{Service: "eks-auth", Kind: awsd.Answer, Code: "InvalidRequestException"})
	l.clock.Advance(6*time.Hour - 16*time.Second)
	if status, body := l.ask(token, host); status != 200 {
		t.Errorf("16 s before the end: got %d %s, want what it had", status, body)
	}
	l.clock.Advance(time.Second)
	if status, body := l.ask(token, host); status != 400 {
		t.Errorf("15 s before the end: got %d %s, want 400", status, body)
	}
}

func TestStartUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	token := l.token("p", time.Hour)
	if status, body := l.ask(token, host); status != 0 || l.fleet.Ready(node) {
		t.Errorf("at once: got %d %s, ready %t, want a broken connection", status, body, l.fleet.Ready(node))
	}
	l.clock.Advance(10 * time.Second)
	if status, body := l.ask(token, host); status != 200 || !l.fleet.Ready(node) {
		t.Errorf("after ten seconds: got %d %s, ready %t", status, body, l.fleet.Ready(node))
	}
	if !l.fleet.Stop(node) || l.fleet.Stop(node) {
		t.Error("stop: want true, then false")
	}
	if _, there := l.fleet.Address(node); there || l.fleet.Ready(node) {
		t.Error("stopped, and still there")
	}
	l.must(l.fleet.Start(node))
	l.clock.Advance(10 * time.Second)
	before := l.calls()
	if status, _ := l.ask(token, host); status != 200 || l.calls() == before {
		t.Errorf("started anew: got %d, want an empty cache", status)
	}
}

func TestTheAgentWaitsForEKSAuth(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	l.aws.AddFault(awsd.Fault{Service: "eks-auth", Kind: awsd.Fail, Times: 2})
	if status, body := l.ask(l.token("p", time.Hour), host); status != 200 {
		t.Errorf("after two failures: got %d %s, want 200", status, body)
	}
	l.aws.AddFault(awsd.Fault{Service: "eks-auth", Kind: awsd.Fail})
	if status, body := l.ask(l.token("q", time.Hour), host); status != 500 || !strings.Contains(body, "(InternalServerException)") {
		t.Errorf("while it fails: got %d %s, want 500", status, body)
	}
}

// The fleet is where the agent's pods are, and on nodes of Auto Mode.
func TestFollow(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	kube := kubed.New(kubed.Options{Clock: l.clock})
	l.must(kube.Seed(actors.NewNode(node, actors.EC2), actors.NewNode("auto-1", actors.Auto), actors.NewNode("win-1", actors.Windows), actors.NewAgent()))
	client := kube.Client("kube-controller-manager")
	life := actors.NewLife(actors.LifeOptions{Client: client, Clock: l.clock})
	follow := func(want string) {
		t.Helper()
		l.must(l.fleet.Follow(t.Context(), client))
		var got []string
		for _, n := range []string{node, "auto-1", "win-1"} {
			if l.fleet.Ready(n) {
				got = append(got, n)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("agents on %q, want %q", got, want)
		}
	}
	if _, err := life.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	follow("auto-1")
	l.must(life.Settle(t.Context(), time.Minute))
	follow("node-1 auto-1")
	address, _ := l.fleet.Address(node)
	follow("node-1 auto-1")
	if again, _ := l.fleet.Address(node); again != address {
		t.Error("following twice started the agent anew")
	}
	l.must(life.Restart(t.Context(), "DaemonSet", "kube-system", actors.AgentName))
	l.must(life.Settle(t.Context(), time.Minute))
	follow("node-1 auto-1")
	if again, _ := l.fleet.Address(node); again == address {
		t.Error("a new agent's pod: want a new agent")
	}
	l.must(client.AppsV1().DaemonSets("kube-system").Delete(t.Context(), actors.AgentName, metav1.DeleteOptions{}))
	l.must(life.Settle(t.Context(), time.Minute))
	follow("auto-1")
}

// Not parallel: it looks at the goroutines of the whole process.
func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t, 0)
	l.ask(l.token("p", time.Hour), host)
	l.must(l.fleet.Close())
	if err := l.fleet.Start(node); err == nil {
		t.Error("start after close: got no error")
	}
	var left string
	for range 100 {
		buf := make([]byte, 1<<20)
		left = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(left, "agentd.(*") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("after Close something runs:\n%s", left)
}
