package hook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/hook"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	secret  = "correct horse battery staple"
	signing = "whsec_dGhpcnR5LXR3byBieXRlcyBvZiBhIHNpZ25pbmcga2V5"
	body    = `{"ref":"refs/heads/main"}`
)

// bench is a handler, and what it did.
type bench struct {
	http.Handler
	mu      sync.Mutex
	now     time.Time
	secrets map[hook.Provider][][]byte
	saw     []string
	log     bytes.Buffer
	woken   atomic.Int64
}

func newBench() *bench {
	b := &bench{now: noon, secrets: map[hook.Provider][][]byte{}}
	for _, p := range hook.Providers() {
		b.secrets[p] = [][]byte{[]byte(secret)}
	}
	b.Handler = hook.New(hook.Options{
		Secrets: func(p hook.Provider) [][]byte { b.mu.Lock(); defer b.mu.Unlock(); return b.secrets[p] },
		Wake:    func() { b.woken.Add(1) },
		Now:     func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now },
		Log:     slog.New(slog.NewTextHandler(&b.log, nil)),
		Saw:     func(p, r string) { b.mu.Lock(); defer b.mu.Unlock(); b.saw = append(b.saw, p+" "+r) },
	})
	return b
}

func (b *bench) pass(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

// send delivers, and returns the answer and what the handler called it.
func (b *bench) send(method, path string, header http.Header, body io.Reader) (code int, saw string) {
	r := httptest.NewRequest(method, path, body)
	r.Header = header
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.saw) > 0 {
		saw = b.saw[len(b.saw)-1]
	}
	return w.Code, saw
}

func sum(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func stamp(t time.Time) string { return fmt.Sprint(t.Unix()) }

// signed are headers as each provider sends them.
func signed(p hook.Provider, key, id, body string, at time.Time) http.Header {
	switch p {
	case hook.GitHub:
		return header("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(key, body)), "X-GitHub-Delivery", id, "X-GitHub-Event", "push")
	case hook.Gitea:
		return header("X-Gitea-Signature", hex.EncodeToString(sum(key, body)), "X-Gitea-Delivery", id, "X-Gitea-Event", "push")
	case hook.GitLab:
		if text, is := strings.CutPrefix(key, "whsec_"); is {
			raw, _ := base64.StdEncoding.DecodeString(text)
			return header("webhook-id", id, "webhook-timestamp", stamp(at),
				"webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sum(string(raw), id+"."+stamp(at)+"."+body)))
		}
		return header("X-Gitlab-Token", key, "Idempotency-Key", id)
	}
	return header("X-Lanyard-Timestamp", stamp(at), "X-Lanyard-Signature-256", "sha256="+hex.EncodeToString(sum(key, stamp(at)+"."+body)))
}

// with returns headers with one set, or taken away where the value is empty.
func with(h http.Header, key, value string) http.Header {
	if h.Set(key, value); value == "" {
		h.Del(key)
	}
	return h
}

func twice(h http.Header, key string) http.Header { h.Add(key, h.Get(key)); return h }

func TestDeliveries(t *testing.T) {
	t.Parallel()
	hub := func() http.Header { return signed(hook.GitHub, secret, "1", body, noon) }
	tea := func() http.Header { return signed(hook.Gitea, secret, "1", body, noon) }
	lab := func() http.Header { return signed(hook.GitLab, secret, "1", body, noon) }
	std := func() http.Header { return signed(hook.GitLab, signing, "1", body, noon) }
	own := func(at time.Time) http.Header { return signed(hook.Generic, secret, "", body, at) }
	large := strings.Repeat("x", 1<<20)
	const hubSig, teaSig, ownSig, ownAt = "X-Hub-Signature-256", "X-Gitea-Signature", "X-Lanyard-Signature-256", "X-Lanyard-Timestamp"
	for _, tt := range []struct {
		name   string
		path   string
		header http.Header
		body   string
		code   int
		saw    string
	}{
		{"github", "github", hub(), body, 202, "accepted"},
		{"github without an ID", "github", with(hub(), "X-GitHub-Delivery", ""), body, 202, "accepted"},
		{"github ping", "github", with(hub(), "X-GitHub-Event", "ping"), body, 200, "ping"},
		{"github in capitals", "github", with(hub(), hubSig, "sha256="+strings.ToUpper(hex.EncodeToString(sum(secret, body)))), body, 202, "accepted"},
		{"github unsigned", "github", with(hub(), hubSig, ""), body, 401, "unsigned"},
		{"github sha1 only", "github", header("X-Hub-Signature", "sha1=00"), body, 401, "unsigned"},
		{"github without prefix", "github", with(hub(), hubSig, hex.EncodeToString(sum(secret, body))), body, 401, "unsigned"},
		{"github no hex", "github", with(hub(), hubSig, "sha256=zz"), body, 401, "unsigned"},
		{"github half a signature", "github", with(hub(), hubSig, "sha256="+hex.EncodeToString(sum(secret, body)[:16])), body, 401, "unsigned"},
		{"github wrong secret", "github", signed(hook.GitHub, "guess", "1", body, noon), body, 401, "refused"},
		{"github of the empty secret", "github", signed(hook.GitHub, "", "1", body, noon), body, 401, "refused"},
		{"github other body", "github", hub(), body + " ", 401, "refused"},
		{"github signature twice", "github", twice(hub(), hubSig), body, 400, "malformed"},
		{"github ID twice", "github", twice(hub(), "X-GitHub-Delivery"), body, 400, "malformed"},
		{"github long ID", "github", with(hub(), "X-GitHub-Delivery", large), body, 400, "malformed"},
		{"github headers at gitea", "gitea", hub(), body, 401, "unsigned"},
		{"github largest body", "github", signed(hook.GitHub, secret, "1", large, noon), large, 202, "accepted"},
		{"github one byte more", "github", signed(hook.GitHub, secret, "1", large+"x", noon), large + "x", 413, "oversized"},

		{"gitea", "gitea", tea(), body, 202, "accepted"},
		{"gitea unsigned", "gitea", with(tea(), teaSig, ""), body, 401, "unsigned"},
		{"gitea wrong secret", "gitea", signed(hook.Gitea, "guess", "1", body, noon), body, 401, "refused"},
		{"gitea signature twice", "gitea", twice(tea(), teaSig), body, 400, "malformed"},

		{"gitlab token", "gitlab", lab(), body, 202, "accepted"},
		{"gitlab token before 17.4", "gitlab", header("X-Gitlab-Token", secret, "X-Gitlab-Event-UUID", "1"), body, 202, "accepted"},
		{"gitlab no token", "gitlab", with(lab(), "X-Gitlab-Token", ""), body, 401, "unsigned"},
		{"gitlab wrong token", "gitlab", with(lab(), "X-Gitlab-Token", secret[1:]), body, 401, "refused"},
		{"gitlab token twice", "gitlab", twice(lab(), "X-Gitlab-Token"), body, 400, "malformed"},
		{"gitlab token, large", "gitlab", lab(), large + "x", 413, "oversized"},
		{"gitlab signed without a signing token", "gitlab", std(), body, 401, "unsigned"},

		{"generic", "generic", own(noon), body, 202, "accepted"},
		{"generic, oldest", "generic", own(noon.Add(-5 * time.Minute)), body, 202, "accepted"},
		{"generic, from the far future", "generic", own(noon.Add(5 * time.Minute)), body, 202, "accepted"},
		{"generic, too old", "generic", own(noon.Add(-301 * time.Second)), body, 401, "stale"},
		{"generic, too far in the future", "generic", own(noon.Add(301 * time.Second)), body, 401, "stale"},
		{"generic, end of time", "generic", with(own(noon), ownAt, "9223372036854775807"), body, 401, "stale"},
		{"generic, no time", "generic", with(own(noon), ownAt, ""), body, 401, "unsigned"},
		{"generic, time in words", "generic", with(own(noon), ownAt, noon.Format(time.RFC3339)), body, 401, "unsigned"},
		{"generic, time with a plus", "generic", with(own(noon), ownAt, "+"+stamp(noon)), body, 401, "unsigned"},
		{"generic, another time", "generic", with(own(noon), ownAt, stamp(noon.Add(time.Second))), body, 401, "refused"},
		{"generic, unsigned", "generic", with(own(noon), ownSig, ""), body, 401, "unsigned"},
		{"generic, wrong secret", "generic", signed(hook.Generic, "guess", "", body, noon), body, 401, "refused"},
		{"generic, time not signed", "generic", with(own(noon), ownSig, "sha256="+hex.EncodeToString(sum(secret, body))), body, 401, "refused"},
		{"generic, time twice", "generic", twice(own(noon), ownAt), body, 400, "malformed"},
		{"generic, empty body", "generic", signed(hook.Generic, secret, "", "", noon), "", 202, "accepted"},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s chunked=%t", tt.name, chunked), func(t *testing.T) {
				t.Parallel()
				b := newBench()
				var content io.Reader = strings.NewReader(tt.body)
				if chunked {
					content = struct{ io.Reader }{content} // no length is known
				}
				code, saw := b.send(http.MethodPost, "/hook/"+tt.path, tt.header.Clone(), content)
				if code != tt.code || saw != tt.path+" "+tt.saw {
					t.Errorf("got %d %q, want %d %q", code, saw, tt.code, tt.path+" "+tt.saw)
				}
				if woken := b.woken.Load() == 1; woken != (tt.saw == "accepted") {
					t.Errorf("woken %d times by %s", b.woken.Load(), tt.saw)
				}
			})
		}
	}
}

func TestGitLabSigningToken(t *testing.T) {
	t.Parallel()
	std := func(at time.Time) http.Header { return signed(hook.GitLab, signing, "1", body, at) }
	other := signed(hook.GitLab, "whsec_b3RoZXI=", "1", body, noon).Get("webhook-signature")
	for _, tt := range []struct {
		name   string
		header http.Header
		code   int
		saw    string
	}{
		{"signed", std(noon), 202, "accepted"},
		{"one of several signatures", with(std(noon), "webhook-signature", "v2,xx v1a,yy "+other+" "+std(noon).Get("webhook-signature")), 202, "accepted"},
		{"token beside", with(std(noon), "X-Gitlab-Token", secret), 202, "accepted"},
		{"token alone", header("X-Gitlab-Token", secret), 202, "accepted"},
		{"signing token as token", header("X-Gitlab-Token", signing), 401, "refused"},
		{"wrong signature, right token", with(with(std(noon), "webhook-signature", other), "X-Gitlab-Token", secret), 401, "refused"},
		{"too old", std(noon.Add(-time.Hour)), 401, "stale"},
		{"in the future", std(noon.Add(time.Hour)), 401, "stale"},
		{"no ID", with(std(noon), "webhook-id", ""), 401, "unsigned"},
		{"another ID", with(std(noon), "webhook-id", "2"), 401, "refused"},
		{"no version 1", with(std(noon), "webhook-signature", "v2,AAAA"), 401, "unsigned"},
		{"ID twice", twice(std(noon), "webhook-id"), 400, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.secrets[hook.GitLab] = [][]byte{[]byte(signing), []byte(secret), []byte("whsec_not base64")}
			code, saw := b.send(http.MethodPost, "/hook/gitlab", tt.header, strings.NewReader(body))
			if code != tt.code || saw != "gitlab "+tt.saw {
				t.Errorf("got %d %q, want %d %q", code, saw, tt.code, tt.saw)
			}
		})
	}
}

// TestReplayed: what was accepted once wakes nobody again for ten minutes, also under
// another ID where the ID is not signed.
func TestReplayed(t *testing.T) {
	t.Parallel()
	for _, p := range hook.Providers() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			b := newBench()
			path := "/hook/" + string(p)
			at := noon.Add(5 * time.Minute)
			for i, want := range []string{"accepted", "replayed", "replayed"} {
				code, saw := b.send(http.MethodPost, path, signed(p, secret, "1", body, at), strings.NewReader(body))
				if saw != string(p)+" "+want || code != map[string]int{"accepted": 202, "replayed": 200}[want] {
					t.Errorf("delivery %d: %d %q, want %s", i, code, saw, want)
				}
				b.pass(3 * time.Minute)
			}
			if b.woken.Load() != 1 {
				t.Errorf("woken %d times", b.woken.Load())
			}
			if p == hook.GitHub || p == hook.Gitea {
				if _, saw := b.send(http.MethodPost, path, signed(p, secret, "2", body, at), strings.NewReader(body)); saw != string(p)+" replayed" {
					t.Errorf("under another ID: %s", saw)
				}
			}
			b.pass(time.Hour)
			_, saw := b.send(http.MethodPost, path, signed(p, secret, "1", body, at), strings.NewReader(body))
			if want := map[bool]string{true: "generic stale", false: string(p) + " accepted"}[p == hook.Generic]; saw != want {
				t.Errorf("an hour later: %s, want %s", saw, want)
			}
		})
	}
}

// TestForged: a delivery that was refused is not remembered, or a stranger could keep
// real ones out.
func TestForged(t *testing.T) {
	t.Parallel()
	b := newBench()
	forged := with(signed(hook.GitHub, "guess", "1", body, noon), "X-GitHub-Delivery", "1")
	b.send(http.MethodPost, "/hook/github", forged, strings.NewReader(body))
	if code, saw := b.send(http.MethodPost, "/hook/github", signed(hook.GitHub, secret, "1", body, noon), strings.NewReader(body)); code != 202 {
		t.Errorf("after a forged one the real one is %d %s", code, saw)
	}
}

// TestRotation: several secrets are valid at once, and which ones is asked each time.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, p := range hook.Providers() {
		b := newBench()
		n := 0
		try := func(key string, want int) {
			t.Helper()
			n++
			text := fmt.Sprint(body, n)
			if code, saw := b.send(http.MethodPost, "/hook/"+string(p), signed(p, key, fmt.Sprint(n), text, noon), strings.NewReader(text)); code != want {
				t.Errorf("%s with %q: %d %s, want %d", p, key, code, saw, want)
			}
		}
		set := func(secrets ...string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.secrets[p] = nil
			for _, s := range secrets {
				b.secrets[p] = append(b.secrets[p], []byte(s))
			}
		}
		set("old")
		try("old", 202)
		try("new", 401)
		set("old", "new\n") // as a file has it
		try("old", 202)
		try("new", 202)
		set("", "new")
		try("old", 401)
		try("new", 202)
		try("", 401)
		set("", "\n")
		try("new", 404)
		try("", 404)
		set()
		try("new", 404)
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	b := newBench()
	for path, want := range map[string]int{
		"/hook/": 404, "/hook": 404, "/": 404, "/hook/bitbucket": 404, "/hook/github/": 404, "/hook/GITHUB": 404, "/x/hook/github": 404, "/hook//github": 404,
		"/hook/github": 405, "/hook/generic?x=y": 405,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions} {
			if code, _ := b.send(method, path, nil, nil); code != want {
				t.Errorf("%s %s: %d, want %d", method, path, code, want)
			}
		}
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hook/github", nil))
	if got := w.Header().Get("Allow"); got != "POST" {
		t.Errorf("Allow: %q, want POST", got)
	}
}

// TestLog: however many strangers knock, there is a line a minute for each provider,
// and no line holds a secret.
func TestLog(t *testing.T) {
	t.Parallel()
	b := newBench()
	for range 90 {
		b.send(http.MethodPost, "/hook/gitlab", header("X-Gitlab-Token", "guess-of-a-stranger"), strings.NewReader(body))
		b.send(http.MethodPost, "/hook/github", nil, strings.NewReader(body))
		b.pass(time.Second)
	}
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[3], "silent=59") {
		t.Errorf("%d lines, want 2 for each of 2 providers:\n%s", len(lines), b.log.String())
	}
	if strings.Contains(b.log.String(), "stranger") || strings.Contains(b.log.String(), secret) {
		t.Errorf("the log holds a secret:\n%s", b.log.String())
	}
}

// TestStorm: 10,000 deliveries in one second reach the hashes a few hundred times, and
// the next second is open again.
func TestStorm(t *testing.T) {
	t.Parallel()
	b := newBench()
	codes := map[int]int{}
	for i := range 10_000 {
		text := fmt.Sprint(i)
		code, _ := b.send(http.MethodPost, "/hook/github", signed(hook.GitHub, secret, text, text, noon), strings.NewReader(text))
		codes[code]++
	}
	if codes[202] != 200 || codes[429] != 9800 {
		t.Errorf("answers %v, want 200 accepted and 9800 busy", codes)
	}
	if code, saw := b.send(http.MethodPost, "/hook/gitea", signed(hook.Gitea, secret, "1", body, noon), strings.NewReader(body)); code != 202 {
		t.Errorf("another provider waits too: %d %s", code, saw)
	}
	b.pass(time.Second)
	if code, saw := b.send(http.MethodPost, "/hook/github", signed(hook.GitHub, secret, "x", body, noon), strings.NewReader(body)); code != 202 {
		t.Errorf("a second later: %d %s", code, saw)
	}
	for range 1000 { // without a signature there is nothing to look into, so it uses nothing up
		b.send(http.MethodPost, "/hook/gitea", nil, strings.NewReader(body))
	}
	if code, saw := b.send(http.MethodPost, "/hook/gitea", signed(hook.Gitea, secret, "2", "y", noon), strings.NewReader("y")); code != 202 {
		t.Errorf("after unsigned ones: %d %s", code, saw)
	}
}

// stuck is a body that comes when it is let go.
type stuck struct{ begun, end chan struct{} }

func (s stuck) Read([]byte) (int, error) {
	s.begun <- struct{}{}
	<-s.end
	return 0, io.EOF
}

// TestAtOnce: only so many bodies are read at the same time; one more is sent away,
// and a body that breaks off leaves its place.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench()
	s := stuck{make(chan struct{}), make(chan struct{})}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			b.send(http.MethodPost, "/hook/gitlab", signed(hook.GitLab, secret, fmt.Sprint(i), "", noon), s)
		})
	}
	for range 16 {
		<-s.begun
	}
	if code, saw := b.send(http.MethodPost, "/hook/github", signed(hook.GitHub, secret, "1", body, noon), strings.NewReader(body)); code != 503 {
		t.Errorf("the seventeenth: %d %s, want 503", code, saw)
	}
	close(s.end)
	wg.Wait()
	broken := io.MultiReader(strings.NewReader(body), failing{})
	if code, saw := b.send(http.MethodPost, "/hook/github", signed(hook.GitHub, secret, "1", body, noon), broken); code != 400 {
		t.Errorf("a body that breaks off: %d %s, want 400", code, saw)
	}
	if code, saw := b.send(http.MethodPost, "/hook/github", signed(hook.GitHub, secret, "1", body, noon), strings.NewReader(body)); code != 202 {
		t.Errorf("then: %d %s, want 202", code, saw)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestServed sends over a real connection: chunked, with a length that is a lie, and
// one whose body nobody reads.
func TestServed(t *testing.T) {
	t.Parallel()
	b := newBench()
	server := httptest.NewServer(b)
	defer server.Close()
	for name, tt := range map[string]struct {
		header http.Header
		body   io.Reader
		want   int
	}{
		"chunked":           {signed(hook.GitHub, secret, "1", body, noon), io.MultiReader(strings.NewReader(body[:3]), strings.NewReader(body[3:])), 202},
		"chunked and large": {signed(hook.GitHub, secret, "2", "", noon), io.LimitReader(zeros{}, 1<<21), 413},
		"unsigned":          {nil, strings.NewReader(strings.Repeat("x", 100_000)), 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/hook/github", tt.body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = tt.header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = answer.Body.Close() // nothing was to be read
		if answer.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, answer.StatusCode, tt.want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzHandler: nobody is woken but by the right signature, whatever is sent.
func FuzzHandler(f *testing.F) {
	for _, p := range hook.Providers() {
		h := signed(p, secret, "1", body, noon)
		f.Add("POST", "/hook/"+string(p), h.Get("X-Hub-Signature-256")+h.Get("X-Gitea-Signature")+h.Get("X-Lanyard-Signature-256")+h.Get("X-Gitlab-Token"), stamp(noon), "1", []byte(body))
	}
	std := signed(hook.GitLab, signing, "1", body, noon)
	f.Add("POST", "/hook/gitlab", std.Get("webhook-signature"), stamp(noon), "1", []byte(body))
	f.Add("PUT", "/hook/../hook/generic", "sha256=", "-1", "", []byte{})
	f.Fuzz(func(t *testing.T, method, path, signature, at, id string, content []byte) {
		b := newBench()
		b.secrets[hook.GitLab] = append(b.secrets[hook.GitLab], []byte(signing))
		h := http.Header{}
		for _, key := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Lanyard-Signature-256", "X-Gitlab-Token", "Webhook-Signature"} {
			h.Set(key, signature)
		}
		for _, key := range []string{"X-Lanyard-Timestamp", "Webhook-Timestamp"} {
			h.Set(key, at)
		}
		for _, key := range []string{"X-Github-Delivery", "X-Gitea-Delivery", "Webhook-Id", "Idempotency-Key"} {
			h.Set(key, id)
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(content))
		r.Method, r.URL.Path, r.Header = method, path, h
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if b.woken.Load() == 0 {
			return
		}
		text, key := string(content), strings.TrimPrefix(signing, "whsec_")
		raw, _ := base64.StdEncoding.DecodeString(key)
		right := map[string]bool{
			"/hook/github":  strings.EqualFold(signature, "sha256="+hex.EncodeToString(sum(secret, text))),
			"/hook/gitea":   strings.EqualFold(signature, hex.EncodeToString(sum(secret, text))),
			"/hook/generic": strings.EqualFold(signature, "sha256="+hex.EncodeToString(sum(secret, at+"."+text))),
			"/hook/gitlab":  strings.Contains(signature, base64.StdEncoding.EncodeToString(sum(string(raw), id+"."+at+"."+text))),
		}
		if method != http.MethodPost || w.Code != http.StatusAccepted || !right[path] {
			t.Errorf("%s %q with %q woke somebody: %d", method, path, signature, w.Code)
		}
	})
}

func BenchmarkUnsigned(b *testing.B) { benchmark(b, http.Header{}) }

func BenchmarkBusy(b *testing.B) { benchmark(b, signed(hook.GitHub, secret, "1", body, noon)) }

func benchmark(b *testing.B, h http.Header) {
	t := newBench()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/hook/github", strings.NewReader(body))
		r.Header = h
		t.ServeHTTP(httptest.NewRecorder(), r)
		t.saw = t.saw[:0]
	}
}
