package awsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// Options are the choices that a [Server] is made with. All may be left out.
type Options struct {
	// Clock is the time; one that stands at 2026-11-23 09:00 UTC if nil. SDKs compare the
	// expiry of credentials with the wall clock, so a clock that starts before today makes
	// them renew at every call.
	Clock *virtual.Clock

	// Consistency delays what the API's writes show. Zero shows them at once.
	Consistency Consistency

	// Rates throttle each account's calls to a service ("iam", "sts", "eks", "eks-auth",
	// and in each Region "cloudtrail").
	Rates map[string]Rate
}

// Rate is a token bucket on virtual time.
type Rate struct {
	Burst     int
	PerSecond float64
}

// Server is an AWS of one's own. Its methods are safe for use by several goroutines; a
// Server must be made with [New].
type Server struct {
	clock   *virtual.Clock
	closing chan struct{}

	mu                  sync.Mutex
	closed              bool
	server              *http.Server
	consistency         Consistency
	accounts            map[string]*accountState
	policies            map[string]Policy
	clusters            map[clusterKey]*clusterState
	addonConfigurations map[string]AddonConfiguration
	sessions            map[string]session   // By access key id.
	forgot              time.Time            // When sessions were last forgotten.
	keys                map[string]KeySource // By issuer.
	parsed              map[string]*policy
	faults              []*Fault
	buckets             map[string]*bucket
	rates               map[string]Rate
	calls               []Call
	events              []trailEvent // Oldest first.
	global              func(namespace, serviceAccount string) bool
	forgotten           int // Calls that were recorded before the oldest in calls.
	made                int // Counts what was given a made-up name.
}

// New returns a server with an empty world, listening nowhere yet.
func New(o Options) *Server {
	if o.Clock == nil {
		o.Clock = virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	}
	s := &Server{
		clock: o.Clock, closing: make(chan struct{}),
		accounts: map[string]*accountState{}, policies: map[string]Policy{}, clusters: map[clusterKey]*clusterState{},
		addonConfigurations: map[string]AddonConfiguration{}, sessions: map[string]session{}, keys: map[string]KeySource{},
		parsed: map[string]*policy{}, buckets: map[string]*bucket{}, rates: o.Rates,
	}
	s.SetConsistency(o.Consistency)
	return s
}

// SetConsistency changes the delays, also for writes already accepted. It panics on a
// delay of more than an hour.
func (s *Server) SetConsistency(c Consistency) {
	if c.longest() > history {
		panic("awsd: SetConsistency with a delay of more than an hour")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consistency = c
}

// Handler returns the HTTP side of the server. It answers requests that reached it over
// loopback, under a loopback name or address, and from no web page; it refuses all others.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Start listens on address, such as "127.0.0.1:0", and returns the endpoint's URL. It
// refuses an address that is not a loopback one.
func (s *Server) Start(address string) (url string, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("start AWS double: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("start AWS double: %s is not a loopback address: use 127.0.0.1 or [::1]", address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.server != nil {
		return "", errors.New("start AWS double: it was started before: make a new one")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("start AWS double: %w", err)
	}
	s.server = &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go s.server.Serve(l) // Ends with Close.
	return "http://" + l.Addr().String(), nil
}

// Close stops listening and lets go of calls that hang.
func (s *Server) Close() error {
	s.mu.Lock()
	server, first := s.server, !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.closing)
	}
	if server == nil || !first {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return server.Close()
	}
	return nil
}

// parse returns a policy document parsed, from memory if it was seen before.
func (s *Server) parse(doc string) (*policy, error) {
	if p := s.parsed[doc]; p != nil {
		return p, nil
	}
	p, err := parsePolicy(doc)
	if err != nil {
		return nil, err
	}
	if len(s.parsed) > 20_000 {
		clear(s.parsed)
	}
	s.parsed[doc] = p
	return p, nil
}

// bucket is the state of one account's calls to one service.
type bucket struct {
	tokens float64
	at     time.Time
}

// throttled takes a token from the caller's bucket and reports whether there was none.
func (s *Server) throttled(c Call, now time.Time) bool {
	rate, limited := s.rates[c.Service]
	if !limited {
		return false
	}
	of := c.Account + "/" + c.Service
	if c.Service == "cloudtrail" {
		of += "/" + c.Region
	}
	b := s.buckets[of]
	if b == nil {
		b = &bucket{tokens: float64(rate.Burst), at: now}
		s.buckets[of] = b
	}
	b.tokens = min(float64(rate.Burst), b.tokens+now.Sub(b.at).Seconds()*rate.PerSecond)
	b.at = now
	if b.tokens < 1 {
		return true
	}
	b.tokens--
	return false
}
