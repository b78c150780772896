package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// witness remembers the first thing that went wrong in a look, while its cause is
// still known: go-git wraps errors in ways that hide them.
type witness struct {
	mu    sync.Mutex
	first error
}

func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first = nil
}

func (w *witness) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

func (w *witness) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = err
	}
	return err
}

// watch ends a context when a server has been silent for too long. One clock for
// the connection, the greeting and each part of the answer works for any transport.
type watch struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	clock   *time.Timer
	silence time.Duration
	silent  error
}

func watched(ctx context.Context, silence time.Duration) *watch {
	w := &watch{silence: silence}
	w.silent = remedy.Mark(remedy.Retry, fmt.Errorf("%w: the server was silent for %s: try again; if that does not help, look at the server and the network, or raise Silence",
		ErrTimeout, silence))
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.clock = time.AfterFunc(silence, func() { w.cancel(w.silent) })
	return w
}

// blame says what ended the watch: silence, or the error given.
func (w *watch) blame(err error) error {
	if errors.Is(context.Cause(w.ctx), w.silent) {
		return w.silent
	}
	return err
}

// wire is a RoundTripper that bounds what a server may send; go-git reads an error's
// body whole. It also adds the login, to requests of the repository's own origin and
// to no other: go-git's redirects come back here.
type wire struct {
	*witness
	limits Limits
	base   http.RoundTripper
	origin *url.URL
	login  login
	plain  bool // http is allowed there
}

// RoundTrip sends one request; redirects come back here, and may not lead to
// plain http.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.URL.Scheme == w.origin.Scheme && req.URL.Host == w.origin.Host
	if req.URL.Scheme != "https" && !isLoopback(req.URL.Hostname()) && (!own || !w.plain) {
		return nil, w.fail(remedy.Mark(remedy.Hold, fmt.Errorf("%w: the server redirects to plain http: use the https address it should redirect to", ErrURL)))
	}
	guard := watched(req.Context(), w.limits.Silence)
	req = req.Clone(guard.ctx)
	req.Header.Del("Authorization")
	if own {
		w.login.apply(req)
	}
	res, err := w.base.RoundTrip(req)
	guard.clock.Stop()
	if err != nil {
		err = guard.blame(remedy.Mark(remedy.Retry, fmt.Errorf("%w: %w: check the address, the network and the certificate authorities",
			ErrUnreachable, err)))
		guard.cancel(nil)
		return nil, w.fail(err)
	}
	if err := statusRefusal(req, res.StatusCode); err != nil {
		guard.cancel(nil)
		_ = res.Body.Close()
		return nil, w.fail(err)
	}
	limit, most := "PackBytes", w.limits.PackBytes
	if req.Method == http.MethodGet {
		limit, most = "ListingBytes", w.limits.ListingBytes
	}
	res.Body = &bounded{ReadCloser: res.Body, witness: w.witness, watch: guard, left: most, limit: limit, most: most}
	return res, nil
}

// statusRefusal classes a status. GitHub and GitLab answer 404 for a repository that a
// token may not see, and GitHub 401 or 404 without one:
// https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api.
func statusRefusal(req *http.Request, code int) error {
	switch {
	case code < 400:
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		next := "give a token that may read the repository's contents"
		if req.Header.Get("Authorization") != "" {
			next = "the token may have expired, or lack leave to read the repository's contents"
		}
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w (HTTP %d): %s", ErrAuth, code, next))
	case code == http.StatusNotFound || code == http.StatusGone:
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w (HTTP %d): check the path, and that the token may read the repository", ErrNoRepository, code))
	default:
		return remedy.Mark(remedy.Retry, fmt.Errorf("%w: the server answers HTTP %d: try again later", ErrUnreachable, code))
	}
}

// bounded is an answer that ends in an error when it is longer than allowed, falls
// silent or breaks off.
type bounded struct {
	io.ReadCloser
	witness    *witness
	watch      *watch
	left, most int64
	limit      string
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.witness.failure()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	b.watch.clock.Reset(b.watch.silence)
	n, err := b.ReadCloser.Read(p)
	b.watch.clock.Stop()
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.witness.fail(over(b.limit, b.most, "answer of more than %d bytes", b.most))
	}
	if err != nil && !errors.Is(err, io.EOF) || err != nil && context.Cause(b.watch.ctx) != nil {
		err = b.witness.fail(b.watch.blame(remedy.Mark(remedy.Retry, fmt.Errorf("%w: the answer broke off: %w: try again", ErrUnreachable, err))))
	}
	return n, err
}

// Close ends the request.
func (b *bounded) Close() error {
	b.watch.clock.Stop()
	err := b.ReadCloser.Close()
	b.watch.cancel(nil)
	return err
}
