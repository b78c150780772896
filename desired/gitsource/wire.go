package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// wire is a RoundTripper that bounds what a server may send and remembers the
// first thing that went wrong, while the status is still known: go-git wraps
// errors in ways that hide them, and reads an error's body whole.
type wire struct {
	base   http.RoundTripper
	limits Limits

	mu    sync.Mutex
	first error
}

func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first = nil
}

func (w *wire) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

func (w *wire) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = err
	}
	return err
}

// RoundTrip sends one request; redirects come back here, and may not lead to
// plain http.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !isLoopback(req.URL.Hostname()) {
		return nil, w.fail(remedy.Mark(remedy.Hold, fmt.Errorf("%w: the server redirects to plain http: use the https address it should redirect to", ErrURL)))
	}
	// One clock for the connection, the headers and each part of the body, which
	// works for any transport.
	silent := remedy.Mark(remedy.Retry, fmt.Errorf("%w: the server was silent for %s: try again; if that does not help, look at the server and the network, or raise Silence",
		ErrTimeout, w.limits.Silence))
	ctx, cancel := context.WithCancelCause(req.Context())
	clock := time.AfterFunc(w.limits.Silence, func() { cancel(silent) })
	res, err := w.base.RoundTrip(req.WithContext(ctx))
	clock.Stop()
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		if errors.Is(cause, silent) {
			return nil, w.fail(silent)
		}
		return nil, w.fail(remedy.Mark(remedy.Retry, fmt.Errorf("%w: %w: check the address, the network and the certificate authorities",
			ErrUnreachable, err)))
	}
	if err := refusal(req, res.StatusCode); err != nil {
		cancel(nil)
		_ = res.Body.Close()
		return nil, w.fail(err)
	}
	limit, most := "PackBytes", w.limits.PackBytes
	if req.Method == http.MethodGet {
		limit, most = "ListingBytes", w.limits.ListingBytes
	}
	res.Body = &bounded{
		ReadCloser: res.Body, wire: w, left: most, limit: limit, most: most,
		clock: clock, silence: w.limits.Silence, ctx: ctx, silent: silent, cancel: cancel,
	}
	return res, nil
}

// refusal classes a status. GitHub and GitLab answer 404 for a repository that a
// token may not see, and GitHub 401 or 404 without one:
// https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api.
func refusal(req *http.Request, code int) error {
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

// bounded is a body that ends in an error when it is longer than allowed, falls
// silent or breaks off.
type bounded struct {
	io.ReadCloser
	wire       *wire
	left, most int64
	limit      string

	clock   *time.Timer // runs while a Read waits, and cancels ctx
	silence time.Duration
	ctx     context.Context
	cancel  context.CancelCauseFunc
	silent  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.wire.failure()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	b.clock.Reset(b.silence)
	n, err := b.ReadCloser.Read(p)
	b.clock.Stop()
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.wire.fail(over(b.limit, b.most, "answer of more than %d bytes", b.most))
	}
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case errors.Is(context.Cause(b.ctx), b.silent):
		err = b.wire.fail(b.silent)
	default:
		err = b.wire.fail(remedy.Mark(remedy.Retry, fmt.Errorf("%w: the answer broke off: %w: try again", ErrUnreachable, err)))
	}
	return n, err
}

// Close ends the request.
func (b *bounded) Close() error {
	b.clock.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
