package gitsource_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// overTLS puts a server of TLS before one of the fleet, and returns its URL and the
// file of its certificate.
func (f *fleet) overTLS(t *testing.T) (at, caFile string) {
	t.Helper()
	behind, err := url.Parse(f.serve(t, gitd.Options{Token: token, Git: gitBinary(t)}).URL)
	f.do(t, err)
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = behind.Scheme, behind.Host
	}})
	t.Cleanup(front.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	return front.URL + behind.Path, writeFile(t, "ca.pem", string(ca))
}

func TestHTTPSWithFiles(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	at, ca := f.overTLS(t)
	password := writeFile(t, "token", "wr0ng-t0ken\n")
	src := open(t, gitsource.Options{URL: at, Ref: "main", Auth: gitsource.Auth{Username: "me", PasswordFile: password, CAFile: ca}})
	if _, _, err := src.Latest(t.Context()); !errors.Is(err, gitsource.ErrAuth) || strings.Contains(errorText(err), "wr0ng") {
		t.Errorf("Latest with a wrong password = %v, want %v", err, gitsource.ErrAuth)
	}
	write(t, password, token+"\n") // rotated
	if got, _ := latest(t, src); got.Revision.Commit != f.third {
		t.Errorf("main = %s, want %s", got.Revision.Commit, f.third)
	}
	write(t, ca, "no certificate")
	if _, _, err := src.Latest(t.Context()); !errors.Is(err, gitsource.ErrSecret) {
		t.Errorf("Latest with a broken CA file = %v, want %v", err, gitsource.ErrSecret)
	}
	unknown := open(t, gitsource.Options{URL: at, Ref: "main", Auth: gitsource.Auth{TokenFile: password}})
	if _, _, err := unknown.Latest(t.Context()); !errors.Is(err, gitsource.ErrUnreachable) || !strings.Contains(errorText(err), "certificate") {
		t.Errorf("Latest without the authority = %v, want %v", err, gitsource.ErrUnreachable)
	}
}

func TestConfiguredProxy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	at, ca := f.overTLS(t)
	target, err := url.Parse(at)
	f.do(t, err)
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "git.example.com:443" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		tunnels.Add(1)
		out, err := net.Dial("tcp", target.Host)
		if err != nil {
			return
		}
		defer out.Close()
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer in.Close()
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(out, in) }()
		_, _ = io.Copy(in, out)
	}))
	t.Cleanup(proxy.Close)
	// httptest's certificate is for example.com, and for names below it from Go 1.25 on.
	options := gitsource.Options{URL: "https://git.example.com" + target.Path, Ref: "main", Auth: gitsource.Auth{Token: token, CAFile: ca, Proxy: proxy.URL}}
	if got, _ := latest(t, open(t, options)); got.Revision.Commit != f.third || tunnels.Load() == 0 {
		t.Errorf("main = %s through %d tunnels, want %s through one or more", got.Revision.Commit, tunnels.Load(), f.third)
	}
}

// TestRedirectedFetchBearsNoToken: the listing is redirected to a host that asks for
// no token; neither it nor the request that follows may see one.
func TestRedirectedFetchBearsNoToken(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	public := f.serve(t, gitd.Options{})
	var sent []string
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(public.URL, r.URL.Host) {
			sent = append(sent, r.Method+r.Header.Get("Authorization"))
			return http.DefaultTransport.RoundTrip(r)
		}
		return &http.Response{StatusCode: http.StatusFound, Body: http.NoBody, Request: r,
			Header: http.Header{"Location": {public.URL + "/info/refs?service=git-upload-pack"}}}, nil
	})
	src := open(t, gitsource.Options{URL: "http://localhost:1/fleet", Ref: "main", Auth: gitsource.Auth{Token: token}, Transport: transport})
	if got, _ := latest(t, src); got.Revision.Commit != f.third || strings.Join(sent, " ") != "GET POST" {
		t.Errorf("main = %s, requests elsewhere %q, want GET and POST without a token", got.Revision.Commit, sent)
	}
}

// TestUnsignedHeads: with keys configured an unsigned commit is refused, and the one
// before it stays.
func TestUnsignedHeads(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	signers, err := os.ReadFile("testdata/signed/ed25519.pub")
	f.do(t, err)
	server := f.serve(t, gitd.Options{Git: gitBinary(t)})
	src := open(t, gitsource.Options{URL: server.URL, Ref: "main", Verify: gitsource.Verify{AllowedSignersFile: writeFile(t, "signers", "a "+string(signers))}})
	for look := range 3 {
		server.Forget()
		_, _, err := src.Latest(t.Context())
		bad, ok := errors.AsType[*gitsource.SignatureError](err)
		if !ok || bad.Fault != gitsource.FaultUnsigned || bad.Commit != f.third {
			t.Fatalf("Latest = %v, want it unsigned", err)
		}
		if got := len(server.Requests()); look > 0 && got != 1 {
			t.Errorf("look %d at an unmoved unsigned head: %d requests, want 1", look+1, got)
		}
	}
}
