//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/lanyard-io/lanyard/internal/app"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/prober"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/report"
)

// works is a cluster that others look after: roles of Terraform's, ServiceAccounts that
// Argo CD applies, and whoever follows docs/operations.md.
type works struct {
	*manual
	kubelet *kubelet
	wanted  map[string]map[string]string // what Argo CD's repository has: annotations by ServiceAccount
	bearer  string                       // a token of who may look
}

func (w *works) roleOf(name string) string {
	return "arn:aws:iam::" + labAccount + ":role/eks-irsa-lab-" + w.ns + "-" + name + "-role"
}

// terraform applies a role's trust policy: for one ServiceAccount by IRSA, as it stands in
// Terraform's state, whatever was there.
func (w *works) terraform(name, trusts string) {
	w.t.Helper()
	w.must(w.aws.PutRole(awsd.Role{ARN: w.roleOf(name), Trust: strings.Replace(w.irsaTrust(), ":irsa\"", ":"+trusts+"\"", 1),
		Tags: map[string]string{"ManagedBy": "terraform", "Workspace": "platform"}}))
}

// argo syncs a ServiceAccount as Argo CD does with ServerSideApply=true: with its tracking
// annotation, and by force.
func (w *works) argo(name string) {
	w.t.Helper()
	account := applycore.ServiceAccount(name, w.ns).WithAnnotations(w.wanted[name]).
		WithAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "demo:/ServiceAccount:" + w.ns + "/" + name})
	_, err := w.kube.CoreV1().ServiceAccounts(w.ns).Apply(w.t.Context(), account, metav1.ApplyOptions{FieldManager: "argocd-controller", Force: true})
	w.must(err)
}

// workload is a Deployment of a ServiceAccount's name, with two pods.
func (w *works) workload(name string) {
	w.t.Helper()
	t := podOf(nil)
	t.Labels = map[string]string{"app": name}
	t.Spec.ServiceAccountName, t.Spec.TerminationGracePeriodSeconds = name, new(int64(0))
	_, err := w.kube.AppsV1().Deployments(w.ns).Create(w.t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: t.Labels}, Template: t}}, metav1.CreateOptions{})
	w.must(err)
	w.rolled(name)
}

// newWorks makes the cluster, without anything of lanyard's, and opens the page.
func newWorks(t *testing.T) *works {
	t.Helper()
	helmBinary(t) // kubectl is beside it
	o := newOperatorIn(t, "observe", map[string]string{"fleet/README.md": "Who uses which role.\n"})
	o.uninstall()
	w := &works{manual: &manual{operator: o}, wanted: map[string]map[string]string{}}
	for _, name := range []string{"irsa", "pod"} { // the lab's own
		w.must(w.kube.AppsV1().Deployments(w.ns).Delete(t.Context(), name, metav1.DeleteOptions{}))
		w.must(w.kube.CoreV1().ServiceAccounts(w.ns).Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	w.dissociate()
	w.aws.DeleteRole(irsaRole)
	w.aws.DeleteRole(podRole)
	for _, name := range []string{"web", "reports", "uploader"} {
		w.terraform(name, map[string]string{"reports": "reporting"}[name]+strings.TrimPrefix(name, "reports"))
		w.wanted[name] = map[string]string{actors.RoleARNAnnotation: w.roleOf(name)}
		if name == "uploader" {
			w.wanted[name]["eks.amazonaws.com/token-expiration"] = "3600"
		}
		w.argo(name)
		w.admits(name, "sts.amazonaws.com")
		w.workload(name)
	}
	w.prober = w.judgeOf(func(name string) bool { return name == "web" })
	server, err := url.Parse(admin(t).Host)
	w.must(err)
	w.publish(server)
	w.kubelet = o.kubelets()
	w.read("../../docs/operations.md")
	w.words = strings.NewReplacer("demo", w.ns, ":8080", ":"+w.kubelet.forward(t), "soak: 30m", "soak: 1s")
	w.hands()
	w.manual.dir = filepath.Join(o.dir, "fleet")
	git := func(args ...string) { w.command("git", args...) }
	w.manual.dir = o.dir
	git("clone", "--quiet", filepath.Join(o.dir, "fleet.git"), "work")
	w.manual.dir = filepath.Join(o.dir, "work")
	w.must(os.CopyFS(filepath.Join(w.manual.dir, "deploy", "kubernetes"), os.DirFS("../../deploy/kubernetes")))
	for _, mode := range []string{"observe", "repair", "migrate"} {
		w.edit("deploy/kubernetes/overlays/"+mode+"/lanyard.yaml", "https://git.example.com/platform/fleet.git", w.git.URL, "  auth: {tokenFile: /etc/lanyard-git/token}\n", "", `"demo", "team-*"`, w.ns)
		w.edit("deploy/kubernetes/overlays/"+mode+"/kustomization.yaml", "TAG", "v1.0.0", "# components:", "components:", "#   - ../../components/api-access", "  - ../../components/api-access")
	}
	return w
}

// edit replaces text in a file of the tree.
func (w *works) edit(name string, pairs ...string) {
	w.t.Helper()
	file := filepath.Join(w.manual.dir, name)
	data, err := os.ReadFile(file)
	w.must(err)
	text := string(data)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != "" && !strings.Contains(text, pairs[i]) && !strings.HasPrefix(pairs[i], `"demo"`) {
			w.t.Fatalf("%s does not have %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	w.must(os.WriteFile(file, []byte(text), 0o600))
}

// status is what the leader says of itself, as the page's reader may see it.
func (w *works) status() (s app.Status, err error) {
	h, err := w.kubelet.leader(w.t.Context())
	if err != nil {
		return s, err
	}
	err = w.ask(h, "/api/v1/status", &s)
	return s, err
}

// token is one of ServiceAccount reader's.
func (w *works) token() string {
	w.t.Helper()
	if w.bearer == "" {
		t, err := w.kube.CoreV1().ServiceAccounts(lanyardNamespace).CreateToken(w.t.Context(), "reader", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		w.must(err)
		w.bearer = t.Status.Token
	}
	return w.bearer
}

// found waits until the daemon has exactly these findings, as "ServiceAccount kind owner",
// of the head of Git, in a mode.
func (w *works) found(mode string, want ...string) {
	w.t.Helper()
	head, err := w.repo.Head("main")
	w.must(err)
	patiently(w.t, fmt.Sprintf("findings %q in mode %s", want, mode), func() error {
		s, err := w.status()
		if err != nil {
			return err
		}
		if s.Daemon.Mode != mode || !strings.HasSuffix(s.Daemon.Source.Accepted, head) || s.Last == nil || !strings.HasSuffix(s.Last.Revision, head) || s.Last.Mode != mode {
			return fmt.Errorf("mode %s, revision %s, last round %+v", s.Daemon.Mode, s.Daemon.Source.Accepted, s.Last)
		}
		h, err := w.kubelet.leader(w.t.Context())
		if err != nil {
			return err
		}
		var body struct{ Findings []report.Finding }
		if err := w.ask(h, "/api/v1/findings", &body); err != nil {
			return err
		}
		var got []string
		for _, f := range body.Findings {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.ServiceAccount, f.Kind, f.Owner)))
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			return fmt.Errorf("findings (-want +got)\n%s", diff)
		}
		return nil
	})
}

func (w *works) ask(h *hosted, path string, body any) error {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+h.address+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.token())
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(body)
}

// web is what the leader says of the workload that moves.
func (w *works) web() (found outline.Workload, err error) {
	h, err := w.kubelet.leader(w.t.Context())
	if err != nil {
		return found, err
	}
	var body struct{ Migration outline.Outline }
	if err := w.ask(h, "/api/v1/plan", &body); err != nil {
		return found, err
	}
	for _, m := range body.Migration.Workloads {
		if m.Namespace == w.ns && m.ServiceAccount == "web" {
			return m, nil
		}
	}
	return found, errors.New("web is not in the plan")
}

// phase waits until web stands in a phase.
func (w *works) phase(want string) {
	w.t.Helper()
	patiently(w.t, "web "+want, func() error {
		m, err := w.web()
		if got := fmt.Sprint(m.Wanted, " ", m.Phase); err == nil && got != want {
			err = fmt.Errorf("it is %s: %+v", got, m.Holds)
		}
		return err
	})
}

// paused waits until web is held, and looks whether it stays where it is.
func (w *works) paused() {
	w.t.Helper()
	var at outline.Workload
	eventually(w.t, "the pause of web", func() (err error) {
		at, err = w.web()
		if err == nil && !slices.ContainsFunc(at.Holds, func(h migrate.Reason) bool { return h.Code == "paused" }) {
			err = fmt.Errorf("it is %s: %+v", at.Phase, at.Holds)
		}
		return err
	})
	time.Sleep(3 * interval)
	after, err := w.web()
	w.must(errors.Join(err, want("phase of web, paused", after.Phase, at.Phase)))
}

func (w *works) statements(name string) (out []string) {
	w.t.Helper()
	role, _ := w.aws.Role(w.roleOf(name))
	for _, s := range sidRE.FindAllStringSubmatch(role.Trust, -1) {
		out = append(out, s[1])
	}
	return out
}

var sidRE = regexp.MustCompile(`"Sid": ?"(Lanyard[0-9a-f]{16})"`)

// given is an error unless all pods of a workload were given a mechanism.
func (w *works) given(name, audience string) error {
	list, err := w.kube.CoreV1().Pods(w.ns).List(w.t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			err = errors.Join(err, want("audience of "+p.Name, given(&p), audience))
		}
	}
	return errors.Join(err, want("pods of "+name, len(list.Items) > 0, true))
}

// TestOperations does what docs/operations.md says, on a cluster whose roles are
// Terraform's and whose ServiceAccounts are Argo CD's: installs, looks for a week and
// writes nothing, goes to repair, moves a first workload, has an incident, is stopped and
// started, upgraded and taken away. Every command block of the page is run. No pod of the
// workload that moves is ever without credentials, and what lanyard wired outlives it.
func TestOperations(t *testing.T) {
	w := newWorks(t)
	w.must(w.prober.Start(50*time.Millisecond, func(err error) { t.Error(err) }))

	wrote := w.operator.writes()
	w.runs("Install", 0)
	authorized(t, "observe")
	w.runs("Install", 0)
	w.runs("Write down what stands", 0, 2) // 2: reports, and what other tests left
	w.runs("Write down what stands", 0)
	w.runs("Open the page", 0, 2)
	w.found("observe")
	w.runs("Write down what stands", 0, 2)
	w.writes("Say what is meant")
	w.writes("Say what is meant")
	w.writes("Say what is meant")
	w.runs("Say what is meant", 2)
	w.found("observe", "reports trust-subject-missing", "uploader annotation-tuning argocd-controller")
	if out := w.runs("Whose it is", 2); !strings.Contains(out, "Lanyard") {
		t.Errorf("explain has no statement for the owner:\n%s", out)
	}
	if n := w.operator.writes() - wrote; n != 0 {
		t.Errorf("%d writes in mode observe", n)
	}

	w.writes("Go to repair")
	w.writes("Go to repair")
	if out := w.runs("Go to repair", 2); !strings.Contains(out, "patch serviceaccounts") {
		t.Errorf("doctor does not say what mode repair lacks:\n%s", out)
	}
	w.runs("Go to repair", 0)
	w.found("repair")
	w.fought()
	w.runs("Go to repair", 0)

	w.wave()
	w.incident()
	w.runs("Stop now", 0)
	w.stopped()
	w.must(w.scale(2))
	w.runs("When something is missing", 0)
	if out := w.runs("What the Lease remembers", 0); !strings.Contains(out, "lanyard.io/accepted-revision: ") {
		t.Errorf("the Lease remembers no commit:\n%s", out)
	}
	w.must(os.WriteFile(filepath.Join(w.manual.dir, "git-token"), []byte("new"), 0o600))
	w.runs("Git credentials", 0)
	w.upgrade()
	w.uninstalled()
	for _, b := range w.left() {
		t.Errorf("not run: %s", b)
	}
	for _, r := range w.asked() {
		if r.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("refused: %s %s", r.Verb, r.RequestURI)
		}
	}
}

// fought: Argo CD takes the annotation of uploader back, and lanyard does; then Argo CD's
// repository has it no more, and what lanyard set stays.
func (w *works) fought() {
	w.t.Helper()
	account := func() string {
		a, err := w.kube.CoreV1().ServiceAccounts(w.ns).Get(w.t.Context(), "uploader", metav1.GetOptions{})
		w.must(err)
		return a.Annotations["eks.amazonaws.com/token-expiration"]
	}
	w.argo("uploader")
	eventually(w.t, "the token's life", func() error { return want("token-expiration", account(), "7200") })
	delete(w.wanted["uploader"], "eks.amazonaws.com/token-expiration")
	w.argo("uploader")
	if got := account(); got != "7200" {
		w.t.Errorf("once Argo CD has it no more, token-expiration is %q", got)
	}
	if got := w.statements("reports"); len(got) != 1 {
		w.t.Errorf("statements of lanyard's for reports: %q", got)
	}
	w.found("repair")
}

// wave: web is paused on its way to Pod Identity, turned round, and moves after all.
func (w *works) wave() {
	w.t.Helper()
	w.writes("First wave")
	if out := w.runs("First wave", 0); !strings.Contains(out, "eligible") {
		w.t.Errorf("the plan does not say eligible:\n%s", out)
	}
	authorized(w.t, "migrate")
	w.found("migrate")
	w.runs("First wave", 2)
	w.runs("First wave", 0)
	w.runs("First wave", 0, 2)
	w.runs("First wave", 0)
	w.paused()
	w.runs("First wave", 0)
	w.found("migrate")
	w.phase("irsa settled")
	w.must(w.given("web", "sts.amazonaws.com"))
	w.runs("First wave", 0)
	w.command("git", "revert", "--no-edit", "HEAD")
	w.command("git", "push", "--quiet")
	w.phase("pod-identity settled")
	w.must(w.given("web", "pods.eks.amazonaws.com"))
	delete(w.wanted["web"], actors.RoleARNAnnotation) // which Argo CD ignores
	w.argo("web")
	w.found("migrate")
	r := w.prober.Report()
	for _, p := range slices.Concat(r.Broken, r.Young, r.Exposed) {
		w.t.Errorf("broken: %s", p)
	}
	if r.Probes < 50 {
		w.t.Errorf("%d probes: too few to tell", r.Probes)
	}
}

// incident: Terraform takes uploader's trust, which lanyard may not mend; lanyard is
// stopped, and Terraform takes out what lanyard had given reports. Started again, lanyard
// mends that, and the rest is Terraform's.
func (w *works) incident() {
	w.t.Helper()
	const night = "A night's incident"
	w.terraform("uploader", "nobody")
	w.found("migrate", "uploader trust-subject-missing")
	w.runs(night, 2)
	w.runs(night, 0)
	if out := w.runs(night, 2); !strings.Contains(out, "broken   trust") {
		w.t.Errorf("explain does not name the trust policy:\n%s", out)
	}
	w.runs(night, 0)
	w.stopped()
	w.terraform("reports", "reporting")
	wrote := w.operator.writes()
	time.Sleep(2 * interval)
	if more := w.operator.writes() - wrote; more != 0 || len(w.statements("reports")) != 0 {
		w.t.Errorf("stopped, lanyard has written %d times", more)
	}
	w.runs(night, 0)
	w.found("migrate", "uploader trust-subject-missing")
	if got := w.statements("reports"); len(got) != 1 {
		w.t.Errorf("statements of lanyard's for reports: %q", got)
	}
	w.terraform("uploader", "uploader")
	w.found("migrate")
}

// stopped waits until no process is left, each having ended well, and nobody has the Lease.
func (w *works) stopped() {
	w.t.Helper()
	eventually(w.t, "the end of all processes", func() error { return want("processes", len(w.kubelet.alive()), 0) })
	for _, h := range w.kubelet.all() {
		if !h.cmd.ProcessState.Success() {
			w.t.Errorf("%s ended with %s: %s", h.name, h.cmd.ProcessState, h.log.last(3))
		}
	}
	lease, err := w.kube.CoordinationV1().Leases(lanyardNamespace).Get(w.t.Context(), "lanyard", metav1.GetOptions{})
	w.must(err)
	if holder := lease.Spec.HolderIdentity; holder == nil || *holder != "" {
		w.t.Errorf("the Lease is held by %v, want nobody", holder)
	}
}

func (w *works) scale(n int32) error {
	_, err := w.kube.AppsV1().Deployments(lanyardNamespace).Patch(w.t.Context(), "lanyard", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), metav1.PatchOptions{})
	return err
}

// upgrade: while an older and a newer release run, one leads at a time; what differs in
// between is mended once.
func (w *works) upgrade() {
	w.t.Helper()
	w.runs("Upgrade", 0)
	w.found("migrate")
	old := w.kubelet.alive()
	before := w.mutations("UpdateAssumeRolePolicy")
	w.terraform("reports", "reporting")
	w.runs("Upgrade", 0)
	eventually(w.t, "the end of the older release", func() error {
		for _, h := range old {
			if h.running() {
				return fmt.Errorf("%s runs", h.name)
			}
		}
		return nil
	})
	w.found("migrate")
	s, err := w.status()
	w.must(err)
	if s.Daemon.Version != "v1.1.0" {
		w.t.Errorf("the leader is of release %s", s.Daemon.Version)
	}
	if n := w.mutations("UpdateAssumeRolePolicy") - before; n != 1 || len(w.statements("reports")) != 1 {
		w.t.Errorf("%d writes of trust policies in the upgrade, and %q; want one", n, w.statements("reports"))
	}
	together := 0
	for _, h := range w.kubelet.alive() {
		for _, o := range old {
			together += h.log.count(`"msg":"standing by"`, `"leader":"`+o.pod.Name)
		}
	}
	if together == 0 {
		w.t.Error("no replica of the newer release ever stood by for one of the older")
	}
	w.runs("Upgrade", 0)
}

// uninstalled: what lanyard wired is listed, and stays; pods that run and pods that start
// have credentials.
func (w *works) uninstalled() {
	w.t.Helper()
	owned := func() (out []string) {
		var body struct {
			ServiceAccounts []struct {
				Namespace, ServiceAccount string
				Owned                     []string
			}
		}
		cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.operator.dir, "bin", "lanyard"), "audit", "--cluster", "irsa-lab", "--owned", "--fail-on", "never", "-o", "json")
		cmd.Env = w.env
		text, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != 0 && code != 2 {
			w.t.Fatalf("audit: %v", err)
		}
		w.must(json.Unmarshal(text, &body))
		for _, a := range body.ServiceAccounts {
			if a.Namespace == w.ns {
				out = append(out, a.ServiceAccount+": "+strings.Join(a.Owned, ", "))
			}
		}
		return out
	}
	w.runs("Uninstall", 0, 2)
	w.must(w.scale(0))
	w.stopped()
	w.runs("Uninstall", 0)
	if diff := gocmp.Diff([]string{"reports: trust", "uploader: annotation", "web: association, trust"}, owned()); diff != "" {
		w.t.Errorf("what bears lanyard's mark after uninstall (-want +got)\n%s", diff)
	}
	for _, name := range []string{"web", "reports", "uploader"} {
		w.restart(name)
	}
	w.must(w.prober.Close())
	judge := w.judgeOf(func(string) bool { return true })
	_, err := judge.Round(w.t.Context())
	w.must(err)
	r := judge.Report()
	for _, p := range r.Broken {
		w.t.Errorf("after uninstall: %s", p)
	}
	if r.Probes < 6 {
		w.t.Errorf("%d probes after uninstall, want one of each pod", r.Probes)
	}
	w.must(judge.Close())
}

// judgeOf is a judge of the pods of these ServiceAccounts. No agent's cache helps them.
func (w *works) judgeOf(named func(name string) bool) *prober.Prober {
	return prober.New(prober.Options{Client: w.kube, Clock: virtual.NewWallClock(), Region: "eu-west-1", Endpoint: w.url, Agents: w.fleet, Cold: true,
		Named: func(namespace, name string) bool { return namespace == w.ns && named(name) }})
}
