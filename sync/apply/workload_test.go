package apply_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

var (
	web     = live.WorkloadRef{Kind: "Deployment", Name: "web"}
	podsGVR = corev1.SchemeGroupVersion.WithResource("pods")
	webs    = appsv1.SchemeGroupVersion.WithResource("deployments")
)

// pod makes a pod of the subject that runs, and returns its uid.
func (w *world) pod(name string) string {
	w.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: subject.Namespace, Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{ServiceAccountName: subject.ServiceAccount, NodeName: "node-1", Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	w.must(w.kube.Seed(p))
	got, err := w.people.CoreV1().Pods(subject.Namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	w.must(err)
	return string(got.UID)
}

// running is the name of a pod that is there to stay, or nothing.
func (w *world) running(name string) string {
	w.t.Helper()
	p, err := w.people.CoreV1().Pods(subject.Namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil || p.DeletionTimestamp != nil {
		return ""
	}
	return p.Name
}

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{ServiceAccountName: subject.ServiceAccount, Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
}

func metaOf() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: subject.Namespace, Name: "web", Labels: map[string]string{"team": "demo"}, Annotations: map[string]string{"example.com/note": "kept"}}
}

func webDeployment() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metaOf(), Spec: appsv1.DeploymentSpec{Replicas: new(int32(3)), Template: template()}}
}

func webStatefulSet(partition *int32) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: metaOf(), Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3)), Template: template()}}
	if partition != nil {
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: partition}
	}
	return s
}

func webDaemonSet() *appsv1.DaemonSet {
	two := intstr.FromInt32(2)
	d := &appsv1.DaemonSet{ObjectMeta: metaOf(), Spec: appsv1.DaemonSetSpec{Template: template()}}
	d.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &two}}
	return d
}

// workload makes a workload, as Helm would, and returns its uid.
func (w *world) workload(o runtime.Object) string {
	w.t.Helper()
	w.must(w.kube.SeedAs("helm", o))
	uid, _ := w.fields(kindOf(o))["metadata"].(map[string]any)["uid"].(string)
	return uid
}

func kindOf(o runtime.Object) string {
	switch o.(type) {
	case *appsv1.StatefulSet:
		return "StatefulSet"
	case *appsv1.DaemonSet:
		return "DaemonSet"
	}
	return "Deployment"
}

func (w *world) deployment() *appsv1.Deployment {
	w.t.Helper()
	d, err := w.people.AppsV1().Deployments(subject.Namespace).Get(w.t.Context(), "web", metav1.GetOptions{})
	w.must(err)
	return d
}

// fields is the workload named web of a kind.
func (w *world) fields(kind string) map[string]any {
	w.t.Helper()
	var o any
	var err error
	switch apps := w.people.AppsV1(); kind {
	case "StatefulSet":
		o, err = apps.StatefulSets(subject.Namespace).Get(w.t.Context(), "web", metav1.GetOptions{})
	case "DaemonSet":
		o, err = apps.DaemonSets(subject.Namespace).Get(w.t.Context(), "web", metav1.GetOptions{})
	default:
		o, err = apps.Deployments(subject.Namespace).Get(w.t.Context(), "web", metav1.GetOptions{})
	}
	w.must(err)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	w.must(err)
	return fields
}

// shown is what a person would compare: all but what every write changes.
func shown(fields map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(fields)
	for _, key := range []string{"resourceVersion", "generation", "managedFields"} {
		unstructured.RemoveNestedField(out, "metadata", key)
	}
	return out
}

func step(a plan.Action) plan.Step { return plan.Step{Subject: subject, Action: a} }

// TestEvictionRefused: what a disruption budget says is handed on, and is tried again;
// two budgets of one pod are for a person.
func TestEvictionRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evict := step(plan.EvictPod{Pod: "web-1", UID: w.pod("web-1")})
	budget := func(name string) *policyv1.PodDisruptionBudget {
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: subject.Namespace, Name: name},
			Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
		b.Status.DesiredHealthy, b.Status.CurrentHealthy, b.Status.ObservedGeneration = 1, 1, 1
		return b
	}
	w.must(w.kube.Seed(budget("web")))
	check(t, w.apply(evict)[0], report.Failed, remedy.Retry, "evict pod demo/web-1: The disruption budget web needs 1 healthy pods and has 1 currently", "read back: unchanged")
	w.must(w.kube.Seed(budget("web-too")))
	check(t, w.apply(evict)[0], report.Failed, remedy.Hold, "leave the pod one PodDisruptionBudget")
	if w.running("web-1") == "" {
		t.Error("the pod is gone")
	}
}

// TestEvictionOfAnother: a pod of the same name that was made again stays, whenever it was.
func TestEvictionOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	uid := w.pod("web-1")
	evict := step(plan.EvictPod{Pod: "web-1", UID: uid})
	again := func() { w.kube.Remove(podsGVR, subject.Namespace, "web-1"); w.pod("web-1") }
	w.onLook = func(n int) {
		if n == 1 {
			again()
		}
	}
	if o := w.apply(evict)[0]; o.Result != report.Done || w.mutations() != 1 {
		t.Errorf("made again underway: got %s, %v with %d writes, want it done: that pod is gone", o.Result, o.Err, w.mutations())
	}
	if o := w.apply(evict)[0]; o.Result != report.Done || w.mutations() != 1 || o.Before != "" {
		t.Errorf("made again before: got %s, %v with %d writes in all, want it done and nothing sent", o.Result, o.Err, w.mutations())
	}
	if w.running("web-1") == "" {
		t.Error("another pod was evicted")
	}
	check(t, w.apply(step(plan.EvictPod{Pod: "web-1"}))[0], report.Skipped, remedy.Halt, "knows no uid of pod web-1")
}

// TestRestart: of each kind, with annotations on its template and without.
func TestRestart(t *testing.T) {
	t.Parallel()
	noted := webDeployment()
	noted.Spec.Template.Annotations = map[string]string{"example.com/a": "b"}
	restarted := webDeployment()
	restarted.Spec.Template.Annotations = map[string]string{live.RestartedAtAnnotation: "2026-11-22T00:00:00Z"}
	now := webDeployment()
	now.Spec.Template.Annotations = map[string]string{live.RestartedAtAnnotation: "2026-11-23T10:00:00+01:00"}
	for _, tt := range []struct {
		name      string
		o         runtime.Object
		old, want string
		others    map[string]any
	}{
		{"Deployment", webDeployment(), "", "2026-11-23T09:00:00Z", nil},
		{"with annotations", noted, "", "2026-11-23T09:00:00Z", map[string]any{"example.com/a": "b"}},
		{"restarted before", restarted, "2026-11-22T00:00:00Z", "2026-11-23T09:00:00Z", nil},
		{"within the same second", now, "2026-11-23T10:00:00+01:00", "2026-11-23T09:00:01Z", nil},
		{"StatefulSet", webStatefulSet(nil), "", "2026-11-23T09:00:00Z", nil},
		{"DaemonSet", webDaemonSet(), "", "2026-11-23T09:00:00Z", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := live.WorkloadRef{Kind: kindOf(tt.o), Name: "web"}
			uid := w.workload(tt.o)
			check(t, w.apply(step(plan.RestartWorkload{Workload: ref, UID: uid, Old: tt.old}))[0], report.Done, remedy.None)
			got, _, err := unstructured.NestedMap(w.fields(ref.Kind), "spec", "template", "metadata", "annotations")
			w.must(err)
			want := map[string]any{live.RestartedAtAnnotation: tt.want}
			for key, value := range tt.others {
				want[key] = value
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("annotations of the template (-want +got)\n%s", d)
			}
		})
	}
}

// underway calls f between the writer's own read and its patch.
type underway struct {
	apply.WorkloadWriter
	f func()
}

func (u underway) Patch(ctx context.Context, name string, patch []byte, o metav1.PatchOptions) error {
	u.f()
	return u.WorkloadWriter.Patch(ctx, name, patch, o)
}

// TestWorkloadChangesUnderway: whatever happens between look, read and patch, nothing is
// written over, and no other workload of the name is written to.
func TestWorkloadChangesUnderway(t *testing.T) {
	t.Parallel()
	restart := func(w *world) {
		d := w.deployment()
		d.Spec.Template.Annotations = map[string]string{live.RestartedAtAnnotation: "theirs"}
		_, err := w.people.AppsV1().Deployments(subject.Namespace).Update(w.t.Context(), d, metav1.UpdateOptions{})
		w.must(err)
	}
	pause := func(w *world) {
		d := w.deployment()
		d.Spec.Paused = true
		_, err := w.people.AppsV1().Deployments(subject.Namespace).Update(w.t.Context(), d, metav1.UpdateOptions{})
		w.must(err)
	}
	again := func(w *world) { w.kube.Remove(webs, subject.Namespace, "web"); w.workload(webDeployment()) }
	gone := func(w *world) { w.kube.Remove(webs, subject.Namespace, "web") }
	restarts := func(uid string) plan.Action { return plan.RestartWorkload{Workload: web, UID: uid} }
	pauses := func(uid string) plan.Action { return plan.PauseRollout{Workload: web, UID: uid, Why: "why"} }
	for _, tt := range []struct {
		name   string
		action func(uid string) plan.Action
		happen func(*world)
		class  remedy.Class
		result report.Result
		late   bool // after the writer's own read
	}{
		{"restarted before the read", restarts, restart, remedy.None, report.Done, false},
		{"restarted after the read", restarts, restart, remedy.Replan, report.Failed, true},
		{"restart, made again before the read", restarts, again, remedy.Replan, report.Skipped, false},
		{"restart, made again after the read", restarts, again, remedy.Replan, report.Failed, true},
		{"restart, gone before the read", restarts, gone, remedy.Replan, report.Skipped, false},
		{"restart, gone after the read", restarts, gone, remedy.Replan, report.Failed, true},
		{"paused by somebody before the read", pauses, pause, remedy.None, report.Done, false},
		{"paused by somebody after the read", pauses, pause, remedy.Replan, report.Failed, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := tt.action(w.workload(webDeployment()))
			if tt.late {
				inner := w.options.Workloads
				w.options.Workloads = func(kind, ns string) apply.WorkloadWriter { return underway{inner(kind, ns), func() { tt.happen(w) }} }
			} else {
				w.onLook = func(n int) {
					if n == 1 {
						tt.happen(w)
					}
				}
			}
			check(t, w.apply(step(a))[0], tt.result, tt.class)
			d, err := w.people.AppsV1().Deployments(subject.Namespace).Get(t.Context(), "web", metav1.GetOptions{})
			if err == nil && (d.Annotations[live.RolloutPausedMark] != "" || strings.HasPrefix(d.Spec.Template.Annotations[live.RestartedAtAnnotation], "2026")) {
				t.Errorf("lanyard wrote: %v %v", d.Annotations, d.Spec.Template.Annotations)
			}
		})
	}
}

// TestRestartTakenBack: a tool that put the template back has rolled the pods out by that:
// the plan is made anew, and nothing is taken for a restart that stands.
func TestRestartTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := plan.RestartWorkload{Workload: web, UID: w.workload(webDeployment()), Old: "2026-11-22T00:00:00Z"}
	check(t, w.apply(step(a))[0], report.Skipped, remedy.Replan, "says so no longer")
}

// TestPauseAndResume: of each kind a rollout is stopped where it is, and what stood before
// comes back to the last field.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	bare := webDeployment()
	bare.Annotations = nil
	scaled := webStatefulSet(new(int32(1)))
	for _, tt := range []struct {
		name string
		o    runtime.Object
		at   []string
		want any
	}{
		{"Deployment", webDeployment(), []string{"spec", "paused"}, true},
		{"Deployment without annotations", bare, []string{"spec", "paused"}, true},
		{"StatefulSet", webStatefulSet(new(int32(0))), []string{"spec", "updateStrategy", "rollingUpdate", "partition"}, int64(3)},
		{"StatefulSet with a partition", scaled, []string{"spec", "updateStrategy", "rollingUpdate", "partition"}, int64(3)},
		{"DaemonSet", webDaemonSet(), []string{"spec", "updateStrategy", "type"}, "OnDelete"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := live.WorkloadRef{Kind: kindOf(tt.o), Name: "web"}
			uid := w.workload(tt.o)
			before := shown(w.fields(ref.Kind))
			check(t, w.apply(step(plan.PauseRollout{Workload: ref, UID: uid, Why: "pod web-1 came up bare"}))[0], report.Done, remedy.None)
			paused := w.fields(ref.Kind)
			if got, _, err := unstructured.NestedFieldNoCopy(paused, tt.at...); err != nil || got != tt.want {
				t.Errorf("%v is %v (%v), want %v", tt.at, got, err, tt.want)
			}
			text, _, err := unstructured.NestedString(paused, "metadata", "annotations", live.RolloutPausedMark)
			if err != nil || !strings.Contains(text, `"why":"pod web-1 came up bare","at":"2026-11-23T09:00:00Z"`) {
				t.Errorf("the mark is %s (%v)", text, err)
			}
			check(t, w.apply(step(plan.PauseRollout{Workload: ref, UID: uid, Why: "another"}))[0], report.Done, remedy.None)
			if w.mutations() != 1 {
				t.Errorf("%d writes, want one: it was paused", w.mutations())
			}
			check(t, w.apply(step(plan.ResumeRollout{Workload: ref, UID: uid}))[0], report.Done, remedy.None)
			after := shown(w.fields(ref.Kind))
			if m, _, _ := unstructured.NestedMap(after, "metadata", "annotations"); len(m) == 0 {
				unstructured.RemoveNestedField(after, "metadata", "annotations") // of none, an empty map is left
			}
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("the workload before its pause and after it (-before +after)\n%s", d)
			}
		})
	}
}

// TestPauseOfOthers: what somebody else stopped is neither marked nor resumed, and what
// somebody changed since lanyard's pause stays as they left it.
func TestPauseOfOthers(t *testing.T) {
	t.Parallel()
	theirs := webDeployment()
	theirs.Spec.Paused = true
	onDelete := webStatefulSet(nil)
	onDelete.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	resumed := webDeployment()
	resumed.Annotations[live.RolloutPausedMark] = ourMark
	moved := webStatefulSet(new(int32(2)))
	moved.Annotations[live.RolloutPausedMark] = `{"why":"w","at":"t","fields":[{"path":"spec.updateStrategy.rollingUpdate.partition","was":0,"set":3}]}`
	idle := webStatefulSet(nil)
	idle.Spec.Replicas = new(int32(0))
	for _, tt := range []struct {
		name   string
		o      runtime.Object
		pause  bool
		writes int
	}{
		{"a pause of somebody's", theirs, true, 0},
		{"a resume of somebody's", theirs, false, 0},
		{"OnDelete, pause", onDelete, true, 0},
		{"OnDelete, resume", onDelete, false, 0},
		{"no replicas", idle, true, 0},
		{"resumed by hand", resumed, false, 1},
		{"a partition by hand", moved, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := live.WorkloadRef{Kind: kindOf(tt.o), Name: "web"}
			uid := w.workload(tt.o)
			before := shown(w.fields(ref.Kind))
			unstructured.RemoveNestedField(before, "metadata", "annotations", live.RolloutPausedMark)
			a := plan.Action(plan.ResumeRollout{Workload: ref, UID: uid})
			if tt.pause {
				a = plan.PauseRollout{Workload: ref, UID: uid, Why: "why"}
			}
			check(t, w.apply(step(a))[0], report.Done, remedy.None)
			if d := cmp.Diff(before, shown(w.fields(ref.Kind))); d != "" || w.mutations() != tt.writes {
				t.Errorf("%d writes, want %d (-before +after)\n%s", w.mutations(), tt.writes, d)
			}
		})
	}
}

// TestPauseAgain: lanyard's pause that somebody undid is made again, and what stood before
// the first is not forgotten.
func TestPauseAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := webDeployment()
	d.Annotations[live.RolloutPausedMark] = ourMark
	uid := w.workload(d)
	check(t, w.apply(step(plan.PauseRollout{Workload: web, UID: uid, Why: "again"}))[0], report.Done, remedy.None)
	if got := w.deployment(); !got.Spec.Paused || !strings.Contains(got.Annotations[live.RolloutPausedMark], `"why":"again"`) || strings.Count(got.Annotations[live.RolloutPausedMark], "spec.paused") != 1 {
		t.Errorf("paused %t, mark %s", got.Spec.Paused, got.Annotations[live.RolloutPausedMark])
	}
}

// TestMarkOfOthers: a mark that lanyard did not write is for a person, and leads to no write.
func TestMarkOfOthers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"yes", `{"fields":[{"path":"spec.replicas","was":0,"set":3}]}`, `[]`} {
		w := newWorld(t)
		d := webDeployment()
		d.Annotations[live.RolloutPausedMark] = text
		uid := w.workload(d)
		for _, a := range []plan.Action{plan.ResumeRollout{Workload: web, UID: uid}, plan.PauseRollout{Workload: web, UID: uid, Why: "w"}} {
			check(t, w.apply(step(a))[0], report.Skipped, remedy.Hold, "lanyard.io/rollout-paused of Deployment web is not as lanyard writes it", "take it off")
		}
		if w.mutations() != 0 {
			t.Errorf("mark %s: %d writes, want none", text, w.mutations())
		}
	}
}

// TestWithoutHands: an applier of another mode has no hand for workloads (law 7), and
// nobody has one for a Job.
func TestWithoutHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	uid, pod := w.workload(webDeployment()), w.pod("web-1")
	job := live.WorkloadRef{Kind: "Job", Name: "load"}
	w.more = []live.Workload{{Namespace: "demo", Kind: "Job", Name: "load", UID: "j", ServiceAccount: "reader"}}
	check(t, w.apply(step(plan.RestartWorkload{Workload: job, UID: "j"}))[0], report.Skipped, remedy.Hold, "Job load: lanyard restarts Deployments")
	check(t, w.apply(step(plan.RestartWorkload{Workload: web}))[0], report.Skipped, remedy.Halt, "knows no uid of Deployment web")
	w.options.Pods, w.options.Workloads = nil, nil
	for _, a := range []plan.Action{plan.EvictPod{Pod: "web-1", UID: pod}, plan.RestartWorkload{Workload: web, UID: uid},
		plan.PauseRollout{Workload: web, UID: uid}, plan.ResumeRollout{Workload: web, UID: uid}} {
		check(t, w.apply(step(a))[0], report.Skipped, remedy.Halt, "mode migrate's")
	}
	if w.mutations() != 0 {
		t.Errorf("%d writes, want none", w.mutations())
	}
}

// TestArgoRollout: a Rollout restarts by its own field, and a pause of lanyard's also
// stops a restart, which Argo's own pause does not.
func TestArgoRollout(t *testing.T) {
	t.Parallel()
	gvr := schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	w := newWorld(t)
	ref := live.WorkloadRef{Kind: "Rollout", Name: "web"}
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
		"metadata": map[string]any{"namespace": "demo", "name": "web", "uid": "r"}, "spec": map[string]any{"replicas": int64(3)}}}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{gvr: "RolloutList"}, object)
	w.options.Workloads = apply.Workloads(w.people, client)
	w.more = []live.Workload{{Namespace: "demo", Kind: "Rollout", Name: "web", UID: "r", ServiceAccount: "reader"}}
	spec := func() map[string]any {
		got, err := client.Resource(gvr).Namespace("demo").Get(t.Context(), "web", metav1.GetOptions{})
		w.must(err)
		return got.Object["spec"].(map[string]any)
	}
	do := func(a plan.Action, want map[string]any) report.Outcome {
		t.Helper()
		o := w.apply(step(a))[0]
		check(t, o, report.Done, remedy.None)
		if d := cmp.Diff(want, spec()); d != "" {
			t.Errorf("%s: spec (-want +got)\n%s", a, d)
		}
		return o
	}
	const at = "2026-11-23T09:00:00Z"
	do(plan.RestartWorkload{Workload: ref, UID: "r"}, map[string]any{"replicas": int64(3), "restartAt": at})
	o := do(plan.PauseRollout{Workload: ref, UID: "r", Why: "why"}, map[string]any{"replicas": int64(3), "paused": true})
	var after struct {
		Mark string `json:"lanyard.io/rollout-paused"`
	}
	w.must(json.Unmarshal([]byte(o.After), &after))
	if want := `{"why":"why","at":"` + at + `","fields":[{"path":"spec.paused","was":null,"set":true},{"path":"spec.restartAt","was":"` + at + `","set":null}]}`; after.Mark != want {
		t.Errorf("the mark is %s, want %s", after.Mark, want)
	}
	do(plan.ResumeRollout{Workload: ref, UID: "r"}, map[string]any{"replicas": int64(3), "restartAt": at})

	over, err := client.Resource(gvr).Namespace("demo").Get(t.Context(), "web", metav1.GetOptions{})
	w.must(err)
	over.Object["status"] = map[string]any{"restartedAt": at}
	_, err = client.Resource(gvr).Namespace("demo").Update(t.Context(), over, metav1.UpdateOptions{})
	w.must(err)
	do(plan.PauseRollout{Workload: ref, UID: "r", Why: "why"}, map[string]any{"replicas": int64(3), "restartAt": at, "paused": true})
	do(plan.ResumeRollout{Workload: ref, UID: "r"}, map[string]any{"replicas": int64(3), "restartAt": at})
	w.clock.Advance(time.Hour)
	do(plan.RestartWorkload{Workload: ref, UID: "r", Old: at}, map[string]any{"replicas": int64(3), "restartAt": "2026-11-23T10:00:00Z"})

	w.options.Workloads = apply.Workloads(w.people, dynamic.Interface(nil))
	check(t, w.apply(step(plan.RestartWorkload{Workload: ref, UID: "r", Old: at}))[0], report.Skipped, remedy.Hold, "Rollout web: lanyard restarts")
}
