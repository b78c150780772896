package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

// apiServer answers pod creates by what it is sent.
type apiServer struct {
	*httptest.Server
	connections atomic.Int32
	mu          sync.Mutex
	asked       []*http.Request
	answer      func(http.ResponseWriter, *http.Request)
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r)
		answer := s.answer
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.WriteHeader(http.StatusCreated)
		_, _ = io.Copy(w, r.Body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// config is how clients know the API server: by a name that its certificate has.
func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: "https://example.com:443", BearerToken: "lanyards-own", TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}}
}

// to dials the test's server in place of an address.
func (s *apiServer) to(dialled *[]string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		*dialled = append(*dialled, address)
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
}

// TestDialer: each question comes over a new connection to the address that is meant,
// under lanyard's own login, to a server with a certificate for the configured name.
func TestDialer(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	w := newWorld(t, append(workloads(), slice())...)
	var dialled []string
	ask := func(config *rest.Config, timeout time.Duration) []migrate.Answer {
		t.Helper()
		p := w.prober(func(o *Options) { o.Dial, o.Timeout = Dialer(config, s.to(&dialled)), timeout })
		got, err := p.Ask(t.Context(), subject, live.WorkloadRef{Kind: "CronJob", Name: "cronjob"})
		if err != nil || len(got) != 2 {
			t.Fatalf("answers %v, %v; want two", got, err)
		}
		return got
	}
	for range 2 {
		for _, a := range ask(s.config(), 0) {
			if a.Result != migrate.AnswerGiven || a.Credential != live.CredentialNone {
				t.Errorf("answer %+v, want that the pod came back as it was", a)
			}
		}
	}
	if want := "192.0.2.1:6443 192.0.2.2:6443 192.0.2.1:6443 192.0.2.2:6443"; strings.Join(dialled, " ") != want {
		t.Errorf("dialled %q, want %q", dialled, want)
	}
	if n := s.connections.Load(); n != 4 {
		t.Errorf("four questions came over %d connections", n)
	}
	for _, r := range s.asked {
		if r.URL.Path != "/api/v1/namespaces/demo/pods" || r.URL.Query().Get("dryRun") != "All" || r.Method != http.MethodPost || r.Host != "example.com:443" || r.Header.Get("Authorization") != "Bearer lanyards-own" || !r.Close {
			t.Errorf("asked %s %s of %s as %q", r.Method, r.URL, r.Host, r.Header.Get("Authorization"))
		}
	}

	for name, test := range map[string]struct {
		change func(*rest.Config)
		says   string
	}{
		"a name that the certificate lacks": {func(c *rest.Config) { c.Host = "https://api.example.org" }, "api.example.org"},
		"tls-server-name":                   {func(c *rest.Config) { c.Host, c.ServerName = "https://api.example.org", "example.com" }, ""},
		"another authority":                 {func(c *rest.Config) { c.CAData = otherAuthority(t) }, "unknown authority"},
		"no certificates at all":            {func(c *rest.Config) { c.CAData = []byte("none") }, "certificate authority"},
	} {
		config := s.config()
		test.change(config)
		a := ask(config, 0)[0]
		if ok := a.Result == migrate.AnswerGiven; ok != (test.says == "") || !strings.Contains(a.Message, test.says) {
			t.Errorf("%s: %s: %s", name, a.Result, a.Message)
		}
	}

	// A webhook that hangs, and an answer without end.
	release := make(chan struct{})
	defer close(release)
	s.answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	if a := ask(s.config(), 100*time.Millisecond)[1]; a.Result != migrate.AnswerFailed || a.Message != "no answer in time" {
		t.Errorf("of a hung webhook: %s: %s", a.Result, a.Message)
	}
	s.mu.Lock()
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"` + strings.Repeat("x", maxAnswer) + `"}}`))
	}
	s.mu.Unlock()
	if a := ask(s.config(), time.Minute)[0]; a.Result != migrate.AnswerFailed || !strings.Contains(a.Message, "too large") {
		t.Errorf("of an answer of 8 MiB: %s: %s", a.Result, a.Message)
	}
	if d := New(Options{}).o.Timeout; d != 3*time.Second {
		t.Errorf("a call may take %v, want 3 s", d)
	}
}

// otherAuthority is a certificate authority that signed nothing here.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
