package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

func owned(kind, name string) []metav1.OwnerReference {
	yes := true
	groups := map[string]string{"Job": "batch/v1", "CronJob": "batch/v1", "Rollout": "argoproj.io/v1alpha1", "ScaledJob": "keda.sh/v1alpha1"}
	return []metav1.OwnerReference{{APIVersion: cmp.Or(groups[kind], "apps/v1"), Kind: kind, Name: name, UID: types.UID("uid-" + name), Controller: &yes}}
}

func podOf(name, account, node string, owner []metav1.OwnerReference, spec *corev1.PodSpec) *corev1.Pod {
	if spec == nil {
		spec = &corev1.PodSpec{}
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, OwnerReferences: owner}, Spec: *spec}
	p.Spec.ServiceAccountName, p.Spec.NodeName = account, node
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func node(name string, labels map[string]string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
}

func template(account string, selector map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}},
		Spec: corev1.PodSpec{ServiceAccountName: account, NodeSelector: selector}}
}

func objectMeta(name string, owner ...metav1.OwnerReference) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "demo", Name: name, OwnerReferences: owner}
}

// fleet is one of everything.
func fleet() []kruntime.Object {
	two, yes, ignore := int32(2), true, admissionv1.Ignore
	agent := podOf("agent-1", "eks-pod-identity-agent", "ip-1", owned("DaemonSet", "eks-pod-identity-agent"), nil)
	unready := podOf("agent-2", "eks-pod-identity-agent", "ip-2", owned("DaemonSet", "eks-pod-identity-agent-hybrid"), nil)
	unready.Status.Conditions = nil
	agent.Namespace, unready.Namespace = "kube-system", "kube-system"
	windows := podOf("win", "iis", "ip-win", nil, &corev1.PodSpec{NodeSelector: map[string]string{"kubernetes.io/os": "windows"}})
	return []kruntime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo", Annotations: map[string]string{"lanyard.io/pause": "release"}}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "s3-reader", UID: "u-1",
			Annotations: map[string]string{"eks.amazonaws.com/role-arn": readerRole, "secret.example.com/x": "hunter2"}}},
		node("ip-1", map[string]string{"kubernetes.io/os": "linux"}), node("ip-2", nil),
		node("ip-win", map[string]string{"kubernetes.io/os": "windows"}),
		node("ip-auto", map[string]string{"eks.amazonaws.com/compute-type": "auto"}),
		node("x-fargate", map[string]string{"eks.amazonaws.com/compute-type": "fargate"}),
		agent, unready, windows,
		podOf("web-1", "s3-reader", "ip-1", owned("ReplicaSet", "web-abc"), injectedSpec(webEnv())),
		podOf("job-1", "s3-reader", "x-fargate", owned("Job", "night-1"), nil),
		podOf("lone", "s3-reader", "fargate-ip-10-0-0-1", nil, nil),
		podOf("bare", "s3-reader", "ip-1", nil, nil),
		&appsv1.Deployment{ObjectMeta: objectMeta("web"), Spec: appsv1.DeploymentSpec{Replicas: &two, Template: template("s3-reader", nil), Paused: true}},
		&appsv1.ReplicaSet{ObjectMeta: objectMeta("web-abc", owned("Deployment", "web")...), Spec: appsv1.ReplicaSetSpec{Template: template("s3-reader", nil)}},
		&appsv1.ReplicaSet{ObjectMeta: objectMeta("orphan"), Spec: appsv1.ReplicaSetSpec{Template: template("", nil)}},
		&appsv1.StatefulSet{ObjectMeta: objectMeta("db"), Spec: appsv1.StatefulSetSpec{Template: template("s3-reader", nil)}},
		&appsv1.DaemonSet{ObjectMeta: objectMeta("log"), Spec: appsv1.DaemonSetSpec{Template: template("log", map[string]string{"kubernetes.io/os": "windows"})}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3}},
		&batchv1.CronJob{ObjectMeta: objectMeta("night"), Spec: batchv1.CronJobSpec{Suspend: &yes, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template("s3-reader", nil)}}}},
		&batchv1.Job{ObjectMeta: objectMeta("night-1", owned("CronJob", "night")...), Spec: batchv1.JobSpec{Template: template("s3-reader", nil)},
			Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pod-identity-webhook"}, Webhooks: []admissionv1.MutatingWebhook{{Name: "iam-for-pods.amazonaws.com", FailurePolicy: &ignore}}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
	}
}

func TestObserveKubernetes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet()...)
	w.putRole(readerRole)
	s := w.observe(w.observer())
	wantNoGaps(t, s)
	f := s.Facts()
	if d := gocmp.Diff([]live.Namespace{{Name: "demo", Pause: "release"}}, f.Namespaces); d != "" {
		t.Errorf("namespaces (-want +got):\n%s", d)
	}
	a, _ := s.ServiceAccount(reader)
	if d := gocmp.Diff(map[string]string{"eks.amazonaws.com/role-arn": readerRole}, a.Annotations); d != "" || a.UID != "u-1" {
		t.Errorf("ServiceAccount (-want +got):\n%s", d)
	}
	if f.Webhook != (live.Webhook{Present: true, FailurePolicy: "Ignore"}) {
		t.Errorf("webhook: got %+v", f.Webhook)
	}
	type seen struct {
		Owner            live.WorkloadRef
		Fargate, Windows bool
	}
	pods := map[string]seen{}
	for _, p := range f.Pods {
		pods[p.Name] = seen{p.Owner, p.Fargate, p.Windows}
	}
	if d := gocmp.Diff(map[string]seen{
		"agent-1": {Owner: live.WorkloadRef{Kind: "DaemonSet", Name: "eks-pod-identity-agent"}},
		"agent-2": {Owner: live.WorkloadRef{Kind: "DaemonSet", Name: "eks-pod-identity-agent-hybrid"}},
		"bare":    {}, "win": {Windows: true}, "lone": {Fargate: true},
		"web-1": {Owner: live.WorkloadRef{Kind: "Deployment", Name: "web"}},
		"job-1": {Owner: live.WorkloadRef{Kind: "CronJob", Name: "night"}, Fargate: true},
	}, pods); d != "" {
		t.Errorf("pods (-want +got):\n%s", d)
	}
	var agents []string
	for _, n := range f.Nodes {
		if n.AgentReady {
			agents = append(agents, n.Name)
		}
	}
	if d := gocmp.Diff([]string{"ip-1", "ip-auto"}, agents); d != "" {
		t.Errorf("nodes with an agent (-want +got):\n%s", d)
	}
	app := map[string]string{"app": "x"}
	if d := gocmp.Diff([]live.Workload{
		{Namespace: "demo", Kind: "CronJob", Name: "night", ServiceAccount: "s3-reader", Replicas: 1, Suspended: true, PodLabels: app},
		{Namespace: "demo", Kind: "DaemonSet", Name: "log", ServiceAccount: "log", Replicas: 3, Rolling: true, PodLabels: app, OS: "windows", NodeSelector: map[string]string{"kubernetes.io/os": "windows"}},
		{Namespace: "demo", Kind: "Deployment", Name: "web", ServiceAccount: "s3-reader", Replicas: 2, Suspended: true, Rolling: true, PodLabels: app},
		{Namespace: "demo", Kind: "Job", Name: "night-1", ServiceAccount: "s3-reader", Replicas: 1, Done: true, PodLabels: app, Owner: live.WorkloadRef{Kind: "CronJob", Name: "night"}},
		{Namespace: "demo", Kind: "ReplicaSet", Name: "orphan", ServiceAccount: "default", Replicas: 1, PodLabels: app},
		{Namespace: "demo", Kind: "StatefulSet", Name: "db", ServiceAccount: "s3-reader", Replicas: 1, Rolling: true, PodLabels: app},
	}, f.Workloads); d != "" {
		t.Errorf("workloads (-want +got):\n%s", d)
	}
	for _, c := range w.kube.Actions() {
		if v := c.GetVerb(); v != "get" && v != "list" && v != "watch" {
			t.Errorf("Kubernetes call %s %s: want reads only", v, c.GetResource().Resource)
		}
	}
}

// TestOwnersThatNobodyReads: of a template that an unknown kind owns, something is
// always told, so that what it uses never looks unused.
func TestOwnersThatNobodyReads(t *testing.T) {
	t.Parallel()
	set := func(name, account string, replicas int32, owner []metav1.OwnerReference) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: objectMeta(name, owner...), Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Template: template(account, nil)}}
	}
	canary := set("checkout-2", "s3-reader", 1, owned("Rollout", "checkout"))
	canary.Spec.Template.Labels = map[string]string{"app": "canary"}
	stranger := owned("Deployment", "stranger")
	stranger[0].APIVersion = "example.com/v1"
	objects := []kruntime.Object{
		set("checkout-1", "s3-reader", 3, owned("Rollout", "checkout")), canary,
		set("checkout-0", "old-account", 0, owned("Rollout", "checkout")),
		set("web-abc", "s3-reader", 2, owned("Deployment", "web")),
		set("stranger-1", "s3-reader", 1, stranger),
		&batchv1.Job{ObjectMeta: objectMeta("scaled-1", owned("ScaledJob", "scaled")...), Spec: batchv1.JobSpec{Template: template("s3-reader", nil)}},
		&appsv1.StatefulSet{ObjectMeta: objectMeta("db", owned("Rollout", "db")...), Spec: appsv1.StatefulSetSpec{Template: template("s3-reader", nil)}},
		podOf("checkout-1-x", "s3-reader", "ip-1", owned("ReplicaSet", "checkout-1"), nil),
	}
	w := newWorld(t, objects...)
	o := w.observer()
	s := w.observe(o)
	app := map[string]string{"app": "x"}
	want := []live.Workload{
		{Namespace: "demo", Kind: "Deployment", Name: "stranger", UID: "uid-stranger", ServiceAccount: "s3-reader", Replicas: 1, PodLabels: app},
		{Namespace: "demo", Kind: "Job", Name: "scaled-1", ServiceAccount: "s3-reader", Replicas: 1, PodLabels: app, Owner: live.WorkloadRef{Kind: "ScaledJob", Name: "scaled"}},
		{Namespace: "demo", Kind: "Rollout", Name: "checkout", UID: "uid-checkout", ServiceAccount: "old-account", PodLabels: app},
		{Namespace: "demo", Kind: "Rollout", Name: "checkout", UID: "uid-checkout", ServiceAccount: "s3-reader", Replicas: 4, PodLabels: app},
		{Namespace: "demo", Kind: "StatefulSet", Name: "db", ServiceAccount: "s3-reader", Replicas: 1, Rolling: true, PodLabels: app, Owner: live.WorkloadRef{Kind: "Rollout", Name: "db"}},
	}
	if d := gocmp.Diff(want, s.Facts().Workloads); d != "" {
		t.Errorf("Observe: workloads (-want +got):\n%s", d)
	}
	if got := s.Facts().Pods[0].Owner; got != (live.WorkloadRef{Kind: "Rollout", Name: "checkout"}) {
		t.Errorf("the pod's owner: got %+v, want the Rollout", got)
	}
	looked, err := o.Look(t.Context(), reader)
	w.must(err)
	want = slices.DeleteFunc(want, func(w live.Workload) bool { return w.ServiceAccount != "s3-reader" })
	if d := gocmp.Diff(want, looked.Facts().Workloads); d != "" {
		t.Errorf("Look: workloads (-want +got):\n%s", d)
	}
}

// TestKubernetesGaps: a resource that may not be listed is a gap, soon, and no longer
// one when it may be.
func TestKubernetesGaps(t *testing.T) {
	t.Parallel()
	failures := []struct {
		name string
		err  error
		want live.GapReason
	}{
		{"refused", apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "", nil), live.GapRefused},
		{"throttled", apierrors.NewTooManyRequests("slow down", 1), live.GapThrottled},
		{"failed", apierrors.NewInternalError(fmt.Errorf("leader changed")), live.GapFailed},
	}
	for name, r := range resources(fake.NewClientset(), "") {
		for _, failure := range failures {
			t.Run(name+" "+failure.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, fleet()...)
				w.putRole(readerRole)
				w.kube.PrependReactor("list", name, func(clienttesting.Action) (bool, kruntime.Object, error) { return true, nil, failure.err })
				o := w.observer(func(o *Options) { o.Limits.Sync = 200 * time.Millisecond })
				for other, well := range o.watchers { // whatever else the machine does meanwhile
					if other != name {
						well.wait(t.Context())
					}
				}
				s := w.observe(o)
				wantGap(t, s, r.source, "", failure.want, name)
				_, pods := s.Pods(reader)
				_, made := s.Workloads(reader)
				_, account := s.ServiceAccount(identity.Subject{Namespace: "demo", ServiceAccount: "none"})
				for _, tt := range []struct {
					source live.Source
					got    live.Presence
					well   live.Presence
				}{{live.SourcePods, pods, live.Present}, {live.SourceWorkloads, made, live.Present}, {live.SourceServiceAccounts, account, live.Absent}} {
					want := tt.well
					if tt.source == r.source {
						want = live.Unknown
					}
					if tt.got != want {
						t.Errorf("presence by %s: got %s, want %s", tt.source, tt.got, want)
					}
				}
			})
		}
	}
}

// TestWatchThatBreaks: what an informer holds counts for a while after its watch
// broke, and not at all where it was refused.
func TestWatchThatBreaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet()...)
	o := w.observer()
	pods := o.watchers["pods"]
	failed := apierrors.NewInternalError(fmt.Errorf("leader changed"))
	pods.note(failed)
	if err := pods.unread(time.Hour); err != nil {
		t.Errorf("a watch that broke just now: got %v, want it to count", err)
	}
	if err := pods.unread(-1); err == nil {
		t.Error("a watch that broke long ago: got no error")
	}
	pods.note(apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil))
	if err := pods.unread(time.Hour); err == nil {
		t.Error("a watch that was refused: got no error")
	}
	pods.note(nil)
	if err := pods.unread(-1); err != nil {
		t.Errorf("a watch that came back: got %v", err)
	}
}

// TestDeadWatch: what a watch showed before its permission went stays to be shown,
// under a gap over the whole source that no lookup may take for a cut list.
func TestDeadWatch(t *testing.T) {
	t.Parallel()
	gone := apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "", nil)
	for name, source := range map[string]live.Source{
		"serviceaccounts": live.SourceServiceAccounts, "namespaces": live.SourceNamespaces, "nodes": live.SourceNodes,
		"pods": live.SourcePods, "replicasets": live.SourceWorkloads, "mutatingwebhookconfigurations": live.SourceWebhook,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fleet()...)
			w.putRole(readerRole)
			o := w.observer()
			before := w.observe(o).Facts()
			o.watchers[name].note(gone)
			s := w.observe(o)
			wantGap(t, s, source, "", live.GapRefused, name)
			after := *s.Facts()
			after.Gaps, after.ReadAt = nil, before.ReadAt
			if d := gocmp.Diff(before, &after); d != "" {
				t.Errorf("facts (-before +after):\n%s", d)
			}
		})
	}
}

// TestWatchThatDies: a watch that ended and is refused from then on, and one that nobody
// answers any more, make a gap of what they showed; an observer that goes on without
// them would take the past for the present.
func TestWatchThatDies(t *testing.T) {
	t.Parallel()
	pods := func(w *world) resource { return resources(w.kube, "")["pods"] }
	start := func(t *testing.T, w *world, r resource) *watcher {
		died, err := newWatcher(w.kube, r)
		w.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { died.informer.RunWithContext(ctx) })
		t.Cleanup(func() { cancel(); running.Wait() })
		died.wait(ctx)
		return died
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, fleet()...)
		r := pods(w)
		list, first, refuse := r.list, make(chan watch.Interface, 1), apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
		var gone atomic.Bool
		denied := make(chan struct{}, 100)
		r.list = func(ctx context.Context, o metav1.ListOptions) (kruntime.Object, error) {
			if gone.Load() {
				denied <- struct{}{}
				return nil, refuse
			}
			return list(ctx, o)
		}
		r.watch = func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			if gone.Load() {
				denied <- struct{}{}
				return nil, refuse
			}
			events := watch.NewFake()
			first <- events
			return events, nil
		}
		died := start(t, w, r)
		running := <-first
		if err := died.unread(time.Hour); err != nil {
			t.Fatalf("a watch that runs: got %v", err)
		}
		gone.Store(true)
		running.Stop()
		<-denied
		<-denied // so the first refusal was noted
		o := w.observer()
		o.watchers["pods"].note(died.failure())
		wantGap(t, w.observe(o), live.SourcePods, "", live.GapRefused, "pods: ")
		if err := died.unread(time.Hour); !refused(err) {
			t.Errorf("a watch that died: got %v, want the refusal", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, fleet()...)
		r := pods(w)
		asked := make(chan struct{}, 100)
		r.watch = func(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
			asked <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		died := start(t, w, r)
		<-asked
		if err := died.unread(time.Hour); err != nil {
			t.Errorf("asked a moment ago: got %v, want it to count", err)
		}
		err := died.unread(-1)
		if reason, _ := classify(err); err == nil || reason != live.GapFailed {
			t.Errorf("asked long ago: got %v, want a failure", err)
		}
	})
}

// TestAgentElsewhere: whoever may make a DaemonSet somewhere can give it the agent's
// name and labels; only kube-system's are the agent.
func TestAgentElsewhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		namespace, owner, label string
		want                    bool
	}{
		{"kube-system", "eks-pod-identity-agent", "", true},
		{"kube-system", "eks-pod-identity-agent-hybrid-bottlerocket", "", true},
		{"kube-system", "my-release", "eks-pod-identity-agent", true},
		{"kube-system", "eks-pod-identity-agents", "", false},
		{"demo", "eks-pod-identity-agent", "eks-pod-identity-agent", false},
		{"kube-system-2", "eks-pod-identity-agent-hybrid", "", false},
	} {
		pod := podOf("agent", "agent", "ip-1", owned("DaemonSet", tt.owner), nil)
		pod.Namespace, pod.Labels = tt.namespace, map[string]string{"app.kubernetes.io/name": tt.label}
		w := newWorld(t, node("ip-1", nil), pod)
		if got := w.observe(w.observer()).Facts().Nodes[0].AgentReady; got != tt.want {
			t.Errorf("DaemonSet %s/%s with label %q: agent ready %t, want %t", tt.namespace, tt.owner, tt.label, got, tt.want)
		}
	}
}

// TestNothingSecretIsKept: of an environment no value is cached or told, and of the
// objects only facts are.
func TestNothingSecretIsKept(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-do-not-keep"
	spec := injectedSpec(webEnv(), env("AWS_ACCESS_KEY_ID", secret, "AWS_SECRET_ACCESS_KEY", secret, "AWS_SESSION_TOKEN", secret, "DATABASE_URL", secret))
	spec.Containers = append(spec.Containers,
		corev1.Container{Name: "hand", Env: env("AWS_ROLE_ARN", secret, "AWS_WEB_IDENTITY_TOKEN_FILE", "/"+secret)},
		corev1.Container{Name: "uri", Env: env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://u:"+secret+"@"+secret+"/"+secret)},
		corev1.Container{Name: "profile", Env: env("AWS_PROFILE", secret), Command: []string{secret}})
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: secret})
	pod := podOf("web-1", "s3-reader", "ip-1", nil, spec)
	// What kubectl apply leaves on an object repeats it, environment and all.
	applied := map[string]string{"x": secret, corev1.LastAppliedConfigAnnotation: `{"spec":{"x":"` + secret + `"}}`}
	pod.Annotations = applied
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: secret}}
	account := &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "s3-reader", Annotations: applied},
		Secrets:    []corev1.ObjectReference{{Name: secret}},
	}
	d := &appsv1.Deployment{ObjectMeta: objectMeta("web"), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: *spec}}}
	d.Annotations, d.Spec.Template.Annotations = applied, applied
	kept := &corev1.Secret{ObjectMeta: objectMeta("kept"), StringData: map[string]string{secret: secret}, Data: map[string][]byte{"token": []byte(secret)}, Type: corev1.SecretTypeServiceAccountToken}
	kept.Annotations = map[string]string{corev1.ServiceAccountNameKey: "s3-reader", "x": secret}
	config := &corev1.ConfigMap{ObjectMeta: objectMeta("kept"), Data: map[string]string{"x": secret}}
	w := newWorld(t, pod, account, d, kept, config)
	o := w.observer()
	s := w.observe(o)
	looked, err := o.Look(t.Context(), reader)
	w.must(err)
	for _, s := range []*live.Snapshot{s, looked} {
		data, err := s.Facts().EncodeJSON()
		w.must(err)
		if len(s.Facts().Pods) != 1 || len(s.Facts().Pods[0].Containers) != 4 {
			t.Fatalf("pods: got %+v", s.Facts().Pods)
		}
		if i := strings.Index(string(data), secret); i >= 0 {
			t.Errorf("encoded facts: the secret stands in …%s", data[max(0, i-80):i])
		}
	}
	for name, watcher := range o.watchers {
		for _, item := range watcher.informer.GetStore().List() {
			if got := fmt.Sprintf("%+v", reflect.ValueOf(item).Elem()); strings.Contains(got, secret) {
				t.Errorf("cache of %s: the secret stands in %s", name, got)
			}
			if again, err := watcher.trim(item); err != nil || again != item {
				t.Errorf("trim of a cached object of %s: got %v, %v, want it unchanged", name, again, err)
			}
		}
	}
}

// TestMemoryOfPods: 20,000 pods as EKS makes them stay far below the target of 300 MiB.
func TestMemoryOfPods(t *testing.T) {
	spec := injectedSpec(webEnv())
	spec.Containers = append(spec.Containers, spec.Containers[0])
	pod := podOf("web-7c9d8b6f5d-abcde", "s3-reader", "ip-10-0-1-11.eu-west-1.compute.internal", owned("ReplicaSet", "web-7c9d8b6f5d"), spec)
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"` + strings.Repeat("x", 4000) + `":{}}}`)}}
	encoded, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	trim := resources(fake.NewClientset(), "")["pods"].trim
	const n = 2000
	kept := make([]any, 0, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		var p corev1.Pod
		if err := json.Unmarshal(encoded, &p); err != nil {
			t.Fatal(err)
		}
		item, err := trim(&p)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, item)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Logf("%d bytes a pod", each)
	if each > 5<<10 {
		t.Errorf("a cached pod: got %d bytes, want at most 5 KiB (20,000 pods in 100 MiB)", each)
	}
	runtime.KeepAlive(kept)
}

func TestManagersAndTool(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC))
	entry := func(manager, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationApply, Time: &at, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	got := managers([]metav1.ManagedFieldsEntry{
		entry("helm", `{"f:metadata":{"f:annotations":{".":{},"f:eks.amazonaws.com/role-arn":{},"f:meta.helm.sh/release-name":{}},"f:labels":{}}}`),
		entry("argocd-controller", `{"f:metadata":{"f:annotations":{"f:eks.amazonaws.com/role-arn":{},"f:lanyard.io/pause":{}}}}`),
		entry("kubectl", `{"f:secrets":{}}`), {Manager: "none"}, entry("broken", `{`),
	})
	want := []live.FieldManager{
		{Annotation: "eks.amazonaws.com/role-arn", Manager: "argocd-controller", Operation: "Apply", Time: at.Time},
		{Annotation: "eks.amazonaws.com/role-arn", Manager: "helm", Operation: "Apply", Time: at.Time},
		{Annotation: "lanyard.io/pause", Manager: "argocd-controller", Operation: "Apply", Time: at.Time},
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("managers (-want +got):\n%s", d)
	}
	type m = map[string]string
	for _, tt := range []struct {
		labels, annotations m
		want                string
	}{
		{nil, nil, ""},
		{m{"app.kubernetes.io/managed-by": "Helm"}, nil, "Helm"},
		{nil, m{"meta.helm.sh/release-name": "x"}, "Helm"},
		{m{"app.kubernetes.io/managed-by": "Helm"}, m{"argocd.argoproj.io/tracking-id": "x"}, "Argo CD"},
		{m{"argocd.argoproj.io/instance": "x"}, nil, "Argo CD"},
		{m{"kustomize.toolkit.fluxcd.io/name": "x"}, nil, "Flux"},
		{m{"helm.toolkit.fluxcd.io/name": "x", "app.kubernetes.io/managed-by": "Helm"}, nil, "Flux"},
		{m{"app.kubernetes.io/managed-by": "eksctl"}, nil, "eksctl"},
	} {
		if got := tool(tt.labels, tt.annotations); got != tt.want {
			t.Errorf("tool(%v, %v): got %q, want %q", tt.labels, tt.annotations, got, tt.want)
		}
	}
}

func TestOperatingSystem(t *testing.T) {
	t.Parallel()
	term := func(op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "kubernetes.io/os", Operator: op, Values: values}}}
	}
	affinity := func(terms ...corev1.NodeSelectorTerm) *corev1.PodSpec {
		return &corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}}
	}
	in := corev1.NodeSelectorOpIn
	for _, tt := range []struct {
		name string
		spec *corev1.PodSpec
		want string
	}{
		{"nothing", &corev1.PodSpec{}, ""},
		{"spec.os", &corev1.PodSpec{OS: &corev1.PodOS{Name: "windows"}}, "windows"},
		{"selector", &corev1.PodSpec{NodeSelector: map[string]string{"kubernetes.io/os": "windows"}}, "windows"},
		{"old selector", &corev1.PodSpec{NodeSelector: map[string]string{"beta.kubernetes.io/os": "windows"}}, "windows"},
		{"affinity", affinity(term(in, "windows")), "windows"},
		{"alternatives", affinity(term(in, "windows"), term(in, "linux")), ""},
		{"one alternative is open", affinity(term(in, "windows"), corev1.NodeSelectorTerm{}), ""},
		{"several values", affinity(term(in, "windows", "linux")), ""},
		{"not in", affinity(term(corev1.NodeSelectorOpNotIn, "linux")), ""},
	} {
		if got := operatingSystem(tt.spec); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
