package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
)

func statefulSet(replicas int32) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "db"}}
	s.Spec = appsv1.StatefulSetSpec{Replicas: &replicas, Selector: selector("db"), Template: template("db"), ServiceName: "db"}
	return s
}

func TestStatefulSetPartition(t *testing.T) {
	t.Parallel()
	a := newAlive(t, statefulSet(3))
	names := func() (out []string) {
		for _, p := range a.pods(t, "demo") {
			out = append(out, p.Name+" "+given(&p))
		}
		return out
	}
	if diff := cmp.Diff([]string{"db-0 irsa", "db-1 irsa", "db-2 irsa"}, names()); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	a.eks["demo/s3-reader"] = true
	s, err := a.client.AppsV1().StatefulSets("demo").Get(t.Context(), "db", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	two := int32(2)
	s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &two}
	if _, err := a.client.AppsV1().StatefulSets("demo").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := a.life.Restart(t.Context(), "StatefulSet", "demo", "db"); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	if diff := cmp.Diff([]string{"db-0 irsa", "db-1 irsa", "db-2 pod-identity"}, names()); diff != "" {
		t.Errorf("pods with partition 2 (-want +got):\n%s", diff)
	}
	// A pod below the partition that goes is made again of the old template.
	if err := a.life.Evict(t.Context(), "demo", "db-0"); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	p, err := a.client.CoreV1().Pods("demo").Get(t.Context(), "db-0", metav1.GetOptions{})
	if err != nil || p.Annotations[actors.RestartedAtAnnotation] != "" {
		t.Errorf("db-0: annotations %v, %v, want the old template's", p.Annotations, err)
	}
}

// TestRolloutStopsInTheMiddle: a partition above all pods, OnDelete and a pause each keep
// a rollout where it is: what was replaced stays, the rest too, and status tells of both.
func TestRolloutStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "log"}}
	d.Spec = appsv1.DaemonSetSpec{Selector: selector("log"), Template: template("log")}
	a := newAlive(t, statefulSet(3), d, deployment(4))
	a.eks["demo/s3-reader"] = true
	for kind, name := range map[string]string{"StatefulSet": "db", "DaemonSet": "log", "Deployment": "web"} {
		if err := a.life.Restart(t.Context(), kind, "demo", name); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // the first pods of each are replaced, and no more
		if _, err := a.life.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.clock.Advance(2 * time.Second)
	for range 2 {
		if _, err := a.life.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	apps := a.client.AppsV1()
	stop := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := apps.StatefulSets("demo").Patch(t.Context(), "db", types.MergePatchType, []byte(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":3}}}}`), metav1.PatchOptions{})
	stop(err)
	_, err = apps.DaemonSets("demo").Patch(t.Context(), "log", types.MergePatchType, []byte(`{"spec":{"updateStrategy":{"type":"OnDelete"}}}`), metav1.PatchOptions{})
	stop(err)
	_, err = apps.Deployments("demo").Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"paused":true}}`), metav1.PatchOptions{})
	stop(err)
	a.settle(t)
	was := a.rollouts(t)
	a.clock.Advance(time.Hour)
	a.settle(t)
	if diff := cmp.Diff(was, a.rollouts(t)); diff != "" {
		t.Errorf("an hour later (-before +after):\n%s", diff)
	}
	for kind, n := range was {
		if n[0] == 0 || n[0] >= n[1] {
			t.Errorf("%s: %d of %d pods have the new template, want some", kind, n[0], n[1])
		}
	}
}

// rollouts are how many pods of each workload have its template, by status, and how many
// are wanted.
func (a *alive) rollouts(t *testing.T) map[string][2]int32 {
	t.Helper()
	apps := a.client.AppsV1()
	s, err := apps.StatefulSets("demo").Get(t.Context(), "db", metav1.GetOptions{})
	d, err2 := apps.DaemonSets("demo").Get(t.Context(), "log", metav1.GetOptions{})
	w, err3 := apps.Deployments("demo").Get(t.Context(), "web", metav1.GetOptions{})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string][2]int32{"StatefulSet": {s.Status.UpdatedReplicas, 3}, "DaemonSet": {d.Status.UpdatedNumberScheduled, d.Status.DesiredNumberScheduled},
		"Deployment": {w.Status.UpdatedReplicas, 4}}
}

func TestStatefulSetRollsDownwardsOneByOne(t *testing.T) {
	t.Parallel()
	a := newAlive(t, statefulSet(3))
	if err := a.life.Restart(t.Context(), "StatefulSet", "demo", "db"); err != nil {
		t.Fatal(err)
	}
	var order []string
	for range 200 {
		n, err := a.life.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		gone := 0
		for _, p := range a.pods(t, "demo") {
			if p.DeletionTimestamp != nil {
				gone++
				if !slices.Contains(order, p.Name) {
					order = append(order, p.Name)
				}
			}
		}
		if gone > 1 {
			t.Fatalf("%d pods go at once", gone)
		}
		if due, ok := a.life.Due(); n == 0 && ok {
			a.clock.Advance(due.Sub(a.clock.Now()))
		} else if n == 0 {
			break
		}
	}
	if diff := cmp.Diff([]string{"db-2", "db-1", "db-0"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAgentCoversEC2Only(t *testing.T) {
	t.Parallel()
	a := newAlive(t, actors.NewAgent(), actors.NewNode("win", actors.Windows), actors.NewNode("auto", actors.Auto),
		actors.NewNode("hybrid", actors.Hybrid))
	on := func() string {
		var out []string
		for _, p := range a.pods(t, "kube-system") {
			out = append(out, fmt.Sprint(p.Spec.NodeName, " ", actors.Ready(&p)))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	if got, want := on(), "ec2-1 true, ec2-2 true"; got != want {
		t.Errorf("agents: got %s, want %s", got, want)
	}
	if err := a.cluster.Seed(actors.NewNode("ec2-3", actors.EC2)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := a.life.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.clock.Advance(9 * time.Second)
	if _, err := a.life.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := on(), "ec2-1 true, ec2-2 true, ec2-3 false"; got != want {
		t.Errorf("a new node's agent starts late: got %s, want %s", got, want)
	}
	a.settle(t)
	if got, want := on(), "ec2-1 true, ec2-2 true, ec2-3 true"; got != want {
		t.Errorf("agents: got %s, want %s", got, want)
	}
}

func TestDaemonSetRollout(t *testing.T) {
	t.Parallel()
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "log"}}
	d.Spec = appsv1.DaemonSetSpec{Selector: selector("log"), Template: template("log")}
	a := newAlive(t, d)
	a.eks["demo/s3-reader"] = true
	if err := a.life.Restart(t.Context(), "DaemonSet", "demo", "log"); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready pod-identity", "Running ready pod-identity")

	got, err := a.client.AppsV1().DaemonSets("demo").Get(t.Context(), "log", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	if _, err := a.client.AppsV1().DaemonSets("demo").Update(t.Context(), got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	delete(a.eks, "demo/s3-reader")
	if err := a.life.Restart(t.Context(), "DaemonSet", "demo", "log"); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready pod-identity", "Running ready pod-identity")
	if err := a.life.Evict(t.Context(), "demo", a.pods(t, "demo")[0].Name); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	a.wantPods(t, "demo", "Running ready irsa", "Running ready pod-identity")
}

func TestJobRunsToItsEnd(t *testing.T) {
	t.Parallel()
	three, two := int32(3), int32(2)
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "load"}}
	j.Spec = batchv1.JobSpec{Completions: &three, Parallelism: &two, Template: template("load")}
	j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	bad := j.DeepCopy()
	bad.Name, bad.Spec.Template = "bad", template("bad")
	bad.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	bad.Spec.BackoffLimit = &two
	a := newAlive(t)
	a.behave["bad"] = actors.Behaviour{RunFor: time.Second, Fails: true}
	if err := a.cluster.Seed(j, bad); err != nil {
		t.Fatal(err)
	}
	a.settle(t)
	got, err := a.client.BatchV1().Jobs("demo").Get(t.Context(), "load", metav1.GetOptions{})
	if err != nil || got.Status.Succeeded != 3 || got.Status.CompletionTime == nil {
		t.Errorf("load: status %+v, %v, want 3 successes and its end", got.Status, err)
	}
	got, err = a.client.BatchV1().Jobs("demo").Get(t.Context(), "bad", metav1.GetOptions{})
	if err != nil || len(got.Status.Conditions) != 1 || got.Status.Conditions[0].Type != batchv1.JobFailed {
		t.Errorf("bad: status %+v, %v, want it failed", got.Status, err)
	}
}

func TestCronJob(t *testing.T) {
	t.Parallel()
	c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "nightly"}}
	c.Spec.Schedule = "*/30 * * * *"
	c.Spec.JobTemplate.Spec.Template = template("nightly")
	c.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	a := newAlive(t, c)
	a.wantPods(t, "demo")
	a.clock.Advance(45 * time.Minute)
	a.settle(t)
	a.wantPods(t, "demo", "Succeeded unready irsa")
	a.eks["demo/s3-reader"] = true
	a.clock.Advance(30 * time.Minute)
	a.settle(t)
	a.wantPods(t, "demo", "Succeeded unready irsa", "Succeeded unready pod-identity")
	for range 4 {
		a.clock.Advance(30 * time.Minute)
		a.settle(t)
	}
	jobs, err := a.client.BatchV1().Jobs("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(jobs.Items) != 3 {
		t.Errorf("%d jobs kept, %v, want 3", len(jobs.Items), err)
	}
}
