package hook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/hook"
)

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
