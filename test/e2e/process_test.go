//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// processVar makes this test binary a lanyard: it holds settings, as JSON.
const processVar = "LANYARD_E2E_PROCESS"

// process runs lanyard in a process of its own, until it is told to end.
func process(text string) int {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	app.BridgeKlog(log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var s settings
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = s.run(ctx, log)
	}
	if err != nil {
		log.Error("lanyard ended", "err", err)
		return 1
	}
	return 0
}

func (s settings) run(ctx context.Context, log *slog.Logger) error {
	options, err := s.daemonOptions(log)
	if err != nil {
		return err
	}
	d, err := app.NewDaemon(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Run(ctx)
}

// replica is a lanyard in another process.
type replica struct {
	name string
	cmd  *exec.Cmd
	log  *lines
	gone chan struct{}
}

// fork runs lanyard in another process, which ends with the test at the latest.
func (o *operator) fork(identity string) *replica {
	o.t.Helper()
	text, err := json.Marshal(o.settings(identity))
	o.must(err)
	r := &replica{name: identity, log: &lines{}, gone: make(chan struct{})}
	r.cmd = exec.Command(os.Args[0])
	r.cmd.Env = append(os.Environ(), processVar+"="+string(text))
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	o.must(r.cmd.Start())
	go func() {
		defer close(r.gone)
		_ = r.cmd.Wait()
	}()
	o.t.Cleanup(func() {
		r.kill()
		<-r.gone
		if o.t.Failed() {
			o.t.Logf("the log of %s:\n%s", identity, r.log.last(15))
		}
	})
	return r
}

// kill is kill -9.
func (r *replica) kill() { _ = r.cmd.Process.Kill() }

// says waits until the replica's log has a message.
func (r *replica) says(t *testing.T, message string) {
	t.Helper()
	eventually(t, r.name+" saying "+message, func() error {
		if r.log.count(fmt.Sprintf(`"msg":%q`, message)) == 0 {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}

// mutations counts what has been called of an operation on the shared planes, and was
// answered well.
func (o *operator) mutations(operation string) (n int) {
	calls, _ := o.aws.Calls(0)
	for _, c := range calls {
		if c.Operation == operation && c.ErrorCode == "" {
			n++
		}
	}
	return n
}

// TestKillTheLeader: of two replicas one leads. It is killed with SIGKILL while its write
// to a trust policy is on its way, and later another one while its patch is: each time
// the one that stood by finishes. Nothing is written twice, and no pod loses its access.
func TestKillTheLeader(t *testing.T) {
	o := newOperator(t, fleet())
	o.ready()
	g := o.gated()
	o.must(o.prober.Start(20*time.Millisecond, func(err error) { t.Error(err) }))

	one := o.fork("one")
	o.aws.AddFault(awsd.Fault{Service: "iam", Operation: "UpdateAssumeRolePolicy", Match: func(awsd.Call) bool {
		one.kill() // and the call goes on
		return false
	}})
	one.says(t, "leading")
	two := o.fork("two")
	two.says(t, "standing by")
	<-one.gone
	o.repaired()
	two.says(t, "leading")
	if got := fmt.Sprint(o.codes("irsa"), o.mutations("UpdateAssumeRolePolicy"), o.mutations("CreatePodIdentityAssociation")); got != "[200] 1 1" {
		t.Errorf("writes %s, want one of each", got)
	}

	three := o.fork("three")
	three.says(t, "standing by")
	g.beforePatch("irsa", two.kill)
	o.must(o.patchAccount("irsa", `{"metadata":{"annotations":{"eks.amazonaws.com/token-expiration":"86400"}}}`))
	<-two.gone
	o.repaired()
	three.says(t, "leading")
	eventually(t, "a round of three", func() error {
		if three.log.count(`"msg":"round"`, `"writes":0`) == 0 {
			return fmt.Errorf("none without writes")
		}
		return nil
	})
	patches := 0
	for _, code := range o.codes("irsa") {
		if code == 200 {
			patches++
		}
	}
	if patches != 2 || o.mutations("UpdateAssumeRolePolicy") != 1 || o.mutations("CreatePodIdentityAssociation") != 1 {
		t.Errorf("%d patches, %d writes of a trust policy, %d associations; want 2, 1, 1", patches, o.mutations("UpdateAssumeRolePolicy"), o.mutations("CreatePodIdentityAssociation"))
	}

	o.must(three.cmd.Process.Signal(syscall.SIGTERM))
	<-three.gone
	lease, err := o.kube.CoordinationV1().Leases(lanyardNamespace).Get(t.Context(), "lanyard", metav1.GetOptions{})
	o.must(err)
	if !three.cmd.ProcessState.Success() || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "" {
		t.Errorf("after SIGTERM: %s, and the Lease is held by %v; want success, and nobody", three.cmd.ProcessState, lease.Spec.HolderIdentity)
	}
	o.must(o.prober.Close())
	report := o.prober.Report()
	if len(report.Broken)+len(report.Exposed) > 0 || report.Probes < 50 {
		t.Errorf("of %d probes %v are broken and %v exposed", report.Probes, report.Broken, report.Exposed)
	}
}

// TestCutConnections: lanyard's connections to the API server are cut again and again.
// Each time its watches go on: a ServiceAccount that was made in between is wired.
func TestCutConnections(t *testing.T) {
	const cuts = 4
	files := map[string]string{}
	for n := range cuts {
		name := fmt.Sprintf("late-%d", n)
		files[name+".yaml"] = identityFile(name, sharedRole, "  mechanism: irsa\n  adopt: [trust]\n")
	}
	o := newOperator(t, files)
	o.trust(sharedRole, distrust)
	g := o.gated()
	d := o.run("one")
	d.found("late-0", diff.ServiceAccountMissing)
	for n := range cuts {
		g.CloseClientConnections()
		name := fmt.Sprintf("late-%d", n)
		o.must(o.kubectl(name, ""))
		o.annotated(name, sharedRole, "lanyard:Apply")
	}
	d.clear()
}
