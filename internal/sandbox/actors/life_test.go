package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
)

// alive is a lab with nodes and a life.
type alive struct {
	*lab
	life   *actors.Life
	client kubernetes.Interface
	behave map[string]actors.Behaviour // by value of the label app
}

func newAlive(t *testing.T, objs ...runtime.Object) *alive {
	t.Helper()
	a := &alive{lab: newLab(t, 0, map[string]string{actors.RoleARNAnnotation: role}), behave: map[string]actors.Behaviour{}}
	a.client = a.cluster.Client("kube-controller-manager")
	a.life = actors.NewLife(actors.LifeOptions{Client: a.client, Clock: a.clock, Look: a.hook.Look, Region: "eu-west-1",
		Behave: func(p *corev1.Pod) actors.Behaviour { return a.behave[p.Labels["app"]] }})
	if err := a.cluster.Seed(actors.NewNode("ec2-1", actors.EC2), actors.NewNode("ec2-2", actors.EC2)); err != nil {
		t.Fatal(err)
	}
	if err := a.cluster.Seed(objs...); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	return a
}

func (a *alive) settle(t *testing.T) {
	t.Helper()
	if err := a.life.Settle(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
}

func (a *alive) pods(t *testing.T, ns string) []corev1.Pod {
	t.Helper()
	list, err := a.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// show is one pod on a line: phase, readiness, what it was given.
func show(p corev1.Pod) string {
	ready := "unready"
	if actors.Ready(&p) {
		ready = "ready"
	}
	return fmt.Sprintf("%s %s %s", p.Status.Phase, ready, given(&p))
}

func (a *alive) wantPods(t *testing.T, ns string, want ...string) []corev1.Pod {
	t.Helper()
	pods := a.pods(t, ns)
	var got []string
	for _, p := range pods {
		got = append(got, show(p))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pods in %s (-want +got):\n%s", ns, diff)
	}
	return pods
}

func template(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{ServiceAccountName: "s3-reader", Containers: []corev1.Container{{Name: "main", Image: "app:1"}}},
	}
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func deployment(replicas int32) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}}
	d.Spec = appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector("web"), Template: template("web")}
	return d
}

func TestDeploymentComesUpInjected(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(3))
	pods := a.wantPods(t, "demo", "Running ready irsa", "Running ready irsa", "Running ready irsa")
	rs, err := a.client.AppsV1().ReplicaSets("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(rs.Items) != 1 {
		t.Fatalf("%d ReplicaSets, %v, want one", len(rs.Items), err)
	}
	if o := metav1.GetControllerOf(&rs.Items[0]); o == nil || o.Kind != "Deployment" || o.Name != "web" {
		t.Errorf("the ReplicaSet's owner is %+v", o)
	}
	nodes := map[string]int{}
	for _, p := range pods {
		if o := metav1.GetControllerOf(&p); o == nil || o.Kind != "ReplicaSet" || o.UID != rs.Items[0].UID {
			t.Errorf("pod %s is owned by %+v", p.Name, o)
		}
		nodes[p.Spec.NodeName]++
	}
	if len(nodes) != 2 {
		t.Errorf("pods per node: %v, want both used", nodes)
	}
	d, err := a.client.AppsV1().Deployments("demo").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || d.Status.AvailableReplicas != 3 || d.Status.UpdatedReplicas != 3 || d.Status.ObservedGeneration != d.Generation {
		t.Errorf("status = %+v, %v", d.Status, err)
	}
	if n, err := a.life.Step(t.Context()); n != 0 || err != nil {
		t.Errorf("a settled world makes %d writes, %v", n, err)
	}
}

func TestRolloutRestartKeepsPodsAvailable(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(4))
	before := a.pods(t, "demo")
	a.eks["demo/s3-reader"] = true
	if err := a.life.Restart(t.Context(), "Deployment", "demo", "web"); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		n, err := a.life.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ready, all := 0, 0
		for _, p := range a.pods(t, "demo") {
			if p.DeletionTimestamp == nil {
				all++
				if actors.Ready(&p) {
					ready++
				}
			}
		}
		if ready < 3 || all > 5 {
			t.Fatalf("%d ready of %d, want at least 3 and at most 5 (25%% of 4)", ready, all)
		}
		if n == 0 {
			due, ok := a.life.Due()
			if !ok {
				break
			}
			a.clock.Advance(due.Sub(a.clock.Now()))
		}
	}
	after := a.wantPods(t, "demo", slices.Repeat([]string{"Running ready pod-identity"}, 4)...)
	for _, p := range after {
		if slices.ContainsFunc(before, func(b corev1.Pod) bool { return b.UID == p.UID }) {
			t.Errorf("pod %s outlived the restart", p.Name)
		}
		if p.Annotations[actors.RestartedAtAnnotation] == "" {
			t.Errorf("pod %s lacks the template's annotation", p.Name)
		}
	}
}

func TestRecreateStopsFirst(t *testing.T) {
	t.Parallel()
	d := deployment(2)
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	a := newAlive(t, d)
	if err := a.life.Restart(t.Context(), "Deployment", "demo", "web"); err != nil {
		t.Fatal(err)
	}
	sawNone := false
	for range 100 {
		n, err := a.life.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sawNone = sawNone || len(a.pods(t, "demo")) == 0
		if due, ok := a.life.Due(); n == 0 && ok {
			a.clock.Advance(due.Sub(a.clock.Now()))
		} else if n == 0 {
			break
		}
	}
	a.wantPods(t, "demo", "Running ready irsa", "Running ready irsa")
	if !sawNone {
		t.Error("old and new pods ran at once")
	}
}

func TestPausedRolloutStands(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(2))
	d, err := a.client.AppsV1().Deployments("demo").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Paused = true
	d.Spec.Template.Spec.Containers[0].Image = "app:2"
	if _, err := a.client.AppsV1().Deployments("demo").Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := a.life.Scale(t.Context(), "Deployment", "demo", "web", 3); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	pods := a.wantPods(t, "demo", slices.Repeat([]string{"Running ready irsa"}, 3)...)
	for _, p := range pods {
		if p.Spec.Containers[0].Image != "app:1" {
			t.Errorf("pod %s moved on while paused", p.Name)
		}
	}
}

func TestScaleDownAndDelete(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(3))
	if err := a.life.Scale(t.Context(), "Deployment", "demo", "web", 1); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready irsa")
	if err := a.client.AppsV1().Deployments("demo").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo")
}

func TestEvictionWithBudget(t *testing.T) {
	t.Parallel()
	one := intstr.FromInt32(1)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: selector("web")}}
	a := newAlive(t, deployment(2), budget)
	pods := a.pods(t, "demo")
	a.eks["demo/s3-reader"] = true
	if err := a.life.Evict(t.Context(), "demo", pods[0].Name); err != nil {
		t.Fatal(err)
	}
	if err := a.life.Evict(t.Context(), "demo", pods[1].Name); !apierrors.IsTooManyRequests(err) {
		t.Errorf("second eviction: got %v, want it refused", err)
	}
	if _, err := a.life.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.life.Evict(t.Context(), "demo", pods[1].Name); !apierrors.IsTooManyRequests(err) {
		t.Errorf("eviction before the replacement is Ready: got %v, want it refused", err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready irsa", "Running ready pod-identity")
	if err := a.life.Evict(t.Context(), "demo", pods[1].Name); err != nil {
		t.Errorf("eviction afterwards: %v", err)
	}
}

func TestCrashIsNotAdmittedAgain(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(1))
	before := a.pods(t, "demo")[0]
	a.eks["demo/s3-reader"] = true
	if err := a.life.Crash(t.Context(), "demo", before.Name); err != nil {
		t.Fatal(err)
	}
	a.wantPods(t, "demo", "Running unready irsa")
	a.settle(t)
	after := a.wantPods(t, "demo", "Running ready irsa")[0]
	if after.UID != before.UID || after.Status.ContainerStatuses[0].RestartCount != 1 {
		t.Errorf("uid %s restarts %d, want the same pod with one restart", after.UID, after.Status.ContainerStatuses[0].RestartCount)
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(1))
	a.behave["web"] = actors.Behaviour{StartUp: time.Second, CrashLoops: true}
	restarts := func() int32 {
		a.settle(t)
		return a.wantPods(t, "demo", "Running unready irsa")[0].Status.ContainerStatuses[0].RestartCount
	}
	if got := restarts(); got != 1 {
		t.Errorf("restarts = %d, want 1", got)
	}
	a.clock.Advance(10 * time.Second)
	if got := restarts(); got != 2 {
		t.Errorf("restarts = %d after 10 s, want 2", got)
	}
	a.clock.Advance(19 * time.Second)
	if got := restarts(); got != 2 {
		t.Errorf("restarts = %d after 19 s more, want 2: the back-off doubles", got)
	}
	delete(a.behave, "web")
	a.settle(t)
	a.wantPods(t, "demo", "Running ready irsa")
}

func TestFargate(t *testing.T) {
	t.Parallel()
	a := newAlive(t)
	a.cluster.SetAdmission(actors.Admissions{actors.FargateAdmission{Profiles: func() []actors.FargateProfile {
		return []actors.FargateProfile{{Name: "fp", Selectors: []actors.FargateSelector{{Namespace: "de?o", Labels: map[string]string{"app": "w*"}}}}}
	}}, a.hook})
	if err := a.cluster.Seed(deployment(2), statefulSet(1)); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	seen := map[string]bool{}
	for _, p := range a.wantPods(t, "demo", "Running ready irsa", "Running ready irsa", "Running ready irsa") {
		fargate := p.Labels["app"] == "web"
		if got := strings.HasPrefix(p.Spec.NodeName, "fargate-ip-"); got != fargate {
			t.Errorf("pod %s is on %s", p.Name, p.Spec.NodeName)
		}
		if fargate && (p.Spec.SchedulerName != "fargate-scheduler" || p.Labels["eks.amazonaws.com/fargate-profile"] != "fp" || seen[p.Spec.NodeName]) {
			t.Errorf("pod %s: scheduler %s, labels %v, node %s", p.Name, p.Spec.SchedulerName, p.Labels, p.Spec.NodeName)
		}
		seen[p.Spec.NodeName] = true
		n, err := a.client.CoreV1().Nodes().Get(t.Context(), p.Spec.NodeName, metav1.GetOptions{})
		if err != nil || fargate != (n.Labels["eks.amazonaws.com/compute-type"] == "fargate") {
			t.Errorf("node %s: labels %v, %v", p.Spec.NodeName, n.Labels, err)
		}
	}
	if err := a.life.Scale(t.Context(), "Deployment", "demo", "web", 0); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	nodes, err := a.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 2 {
		t.Errorf("%d nodes, %v, want Fargate's gone with their pods", len(nodes.Items), err)
	}
}

func TestWindowsPodNeedsWindowsNode(t *testing.T) {
	t.Parallel()
	d := deployment(1)
	d.Spec.Template.Spec.NodeSelector = map[string]string{"kubernetes.io/os": "windows"}
	d.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "os", Value: "windows"}}
	a := newAlive(t, d)
	a.wantPods(t, "demo", "Pending unready irsa")
	if err := a.cluster.Seed(actors.NewNode("win", actors.Windows)); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	if p := a.wantPods(t, "demo", "Running ready irsa")[0]; p.Spec.NodeName != "win" {
		t.Errorf("the pod is on %s, want win", p.Spec.NodeName)
	}
}

func TestNodeGoneMovesPods(t *testing.T) {
	t.Parallel()
	a := newAlive(t, deployment(2))
	a.eks["demo/s3-reader"] = true
	if err := a.client.CoreV1().Nodes().Delete(t.Context(), "ec2-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready irsa", "Running ready pod-identity")
}

func TestRefusedPodIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := deployment(1)
	d.Spec.Template.Spec.ServiceAccountName = "later"
	a := newAlive(t, d)
	a.wantPods(t, "demo")
	if err := a.cluster.Seed(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "later"}}); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready none")
}

func TestLifeIsRepeatable(t *testing.T) {
	t.Parallel()
	var runs [2][]corev1.Pod
	for i := range runs {
		a := newAlive(t, deployment(3), statefulSet(2), actors.NewAgent())
		if err := a.life.Restart(t.Context(), "Deployment", "demo", "web"); err != nil {
			t.Fatal(err)
		}
		a.settle(t)
		runs[i] = a.pods(t, "")
	}
	if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}
