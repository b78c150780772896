package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/testkit"
)

// status is what a daemon says that moves three workloads; the tests change it.
func status(t *testing.T, change func(*app.Status)) app.Status {
	t.Helper()
	var s app.Status
	if err := json.Unmarshal([]byte(`{
		"now": "2026-11-24T12:00:00Z", "started": "2026-11-24T09:00:00Z", "ready": true,
		"daemon": {"cluster": "irsa-lab", "mode": "migrate", "identity": "lanyard-0", "leader": true, "leaderIdentity": "lanyard-0",
			"source": {"accepted": "main@sha1:4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d"}},
		"summary": {"mappings": 27, "inSync": 24, "findings": 3, "steps": 1, "left": 2},
		"lastGood": {"round": 7, "ended": "2026-11-24T11:59:52Z", "good": true},
		"exposedPods": 2, "stepsSince": "2026-11-24T11:00:00Z",
		"moving": [
			{"namespace": "demo", "serviceAccount": "back", "wanted": "irsa", "phase": "crossing", "since": "2026-11-24T11:57:50Z", "exposedPods": ["back-1", "back-2"],
				"step": {"text": "restart Deployment back", "result": "done"}, "holds": []},
			{"namespace": "demo", "serviceAccount": "failed", "wanted": "pod-identity", "phase": "rolled-back", "since": "2026-11-24T09:00:00Z", "exposedPods": [], "step": null,
				"holds": [{"reason": "waiting", "message": "soon", "until": "2026-11-24T12:00:05Z"}, {"reason": "rolled-back", "message": "it was tried and rolled back: pod \u001b[31mx crash-loops"}]},
			{"namespace": "payments", "serviceAccount": "api", "wanted": "pod-identity", "phase": "pending", "since": "2026-11-20T11:00:00Z", "exposedPods": [], "step": null, "holds": []}],
		"steps": [
			{"at": "2026-11-24T11:59:50Z", "namespace": "demo", "serviceAccount": "back", "result": "done", "text": "restart Deployment back", "attempts": 1},
			{"at": "2026-11-24T11:58:00Z", "namespace": "demo", "serviceAccount": "back", "result": "failed", "text": "evict pod back-1", "error": "the budget says no", "attempts": 3}]}`), &s); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&s)
	}
	return s
}

// daemon serves a status to those who bear the token.
func daemon(t *testing.T, say func() app.Status) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": "the token is not valid here"}`)
			return
		}
		s := say()
		if !s.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// run runs the command line in an environment.
func runStatus(ctx context.Context, env map[string]string, args ...string) (code int, out, talk string) {
	var o, e bytes.Buffer
	code = Main(ctx, append([]string{"status"}, args...), World{Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, Getenv: func(k string) string { return env[k] }})
	return code, o.String(), e.String()
}

func atRest(s *app.Status) {
	s.Moving, s.Steps, s.Exposed = nil, nil, 0
	s.Summary.InSync, s.Summary.Findings, s.Summary.Steps, s.Summary.Left = 27, 0, 0, 0
}

// TestStatus: what a daemon says, for a person, and by the exit code.
func TestStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		say  func(*app.Status)
		code int
		talk string
	}{
		{"moves", nil, 2, ""},
		{"rests", atRest, 0, ""},
		{"gaps", func(s *app.Status) { atRest(s); s.Summary.Gaps = 1 }, 2, ""},
		{"troubled", func(s *app.Status) {
			atRest(s)
			s.Last.Ended = s.Now.Add(-time.Hour)
			failed := *s.Last
			failed.Ended, failed.Stage, failed.Error = s.Now, "observe", "AccessDenied"
			s.Failed = &failed
			s.Daemon.Configuration.Error = "lanyard.yaml:3:1: unknown key"
		}, 2, ""},
		{"probed", func(s *app.Status) {
			atRest(s)
			s.IdentityProbes = []app.IdentityProbe{{Namespace: "demo", ServiceAccount: "slow", Result: "no-answer", Message: "its pod said nothing"},
				{Namespace: "demo", ServiceAccount: "a", Result: "as-git"}, {Namespace: "demo", ServiceAccount: "b", Result: "as-git"}}
		}, 0, ""},
		{"taken-for-another", func(s *app.Status) {
			atRest(s)
			s.IdentityProbes = []app.IdentityProbe{{Namespace: "demo", ServiceAccount: "b", Result: "other-role", Message: "AWS takes a new pod for \x1b[31mx"},
				{Namespace: "demo", ServiceAccount: "a", Result: "as-git"}}
		}, 2, ""},
		{"new", func(s *app.Status) {
			atRest(s)
			s.Ready, s.Summary, s.Last, s.Daemon.LeaderIdentity, s.Daemon.Leader = false, nil, nil, "", false
		}, 2, ""},
		{"stands-by", func(s *app.Status) { s.Daemon.Leader, s.Daemon.LeaderIdentity = false, "lanyard-1" }, 1, "lanyard-1 leads: ask that one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := daemon(t, func() app.Status { return status(t, tt.say) })
			env := map[string]string{"LANYARD_API_TOKEN": "secret", "LANYARD_URL": url}
			code, out, talk := runStatus(t.Context(), env)
			if code != tt.code || !strings.Contains(talk, tt.talk) || tt.talk == "" && talk != "" {
				t.Errorf("exit %d, says %q; want %d, %q", code, talk, tt.code, tt.talk)
			}
			if tt.code != 1 {
				testkit.Golden(t, tt.name+".txt", out)
			}
			code, out, _ = runStatus(t.Context(), env, "-o", "json")
			var s app.Status
			if err := json.Unmarshal([]byte(out), &s); err != nil || code != tt.code {
				t.Errorf("-o json: exit %d, %v", code, err)
			}
		})
	}
}

// TestStatusErrors: without an answer the exit code is 1, and the error says the next move.
func TestStatusErrors(t *testing.T) {
	t.Parallel()
	url := daemon(t, func() app.Status { return status(t, nil) })
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, tt := range []struct {
		name, url, token, talk string
	}{
		{"no URL", "", "secret", "set LANYARD_URL"},
		{"no token", url, "", "LANYARD_API_TOKEN"},
		{"another's token", url, "guess", "401 Unauthorized: the token is not valid here: put a token"},
		{"in the open", "http://lanyard.example.com:8080", "secret", "would send a token in the open"},
		{"nobody there", "http://127.0.0.1:1", "secret", "see that it runs with its API on"},
		{"no API", other.URL, "secret", "--api-token-file or --api-access"},
	} {
		for _, args := range [][]string{nil, {"--watch"}, {"-o", "json"}} {
			code, out, talk := runStatus(t.Context(), map[string]string{"LANYARD_API_TOKEN": tt.token, "LANYARD_URL": tt.url}, args...)
			if code != 1 || out != "" || !strings.Contains(talk, tt.talk) {
				t.Errorf("%s %v: exit %d, %q, %q; want 1, nothing and %q", tt.name, args, code, out, talk, tt.talk)
			}
		}
	}
}

// TestStatusWatch: where there is no terminal, a line is added for each change and none
// for what stays; a daemon that is away for a moment ends nothing; Ctrl-C ends it, and the
// exit code says how things stood.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var asked atomic.Int32
	url := daemon(t, func() app.Status {
		switch n := asked.Add(1); {
		case n < 4:
			return status(t, nil)
		case n == 4:
			return app.Status{}
		case n < 8:
			return status(t, func(s *app.Status) {
				s.Now = s.Now.Add(time.Minute)
				s.Moving = s.Moving[1:]
				s.Exposed = 0
				done := s.Steps[0]
				done.At, done.Text = s.Now, "revoke"
				s.Steps = append([]app.Step{done}, s.Steps...)
			})
		case n == 12:
			interrupt()
		}
		return status(t, func(s *app.Status) { atRest(s); s.Now = s.Now.Add(2 * time.Minute) })
	})
	code, out, talk := runStatus(ctx, map[string]string{"LANYARD_API_TOKEN": "secret"}, url, "--watch", "--every", "1ms")
	if code != 0 || strings.Count(talk, "\n") != 1 || !strings.Contains(talk, "asking again") {
		t.Errorf("exit %d, says %q; want 0 and one complaint", code, talk)
	}
	testkit.Golden(t, "watch.txt", out)
}

// TestStatusWatchJSON: a line of JSON for each look.
func TestStatusWatchJSON(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var asked atomic.Int32
	url := daemon(t, func() app.Status {
		if asked.Add(1) == 4 {
			interrupt()
		}
		return status(t, nil)
	})
	code, out, _ := runStatus(ctx, map[string]string{"LANYARD_API_TOKEN": "secret", "LANYARD_WATCH": "true"}, url, "--every", "1ms", "-o", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 2 || len(lines) != 3 || !json.Valid([]byte(lines[2])) {
		t.Errorf("exit %d, %d lines", code, len(lines))
	}
}

// TestStatusFrame: a frame fits its terminal, however small, and redrawing takes away just
// what was drawn.
func TestStatusFrame(t *testing.T) {
	t.Parallel()
	s := status(t, func(s *app.Status) {
		for i := range 100 {
			m := s.Moving[2]
			m.ServiceAccount = fmt.Sprintf("api-%03d", i)
			s.Moving = append(s.Moving, m)
			s.IdentityProbes = append(s.IdentityProbes, app.IdentityProbe{Namespace: "demo", ServiceAccount: m.ServiceAccount, Result: "no-identity", Message: "nobody"})
		}
	})
	for _, size := range [][2]int{{80, 22}, {40, 12}, {10, 8}, {200, 50}} {
		lines := frame(s, size[0], size[1], nil)
		if len(lines) > size[1] {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > size[0] || strings.ContainsRune(l, '\x1b') {
				t.Errorf("%v: %q", size, l)
			}
		}
	}
	testkit.Golden(t, "80x22.txt", joined(frame(s, 80, 22, nil)))
	file, err := os.Create(t.TempDir() + "/screen") // a terminal that does not say its size
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var out bytes.Buffer
	w := &watcher{out: &out, talk: &voice{screen: file}}
	for range 2 {
		if err := w.redraw(s, nil, nil); err != nil {
			t.Fatal(err)
		}
		w.last = s
	}
	n := len(frame(s, 80, 22, nil))
	if parts := strings.Split(out.String(), fmt.Sprintf("\x1b[%dA\r\x1b[J", n)); len(parts) != 2 || parts[0] != parts[1] || strings.Count(parts[0], "\n") != n {
		t.Errorf("redrawn as %q", out.String())
	}
	if err := w.redraw(app.Status{}, nil, fmt.Errorf("connection refused")); err != nil || !strings.HasSuffix(out.String(), "no answer, asking again: connection refused\n") {
		t.Errorf("a daemon that is away: %v, %q", err, out.String()[max(0, out.Len()-200):])
	}
}
