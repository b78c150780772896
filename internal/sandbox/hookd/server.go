package hookd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// Options are the settings of a [Server].
type Options struct {
	// Clock is required; a wall clock where a real API server calls.
	Clock *virtual.Clock
	// Region is what containers get that name none.
	Region string
	// Seed varies the jitter of token lifetimes.
	Seed uint64
	// Delay is how long after a write the webhook sees it.
	Delay time.Duration
	// AWS and Cluster, an ARN, say which pairs have an association; nil means none.
	AWS     *awsd.Server
	Cluster string
}

// Mode says how the webhook does.
type Mode string

// The ways the webhook does. In all but the first pods are admitted unchanged.
const (
	Serving Mode = "serving"
	Down    Mode = "down" // The connection breaks at once.
	Hung    Mode = "hung" // No answer until the API server gives up, after 10 s.
)

// Server is the webhook. Make one with [New].
type Server struct {
	hook    *actors.Webhook
	ca      []byte // PEM
	cert    tls.Certificate
	closing chan struct{}

	mu     sync.Mutex
	mode   Mode
	server *http.Server
	url    string
	closed bool
	stops  []func() // what Close ends besides the listener
}

// New returns a webhook that knows nothing yet and listens nowhere, with a certificate
// of its own CA.
func New(o Options) (*Server, error) {
	s := &Server{mode: Serving, closing: make(chan struct{})}
	w := actors.WebhookOptions{Clock: o.Clock, Region: o.Region, Seed: o.Seed, Delay: o.Delay}
	if o.AWS != nil {
		w.Associations = associations{o.AWS, o.Cluster}
	}
	s.hook = actors.NewWebhook(w)
	var err error
	if s.ca, s.cert, err = newCertificate(); err != nil {
		return nil, fmt.Errorf("make the webhook's certificate: %w", err)
	}
	return s, nil
}

// associations are those of a cluster, as its webhook sees them.
type associations struct {
	aws     *awsd.Server
	cluster string
}

func (a associations) Association(namespace, serviceAccount string) bool {
	return a.AssociationBefore(namespace, serviceAccount, 0)
}

func (a associations) AssociationBefore(namespace, serviceAccount string, late time.Duration) bool {
	return a.aws.AssociationVisibleBefore(a.cluster, namespace, serviceAccount, late)
}

// Start listens on address, such as "127.0.0.1:0". It refuses one that is not on loopback.
func (s *Server) Start(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("start webhook: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("start webhook: %s is not a loopback address: use 127.0.0.1 or [::1]", address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.server != nil {
		return errors.New("start webhook: it was started before: make a new one")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("start webhook: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mutate", s.moody(actors.Review(s.hook.Answer)))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(discard{}, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12}}
	s.url = "https://" + l.Addr().String() + "/mutate"
	go s.server.ServeTLS(l, "", "") // Ends with Close.
	return nil
}

// discard drops what net/http says of handshakes that clients break off.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// moody answers as the mode says.
func (s *Server) moody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		mode := s.mode
		s.mu.Unlock()
		switch mode {
		case Down:
			panic(http.ErrAbortHandler)
		case Hung:
			select {
			case <-r.Context().Done():
			case <-s.closing:
			}
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

// SetMode takes the webhook away, or brings it back.
func (s *Server) SetMode(m Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

// SetDelay changes how late the webhook sees ServiceAccounts and associations, by the
// clock of its options. More than an hour is not remembered of associations.
func (s *Server) SetDelay(d time.Duration) { s.hook.SetDelay(d) }

// CA returns the certificate of the server's CA, in PEM.
func (s *Server) CA() []byte { return s.ca }

// Object returns the webhook's object as EKS installs it, with the address and the CA of
// this server, which must have been started.
func (s *Server) Object() *admissionv1.MutatingWebhookConfiguration {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := actors.NewWebhookObject()
	url := s.url
	o.Webhooks[0].ClientConfig = admissionv1.WebhookClientConfig{URL: &url, CABundle: s.ca}
	return o
}

// Close stops listening, lets go of calls that hang, and ends the informer. Nothing of
// the server runs when it returns.
func (s *Server) Close() error {
	s.mu.Lock()
	server, stops, first := s.server, s.stops, !s.closed
	s.closed, s.stops = true, nil
	s.mu.Unlock()
	if !first {
		return nil
	}
	close(s.closing)
	for _, stop := range stops {
		stop()
	}
	if server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return server.Close()
	}
	return nil
}
