//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/identityprobe"
	"github.com/lanyard-io/lanyard/migrate/outline"
)

const probeComponent = "../../deploy/kubernetes/components/identity-probe/"

// grantProbes applies what deploy/ ships for identity probes, until the test ends.
func grantProbes(t *testing.T) (all []*unstructured.Unstructured) {
	t.Helper()
	for _, file := range []string{"rbac.yaml", "admission.yaml"} {
		all = append(all, objectsOf(t, probeComponent+file)...)
	}
	apply(t, admin(t), all)
	t.Cleanup(func() {
		rbac, admission := adminClient(t).RbacV1(), adminClient(t).AdmissionregistrationV1()
		ctx, none := context.Background(), metav1.DeleteOptions{}
		if err := errors.Join(rbac.ClusterRoleBindings().Delete(ctx, "lanyard-identity-probe", none), rbac.ClusterRoles().Delete(ctx, "lanyard-identity-probe", none),
			admission.ValidatingAdmissionPolicyBindings().Delete(ctx, rights.JobPolicy, none), admission.ValidatingAdmissionPolicies().Delete(ctx, rights.JobPolicy, none)); err != nil {
			t.Error(err)
		}
	})
	return all
}

// ownImage is the image of lanyard's Deployment.
func (o *operator) ownImage() string {
	o.t.Helper()
	d, err := o.kube.AppsV1().Deployments(lanyardNamespace).Get(o.t.Context(), "lanyard", metav1.GetOptions{})
	o.must(err)
	return d.Spec.Template.Spec.Containers[0].Image
}

// TestJobPolicy: on a real API server the policy of deploy/ lets lanyard create the Job of
// an identity probe, as dry run and for real, whose pod Pod Security's strictest level
// admits; refuses each one that differs from it in
// anything, and does not concern anybody else.
func TestJobPolicy(t *testing.T) {
	o := newOperatorIn(t, "migrate", nil)
	grantProbes(t)
	image, mine := o.ownImage(), o.client()
	ask := migrate.IdentityAsk{Subject: identity.Subject{Namespace: o.ns, ServiceAccount: "irsa"}, Wanted: identity.IRSA}
	create := func(change func(*batchv1.Job), dry ...string) error {
		j := identityprobe.Job(ask, image)
		change(j)
		_, err := mine.BatchV1().Jobs(o.ns).Create(t.Context(), j, metav1.CreateOptions{DryRun: dry})
		return err
	}
	eventually(t, "a Job that is as it must be", func() error { return create(func(*batchv1.Job) {}, metav1.DryRunAll) })
	eventually(t, "a refusal by the policy, which the API server learns of by a watch", func() error {
		if err := create(func(j *batchv1.Job) { j.Name = "other" }, metav1.DryRunAll); !apierrors.IsForbidden(err) {
			return fmt.Errorf("another name: %w", err)
		}
		return nil
	})

	pod := func(change func(*corev1.PodSpec)) func(*batchv1.Job) {
		return func(j *batchv1.Job) { change(&j.Spec.Template.Spec) }
	}
	container := func(change func(*corev1.Container)) func(*batchv1.Job) {
		return func(j *batchv1.Job) { change(&j.Spec.Template.Spec.Containers[0]) }
	}
	const name, meta, once, bare, whoami, from = "by its name", "no other metadata", "runs one pod, once", "has one container, no volume", "runs lanyard whoami and nothing else", "runs the image of Deployment lanyard/lanyard"
	volume := corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}
	for _, tt := range []struct {
		name, says string
		change     func(*batchv1.Job)
	}{
		{"another name", name, func(j *batchv1.Job) { j.Name = "whoami" }},
		{"a longer name", name, func(j *batchv1.Job) { j.Name += "0" }},
		{"a generated name", name, func(j *batchv1.Job) { j.Name, j.GenerateName = "", "lanyard-whoami-0123456789a" }},
		{"no label", meta, func(j *batchv1.Job) {
			j.Labels, j.Spec.Template.Labels = map[string]string{"a": "b"}, map[string]string{"a": "b"}
		}},
		{"a label more", meta, func(j *batchv1.Job) {
			j.Labels = map[string]string{identity.ProbeLabel: identity.ProbeLabelValue, "app": "web"}
		}},
		{"a label of the pod more", meta, func(j *batchv1.Job) {
			j.Spec.Template.Labels = map[string]string{identity.ProbeLabel: identity.ProbeLabelValue, "app": "web"}
		}},
		{"a label of another value", meta, func(j *batchv1.Job) { j.Spec.Template.Labels = map[string]string{identity.ProbeLabel: "x"} }},
		{"an annotation", meta, func(j *batchv1.Job) { j.Annotations = map[string]string{"a": "b"} }},
		{"an annotation of the pod", meta, func(j *batchv1.Job) { j.Spec.Template.Annotations = map[string]string{"a": "b"} }},
		{"a finalizer", meta, func(j *batchv1.Job) { j.Finalizers = []string{"example.com/stay"} }},
		{"a finalizer of the pod", meta, func(j *batchv1.Job) { j.Spec.Template.Finalizers = []string{"example.com/stay"} }},
		{"an owner", meta, func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"}}
		}},
		{"two pods", once, func(j *batchv1.Job) { j.Spec.Parallelism, j.Spec.Completions = new(int32(2)), new(int32(2)) }},
		{"a second try", once, func(j *batchv1.Job) { j.Spec.BackoffLimit = new(int32(1)) }},
		{"a longer deadline", once, func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = new(int64(301)) }},
		{"no deadline", once, func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = nil }},
		{"kept for longer", once, func(j *batchv1.Job) { j.Spec.TTLSecondsAfterFinished = new(int32(301)) }},
		{"kept for ever", once, func(j *batchv1.Job) { j.Spec.TTLSecondsAfterFinished = nil }},
		{"suspended", once, func(j *batchv1.Job) { j.Spec.Suspend = new(true) }},
		{"indexed", once, func(j *batchv1.Job) { j.Spec.CompletionMode = new(batchv1.IndexedCompletion) }},
		{"managed by others", once, func(j *batchv1.Job) { j.Spec.ManagedBy = new("example.com/theirs") }},
		{"a policy of its own for failures", once, func(j *batchv1.Job) {
			j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionIgnore,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}}}
		}},

		{"a volume of the host", bare, pod(func(p *corev1.PodSpec) { p.Volumes = []corev1.Volume{volume} })},
		{"an empty volume", bare, pod(func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		})},
		{"a second container", bare, pod(func(p *corev1.PodSpec) {
			p.Containers = append(p.Containers, corev1.Container{Name: "two", Image: image})
		})},
		{"an init container", bare, pod(func(p *corev1.PodSpec) { p.InitContainers = []corev1.Container{{Name: "two", Image: image}} })},
		{"the host's network", bare, pod(func(p *corev1.PodSpec) { p.HostNetwork = true })},
		{"the host's processes", bare, pod(func(p *corev1.PodSpec) { p.HostPID = true })},
		{"the host's IPC", bare, pod(func(p *corev1.PodSpec) { p.HostIPC = true })},
		{"shared processes", bare, pod(func(p *corev1.PodSpec) { p.ShareProcessNamespace = new(true) })},
		{"a node by name", bare, pod(func(p *corev1.PodSpec) { p.NodeName = "ip-10-0-1-11" })},
		{"another node selector", bare, pod(func(p *corev1.PodSpec) { p.NodeSelector["a"] = "b" })},
		{"an affinity", bare, pod(func(p *corev1.PodSpec) { p.Affinity = &corev1.Affinity{} })},
		{"a toleration", bare, pod(func(p *corev1.PodSpec) { p.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} })},
		{"a priority", bare, pod(func(p *corev1.PodSpec) { p.PriorityClassName = "system-node-critical" })},
		{"a runtime", bare, pod(func(p *corev1.PodSpec) { p.RuntimeClassName = new("gvisor") })},
		{"another scheduler", bare, pod(func(p *corev1.PodSpec) { p.SchedulerName = "theirs" })},
		{"a token of the API server", bare, pod(func(p *corev1.PodSpec) { p.AutomountServiceAccountToken = new(true) })},
		{"a token by default", bare, pod(func(p *corev1.PodSpec) { p.AutomountServiceAccountToken = nil })},
		{"pull secrets", bare, pod(func(p *corev1.PodSpec) { p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "theirs"}} })},
		{"restarts", bare, pod(func(p *corev1.PodSpec) { p.RestartPolicy = corev1.RestartPolicyOnFailure })},
		{"a longer end", bare, pod(func(p *corev1.PodSpec) { p.TerminationGracePeriodSeconds = new(int64(60)) })},
		{"another DNS", bare, pod(func(p *corev1.PodSpec) { p.DNSPolicy = corev1.DNSDefault })},
		{"another host", bare, pod(func(p *corev1.PodSpec) {
			p.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"sts.amazonaws.com"}}}
		})},
		{"as root", bare, pod(func(p *corev1.PodSpec) {
			p.SecurityContext.RunAsNonRoot, p.SecurityContext.RunAsUser = new(false), new(int64(0))
		})},
		{"no seccomp", bare, pod(func(p *corev1.PodSpec) { p.SecurityContext.SeccompProfile = nil })},
		{"a sysctl", bare, pod(func(p *corev1.PodSpec) {
			p.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "kernel.shm_rmid_forced", Value: "1"}}
		})},
		{"a resource claim", bare, pod(func(p *corev1.PodSpec) {
			p.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("gpu")}}
		})},

		{"another image", from, container(func(c *corev1.Container) { c.Image = "registry.example/theirs:1" })},
		{"another tag", from, container(func(c *corev1.Container) { c.Image += "1" })},
		{"a command", whoami, container(func(c *corev1.Container) { c.Command = []string{"/bin/sh"} })},
		{"other arguments", whoami, container(func(c *corev1.Container) { c.Args = []string{"run"} })},
		{"an argument more", whoami, container(func(c *corev1.Container) { c.Args = append(c.Args, "--help") })},
		{"a variable", whoami, container(func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "AWS_ENDPOINT_URL", Value: "http://192.0.2.1"}}
		})},
		{"variables from a Secret", whoami, container(func(c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "theirs"}}}}
		})},
		{"privileged", whoami, container(func(c *corev1.Container) {
			c.SecurityContext.Privileged, c.SecurityContext.AllowPrivilegeEscalation = new(true), new(true)
		})},
		{"escalation", whoami, container(func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = new(true) })},
		{"a capability", whoami, container(func(c *corev1.Container) { c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"} })},
		{"a root that may be written", whoami, container(func(c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = new(false) })},
		{"another user", whoami, container(func(c *corev1.Container) { c.SecurityContext.RunAsUser = new(int64(1)) })},
		{"no security context", whoami, container(func(c *corev1.Container) { c.SecurityContext = nil })},
		{"more memory", whoami, container(func(c *corev1.Container) { c.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi") })},
		{"no limits", whoami, container(func(c *corev1.Container) { c.Resources.Limits = nil })},
		{"a port", whoami, container(func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} })},
		{"a probe", whoami, container(func(c *corev1.Container) {
			c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sh"}}}}
		})},
		{"a hook", whoami, container(func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh"}}}}
		})},
		{"its log as the message", whoami, container(func(c *corev1.Container) { c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError })},
		{"a message elsewhere", whoami, container(func(c *corev1.Container) { c.TerminationMessagePath = "/tmp/x" })},
		{"another directory", whoami, container(func(c *corev1.Container) { c.WorkingDir = "/tmp" })},
		{"another container's name", whoami, container(func(c *corev1.Container) { c.Name = "main" })},
		{"a terminal", whoami, container(func(c *corev1.Container) { c.Stdin, c.TTY = true, true })},
	} {
		err := create(tt.change, metav1.DryRunAll)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "lanyard-creates-identity-probes-only") || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want it forbidden, with %q", tt.name, err, tt.says)
		}
	}
	_, err := o.kube.CoreV1().Namespaces().Patch(t.Context(), o.ns, types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{})
	o.must(err)
	o.must(create(func(*batchv1.Job) {}))
	eventually(t, "the Job's pod", func() error {
		list, err := o.kube.CoreV1().Pods(o.ns).List(t.Context(), metav1.ListOptions{LabelSelector: identity.ProbeLabel + "=" + identity.ProbeLabelValue})
		if err != nil {
			return err
		}
		return want("pods", len(list.Items), 1)
	})
	theirs := identityprobe.Job(ask, "registry.example/theirs:1")
	theirs.Name, theirs.Labels = "theirs", nil
	_, err = o.kube.BatchV1().Jobs(o.ns).Create(t.Context(), theirs, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	o.must(err)
}

// patientKubelet keeps kwok from ending the pods of identity probes: the test's own kubelet
// says what they leave.
func patientKubelet(t *testing.T) {
	t.Helper()
	own, api, ctx := metav1.ObjectMeta{Name: "test-patient-kubelet"}, adminClient(t).AdmissionregistrationV1(), t.Context()
	_, err := api.MutatingAdmissionPolicies().Create(ctx, &admissionv1.MutatingAdmissionPolicy{ObjectMeta: own, Spec: admissionv1.MutatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{identity.ProbeLabel: identity.ProbeLabelValue}},
			ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}}},
		ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionv1.ApplyConfiguration{
			Expression: fmt.Sprintf(`Object{metadata: Object.metadata{annotations: {%q: "runs-on"}}}`, fate)}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(api.MutatingAdmissionPolicyBindings().Delete(context.Background(), own.Name, metav1.DeleteOptions{}), api.MutatingAdmissionPolicies().Delete(context.Background(), own.Name, metav1.DeleteOptions{})); err != nil {
			t.Error(err)
		}
	})
	if _, err = api.MutatingAdmissionPolicyBindings().Create(ctx, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: own, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: own.Name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// probing returns the Jobs and the pods of identity probes in the test's namespace.
func (m *moving) probing() ([]batchv1.Job, []corev1.Pod, error) {
	label := metav1.ListOptions{LabelSelector: identity.ProbeLabel + "=" + identity.ProbeLabelValue}
	jobs, err := m.kube.BatchV1().Jobs(m.ns).List(m.t.Context(), label)
	if err != nil {
		return nil, nil, err
	}
	pods, err := m.kube.CoreV1().Pods(m.ns).List(m.t.Context(), label)
	if err != nil {
		return nil, nil, err
	}
	return jobs.Items, pods.Items, nil
}

// probed waits until so many identity probes run, or none is left.
func (m *moving) probed(n int) (pod corev1.Pod) {
	m.t.Helper()
	patiently(m.t, fmt.Sprintf("%d identity probes", n), func() error {
		jobs, pods, err := m.probing()
		if len(pods) > 0 {
			pod = pods[0]
		}
		return errors.Join(err, want("Jobs", len(jobs), n), want("pods", len(pods), n))
	})
	return pod
}

// says ends the container of a probe's pod as the kubelet does, with what it left. The
// pod itself runs on, as one with a container that others injected does.
func (m *moving) says(p corev1.Pod, message string) {
	m.t.Helper()
	eventually(m.t, "the pod of an identity probe runs", func() error {
		got, err := m.kube.CoreV1().Pods(m.ns).Get(m.t.Context(), p.Name, metav1.GetOptions{})
		if err != nil || got.Status.Phase != corev1.PodRunning || len(got.Status.ContainerStatuses) != 1 {
			return fmt.Errorf("%s, %w", got.Status.Phase, err)
		}
		got.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", Message: message}}
		_, err = m.kube.CoreV1().Pods(m.ns).UpdateStatus(m.t.Context(), got, metav1.UpdateOptions{})
		return err
	})
}

// answers waits for what the plan shows of a ServiceAccount's identity probe, and holds
// that the status shows the same.
func (d *daemon) answers(name, result string) outline.IdentityProbe {
	d.o.t.Helper()
	var found outline.IdentityProbe
	patiently(d.o.t, "identity probe of "+name+": "+result, func() error {
		var plan struct{ Migration outline.Outline }
		if code, err := d.get("/api/v1/plan", apiToken, &plan); err != nil || code != 200 {
			return fmt.Errorf("the plan: %d, %w", code, err)
		}
		w, err := plan.Migration.Only(d.o.ns, name)
		if err != nil || w.Workloads[0].IdentityProbe == nil {
			return fmt.Errorf("the plan shows none: %w", err)
		}
		found = *w.Workloads[0].IdentityProbe
		var now app.Status
		if code, err := d.get("/api/v1/status", apiToken, &now); err != nil || code != 200 {
			return fmt.Errorf("the status: %d, %w", code, err)
		}
		got := ""
		for _, p := range now.IdentityProbes {
			if p.Namespace == d.o.ns && p.ServiceAccount == name {
				got = p.Result
			}
		}
		return errors.Join(want("in the plan", found.Result, result), want("in the status", got, result))
	})
	return found
}

// scrape returns the samples of a metric that are not 0.
func (d *daemon) scrape(prefix string) string {
	d.o.t.Helper()
	answer, err := http.Get("http://" + d.Addr().String() + "/metrics")
	d.o.must(err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	d.o.must(err)
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return !strings.HasPrefix(l, prefix) || strings.HasSuffix(l, " 0") })
	return strings.Join(lines, "\n")
}

// TestIdentityProbe: a workload crosses and settles, whatever its identity probe says and
// whether or not it says anything. The probe runs under the workload's ServiceAccount with
// what the webhook gives it, is shown everywhere, and is gone afterwards: once it has
// spoken, when the feature is turned off, and when a process before this one left it.
func TestIdentityProbe(t *testing.T) {
	m := newMoving(t)
	component := grantProbes(t)
	patientKubelet(t)
	m.subject("web")
	m.deployment("web", "web", 2)
	eventually(t, "the fleet", func() error { return m.runs(identity.IRSA, map[string]int{"web": 2}) })
	const more = "budgets: {removalsPerHour: 1000, changesPerRound: 100}\n"
	m.configure(more + "features: {identityProbe: true}\n")
	m.declare("pod-identity", "web")

	// A process before this one was killed.
	left := identityprobe.Job(migrate.IdentityAsk{Subject: identity.Subject{Namespace: m.ns, ServiceAccount: "gone"}}, m.ownImage())
	_, err := m.kube.BatchV1().Jobs(m.ns).Create(t.Context(), left, metav1.CreateOptions{})
	m.must(err)
	d := m.run("one")
	eventually(t, "the leftover is removed", func() error {
		_, err := m.kube.BatchV1().Jobs(m.ns).Get(t.Context(), left.Name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})

	// It says nothing yet, and the workload settles.
	patiently(t, "web settles on Pod Identity", func() error {
		return errors.Join(m.runs(identity.PodIdentity, map[string]int{"web": 3}), m.wired("web", identity.PodIdentity, "pod-identity"))
	})
	p := m.probed(1)
	if p.Spec.ServiceAccountName != "web" || side(&p) != identity.PodIdentity || p.Spec.Containers[0].Image != m.ownImage() {
		t.Errorf("the probe runs %s under %s on %s", p.Spec.Containers[0].Image, p.Spec.ServiceAccountName, side(&p))
	}
	d.answers("web", "pending")
	m.says(p, fmt.Sprintf(`{"account":%q,"role":"web","session":"arn:aws:sts::%s:assumed-role/web/eks-x","mechanism":"container","wiring":"pod-identity","found":[]}`, labAccount, labAccount))
	if got := d.answers("web", "as-git"); !strings.HasSuffix(got.Session, "assumed-role/web/eks-x") || got.Role != roleNamed("web") {
		t.Errorf("the plan shows %+v", got)
	}
	if e := m.told("web", "IdentityProbe", "as-git"); e.Type != corev1.EventTypeNormal {
		t.Errorf("%s Event %q, want a normal one", e.Type, e.Note)
	}
	if total := d.scrape("lanyard_identity_probes_total{"); total != `lanyard_identity_probes_total{result="as-git"} 1` {
		t.Errorf("the metrics count %s", total)
	}
	m.probed(0)
	d.rounds(5)
	m.probed(0)

	// Back. The feature is turned off while the probe waits, and on again.
	m.declare("irsa", "web")
	patiently(t, "web settles on IRSA", func() error {
		return errors.Join(m.runs(identity.IRSA, map[string]int{"web": 3}), m.wired("web", identity.IRSA, "irsa"))
	})
	m.probed(1)
	m.configure(more)
	m.probed(0)
	m.configure(more + "features: {identityProbe: true}\n")
	d.rounds(3)
	m.probed(0) // at rest nobody is asked about: another process has not seen it cross

	var jobs []string
	granted := append(grants(t, manifests(t, overlays+m.mode)), grants(t, component)...)
	asked := m.asked()
	for _, r := range asked {
		// A Job that TestJobPolicy has left in its own namespace is removed too.
		if r.ObjectRef.Resource == "jobs" && r.ObjectRef.APIGroup == "batch" && r.ObjectRef.Namespace == m.ns && (r.Verb == "create" || r.Verb == "delete") {
			jobs = append(jobs, fmt.Sprint(r.Verb, " ", r.ResponseStatus.Code))
		}
		if r.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("refused: %s %s", r.Verb, r.RequestURI)
		}
	}
	if got := strings.Join(jobs, ", "); got != "delete 200, create 201, delete 200, create 201, delete 200" {
		t.Errorf("lanyard has asked: %s; want each Job created once and deleted once", got)
	}
	missing, _ := differences(granted, asked)
	_, extra := differences(grants(t, component), asked)
	if len(missing)+len(extra) > 0 {
		t.Errorf("asked, and not granted by deploy/: %q; granted by the component, and not asked: %q", missing, extra)
	}
}
