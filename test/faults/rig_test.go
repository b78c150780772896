package faults_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// gate is the time of a daemon under test: it sleeps until the test lets time pass.
type gate struct {
	now func() time.Time

	mu       sync.Mutex
	moved    chan struct{} // closed when time has passed
	sleeping int
	slept    int // how often it went to sleep
}

// Sleep is the daemon's.
func (g *gate) Sleep(ctx context.Context, d time.Duration) error {
	until := g.now().Add(d)
	g.mu.Lock()
	g.slept++
	g.sleeping++
	defer func() {
		g.mu.Lock()
		g.sleeping--
		g.mu.Unlock()
	}()
	for {
		moved := g.moved
		g.mu.Unlock()
		if !g.now().Before(until) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
		g.mu.Lock()
	}
}

// asleep reports whether the daemon sleeps.
func (g *gate) asleep() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sleeping > 0
}

func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.moved)
	g.moved = make(chan struct{})
}

// rig is a daemon beside a Git server and a world.
type rig struct {
	*world
	gate    *gate
	repo    *gitd.Repo
	git     *gitd.Server
	rounds  *rounds
	options app.DaemonOptions
}

// rounds counts the whole rounds that the daemon's log tells of, and its errors.
type rounds struct {
	mu     sync.Mutex
	n      int
	errors int
	failed []string // the first of them
}

// Write takes a line of the log.
func (l *rounds) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch line := string(p); {
	case strings.Contains(line, `"msg":"round"`) && strings.Contains(line, `"partial":false`):
		l.n++
	case strings.Contains(line, `"level":"ERROR"`):
		if l.errors++; len(l.failed) < 20 {
			l.failed = append(l.failed, line)
		}
	}
	return len(p), nil
}

func (l *rounds) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// tries counts rounds that were made and those that could not be.
func (l *rounds) tries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n + l.errors
}

// newRig makes a rig whose operator allows so many removals in an hour.
func newRig(dir string, removals int) (*rig, error) {
	w, err := newWorld("")
	if err != nil {
		return nil, err
	}
	r := &rig{world: w, gate: &gate{now: w.Clock.Now, moved: make(chan struct{})}, rounds: &rounds{}}
	if err := r.serve(dir); err != nil {
		return nil, errors.Join(err, w.close())
	}
	file, tokens := filepath.Join(dir, "lanyard.yaml"), filepath.Join(dir, "secret")
	r.options.ConfigFile, r.judge.budget = file, removals
	if err := errors.Join(r.configure(60, 20), os.WriteFile(tokens, []byte(secret+"\n"), 0o600)); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.options = app.DaemonOptions{
		Options: w.opts, ConfigFile: file, WorkDir: filepath.Join(dir, "work"),
		Lease:  app.Lease{Namespace: "kube-system", Identity: "one", Duration: 1500 * time.Millisecond, Renew: time.Second, Retry: 50 * time.Millisecond},
		Listen: "127.0.0.1:0", APITokenFile: tokens, HookListen: "127.0.0.1:0", HookSecrets: map[string][]string{"generic": {tokens}}, Version: "test",
	}
	r.options.Sleep, r.options.Config, r.options.Desired = r.gate.Sleep, nil, app.Desired{}
	r.options.Log = slog.New(slog.NewJSONHandler(r.rounds, nil))
	return r, nil
}

// configure writes the configuration: how many seconds lie between two looks at Git, a
// change of which needs new clients, and a guard rail, of which none does.
func (r *rig) configure(interval, changes int) error {
	text := strings.Replace(string(examples.Configuration), "mode: repair", fmt.Sprintf("mode: repair\nsource: {url: %q, interval: %ds}", r.git.URL, interval), 1)
	text = strings.Replace(text, "prune: never", fmt.Sprintf("prune: owned\nbudgets: {removalsPerHour: %d, changesPerRound: %d}", r.judge.budget, changes), 1)
	next := r.options.ConfigFile + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.options.ConfigFile)
}

const secret = "a-secret-of-the-test"

// serve puts the fleet in a repository and serves it.
func (r *rig) serve(dir string) (err error) {
	if r.repo, err = gitd.Init(filepath.Join(dir, "fleet.git")); err != nil {
		return err
	}
	if _, err = r.repo.Import("main", os.DirFS(fleetDir), gitd.By(r.Clock.Now())); err != nil {
		return err
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return err
	}
	r.git, err = gitd.Serve(context.Background(), r.repo, gitd.Options{Git: git})
	return err
}

// close ends the world and the Git server.
func (r *rig) close() error { return errors.Join(r.git.Close(), r.world.close()) }

// running is a daemon that runs.
type running struct {
	*app.Daemon
	cancel context.CancelFunc
	ended  chan error
}

// start runs a daemon until it is stopped.
func (r *rig) start() (*running, error) {
	d, err := app.NewDaemon(context.Background(), r.options)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{d, cancel, make(chan error, 1)}
	go func() { run.ended <- d.Run(ctx) }()
	return run, nil
}

// stop ends it in order.
func (d *running) stop() error {
	d.cancel()
	var err error
	select {
	case err = <-d.ended:
	case <-time.After(time.Minute):
		err = errors.New("the daemon did not end within a minute")
	}
	return errors.Join(err, d.Close())
}

// until lets time pass while the daemon sleeps, until the condition holds or a minute or
// more of the wall clock is over. Of the world's time it takes as much as it takes.
func (r *rig) until(ctx context.Context, holds func() bool) bool {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; {
		if !r.gate.asleep() {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		if holds() {
			return true
		}
		if err := r.Pass(ctx, 5*time.Second); err != nil {
			return false
		}
		r.gate.wake()
		time.Sleep(time.Millisecond)
	}
	return false
}

// rigOf makes a rig.
func rigOf(t *testing.T, removals int) *rig {
	t.Helper()
	r, err := newRig(t.TempDir(), removals)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
