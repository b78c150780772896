//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// block is a fenced block of a page of docs.
type block struct {
	line     int    // where it begins
	language string // of the fence
	text     string
	shown    string // what the page says that it prints: a fence without language after it; ... stands for more
	ran      bool
}

// manual is a page of docs in the hands of somebody who does what it says: its sh blocks
// are run by bash, its yaml blocks, which begin with the name of a file, are written.
type manual struct {
	*operator
	file   string
	blocks map[string][]*block // by the heading above them
	dir    string              // where its commands stand
	env    []string
	words  *strings.Replacer // what is called otherwise in the test
}

// read reads a page.
func (m *manual) read(file string) {
	m.t.Helper()
	data, err := os.ReadFile(file)
	m.must(err)
	m.file, m.blocks = filepath.Base(file), map[string][]*block{}
	heading, last := "", (*block)(nil)
	var open *block
	indent := ""
	for i, line := range strings.Split(string(data), "\n") {
		trimmed := strings.TrimLeft(line, " ")
		fence, is := strings.CutPrefix(trimmed, "```")
		if is && open == nil {
			indent = line[:len(line)-len(trimmed)] // of a list
		}
		switch {
		case open == nil && is:
			open = &block{line: i + 1, language: fence}
		case open != nil && is:
			switch {
			case open.language != "":
				last = open
				m.blocks[heading] = append(m.blocks[heading], open)
			case last != nil:
				last.shown = open.text
			default:
				m.t.Fatalf("%s:%d: a fence without language, and no block above it that could print it", m.file, open.line)
			}
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.HasPrefix(line, "#"):
			heading, last = strings.TrimSpace(strings.TrimLeft(line, "#")), nil
		}
	}
}

// next is the first block under a heading that was not done.
func (m *manual) next(heading, language string) *block {
	m.t.Helper()
	for _, b := range m.blocks[heading] {
		if excerpt := b.language == "yaml" && !strings.HasPrefix(b.text, "# "); !b.ran && !excerpt {
			if b.language != language {
				m.t.Fatalf("%s:%d: the next block under %q is %s, want %s", m.file, b.line, heading, b.language, language)
			}
			b.ran = true
			return b
		}
	}
	m.t.Fatalf("%s: no more blocks under %q", m.file, heading)
	return nil
}

// writes writes the next block under a heading, which is a file.
func (m *manual) writes(heading string) {
	m.t.Helper()
	b := m.next(heading, "yaml")
	text := m.words.Replace(b.text)
	name, is := strings.CutPrefix(strings.SplitN(text, "\n", 2)[0], "# ")
	if !is {
		m.t.Fatalf("%s:%d: the block does not begin with the name of its file", m.file, b.line)
	}
	m.must(os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600))
}

// runs runs the next block under a heading, which must end with one of these codes, and
// returns what it prints.
func (m *manual) runs(heading string, codes ...int) string {
	m.t.Helper()
	return m.execute(m.next(heading, "sh"), codes...)
}

// execute runs a block where the one before has ended, with its variables.
func (m *manual) execute(b *block, codes ...int) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*patience)
	defer cancel()
	state := filepath.Join(m.operator.dir, "state")
	script := "set -euo pipefail\ntrap 'export -p >" + state + "' EXIT\n[ ! -e " + state + " ] || . " + state + "\n" + m.words.Replace(b.text)
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = m.dir, m.env
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		m.t.Fatalf("%s:%d: %v\n%s", m.file, b.line, err, out)
	}
	if !slices.Contains(codes, code) {
		m.t.Fatalf("%s:%d: exit code %d, want one of %v\n%s\n%s", m.file, b.line, code, codes, m.words.Replace(b.text), out)
	}
	m.t.Logf("%s: %s:%d: exit code %d\n%s", time.Now().Format("05.000"), m.file, b.line, code, out)
	printed := squeezed(string(out))
	for line := range strings.Lines(squeezed(m.words.Replace(b.shown))) {
		if line = strings.TrimSpace(line); line != "..." && !strings.Contains(printed, line) {
			m.t.Errorf("%s:%d: the page says that this prints %q; it prints\n%s", m.file, b.line, line, out)
		}
	}
	return string(out)
}

// squeezed is a text with one space where there are several: columns are as wide as the
// longest name.
func squeezed(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

// left are the blocks that nobody did.
func (m *manual) left() (out []string) {
	for _, heading := range slices.Sorted(maps.Keys(m.blocks)) {
		for _, b := range m.blocks[heading] {
			if excerpt := b.language == "yaml" && !strings.HasPrefix(b.text, "# "); !b.ran && !excerpt {
				out = append(out, fmt.Sprintf("%s:%d: under %q", m.file, b.line, heading))
			}
		}
	}
	return out
}

// kubelet does for the pods of Deployment lanyard what kwok does not: it runs lanyard in
// a process for each, with short waits, brings the configuration's file, and ends the
// process when the pod is gone. As the Deployment's controller would, it lets those of an
// older image go on until the newer ones are ready.
type kubelet struct {
	o        *operator
	server   string // the API server
	ca       []byte
	mu       sync.Mutex
	replicas []*hosted
	trouble  error
}

// hosted is a process of a pod.
type hosted struct {
	*replica
	pod     corev1.Pod
	address string
	config  string
	told    bool // to end
}

func (h *hosted) image() string { return h.pod.Spec.Containers[0].Image }

// ready asks the process what the kubelet would.
func (h *hosted) ready() bool {
	answer, err := http.Get("http://" + h.address + "/readyz")
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (h *hosted) running() bool {
	select {
	case <-h.gone:
		return false
	default:
		return true
	}
}

// kubelets starts one, until the test ends.
func (o *operator) kubelets() *kubelet {
	config := admin(o.t)
	k := &kubelet{o: o, server: config.Host, ca: authority(o.t, config)}
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			if err := k.pass(ctx); err != nil && ctx.Err() == nil {
				k.mu.Lock()
				k.trouble = err
				k.mu.Unlock()
			}
		}
	}()
	o.t.Cleanup(func() {
		cancel()
		<-done
		for _, h := range k.all() {
			h.kill()
			<-h.gone
			if o.t.Failed() {
				o.t.Logf("the log of %s (%s):\n%s", h.pod.Name, h.image(), h.log.last(10))
			}
		}
		if k.trouble != nil && o.t.Failed() {
			o.t.Logf("the kubelet: %v", k.trouble)
		}
	})
	return k
}

func (k *kubelet) all() []*hosted {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.replicas)
}

// alive are the processes that run.
func (k *kubelet) alive() (out []*hosted) {
	for _, h := range k.all() {
		if h.running() {
			out = append(out, h)
		}
	}
	return out
}

func (k *kubelet) pass(ctx context.Context) error {
	config, err := k.o.kube.CoreV1().ConfigMaps(lanyardNamespace).Get(ctx, "lanyard", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	list, err := k.o.kube.CoreV1().Pods(lanyardNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=lanyard"})
	if err != nil {
		return err
	}
	wanted := map[string]corev1.Pod{}
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning {
			wanted[string(p.UID)] = p
		}
	}
	for _, h := range k.all() {
		if _, stays := wanted[string(h.pod.UID)]; stays {
			delete(wanted, string(h.pod.UID))
			if err := h.configure(config.Data["lanyard.yaml"]); err != nil {
				return err
			}
		}
	}
	for _, p := range wanted {
		if err := k.start(ctx, p, config.Data["lanyard.yaml"]); err != nil {
			return err
		}
	}
	return k.end(ctx)
}

// end ends the processes whose pods are gone.
func (k *kubelet) end(ctx context.Context) error {
	image := "" // of new pods
	d, err := k.o.kube.AppsV1().Deployments(lanyardNamespace).Get(ctx, "lanyard", metav1.GetOptions{})
	switch {
	case err == nil:
		image = d.Spec.Template.Spec.Containers[0].Image
	case apierrors.IsNotFound(err):
		d = nil
	default:
		return err
	}
	newer, ready := 0, true
	for _, h := range k.alive() {
		if h.image() == image {
			newer++
			ready = ready && h.ready()
		}
	}
	for _, h := range k.alive() {
		_, err := k.o.kube.CoreV1().Pods(lanyardNamespace).Get(ctx, h.pod.Name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) || h.told || image != "" && image != h.image() && (newer == 0 || !ready) {
			continue
		}
		h.told = true
		if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	if d == nil || int32(newer) != *d.Spec.Replicas || len(k.alive()) != newer || !ready {
		return nil
	}
	return os.WriteFile(k.rolledOut(), fmt.Append(nil, d.Generation), 0o600)
}

// rolledOut is a file with the Deployment's generation of which all processes are ready.
// kwok says it of a pod before its process has begun.
func (k *kubelet) rolledOut() string { return filepath.Join(k.o.dir, "rolled-out") }

func (h *hosted) configure(text string) error {
	if was, err := os.ReadFile(h.config); err == nil && string(was) == text {
		return nil
	}
	if err := os.WriteFile(h.config+".next", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(h.config+".next", h.config)
}

func (k *kubelet) start(ctx context.Context, pod corev1.Pod, config string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h := &hosted{pod: pod, address: l.Addr().String(), config: filepath.Join(k.o.dir, pod.Name+".yaml")}
	if err := errors.Join(l.Close(), h.configure(config)); err != nil {
		return err
	}
	_, version, _ := strings.Cut(h.image(), ":")
	kubeconfig := filepath.Join(k.o.dir, pod.Name+".kubeconfig")
	if err := writeKubeconfig(ctx, k.o.kube, k.server, k.ca, &pod, kubeconfig); err != nil {
		return err
	}
	text, err := json.Marshal(settings{Kubeconfig: kubeconfig, Config: h.config, AWS: k.o.url, Version: version, Listen: h.address,
		Identity: pod.Name + "_1_" + fmt.Sprint(time.Now().UnixNano())})
	if err != nil {
		return err
	}
	h.replica = &replica{name: pod.Name, log: &lines{}, gone: make(chan struct{})}
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(os.Environ(), processVar+"="+string(text))
	h.cmd.Stdout, h.cmd.Stderr = h.log, h.log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(h.gone)
		_ = h.cmd.Wait()
	}()
	if err := os.WriteFile(filepath.Join(k.o.dir, pod.Name+".started"), nil, 0o600); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.replicas = append(k.replicas, h)
	return nil
}

// leader is the one process that leads, by the Lease.
func (k *kubelet) leader(ctx context.Context) (*hosted, error) {
	lease, err := k.o.kube.CoordinationV1().Leases(lanyardNamespace).Get(ctx, "lanyard", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if lease.Spec.HolderIdentity != nil {
		for _, h := range k.alive() {
			if strings.HasPrefix(*lease.Spec.HolderIdentity, h.pod.Name+"_") {
				return h, nil
			}
		}
	}
	return nil, errors.New("nobody leads")
}

// forward is kubectl port-forward to whoever leads, on a port of its own.
func (k *kubelet) forward(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go k.relay(t.Context(), c)
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (k *kubelet) relay(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	h, err := k.leader(ctx)
	if err != nil {
		return
	}
	to, err := net.Dial("tcp", h.address)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() { _, _ = io.Copy(to, c) }()
	_, _ = io.Copy(c, to)
}

// hands are the commands that the manual's reader types: lanyard as it is built, kubectl
// as it is but for what needs a kubelet, which kwok has not.
func (m *manual) hands() {
	m.t.Helper()
	bin := filepath.Join(m.operator.dir, "bin")
	m.must(os.MkdirAll(bin, 0o700))
	out, err := exec.CommandContext(m.t.Context(), "go", "build", "-o", filepath.Join(bin, "lanyard"), "../../cmd/lanyard").CombinedOutput()
	if err != nil {
		m.t.Fatalf("go build: %v\n%s", err, out)
	}
	m.must(os.WriteFile(filepath.Join(bin, "kubectl"), fmt.Appendf(nil, `#!/usr/bin/env bash
set -euo pipefail
# exec and port-forward are of a kubelet's: lanyard's doctor runs here with the pod's own
# files and token, and the port is forwarded already.
case " $* " in
*" exec deployment/lanyard -- /lanyard doctor --config /etc/lanyard/lanyard.yaml "*)
	pod="$('%[1]s' --namespace lanyard get pods --selector app.kubernetes.io/name=lanyard --output 'jsonpath={.items[0].metadata.name}')"
	until [ -e "%[2]s/$pod.started" ]; do sleep 0.1; done # kwok calls it Running before that
	KUBECONFIG="%[2]s/$pod.kubeconfig" exec lanyard doctor --config "%[2]s/$pod.yaml" ;;
*" exec "*) echo "kubectl $*: not played here" >&2; exit 1 ;;
*" port-forward "*) exit 0 ;;
*" rollout status deployment/lanyard "*) # a pod is ready when its process is
	'%[1]s' "$@"
	until [ "$(cat '%[2]s/rolled-out')" = "$('%[1]s' --namespace lanyard get deployment lanyard --output 'jsonpath={.metadata.generation}')" ]; do sleep 0.1; done
	exit 0 ;;
esac
exec '%[1]s' "$@"
`, filepath.Join(filepath.Dir(os.Getenv("LANYARD_HELM")), "kubectl"), m.operator.dir), 0o700))
	id, secret := awsd.AccessKey(labAccount)
	m.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + m.operator.dir, "KUBECONFIG=" + plane.Need(m.t).Kubeconfig, "NO_COLOR=1",
		"AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL=" + m.url, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_CONFIG_GLOBAL=/dev/null"}
}

// command runs what is no part of the page.
func (m *manual) command(name string, args ...string) string {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), name, args...)
	cmd.Dir, cmd.Env = m.dir, m.env
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), talk.String())
	}
	return out.String()
}
