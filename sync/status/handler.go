package status

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The bounds on what answers cost.
const (
	atOnce      = 2                // large answers in memory at the same time
	patience    = 10 * time.Second // how long one waits for a place
	sending     = time.Minute      // how long a reader may take
	worthZip    = 4 << 10          // bytes from which compression pays
	longestAuth = 16 << 10         // of a token; those of Kubernetes have about 1 KiB
	retryAfter  = 10               // seconds
)

// route is one path.
type route struct {
	small bool // needs no place among the large answers
	// answer returns the document, or nil if there is none yet.
	answer func() ([]byte, error)
}

// door is how one kind of reader says who they are, and is told what is wrong.
type door struct {
	challenge string // WWW-Authenticate
	hint      string // for those who say nothing
	password  bool   // the token may be the password of HTTP Basic
	fail      func(w http.ResponseWriter, code int, why string)
}

// Programs bring a token of their own accord. A browser asks a person for a password, and
// sends it again with each look at the page; it keeps it in memory until it is closed.
// Basic is told apart from cookies by what it cannot do: it needs no form to post to and
// nothing to be kept here, and another port of the same host never sees it.
//
// Sources: https://www.rfc-editor.org/rfc/rfc6750#section-3 and
// https://www.rfc-editor.org/rfc/rfc7617#section-2
var (
	apiDoor  = door{challenge: `Bearer realm="lanyard"`, hint: "say who you are: Authorization: Bearer TOKEN", fail: fail}
	pageDoor = door{challenge: `Basic realm="lanyard: a token as the password", charset="UTF-8"`,
		hint: "Say who you are: any user name, and a token as the password.", password: true, fail: refuse}
)

// Handler serves the page and the API, and 404 for everything else.
func (b *Board) Handler() http.Handler {
	routes := map[string]route{
		"/api/v1/status":   {small: true, answer: b.statusJSON},
		"/api/v1/findings": {answer: b.findingsJSON},
		"/api/v1/plan":     {answer: b.planJSON},
		"/api/v1/snapshot": {answer: b.snapshotJSON},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == pagePath {
			b.page(w, r)
			return
		}
		strict(w.Header())
		rt, known := routes[r.URL.Path]
		switch {
		case !known || b.opts.Authorize == nil:
			fail(w, http.StatusNotFound, "there is nothing here: see /api/v1/status, findings, plan, snapshot")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, "this is only read, with GET")
		case b.admit(w, r, apiDoor):
			b.serve(w, r, rt)
		}
	})
}

// strict sets what every answer has: it is nobody's to store, to embed or to guess at.
func strict(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Type", "application/json")
}

// admit asks who it is, and answers for itself if they may not go on.
func (b *Board) admit(w http.ResponseWriter, r *http.Request, d door) bool {
	token, ok := bearer(r.Header)
	if !ok && d.password {
		token, ok = password(r)
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", d.challenge)
		d.fail(w, http.StatusUnauthorized, d.hint)
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	allowed, err := b.opts.Authorize(ctx, token, r.URL.Path)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		challenge := d.challenge
		if !d.password {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		d.fail(w, http.StatusUnauthorized, "the token is not valid here")
	case err != nil:
		d.later(w, "it could not be found out whether you may read this")
	case !allowed:
		d.fail(w, http.StatusForbidden, "you may not read "+r.URL.Path)
	default:
		return true
	}
	return false
}

// password returns the token that is the password of `Authorization: Basic`, which stands
// once. The user may be anything: a token says whose it is.
func password(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 || len(values[0]) > 2*longestAuth {
		return "", false
	}
	_, token, ok := r.BasicAuth()
	return token, ok && valid(token)
}

// bearer returns the token of `Authorization: Bearer TOKEN`, which stands once.
// Source: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	return token, strings.EqualFold(scheme, "Bearer") && valid(token)
}

// valid reports whether a text has the form of a token.
func valid(token string) bool {
	if token == "" || len(token) > longestAuth {
		return false
	}
	for _, c := range []byte(token) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/=", rune(c)) {
			return false
		}
	}
	return true
}

// serve answers a caller who may be answered.
func (b *Board) serve(w http.ResponseWriter, r *http.Request, rt route) {
	ready, ended := b.ready()
	if ready {
		w.Header().Set("Last-Modified", ended.UTC().Format(http.TimeFormat))
	}
	if !ready && !rt.small {
		apiDoor.later(w, "there was no good round yet: /api/v1/status says why")
		return
	}
	code := http.StatusOK
	if !ready {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		code = http.StatusServiceUnavailable
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(code)
		return
	}
	if !rt.small {
		done, ok := b.place(w, r, b.large, apiDoor)
		if !ok {
			return
		}
		defer done()
	}
	data, err := rt.answer()
	switch {
	case err != nil:
		fail(w, http.StatusInternalServerError, "this cannot be written as JSON: "+err.Error())
	case data == nil:
		apiDoor.later(w, "there is none yet")
	default:
		send(w, r, code, data)
	}
}

// place waits for one of the places in which answers are made, and returns what gives it
// back. Whoever has gone or waits too long gets none, and has been told.
func (b *Board) place(w http.ResponseWriter, r *http.Request, places chan struct{}, d door) (done func(), ok bool) {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	case <-r.Context().Done():
	case <-wait.C:
		d.later(w, "others are being answered")
	}
	return nil, false
}

// send writes a document, compressed if that pays. A reader who takes too long is cut
// off: the document stays in memory until the end. An error means that the reader has
// gone, and there is nobody to tell.
func send(w http.ResponseWriter, r *http.Request, code int, data []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sending)) // a recorder in a test has none
	w.Header().Set("Vary", "Accept-Encoding")
	if len(data) < worthZip || !acceptsGzip(r.Header) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(code)
		_, _ = w.Write(data)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(code)
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return // the level is one of the package's
	}
	if _, err := z.Write(data); err == nil {
		_ = z.Close()
	}
}

// acceptsGzip reads Accept-Encoding: gzip, or anything, with a weight other than 0.
// Source: https://www.rfc-editor.org/rfc/rfc9110#name-accept-encoding
func acceptsGzip(h http.Header) bool {
	any := false
	for _, part := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		weight := 1.0
		if text, is := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q="); is {
			weight, _ = strconv.ParseFloat(text, 64) // no number is no weight
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			return weight > 0
		case "*":
			any = weight > 0
		}
	}
	return any
}

func (d door) later(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	d.fail(w, http.StatusServiceUnavailable, why)
}

// fail answers with an error. Every error has the same form.
func fail(w http.ResponseWriter, code int, why string) {
	data, err := json.Marshal(struct {
		Error string `json:"error"`
	}{why})
	w.WriteHeader(code)
	if err == nil {
		_, _ = io.WriteString(w, string(data)+"\n") // the reader may have gone
	}
}
