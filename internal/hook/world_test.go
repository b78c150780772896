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
