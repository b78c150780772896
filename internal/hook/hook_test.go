package hook_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/hook"
)

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

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
