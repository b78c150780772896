package hook

import (
	"bytes"
	"errors"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Provider is who sends a hook: the last part of its path.
type Provider string

// The providers. Forgejo sends what Gitea does, and is pointed there.
const (
	GitHub  Provider = "github"
	GitLab  Provider = "gitlab"
	Gitea   Provider = "gitea"
	Generic Provider = "generic"
)

// Providers returns the closed list.
func Providers() []Provider { return []Provider{GitHub, GitLab, Gitea, Generic} }

// Result is what became of a delivery. The list is closed; it is a metric's label.
type Result string

// The results.
const (
	Accepted     Result = "accepted"     // 202: the loop was woken
	Ping         Result = "ping"         // 200: a provider's test, nobody was woken
	Replayed     Result = "replayed"     // 200: seen before, nobody was woken
	Unsigned     Result = "unsigned"     // 401: no signature, or none of the right form
	Refused      Result = "refused"      // 401: a wrong signature
	Stale        Result = "stale"        // 401: signed too long ago, or in the future
	Malformed    Result = "malformed"    // 400: a header twice, or a body that broke off
	Oversized    Result = "oversized"    // 413
	Busy         Result = "busy"         // 429 or 503: too many at once
	Unconfigured Result = "unconfigured" // 404: no secret, so nobody can be told apart
	WrongMethod  Result = "method"       // 405
)

// Results returns the closed list.
func Results() []Result {
	return []Result{Accepted, Ping, Replayed, Unsigned, Refused, Stale, Oversized, Malformed, Busy, Unconfigured, WrongMethod}
}

// The bounds on what a delivery may cost.
const (
	maxBody    = 1 << 20 // a push of many commits is well below; GitHub cuts its own at 25 MB
	maxSecrets = 8       // of a provider at once; each costs a hash of the body
	maxHeader  = 4 << 10 // of a header that is looked at
	maxAtOnce  = 16      // bodies that are read at the same time
	maxPerTime = 50      // deliveries of a provider that are looked into in a second,
	burst      = 200     // and in one moment
	window     = 5 * time.Minute
	retryAfter = "5" // seconds
)

// Options are what a handler is made of. Secrets and Wake are required.
type Options struct {
	// Secrets returns the secrets of a provider that are valid now: one, or several
	// while they are rotated. It is asked for each delivery. None, or empty ones, mean
	// that the provider is not configured. It must not block.
	Secrets func(Provider) [][]byte

	// Wake asks for a look. It must not block; a channel of one place collapses a storm.
	Wake func()

	Now func() time.Time              // time.Now if nil
	Log *slog.Logger                  // nobody is told if nil
	Saw func(provider, result string) // told of every delivery, in words of [Providers] and [Results]
}

// handler is made by [New].
type handler struct {
	opts      Options
	bodies    chan struct{} // a place for each body that is read
	buffers   sync.Pool
	providers map[Provider]*provider
}

// provider is what is remembered of one.
type provider struct {
	verify scheme
	rate   bucket
	seen   memory
	talk   throttle
}

// New returns the handler. It answers 404 to every path that is not a provider's.
func New(opts Options) http.Handler {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Saw == nil {
		opts.Saw = func(string, string) {}
	}
	h := &handler{opts: opts, bodies: make(chan struct{}, maxAtOnce), providers: map[Provider]*provider{}}
	h.buffers.New = func() any { b := make([]byte, 16<<10); return &b }
	for name, verify := range map[Provider]scheme{GitHub: github, GitLab: gitlab, Gitea: gitea, Generic: generic} {
		h.providers[name] = &provider{verify: verify}
	}
	return h
}

// ServeHTTP answers one delivery.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	name, under := strings.CutPrefix(r.URL.Path, "/hook/")
	p, known := h.providers[Provider(name)]
	if !under || !known {
		http.Error(w, "no such hook: it is /hook/github, /hook/gitlab, /hook/gitea or /hook/generic", http.StatusNotFound)
		return
	}
	result := h.deliver(w, r, Provider(name), p)
	h.opts.Saw(name, string(result))
	h.tell(r, Provider(name), p, result)
}

// deliver judges a delivery, the cheapest questions first: what a stranger sends is
// refused before its body is read, or after as much of it as anybody may send.
func (h *handler) deliver(w http.ResponseWriter, r *http.Request, name Provider, p *provider) Result {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return answer(w, WrongMethod, http.StatusMethodNotAllowed, "a hook is delivered with POST")
	}
	secrets := usable(h.opts.Secrets(name))
	if len(secrets) == 0 {
		return answer(w, Unconfigured, http.StatusNotFound, "this hook is not configured: give lanyard a secret for it")
	}
	if r.ContentLength > maxBody {
		return answer(w, Oversized, http.StatusRequestEntityTooLarge, "a delivery has at most 1 MiB: let the hook send pushes and pull requests only")
	}
	now := h.opts.Now()
	claim, result := p.verify(r.Header, secrets, now)
	if result != Accepted {
		return refuse(w, result)
	}
	if !p.rate.take(now) {
		w.Header().Set("Retry-After", retryAfter)
		return answer(w, Busy, http.StatusTooManyRequests, "too many deliveries")
	}
	select {
	case h.bodies <- struct{}{}:
		defer func() { <-h.bodies }()
	default:
		w.Header().Set("Retry-After", retryAfter)
		return answer(w, Busy, http.StatusServiceUnavailable, "too many deliveries at once")
	}
	if err := h.read(w, r, claim); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return answer(w, Oversized, http.StatusRequestEntityTooLarge, "a delivery has at most 1 MiB: let the hook send pushes and pull requests only")
		}
		return answer(w, Malformed, http.StatusBadRequest, "the body broke off")
	}
	if !claim.holds() {
		return refuse(w, Refused)
	}
	if !p.seen.add(now, claim.names()...) {
		return answer(w, Replayed, http.StatusOK, "seen before")
	}
	if claim.ping {
		return answer(w, Ping, http.StatusOK, "pong")
	}
	h.opts.Wake()
	return answer(w, Accepted, http.StatusAccepted, "looking")
}

// read passes the body through the claim's hashes, and keeps nothing of it.
func (h *handler) read(w http.ResponseWriter, r *http.Request, c claim) error {
	hashes := make([]io.Writer, len(c.macs))
	for i, mac := range c.macs {
		hashes[i] = mac
	}
	buffer := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buffer)
	_, err := io.CopyBuffer(io.MultiWriter(hashes...), plainReader{http.MaxBytesReader(w, r.Body, maxBody)}, *buffer)
	return err
}

// plainReader hides every method but Read, so that the buffer given is the one used.
type plainReader struct{ io.Reader }

// usable returns the secrets that can tell somebody apart. A file's last line feed is
// not part of a secret, and an empty secret is known to everybody.
func usable(secrets [][]byte) [][]byte {
	out := make([][]byte, 0, len(secrets))
	for _, s := range secrets {
		if s = bytes.TrimRight(s, "\r\n"); len(s) > 0 && len(out) < maxSecrets {
			out = append(out, s)
		}
	}
	return out
}

func refuse(w http.ResponseWriter, result Result) Result {
	switch result {
	case Malformed:
		return answer(w, result, http.StatusBadRequest, "a header that is signed or signs stands twice, or is too long")
	case Stale:
		return answer(w, result, http.StatusUnauthorized, "the timestamp is more than 5 minutes from now: set the clocks, and send it again")
	case Unsigned:
		return answer(w, result, http.StatusUnauthorized, "no signature that could be checked: set the hook's secret")
	}
	return answer(w, Refused, http.StatusUnauthorized, "the signature is not one of a secret that is valid now")
}

func answer(w http.ResponseWriter, result Result, code int, text string) Result {
	http.Error(w, text, code)
	return result
}

// tell logs what went wrong, at most one line a minute for each provider: otherwise a
// stranger could fill a disk.
func (h *handler) tell(r *http.Request, name Provider, p *provider, result Result) {
	if slices.Contains([]Result{Accepted, Ping, Replayed}, result) {
		h.opts.Log.Debug("hook", "provider", string(name), "result", string(result))
		return
	}
	if silent, speak := p.talk.speak(h.opts.Now()); speak {
		h.opts.Log.Warn("hook refused", "provider", string(name), "result", string(result), "from", r.RemoteAddr, "silent", silent)
	}
}

// claim is what a delivery says of itself, before its body is known.
type claim struct {
	macs  []hash.Hash // one for each secret; the body goes through all
	given [][]byte    // signatures, of which one must be one of the macs
	token bool        // the secret itself was sent and is right: nothing signs the body
	ping  bool
	id    string // the provider's name for the delivery; not signed by all of them
}
