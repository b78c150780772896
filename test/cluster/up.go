package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	startTimeout = 3 * time.Minute // a laden machine of two cores takes 15 s
	pollEvery    = 50 * time.Millisecond
	maxFailures  = 5 // ends by itself, for each component
)

// up runs a whole cluster until it is told to stop.
func up() int {
	dir := flag.String("dir", "", "directory for the cluster's files: absent or empty")
	issuer := flag.String("issuer", "https://oidc.eks."+region+".amazonaws.com/id/7E57C1057E4000000000000000000000", "issuer of ServiceAccount tokens: an https URL")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := runCluster(ctx, *dir, *issuer)
	if err != nil && ctx.Err() == nil {
		say("%v", err)
		return 1
	}
	return 0
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "testcluster: "+format+"\n", args...)
}

// runCluster starts a cluster, once more if somebody took one of its ports meanwhile,
// and keeps it until ctx ends.
func runCluster(ctx context.Context, dir, issuer string) error {
	if dir == "" || flag.NArg() > 0 {
		return errors.New("up: use --dir DIR, and no other arguments but --issuer URL")
	}
	if !strings.HasPrefix(issuer, "https://") {
		return fmt.Errorf("up: issuer %q: give an https URL: clients of AWS and Kubernetes refuse others", issuer)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("up: %w", err)
	}
	begun := time.Now()
	s, err := startCluster(ctx, dir, issuer, false)
	if errors.Is(err, errPortTaken) {
		say("%v; once more with other ports", err)
		s, err = startCluster(ctx, dir, issuer, true)
	}
	if err != nil {
		return err
	}
	defer s.stop()
	if err := writeWhole(s.layout.file("ready"), s.layout.server()+"\n"); err != nil {
		return fmt.Errorf("write ready: %w", err)
	}
	say("ready after %.1f s: export KUBECONFIG=%s", time.Since(begun).Seconds(), s.layout.file("kubeconfig"))
	return s.keep(ctx)
}

// emptyDir makes dir, or empties it if it is ours. State of an earlier cluster would
// meet new keys.
func emptyDir(dir string, ours bool) error {
	if ours {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("up: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("up: %s is not empty: give a fresh directory, the state of a cluster is for one life", dir)
	}
	return nil
}

// errPortTaken is the death of a component whose port was taken between the choice and
// the start.
var errPortTaken = errors.New("address already in use")

// startCluster returns a cluster that is ready, or nothing that runs. It empties dir
// if that is ours.
func startCluster(ctx context.Context, dir, issuer string, ours bool) (*supervisor, error) {
	if err := emptyDir(dir, ours); err != nil {
		return nil, err
	}
	l, err := newLayout(dir, issuer)
	if err != nil {
		return nil, err
	}
	if err := l.write(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	s := &supervisor{layout: l, self: self, ended: make(chan *child, 8)}
	if err := s.bringUp(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// supervisor owns the components' processes. All its methods run on the main
// goroutine; only waiting for a process has one of its own.
type supervisor struct {
	layout   layout
	self     string
	children []*child // in the order of their start
	ended    chan *child
}

// child is one component, in its present life or after it.
type child struct {
	name     string
	cmd      *exec.Cmd
	running  bool
	failures int       // ends by itself, in all lives
	notUntil time.Time // when it may be started again
}

// bringUp starts the components in the order in which they need each other, and waits
// until a test can begin.
func (s *supervisor) bringUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// The API server asks for etcd until it answers.
	if err := s.startAll(etcd, apiserver); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.layout.file("kubeconfig"))
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.Timeout = -1, 0, 5*time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	err = s.await(ctx, func() string {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return describe(err)
	})
	if err != nil {
		return err
	}
	// Not earlier: before the API server has written its RBAC rules, the scheduler is
	// refused and backs off.
	if err := s.startAll(controllerManager, scheduler, kwok); err != nil {
		return err
	}
	if err := letAnybodyDiscover(ctx, client); err != nil {
		return err
	}
	if err := createNodes(ctx, client); err != nil {
		return err
	}
	return s.await(ctx, func() string { return settled(ctx, client) })
}

func describe(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// await polls until nothing is missing. It fails with the death of a component.
func (s *supervisor) await(ctx context.Context, missing func() string) error {
	for {
		what := missing()
		select {
		case c := <-s.ended:
			return s.obituary(c)
		default:
		}
		if what == "" {
			return nil
		}
		select {
		case c := <-s.ended:
			return s.obituary(c)
		case <-ctx.Done():
			return fmt.Errorf("start: %w: %s: see the logs in %s", context.Cause(ctx), what, s.layout.dir)
		case <-time.After(pollEvery):
		}
	}
}

// keep starts again what ends, until ctx does.
func (s *supervisor) keep(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-s.ended:
			c.running = false
			if killed(c.cmd.ProcessState) {
				say("%s was killed", c.name)
				break
			}
			c.failures++
			if c.failures > maxFailures {
				return s.obituary(c)
			}
			c.notUntil = time.Now().Add(time.Second)
			say("%s ended by itself (%v); starting it again in a second", c.name, c.cmd.ProcessState)
		case <-time.After(pollEvery):
		}
		for _, c := range s.children {
			if c.running || time.Now().Before(c.notUntil) || s.held(c) {
				continue
			}
			if err := s.start(c); err != nil {
				return err
			}
			say("%s is started again", c.name)
		}
	}
}

// killed reports whether somebody else ended it: a test, or a kernel out of memory.
func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// held reports whether a test wants it to stay down.
func (s *supervisor) held(c *child) bool {
	_, err := os.Stat(s.layout.file(c.name + ".hold"))
	return err == nil
}

func (s *supervisor) startAll(names ...string) error {
	for _, name := range names {
		c := &child{name: name}
		s.children = append(s.children, c)
		if err := s.start(c); err != nil {
			return err
		}
	}
	return nil
}

// start begins a new life of a component, which ends with this process. It is in a
// process group of its own: an interrupt from the terminal is for us, who then end
// all in order.
func (s *supervisor) start(c *child) error {
	log, err := os.OpenFile(s.layout.file(c.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	defer log.Close()
	c.cmd = exec.Command(s.self, append([]string{c.name}, s.layout.flags(c.name)...)...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.running = true
	go func(life *exec.Cmd) {
		_ = life.Wait() // how it ended is in its ProcessState
		s.ended <- c
	}(c.cmd)
	if err := writeWhole(s.layout.file(c.name+".pid"), strconv.Itoa(c.cmd.Process.Pid)+"\n"); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	return nil
}

// writeWhole replaces a file at once, for readers who look at any moment.
func writeWhole(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// obituary says which component ended, and the end of its log.
func (s *supervisor) obituary(c *child) error {
	c.running = false
	name := s.layout.file(c.name + ".log")
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("%s ended: %v; and its log: %w", c.name, c.cmd.ProcessState, err)
	}
	cause := errors.New("see its log")
	if bytes.Contains(data, []byte(errPortTaken.Error())) {
		cause = errPortTaken
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	tail := lines[max(0, len(lines)-10):]
	return fmt.Errorf("%s ended: %v: %w: %s ends with\n%s", c.name, c.cmd.ProcessState, cause, name, strings.Join(tail, "\n"))
}

// stop ends all components, the last one first, and removes what only the living
// need. They are killed: their state is thrown away, and an API server that is asked
// politely waits for its clients' watches.
func (s *supervisor) stop() {
	waiting := 0
	for _, c := range slices.Backward(s.children) {
		if c.running {
			waiting++
			if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				say("stop %s: %v", c.name, err)
			}
		}
	}
	for range waiting {
		<-s.ended
	}
	for _, c := range s.children {
		_ = os.Remove(s.layout.file(c.name + ".pid"))
	}
	_ = os.Remove(s.layout.file("ready"))
	_ = os.RemoveAll(s.layout.file("etcd"))
}
