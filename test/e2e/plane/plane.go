//go:build linux

package plane

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What make e2e sets.
const (
	binaryVariable   = "LANYARD_TESTCLUSTER"
	requiredVariable = "LANYARD_E2E"
)

// Names of the components, for [Plane.Kill] and its like.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

// Components are all of them, in the order of their start.
var Components = []string{Etcd, APIServer, ControllerManager, Scheduler, Kwok}

// Issuer is the issuer of the ServiceAccount tokens of what [Main] starts: like one of
// EKS, of a cluster that nobody has.
const Issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/7E57C1057E4000000000000000000000"

const (
	startTimeout = 4 * time.Minute // longer than the binary's own, which can say more
	stopTimeout  = 10 * time.Second
	pollEvery    = 20 * time.Millisecond
)

// current is the process's own: nil where tests are skipped.
var current *Plane

// Main is the body of a TestMain: it starts a cluster, runs the tests, stops the
// cluster, and returns the exit code. It must be called on the main goroutine.
func Main(m *testing.M) int {
	flag.Parse()
	binary, required := os.Getenv(binaryVariable), os.Getenv(requiredVariable) != ""
	listing := flag.Lookup("test.list").Value.String() != ""
	switch {
	case listing || binary == "" && !required:
		return m.Run()
	case binary == "":
		fmt.Fprintf(os.Stderr, "plane: %s is set, but %s names no binary: run make e2e, which builds it\n", requiredVariable, binaryVariable)
		return 1
	}
	// A child that is to end with us ends with the thread that started it, and this
	// keeps the thread for as long as the main goroutine lives.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "lanyard-e2e-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "plane: %v\n", err)
		return 1
	}
	p, err := Start(context.Background(), Options{Binary: binary, Dir: filepath.Join(dir, "cluster"), Issuer: Issuer})
	if err != nil {
		fmt.Fprintf(os.Stderr, "plane: %v\n", err)
		_ = os.Remove(dir) // unless there are logs in it
		return 1
	}
	current = p
	code := m.Run()
	if err := p.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "plane: %v\n", err)
		code = max(code, 1)
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "plane: the control plane's logs are in %s\n", p.Dir)
		return code
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintf(os.Stderr, "plane: %v\n", err)
	}
	return code
}

// Need returns the cluster of this process. Without one it skips the test.
func Need(t testing.TB) *Plane {
	t.Helper()
	if current == nil {
		t.Skipf("no control plane: run make e2e, which builds one and names it in %s", binaryVariable)
	}
	if err := current.ended(); err != nil {
		t.Fatal(err)
	}
	return current
}

// Options are what a cluster is started with.
type Options struct {
	Binary string // of test/cluster
	Dir    string // absent or empty
	Issuer string // of ServiceAccount tokens; "" is the binary's default
}

// Plane is a control plane that was started.
type Plane struct {
	Dir        string // of its logs and of Kubeconfig
	Kubeconfig string // an administrator's

	cmd    *exec.Cmd
	output bytes.Buffer  // to be read after done only
	done   chan struct{} // closed when it has ended
}

// Kustomize returns what kubectl kustomize makes of a directory, as YAML documents.
func (p *Plane) Kustomize(ctx context.Context, dir string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.cmd.Path, "kustomize", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w\n%s", dir, err, stderr.Bytes())
	}
	return out, nil
}

// AuditLog is where the API server writes down what ServiceAccounts outside of
// kube-system ask, a line of JSON for each request.
func (p *Plane) AuditLog() string { return filepath.Join(p.Dir, "audit.log") }

// Launch starts a cluster and does not wait for it. The goroutine that calls it should
// be locked to its thread, see [Main].
func Launch(o Options) (*Plane, error) {
	p := &Plane{Dir: o.Dir, Kubeconfig: filepath.Join(o.Dir, "kubeconfig"), done: make(chan struct{})}
	args := []string{"up", "--dir", o.Dir}
	if o.Issuer != "" {
		args = append(args, "--issuer", o.Issuer)
	}
	p.cmd = exec.Command(o.Binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its ProcessState
		close(p.done)
	}()
	return p, nil
}

// Start is [Launch], and waits until a first test can begin: all nodes are Ready.
func Start(ctx context.Context, o Options) (*Plane, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := Launch(o)
	if err != nil {
		return nil, err
	}
	for !exists(filepath.Join(p.Dir, "ready")) {
		select {
		case <-p.done:
			return nil, p.ended()
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("start the control plane: %w: see the logs in %s", ctx.Err(), p.Dir), p.Stop())
		case <-time.After(pollEvery):
		}
	}
	return p, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// ended says how the cluster ended, if it has.
func (p *Plane) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("the control plane has ended: %v\n%s", p.cmd.ProcessState, p.output.Bytes())
	default:
		return nil
	}
}

// Stop ends the cluster, and fails if it had ended before, or if a process of it is
// left. The logs stay.
func (p *Plane) Stop() error {
	if err := p.ended(); err != nil {
		return err
	}
	pids := p.Pids()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("stop the control plane: it ignored SIGTERM for %v, and was killed", stopTimeout)
	}
	if !p.cmd.ProcessState.Success() {
		return p.ended()
	}
	for name, pid := range pids {
		if Alive(pid) {
			return fmt.Errorf("stop the control plane: process %d of %s is left", pid, name)
		}
	}
	return nil
}

// Abandon kills the cluster's supervisor, as a kernel out of memory would, and returns
// when it is gone. What it started must go by itself.
func (p *Plane) Abandon() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the control plane: %w", err)
	}
	<-p.done
	return nil
}

// Pids are the processes of the components that were started, by component.
func (p *Plane) Pids() map[string]int {
	pids := map[string]int{}
	for _, name := range Components {
		if pid, err := p.Pid(name); err == nil {
			pids[name] = pid
		}
	}
	return pids
}

// Pid is the process of a component: another one after each restart.
func (p *Plane) Pid(component string) (int, error) {
	data, err := os.ReadFile(filepath.Join(p.Dir, component+".pid"))
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", component, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", component, err)
	}
	return pid, nil
}

// Kill kills a component and returns when it is gone. It is started again at once, on
// the same port; its clients find it when they ask again.
func (p *Plane) Kill(component string) error {
	pid, err := p.Pid(component)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", component, err)
	}
	for deadline := time.Now().Add(stopTimeout); Alive(pid); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			return fmt.Errorf("kill %s: process %d is still there after %v", component, pid, stopTimeout)
		}
	}
	return nil
}

// Hold kills a component and keeps it down until release is called, at the latest when
// the test ends: those that follow need it.
func (p *Plane) Hold(t testing.TB, component string) (release func()) {
	t.Helper()
	file := filepath.Join(p.Dir, component+".hold")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatalf("hold %s: %v", component, err)
	}
	release = func() {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("release %s: %v", component, err)
		}
	}
	t.Cleanup(release)
	if err := p.Kill(component); err != nil {
		t.Fatal(err)
	}
	return release
}

// Alive reports whether a process runs. One that has ended and waits for its parent to
// take notice does not.
func Alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the command's name, which is in brackets and may hold any.
	rest := data[bytes.LastIndexByte(data, ')')+1:]
	state := strings.TrimSpace(string(rest))
	return state != "" && state[0] != 'Z' && state[0] != 'X'
}
