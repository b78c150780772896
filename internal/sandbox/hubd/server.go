package hubd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say what is served.
type Options struct {
	Repository string           // owner/name
	Now        func() time.Time // time.Now if nil
	Hourly     int              // primary rate limit of each token; 5000 if 0
}

// Access is how far a token reaches into one kind of thing.
type Access int

// The levels of access.
const (
	None Access = iota
	Read
	Write
)

// Token is a credential. A fine-grained personal access token has access by kind, on the
// repositories that it was made for.
// Source: https://docs.github.com/en/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens
type Token struct {
	Login     string
	App       bool   // an installation's: GET /user is refused, the login ends in [bot]
	Elsewhere bool   // made for other repositories only
	Pulls     Access // "Pull requests": also comments on them
	Statuses  Access // "Commit statuses"
}

// Request is one request as it was answered. It bears no token.
type Request struct {
	Method, Path, Query string
	Conditional         bool // came with If-None-Match
	Status              int
	At                  time.Time
}

// Server is the double. Make one with [Serve].
type Server struct {
	// URL is the base of the API.
	URL string

	opts Options
	http *http.Server
	stop func() bool

	mu       sync.Mutex
	tokens   map[string]*holder
	pulls    []*Pull
	comments map[int][]*Comment
	statuses map[string][]*Status
	nextID   int64
	faults   []*Fault
	requests []Request
}

// holder is a token and what it has used up.
type holder struct {
	Token
	left   int
	reset  time.Time
	writes []time.Time // creations of content in the last minute
	until  time.Time   // of the secondary limit
}

// Serve starts to serve a repository without pull requests on a free port of 127.0.0.1,
// until the context ends or it is closed.
func Serve(ctx context.Context, o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Hourly == 0 {
		o.Hourly = 5000
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", o.Repository, err)
	}
	s := &Server{
		URL: "http://" + listener.Addr().String(), opts: o, tokens: map[string]*holder{},
		comments: map[int][]*Comment{}, statuses: map[string][]*Status{}, nextID: 1000,
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.stop = context.AfterFunc(ctx, func() { _ = s.http.Close() })
	go func() { _ = s.http.Serve(listener) }()
	return s, nil
}

// Close stops the server and drops its connections.
func (s *Server) Close() error {
	s.stop()
	return s.http.Close()
}

// Grant makes a token valid, or changes what it may.
func (s *Server) Grant(secret string, t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.tokens[secret]
	if h == nil {
		h = &holder{left: s.opts.Hourly, reset: s.opts.Now().Add(time.Hour)}
		s.tokens[secret] = h
	}
	h.Token = t
}

// Revoke makes a token invalid.
func (s *Server) Revoke(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, secret)
}

// Exhaust leaves a token so many requests until a time.
func (s *Server) Exhaust(secret string, left int, reset time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[secret].left, s.tokens[secret].reset = left, reset
}

// Left is what a token has left of the primary limit.
func (s *Server) Left(secret string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[secret].left
}

// Requests returns what was asked so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Forget drops the record.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// answer is what a request gets.
type answer struct {
	code   int
	header http.Header
	body   any  // as JSON; nothing if nil
	made   bool // content was created
}

// ServeHTTP answers one request and records it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	fault := s.faultOf(r)
	if fault != nil && fault.Hang {
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	var a answer
	if fault != nil && !fault.Done {
		a = fault.answer()
	} else if a = s.judge(r, body); fault != nil {
		a = fault.answer()
	}
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Conditional: r.Header.Get("If-None-Match") != "", Status: a.code, At: s.opts.Now(),
	})
	s.mu.Unlock()
	if fault != nil && fault.Cut {
		panic(http.ErrAbortHandler) // the connection breaks, without a word on the log
	}
	header := w.Header()
	for key, values := range a.header {
		header[key] = values
	}
	header.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.code)
	if a.body != nil && a.code != http.StatusNotModified {
		_ = json.NewEncoder(w).Encode(a.body)
	}
}

// judge lets nobody in who does not say who asks, and counts against the limits of those
// who do.
func (s *Server) judge(r *http.Request, body []byte) answer {
	// https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent
	if r.Header.Get("User-Agent") == "" {
		return refusal(http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required).")
	}
	// https://docs.github.com/en/rest/about-the-rest-api/api-versions
	if v := r.Header.Get("X-GitHub-Api-Version"); v != "" && v != "2022-11-28" && v != "2026-03-10" {
		return refusal(http.StatusBadRequest, "Unsupported API version")
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret == "" {
		// A private repository is hidden from strangers rather than closed to them.
		// https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#404-not-found-for-an-existing-resource
		if r.URL.Path == "/user" {
			return refusal(http.StatusUnauthorized, "Requires authentication")
		}
		return notFound()
	}
	h := s.tokens[secret]
	if h == nil || !strings.EqualFold(scheme, "bearer") && !strings.EqualFold(scheme, "token") {
		return refusal(http.StatusUnauthorized, "Bad credentials")
	}
	now := s.opts.Now()
	if !now.Before(h.reset) {
		h.left, h.reset = s.opts.Hourly, now.Add(time.Hour)
	}
	a, limited := s.limited(h, r, now)
	if !limited {
		if a = s.route(h, r, body); a.header == nil {
			a.header = http.Header{}
		}
		s.condition(h, r, &a)
		if a.code != http.StatusNotModified {
			// A 304 to an authorized request does not count.
			// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
			h.left--
		}
		if a.made {
			h.writes = append(h.writes, now)
		}
	}
	a.header.Set("X-RateLimit-Limit", strconv.Itoa(s.opts.Hourly))
	a.header.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, h.left)))
	a.header.Set("X-RateLimit-Used", strconv.Itoa(s.opts.Hourly-max(0, h.left)))
	a.header.Set("X-RateLimit-Reset", strconv.FormatInt(h.reset.Unix(), 10))
	a.header.Set("X-RateLimit-Resource", "core")
	return a
}

// perMinute is how many requests may create content in a minute.
const perMinute = 80

// limited judges the primary and the secondary limits.
// Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
func (s *Server) limited(h *holder, r *http.Request, now time.Time) (answer, bool) {
	if h.left <= 0 {
		a := refusal(http.StatusForbidden, "API rate limit exceeded for user ID 1. If you reach out to GitHub Support for help, please include the request ID.")
		a.body.(map[string]any)["documentation_url"] = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"
		return a, true
	}
	h.writes = slices.DeleteFunc(h.writes, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if r.Method != http.MethodGet && len(h.writes) >= perMinute {
		h.until = now.Add(time.Minute)
	}
	if now.Before(h.until) {
		a := refusal(http.StatusForbidden, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to GitHub Support for help, please include the request ID.")
		a.body.(map[string]any)["documentation_url"] = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
		a.header.Set("Retry-After", strconv.Itoa(int(h.until.Sub(now).Seconds()+0.999)))
		return a, true
	}
	return answer{}, false
}

// Throttle puts a token under the secondary limit until a time.
func (s *Server) Throttle(secret string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[secret].until = until
}

// condition gives a good answer to GET its ETag, and makes it a 304 if the client has it.
// The tag depends on who asks, as GitHub's does.
func (s *Server) condition(h *holder, r *http.Request, a *answer) {
	if r.Method != http.MethodGet || a.code != http.StatusOK {
		return
	}
	data, err := json.Marshal(a.body)
	if err != nil {
		return
	}
	sum := sha256.Sum256(append(data, h.Login+a.header.Get("Link")...))
	tag := `W/"` + hex.EncodeToString(sum[:]) + `"`
	a.header.Set("ETag", tag)
	a.header.Set("Cache-Control", "private, max-age=60, s-maxage=60")
	if r.Header.Get("If-None-Match") == tag {
		// A 304 need not repeat what describes the content: a client has that.
		// https://www.rfc-editor.org/rfc/rfc9110#status.304
		a.code = http.StatusNotModified
		a.header.Del("Link")
	}
}

func refusal(code int, message string) answer {
	return answer{code: code, header: http.Header{}, body: map[string]any{
		"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(code),
	}}
}

func notFound() answer { return refusal(http.StatusNotFound, "Not Found") }

func invalid(resource, field, message string) answer {
	a := refusal(http.StatusUnprocessableEntity, "Validation Failed")
	a.body.(map[string]any)["errors"] = []map[string]string{{"resource": resource, "code": "custom", "field": field, "message": message}}
	return a
}

// page cuts a list, and names the pages beside it.
// Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
func page[T any](s *Server, r *http.Request, all []T) answer {
	q := r.URL.Query()
	number := func(key string, other, most int) int {
		n, err := strconv.Atoi(q.Get(key))
		if err != nil || n < 1 {
			return other
		}
		return min(n, most)
	}
	size, at := number("per_page", 30, 100), number("page", 1, 1<<30)
	last := max(1, (len(all)+size-1)/size)
	from := min((at-1)*size, len(all))
	a := answer{code: http.StatusOK, header: http.Header{}, body: append([]T{}, all[from:min(from+size, len(all))]...)}
	var links []string
	link := func(n int, rel string) {
		q.Set("page", strconv.Itoa(n))
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel="%s"`, s.URL, r.URL.Path, q.Encode(), rel))
	}
	if at > 1 {
		link(min(at-1, last), "prev")
	}
	if at < last {
		link(at+1, "next")
		link(last, "last")
	}
	if at > 1 {
		link(1, "first")
	}
	if len(links) > 0 {
		a.header.Set("Link", strings.Join(links, ", "))
	}
	return a
}
