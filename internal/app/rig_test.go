package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// gate is the time of a daemon under test: it sleeps until the test lets time pass.
type gate struct {
	world interface {
		Pass(context.Context, time.Duration) error
	}
	now func() time.Time

	mu       sync.Mutex
	moved    chan struct{} // closed when time has passed
	sleeping int
	slept    chan struct{} // has a place for the news that somebody sleeps
}

func newGate(s *stage) *gate {
	return &gate{world: s.World, now: s.Clock.Now, moved: make(chan struct{}), slept: make(chan struct{}, 1)}
}

// Sleep is the daemon's.
func (g *gate) Sleep(ctx context.Context, d time.Duration) error {
	until := g.now().Add(d)
	g.mu.Lock()
	g.sleeping++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.sleeping--
		g.mu.Unlock()
	}()
	for {
		g.mu.Lock()
		moved := g.moved
		g.mu.Unlock()
		if !g.now().Before(until) {
			return nil
		}
		select {
		case g.slept <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// pass waits until the daemon sleeps, and lets time pass.
func (g *gate) pass(t *testing.T, d time.Duration) {
	t.Helper()
	g.rest(t)
	if err := g.world.Pass(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	select { // news of before
	case <-g.slept:
	default:
	}
	close(g.moved)
	g.moved = make(chan struct{})
	g.mu.Unlock()
}

// rest waits until the daemon sleeps.
func (g *gate) rest(t *testing.T) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		g.mu.Lock()
		n := g.sleeping
		g.mu.Unlock()
		if n > 0 {
			return
		}
		select {
		case <-g.slept:
		case <-deadline:
			t.Fatal("the daemon did not come to rest within a minute")
		}
	}
}

// rig is a daemon beside a Git server and the sandbox's world.
type rig struct {
	*stage
	gate    *gate
	repo    *gitd.Repo
	git     *gitd.Server
	file    string // the configuration's
	config  string
	log     *lockedBuffer
	options app.DaemonOptions
	ctx     context.Context
	fleet   fs.FS
}

func TestMain(m *testing.M) {
	app.BridgeKlog(slog.New(slog.DiscardHandler)) // global in klog
	os.Exit(m.Run())
}

var listAll = metav1.ListOptions{}

const apiToken = "a-token-of-the-test"

// newRig makes the example fleet, its repository and its world.
func newRig(t *testing.T) *rig {
	t.Helper()
	s := newStage(t)
	r := &rig{stage: s, gate: newGate(s), log: &lockedBuffer{}, ctx: t.Context(), fleet: examples.Fleet()}
	dir := t.TempDir()
	var err error
	if r.repo, err = gitd.Init(filepath.Join(dir, "fleet.git")); err != nil {
		t.Fatal(err)
	}
	if _, err = r.repo.Import("main", examples.Fleet(), gitd.By(s.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	if r.git, err = gitd.Serve(t.Context(), r.repo, gitd.Options{Git: git}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.git.Close() })
	r.file = filepath.Join(dir, "lanyard.yaml")
	r.config = strings.Replace(string(examples.Configuration), "mode: repair", "mode: repair\nsource:\n  url: "+r.git.URL, 1)
	r.write(t, r.file, r.config)
	tokens := filepath.Join(dir, "tokens")
	r.write(t, tokens, apiToken+"\n")
	r.options = app.DaemonOptions{
		Options: s.opts, ConfigFile: r.file, WorkDir: filepath.Join(dir, "work"),
		Lease:  app.Lease{Namespace: "kube-system", Identity: "one", Duration: 15 * time.Second, Renew: 10 * time.Second, Retry: 50 * time.Millisecond},
		Listen: "127.0.0.1:0", APITokenFile: tokens, ReloadEvery: 10 * time.Millisecond, Version: "test",
	}
	r.options.Sleep, r.options.Config, r.options.Desired = r.gate.Sleep, nil, app.Desired{}
	r.options.Log = slog.New(slog.NewJSONHandler(r.log, nil))
	return r
}

func (r *rig) write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil { // at once, as a mounted ConfigMap changes
		t.Fatal(err)
	}
}

// running is a daemon that runs.
type runningDaemon struct {
	*app.Daemon
	stop func() error // ends it in order, and returns what Run did
}

// start runs a daemon until the test ends or it is stopped.
func (r *rig) start(t *testing.T, change ...func(*app.DaemonOptions)) *runningDaemon {
	t.Helper()
	o := r.options
	for _, c := range change {
		c(&o)
	}
	d, err := app.NewDaemon(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		var err error
		select {
		case err = <-ended:
		case <-time.After(time.Minute):
			err = fmt.Errorf("the daemon did not end within a minute")
		}
		if closed := d.Close(); err == nil {
			err = closed
		}
		return err
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return &runningDaemon{d, stop}
}

// api reads a path of the daemon's API.
func (d *runningDaemon) api(t *testing.T, path string, into any) int {
	t.Helper()
	code, body := d.get(t, path, apiToken)
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("%s: %d %s: %v", path, code, body, err)
		}
	}
	return code
}

func (d *runningDaemon) get(t *testing.T, path, token string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// metric returns the lines of /metrics that begin so.
func (d *runningDaemon) metric(t *testing.T, prefix string) string {
	t.Helper()
	_, body := d.get(t, "/metrics", "")
	var out []string
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}

// status is what the test reads of /api/v1/status.
type statusSeen struct {
	Ready  bool
	Daemon struct {
		Leader bool
		Mode   string
		Source struct {
			Accepted string
			Held     *struct{ Head, Reason, Message string }
		}
		Configuration struct{ Error string }
	}
	Summary *struct{ Mappings, Findings, Steps int }
}

// findings is what the test reads of /api/v1/findings.
type findingsSeen struct {
	Revision string
	Findings []struct {
		Namespace, ServiceAccount, Kind, Message, Position, Actual string
		FirstSeen                                                  time.Time
	}
	Steps []json.RawMessage
}

func (f findingsSeen) kinds(kind string) (messages []string) {
	for _, x := range f.Findings {
		if x.Kind == kind {
			messages = append(messages, x.Position+" "+x.Message)
		}
	}
	return messages
}

// until lets time pass until the condition holds, for at most an hour of it.
func (r *rig) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 720 {
		r.gate.rest(t)
		if holds() {
			return
		}
		r.gate.pass(t, 5*time.Second)
	}
	t.Fatalf("not within an hour: %s", what)
}

// commit pushes a change.
func (r *rig) commit(t *testing.T, write map[string]string, gone ...string) string {
	t.Helper()
	hash, err := r.repo.Commit(gitd.Change{Branch: "main", Write: write, Delete: gone, By: gitd.By(r.Clock.Now())})
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// pass lets time pass as it does: in short steps.
func (r *rig) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for ; d > 0; d -= 5 * time.Second {
		r.gate.pass(t, min(d, 5*time.Second))
	}
	r.gate.rest(t)
}

// settled lets the daemon repair what it can, which takes some settling.
func (r *rig) settled(t *testing.T, d *runningDaemon) {
	t.Helper()
	r.until(t, "a good round", func() bool { return d.api(t, "/api/v1/findings", nil) == http.StatusOK })
	r.pass(t, 10*time.Minute)
}

// head returns the commit that main stands on.
func (r *rig) head(t *testing.T) string {
	t.Helper()
	head, err := r.repo.Head("main")
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// setConfig changes the configuration's text.
func (r *rig) setConfig(t *testing.T, old, text string) {
	t.Helper()
	if !strings.Contains(r.config, old) {
		t.Fatalf("the configuration has no %q", old)
	}
	r.config = strings.Replace(r.config, old, text, 1)
	r.write(t, r.file, r.config)
}

// lease returns lanyard's Lease.
func (r *rig) lease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	l, err := r.Client("reader").CoordinationV1().Leases("kube-system").Get(t.Context(), "lanyard", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// drift takes the annotation of demo2/s3-reader away, as if by hand.
func (r *rig) drift(t *testing.T) {
	t.Helper()
	accounts := r.Client("kubectl").CoreV1().ServiceAccounts("demo2")
	a, err := accounts.Get(t.Context(), "s3-reader", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	delete(a.Annotations, "eks.amazonaws.com/role-arn")
	if _, err := accounts.Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer collects the log.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
