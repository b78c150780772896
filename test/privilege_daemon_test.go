package test_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
)

// apiServer is the part of an API server that the sandbox's Kubernetes does not have:
// it says who it is, and who may what. It counts what it is asked for.
type apiServer struct {
	client kubernetes.Interface

	mu    sync.Mutex
	verbs []string
}

func newAPIServer(t *testing.T, issuer func() string) *apiServer {
	t.Helper()
	a := &apiServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		verb := "get " + r.URL.Path
		switch r.Method + " " + r.URL.Path {
		case "GET /.well-known/openid-configuration":
			answer = map[string]string{"issuer": issuer()}
		case "POST /apis/authentication.k8s.io/v1/tokenreviews":
			verb, answer = "create authentication.k8s.io/tokenreviews", authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "alice"}}}
		case "POST /apis/authorization.k8s.io/v1/subjectaccessreviews":
			verb, answer = "create authorization.k8s.io/subjectaccessreviews", authorizationv1.SubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}
		default:
			verb = strings.ToLower(r.Method) + " " + r.URL.Path // not granted, so the test tells
		}
		a.mu.Lock()
		a.verbs = append(a.verbs, verb)
		a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	a.client = client
	return a
}

// asked returns what was asked for, as RBAC names it.
func (a *apiServer) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.verbs)
}

// front is the sandbox's Kubernetes, with what it does not have.
type front struct {
	kubernetes.Interface
	server kubernetes.Interface
}

// IsWatchListSemanticsUnSupported keeps informers from waiting for a list that the fake
// does not stream, as its own client does.
func (front) IsWatchListSemanticsUnSupported() bool { return true }

func (f front) Discovery() discovery.DiscoveryInterfaces { return f.server.Discovery() }
func (f front) AuthenticationV1() authenticationclient.AuthenticationV1Interface {
	return f.server.AuthenticationV1()
}
func (f front) AuthorizationV1() authorizationclient.AuthorizationV1Interface {
	return f.server.AuthorizationV1()
}

// daemonRounds is how often the daemon sleeps before it is ended: enough for every
// step that the fleet asks for.
const daemonRounds = 60

// daemon runs lanyard as `lanyard run` does, lets somebody with a Kubernetes token read
// its API, and ends it.
func (p *privileged) daemon(t *testing.T, mode string) {
	t.Helper()
	if err := p.Kube.Seed(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lanyard"}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lanyard.yaml")
	text := strings.Replace(string(examples.Configuration), "mode: repair", "mode: "+mode+"\nsource:\n  url: "+p.opts.Desired.URL, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := p.opts
	o.Config, o.Desired, o.Log = nil, app.Desired{}, slog.New(slog.DiscardHandler)
	var slept atomic.Int32
	rested := make(chan struct{})
	o.Sleep = func(ctx context.Context, d time.Duration) error {
		switch n := slept.Add(1); {
		case n < daemonRounds:
			return p.Pass(ctx, d)
		case n == daemonRounds:
			close(rested)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	d, err := app.NewDaemon(t.Context(), app.DaemonOptions{
		Options: o, ConfigFile: file, WorkDir: t.TempDir(), Listen: "127.0.0.1:0", APIAccess: true,
		Lease: app.Lease{Namespace: "lanyard", Identity: "one", Duration: 15 * time.Second, Renew: 10 * time.Second, Retry: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-rested:
	case <-time.After(time.Minute):
		t.Fatalf("after a minute the daemon has slept %d times, want %d", slept.Load(), daemonRounds)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Addr().String()+"/api/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer a-token-of-the-test")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the API answers %s, want 200", answer.Status)
	}
}
