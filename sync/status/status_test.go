package status_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/testkit"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

var paths = []string{"/api/v1/status", "/api/v1/findings", "/api/v1/plan", "/api/v1/snapshot"}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := lived(t).Handler()
	r, snap := example(t)
	for _, path := range paths {
		w := ask(h, http.MethodGet, path, "all")
		if w.Code != 200 || strings.Contains(w.Body.String(), leak) {
			t.Errorf("%s: %d, or a secret in it:\n%.2000s", path, w.Code, w.Body)
		}
		switch path {
		case "/api/v1/snapshot":
			want, err := snap.Facts().EncodeJSON()
			if err != nil || !bytes.Equal(want, w.Body.Bytes()) {
				t.Errorf("the snapshot is not as lanyard snapshot writes it: %v", err)
			}
			if _, err := live.Decode(w.Body.Bytes()); err != nil {
				t.Errorf("the snapshot cannot be read back: %v", err)
			}
		case "/api/v1/findings":
			want, err := report.NewDiff(r.Mode, r.Revision, r.Result, r.Plan, r.Gaps).JSON()
			if err != nil || !bytes.Equal(want, w.Body.Bytes()) {
				t.Errorf("findings are not as lanyard diff writes them: %v", err)
			}
			validate(t, "diff.json", w.Body.Bytes())
		default:
			testkit.Golden(t, strings.TrimPrefix(path, "/api/v1/")+".json", w.Body.String())
		}
	}
}

// TestWho walks through who may read what.
func TestWho(t *testing.T) {
	t.Parallel()
	board := lived(t)
	h := board.Handler()
	long := strings.Repeat("x", 17<<10)
	for _, tt := range []struct {
		name, method, path, authorization string
		code                              int
		header                            string // that must be set
	}{
		{"somebody", "GET", "/api/v1/status", "Bearer " + token, 200, ""},
		{"in small letters", "GET", "/api/v1/status", "bearer " + token, 200, ""},
		{"head", "HEAD", "/api/v1/findings", "Bearer " + token, 200, "Last-Modified"},
		{"nobody", "GET", "/api/v1/status", "", 401, "WWW-Authenticate"},
		{"a password", "GET", "/api/v1/status", "Basic " + token, 401, "WWW-Authenticate"},
		{"an empty token", "GET", "/api/v1/status", "Bearer ", 401, "WWW-Authenticate"},
		{"a token with a space", "GET", "/api/v1/status", "Bearer " + token + " x", 401, "WWW-Authenticate"},
		{"a token that is too long", "GET", "/api/v1/status", "Bearer " + long, 401, "WWW-Authenticate"},
		{"another's token", "GET", "/api/v1/status", "Bearer guess", 401, "WWW-Authenticate"},
		{"not for everything", "GET", "/api/v1/snapshot", "Bearer " + token, 403, ""},
		{"not to be found out", "GET", "/api/v1/status", "Bearer down", 503, "Retry-After"},
		{"post", "POST", "/api/v1/status", "Bearer " + token, 405, "Allow"},
		{"delete by nobody", "DELETE", "/api/v1/plan", "", 405, "Allow"},
		{"nothing", "GET", "/api/v1/", "Bearer " + token, 404, ""},
		{"a slash more", "GET", "/api/v1/status/", "Bearer " + token, 404, ""},
		{"a way round", "GET", "/api/v1/../v1/status", "Bearer " + token, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/", nil)
			r.URL.Path = tt.path
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code || tt.header != "" && w.Header().Get(tt.header) == "" {
				t.Errorf("%d with %s %q, want %d", w.Code, tt.header, w.Header().Get(tt.header), tt.code)
			}
			if strings.Contains(w.Body.String(), token) || strings.Contains(w.Body.String(), "refused") {
				t.Errorf("the answer says too much: %s", w.Body)
			}
			for key, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
				if got := w.Header().Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			if tt.method != http.MethodHead && !json.Valid(w.Body.Bytes()) || tt.method == http.MethodHead && w.Body.Len() > 0 {
				t.Errorf("the body is %q", w.Body)
			}
		})
	}
	if w := ask(h, "GET", "/api/v1/status", token, "Authorization", "Bearer "+token); w.Code != 401 {
		t.Errorf("two tokens: %d, want 401", w.Code)
	}
	off := status.New(status.Options{Now: clock})
	off.Saw(example(t))
	if w := ask(off.Handler(), "GET", "/api/v1/status", token); w.Code != 404 {
		t.Errorf("without anybody to ask who it is: %d, want 404", w.Code)
	}
}

// TestBeforeTheFirst: until there is something to tell, the answer is 503; the status
// comes with it, because it says why.
func TestBeforeTheFirst(t *testing.T) {
	t.Parallel()
	b := newBoard()
	b.Failed("cluster", errors.New("no route to host"), noon, noon)
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := ask(b.Handler(), method, path, "all")
			if w.Code != 503 || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s %s: %d, Retry-After %q", method, path, w.Code, w.Header().Get("Retry-After"))
			}
			if path == "/api/v1/status" && method == http.MethodGet {
				validate(t, "status.json", w.Body.Bytes())
				if !strings.Contains(w.Body.String(), "no route to host") {
					t.Errorf("the status does not say why:\n%s", w.Body)
				}
			}
		}
	}
	if w := ask(b.Handler(), "GET", "/api/v1/findings", ""); w.Code != 401 {
		t.Errorf("a stranger learns that there was no round: %d, want 401", w.Code)
	}
	b.Saw(report.Round{Ended: noon}, nil)
	for path, want := range map[string]int{"/api/v1/status": 200, "/api/v1/plan": 200, "/api/v1/snapshot": 503} {
		if w := ask(b.Handler(), "GET", path, "all"); w.Code != want {
			t.Errorf("after a round without a snapshot, %s: %d, want %d", path, w.Code, want)
		}
	}
	if w := ask(b.Handler(), "GET", "/api/v1/plan", "all"); strings.Contains(w.Body.String(), "null") {
		t.Errorf("an empty plan has a null in it:\n%s", w.Body)
	}
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(lived(t).Handler())
	defer server.Close()
	plain := ask(lived(t).Handler(), "GET", "/api/v1/snapshot", "all").Body.Bytes()
	for accept, zipped := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "*": true, "": false, "gzip;q=0": false, "identity": false, "*;q=1, gzip;q=0": false, "gzip;q=x": false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/snapshot", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer all")
		r.Header.Set("Accept-Encoding", accept)
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(answer.Body)
		if got := answer.Header.Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: zipped %t, want %t", accept, got, zipped)
		} else if got {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		data, err := io.ReadAll(body)
		_ = answer.Body.Close() // it was read whole
		if err != nil || !bytes.Equal(data, plain) {
			t.Errorf("Accept-Encoding %q: another document: %v", accept, err)
		}
		if answer.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Vary: %q", answer.Header.Get("Vary"))
		}
	}
}

// TestSecrets: no form of a URL brings its credentials out, in what the daemon says of
// itself and in what errors and findings quote.
func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, want string }{
		{"https://git.example.com/a/b.git", "https://git.example.com/a/b.git"},
		{"https://bot:hunter2@git.example.com:8443/b.git", "https://git.example.com:8443/b.git"},
		{"https://hunter2@git.example.com/b.git", "https://git.example.com/b.git"},
		{"https://a:hun@ter2@git.example.com/b.git", "https://git.example.com/b.git"},
		{"https://bot:hunter2%2F%40@git.example.com/b", "https://git.example.com/b"},
		{"https://bot:hunter2/x@git.example.com/b", "https://git.example.com/b"},
		{"https://bot:hunter2&<\"'\\@git.example.com/b", "https://git.example.com/b"},
		{"https://git.example.com/b?token=hunter2#hunter2", "https://git.example.com/b"},
		{"ssh://git@git.example.com:22/b.git", "ssh://git.example.com:22/b.git"},
		{"https://[::1]:8443/b", "https://[::1]:8443/b"},
		{"git@git.example.com:b.git", "git@git.example.com:b.git"},
		{"file:///srv/git/b.git", "file:///srv/git/b.git"},
		{"/srv/git/b@2.git", "/srv/git/b@2.git"},
		{"", ""},
	} {
		b := newBoard()
		b.State(func(s *status.State) {
			s.Source.URL = tt.url
			s.Source.Held = &status.Held{Reason: "unreachable", Message: "fetch " + tt.url + " failed"}
			s.Configuration.Error = tt.url
		})
		r, snap := example(t)
		if !strings.Contains(tt.url, "?") { // a query in a quoted URL is not looked for
			b.Failed("git", fmt.Errorf("clone %q:\n%s\n%s, and %s", tt.url, tt.url, tt.url, tt.url), noon, noon)
			for i := range r.Result.Findings {
				r.Result.Findings[i].Message, r.Result.Findings[i].Actual = "see "+tt.url, "see "+tt.url
			}
			r.Plan.Holds[0].Message = "see <" + tt.url + ">"
		} else {
			b.State(func(s *status.State) { s.Source.Held, s.Configuration.Error = nil, "" })
		}
		b.Saw(r, snap)
		var got status.Status
		for _, path := range paths[:3] {
			w := ask(b.Handler(), "GET", path, token)
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "ter2") {
				t.Errorf("%s of %s shows a secret:\n%.3000s", path, tt.url, w.Body)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s of %s is no JSON", path, tt.url)
			}
			if path == "/api/v1/status" {
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
			}
		}
		if page := opened(t, b, ""); strings.Contains(page, "hunter2") || strings.Contains(page, "ter2") || !strings.Contains(page, "</html>") {
			t.Errorf("the page about %s shows a secret, or is cut short", tt.url)
		}
		if got.Daemon.Source.URL != tt.want {
			t.Errorf("%s is shown as %s, want %s", tt.url, got.Daemon.Source.URL, tt.want)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	list, broken := []string{" old\n", "", "new"}, errors.New("permission denied")
	var err error
	may := status.Tokens(func() ([]string, error) { return list, err })
	for token, want := range map[string]bool{"old": true, "new": true, "": false, "ol": false, "other": false} {
		if got, e := may(t.Context(), token, "/"); got != want || errors.Is(e, status.ErrUnauthenticated) == want {
			t.Errorf("%q: %t %v, want %t", token, got, e, want)
		}
	}
	list = []string{"new"}
	if got, _ := may(t.Context(), "old", "/"); got {
		t.Error("a token that was taken away is let in")
	}
	err = broken
	if got, e := may(t.Context(), "new", "/"); got || !errors.Is(e, broken) {
		t.Errorf("with an unreadable file: %t %v", got, e)
	}
}
