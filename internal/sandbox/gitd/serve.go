package gitd

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
)

// Options say how a repository is served.
type Options struct {
	// Token, if set, must come with every request: as the password of HTTP basic
	// authentication, or as a bearer token.
	Token string
	// Git is the path of a git binary. With it git http-backend answers, as at
	// a Git host: shallow, and for any commit that a ref reaches. Without it
	// this package answers by itself: whole histories, of refs only.
	Git string
	// Advertised and Unreachable change what git http-backend hands out by hash: only
	// what a ref stands on, as an ordinary server does, or every commit that it still
	// has, as GitHub does; by default what a ref reaches.
	Advertised, Unreachable bool
}

// Request is one request as it was received. It bears no token.
type Request struct {
	Method, Path, Query string
	Status              int
}

// Server serves one repository over HTTP on loopback until its context ends or
// it is closed.
type Server struct {
	// URL is the repository's, without credentials.
	URL string

	options  Options
	git      http.Handler
	http     *http.Server
	stop     func() bool
	mu       sync.Mutex
	requests []Request
}

// Serve starts to serve repo on a free port of 127.0.0.1.
func Serve(ctx context.Context, repo *Repo, o Options) (*Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", repo.Dir, err)
	}
	prefix := "/" + filepath.Base(repo.Dir)
	s := &Server{URL: "http://" + listener.Addr().String() + prefix, options: o, git: smart(repo)}
	if o.Git != "" {
		s.git = backend(repo, o)
	}
	s.http = &http.Server{Handler: http.StripPrefix(prefix, s), ReadHeaderTimeout: 10 * time.Second}
	s.stop = context.AfterFunc(ctx, func() { _ = s.http.Close() })
	go func() { _ = s.http.Serve(listener) }()
	return s, nil
}

// Close stops the server and drops its connections.
func (s *Server) Close() error {
	s.stop()
	return s.http.Close()
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

// ServeHTTP checks the token, answers, and records.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := s.record(Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery})
	answer := &statusWriter{ResponseWriter: w, seen: func(code int) { s.note(i, code) }}
	switch {
	case !s.admits(r):
		answer.Header().Set("WWW-Authenticate", `Basic realm="sandbox"`)
		http.Error(answer, "authentication required", http.StatusUnauthorized)
	case isRead(r):
		s.git.ServeHTTP(answer, r)
	default:
		http.Error(answer, "this repository is served for reading only", http.StatusForbidden)
	}
}

func (s *Server) record(r Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	return len(s.requests) - 1
}

func (s *Server) note(i, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < len(s.requests) {
		s.requests[i].Status = code
	}
}

func (s *Server) admits(r *http.Request) bool {
	if s.options.Token == "" {
		return true
	}
	_, got, basic := r.BasicAuth()
	if !basic {
		got, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(s.options.Token)) == 1
}

func isRead(r *http.Request) bool {
	switch r.URL.Path {
	case "/info/refs":
		return r.Method == http.MethodGet && r.URL.Query().Get("service") == transport.UploadPackServiceName
	case "/" + transport.UploadPackServiceName:
		return r.Method == http.MethodPost
	}
	return false
}

// statusWriter tells the first status that was written.
type statusWriter struct {
	http.ResponseWriter
	seen func(int)
}

func (w *statusWriter) WriteHeader(code int) {
	if w.seen != nil {
		w.seen(code)
		w.seen = nil
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.seen != nil {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets net/http reach the writer beneath.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// backend runs git http-backend, see https://git-scm.com/docs/git-http-backend.
// No configuration of the machine or of its user reaches it. The directory is
// declared safe because tests may run as another user than the one who owns it.
func backend(repo *Repo, o Options) http.Handler {
	args := []string{"-c", "safe.directory=*", "-c", "uploadpack.allowFilter=true"}
	switch {
	case o.Unreachable:
		args = append(args, "-c", "uploadpack.allowAnySHA1InWant=true")
	case !o.Advertised:
		args = append(args, "-c", "uploadpack.allowReachableSHA1InWant=true")
	}
	return &cgi.Handler{
		Path:   o.Git,
		Args:   append(args, "http-backend"),
		Dir:    repo.Dir,
		Stderr: io.Discard, // the client is told the same
		Logger: log.New(io.Discard, "", 0),
		Env: []string{
			"GIT_PROJECT_ROOT=" + repo.Dir, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent",
		},
	}
}

// smart answers the two requests of a clone with go-git, protocol version 0, see
// https://git-scm.com/docs/http-protocol.
func smart(repo *Repo) http.Handler {
	mux := http.NewServeMux()
	session := func() (transport.UploadPackSession, error) {
		return server.NewServer(loader{repo}).NewUploadPackSession(&transport.Endpoint{}, nil)
	}
	mux.HandleFunc("GET /info/refs", func(w http.ResponseWriter, r *http.Request) {
		s, err := session()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		refs, err := s.AdvertisedReferencesContext(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		refs.Prefix = [][]byte{[]byte("# service=git-upload-pack"), {}}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		w.Header().Set("Cache-Control", "no-cache")
		_ = refs.Encode(w)
	})
	mux.HandleFunc("POST /git-upload-pack", func(w http.ResponseWriter, r *http.Request) {
		asked := packp.NewUploadPackRequest()
		if err := asked.UploadRequest.Decode(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s, err := session()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer, err := s.UploadPack(r.Context(), asked)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_ = answer.Encode(w)
	})
	return mux
}

// loader opens the one repository anew for every session: a commit may be under
// way through the Repo's own storage.
type loader struct{ repo *Repo }

func (l loader) Load(*transport.Endpoint) (storer.Storer, error) {
	r, err := git.PlainOpen(l.repo.Dir)
	if err != nil {
		return nil, err
	}
	return r.Storer, nil
}
