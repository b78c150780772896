//go:build linux

package e2e

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// gate stands between lanyard and the API server, so that a test can do something just
// before a write arrives: after every look that lanyard takes, where the API server
// alone can say no.
type gate struct {
	*httptest.Server
	mu     sync.Mutex
	before map[string]func() // by ServiceAccount; each runs once
	deaths *deaths           // of whom asks; nil if it lives
}

// gated lets the daemons that are run from now on ask through a gate.
func (o *operator) gated() *gate {
	o.t.Helper()
	config := rest.AnonymousClientConfig(admin(o.t)) // the bearer token is lanyard's
	transport, err := rest.TransportFor(config)
	o.must(err)
	server, err := url.Parse(config.Host)
	o.must(err)
	g := &gate{before: map[string]func(){}}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(server) },
		Transport:     transport,
		FlushInterval: -1, // watches
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	// With TLS: without, the token of a kubeconfig is not sent.
	g.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first := g.take(r); first != nil {
			first()
		}
		if g.deaths != nil {
			switch g.deaths.at(written(r)) {
			case dies:
				panic(http.ErrAbortHandler)
			case diesAfter:
				proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
				g.deaths.kill()
				panic(http.ErrAbortHandler)
			case lives:
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	o.t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
	})
	kubeconfig, err := clientcmd.LoadFromFile(o.kubeconfig)
	o.must(err)
	for _, c := range kubeconfig.Clusters {
		c.Server, c.CertificateAuthorityData = g.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})
	}
	o.kubeconfig = filepath.Join(o.dir, "gated")
	o.must(clientcmd.WriteToFile(*kubeconfig, o.kubeconfig))
	return g
}

// beforePatch does something before the next patch of a ServiceAccount arrives. It runs
// in the place of lanyard, and must not end the test.
func (g *gate) beforePatch(serviceAccount string, do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before[serviceAccount] = do
}

// done reports whether what was to be done before a patch has been begun.
func (g *gate) done(serviceAccount string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.before[serviceAccount] == nil
}

func (g *gate) take(r *http.Request) func() {
	_, name, is := strings.Cut(r.URL.Path, "/serviceaccounts/")
	if !is || r.Method != http.MethodPatch {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	do := g.before[name]
	delete(g.before, name)
	return do
}
