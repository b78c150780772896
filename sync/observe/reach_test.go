package observe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
)

// apiServer returns a client of a server on loopback.
func apiServer(t *testing.T, url string) kubernetes.Interface {
	t.Helper()
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: url})
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

// TestUnreachableAPIServer: no answer ends a start at once, with one cause and what to
// do; an answer, be it a refusal, does not.
func TestUnreachableAPIServer(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	plainHTTP := func(h http.HandlerFunc) func(*testing.T) string {
		return func(t *testing.T) string {
			s := httptest.NewServer(h)
			t.Cleanup(s.Close)
			return s.URL
		}
	}
	for _, tt := range []struct {
		name  string
		start func(*testing.T) string
		want  string
	}{
		{"nobody listens", func(t *testing.T) string {
			s := httptest.NewServer(nil)
			s.Close()
			return s.URL
		}, "connection refused"},
		{"a certificate of nobody's", func(t *testing.T) string {
			s := httptest.NewUnstartedServer(answer(200, `{}`))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, "x509: certificate signed by unknown authority"},
		{"no answer", plainHTTP(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "no answer within 300ms"},
		{"forbidden", plainHTTP(answer(403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)), ""},
		{"unauthorized", plainHTTP(answer(401, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`)), ""},
		{"not an API server", plainHTTP(answer(404, `no`)), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := tt.start(t)
			w := newWorld(t)
			opts := w.options()
			opts.Kube, opts.Issuer = apiServer(t, address), nil
			opts.Limits.Sync = time.Second
			if tt.want != "" {
				opts.Limits.Sync = time.Hour // nothing waits for it
			}
			if tt.name == "no answer" {
				opts.Limits.Reach = 300 * time.Millisecond
			}
			o := New(opts)
			defer o.Close()
			err := o.Start(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Errorf("Start: got %v, want the gaps to tell", err)
				}
				return
			}
			u, _ := url.Parse(address)
			if err == nil || !strings.HasPrefix(err.Error(), "reach the Kubernetes API server at "+u.Host+": ") ||
				!strings.HasSuffix(err.Error(), tt.want+": check --kubeconfig and --context, or the cluster's network") {
				t.Errorf("Start: got %v, want the host and %q", err, tt.want)
			}
			if got := remedy.Of(err); got != remedy.Retry {
				t.Errorf("remedy: got %s, want retry", got)
			}
			o.opts.Issuer = func(context.Context) (string, error) { return issuer, nil }
			o.opts.Kube = w.kube
			if err := o.Start(t.Context()); err != nil {
				t.Errorf("Start when it can be reached: got %v", err)
			}
		})
	}
}

// TestReachCause: one cause, without the request and the names of the layers below.
func TestReachCause(t *testing.T) {
	t.Parallel()
	get := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://api.example/version?timeout=32s", Err: err}
	}
	dial := func(err error) error { return get(&net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	for err, want := range map[error]string{
		dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)):                            "connection refused",
		dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)):                            "no route to host",
		dial(&net.DNSError{Err: "no such host", Name: "api.example", Server: "10.0.0.2:53"}): "look up api.example: no such host",
		get(x509.UnknownAuthorityError{}):                                                    "x509: certificate signed by unknown authority",
		get(errors.New("getting credentials: exec:\nexecutable aws not found")):              "getting credentials: exec: executable aws not found",
	} {
		if wrapped := fmt.Errorf("read the issuer: %w", err); reachCause(wrapped) != want || !unreachable(wrapped) {
			t.Errorf("cause of %v: got %q, unreachable %t, want %q", err, reachCause(wrapped), unreachable(wrapped), want)
		}
	}
	if !unreachable(context.DeadlineExceeded) || unreachable(nil) || unreachable(errors.New("names none")) {
		t.Errorf("unreachable: time-out %t, nothing %t, an odd answer %t", unreachable(context.DeadlineExceeded), unreachable(nil), unreachable(errors.New("names none")))
	}
}

// TestMessagesWithoutRequests: a gap of the same cause reads the same each time, and
// tells no URL and no token, whichever way the error came.
func TestMessagesWithoutRequests(t *testing.T) {
	t.Parallel()
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln-_x"
	for in, want := range map[string]string{
		`pods: Get "https://10.0.0.1:6443/api/v1/pods?allowWatchBookmarks=true&timeout=7m12s": dial tcp 10.0.0.1:6443: connect: connection refused`: "pods: dial tcp 10.0.0.1:6443: connect: connection refused",
		`failed to list *v1.Pod: Get "https://10.0.0.1:6443/api/v1/pods?limit=500": EOF`:                                                            "failed to list *v1.Pod: EOF",
		`stream of https://10.0.0.1/watch?timeout=9m3s ended`:                                                                                       "stream of 10.0.0.1 ended",
		`parse "http://admin:hunter2@proxy:port": invalid port ":port" after host`:                                                                  `parse "proxy:port": invalid port ":port" after host`,
		`fetch http://169.254.170.2/v2/credentials/hunter2: no`:                                                                                     "fetch 169.254.170.2 no",
		`proxyconnect via socks5h://u:hunter2@[::1]:1080 failed`:                                                                                    "proxyconnect via [::1]:1080 failed",
		`the token ` + jwt + ` is expired`:                                                                                                          "the token (a token) is expired",
		`sent Authorization: Bearer hunter2hunter2`:                                                                                                 "sent Authorization: (a token)",
		`https response error StatusCode: 200, RequestID: 3f2a-91, deserialization failed`:                                                          "https response error StatusCode: 200, deserialization failed",
		`arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/X is not there`:                                                "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/X is not there",
	} {
		for _, err := range []error{errors.New(in), apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(in)), apierrors.NewTooManyRequests(in, 1),
			&smithy.GenericAPIError{Code: "AccessDenied", Message: in}} {
			if _, got := classify(err); !strings.HasSuffix(got, want) {
				t.Errorf("message of %T %s:\n got %s\nwant %s", err, in, got, want)
			}
		}
	}
}

// TestCancelled: who cancels gets no answer and no gaps, but the cancellation, soon.
func TestCancelled(t *testing.T) {
	t.Parallel()
	want := func(t *testing.T, err error, what string) {
		t.Helper()
		if !errors.Is(err, context.Canceled) || err.Error() != what+": context canceled" {
			t.Errorf("got %v, want %s: context canceled", err, what)
		}
	}
	t.Run("while the API server is reached for", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		opts := newWorld(t).options()
		opts.Limits.Reach = time.Hour
		opts.Issuer = func(ctx context.Context) (string, error) { cancel(); <-ctx.Done(); return "", ctx.Err() }
		o := New(opts)
		want(t, o.Start(ctx), "watch Kubernetes")
		o.Close()
	})
	t.Run("while lists hang", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }))
		t.Cleanup(s.Close)
		opts := newWorld(t).options()
		opts.Kube, opts.Limits.Sync = apiServer(t, s.URL), time.Hour
		o := New(opts)
		want(t, o.Start(ctx), "watch Kubernetes")
		o.Close()
	})
	t.Run("while AWS is read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		o := w.observer(func(o *Options) {
			inner := o.IAM
			o.IAM = func(account string) (IAMReader, error) { cancel(); return inner(account) }
		})
		_, err := o.Observe(ctx, Ask{})
		want(t, err, "observe")
		_, err = o.Cluster(ctx)
		want(t, err, "describe cluster irsa-lab")
		again, cancelAgain := context.WithCancel(t.Context())
		o.opts.IAM = func(string) (IAMReader, error) { cancelAgain(); return nil, context.Canceled }
		_, err = o.Look(again, reader, w.role(readerRole))
		want(t, err, "look at demo/s3-reader")
	})
	t.Run("a deadline is a gap", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		o := w.observer(func(o *Options) {
			o.IAM = func(string) (IAMReader, error) { return nil, context.DeadlineExceeded }
		})
		wantGap(t, w.observe(o), live.SourceAssumeRole, acct, live.GapFailed, "no answer in time")
	})
}

// TestEndAndDocuments: a look says when it began and when it ended, and the documents
// that it parsed are not parsed again by the next, whatever was looked at between them.
func TestEndAndDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arn := w.putRole(readerRole)
	var mu sync.Mutex
	now := w.clock.Now()
	o := w.observer(func(o *Options) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second); return now }
	})
	first := w.observe(o, arn)
	for range 3 {
		s, err := o.Look(t.Context(), reader, arn)
		w.must(err)
		if f := s.Facts(); !f.ReadAt.After(f.TakenAt) {
			t.Errorf("Look: taken at %s, read at %s, want it later", f.TakenAt, f.ReadAt)
		}
	}
	second := w.observe(o, arn)
	if f := second.Facts(); !f.ReadAt.After(f.TakenAt) {
		t.Errorf("Observe: taken at %s, read at %s, want it later", f.TakenAt, f.ReadAt)
	}
	a, _, err := first.Trust(arn)
	w.must(err)
	if b, _, _ := second.Trust(arn); a != b {
		t.Error("the second look parsed the document again")
	}
}
