//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"
)

const (
	fate        = "test.lanyard.io/fate"
	delay       = "test.lanyard.io/delay"
	computeType = "eks.amazonaws.com/compute-type"
)

// podOf is a template of one container, with annotations.
func podOf(annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "test"}, Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example/main:1"}}},
	}
}

// deploy creates a Deployment named test.
func deploy(t *testing.T, client kubernetes.Interface, ns string, replicas int32, template corev1.PodTemplateSpec) {
	t.Helper()
	_, err := client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "test"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// available waits until a Deployment named test has so many available replicas.
func available(t *testing.T, client kubernetes.Interface, ns string, replicas int32) {
	t.Helper()
	eventually(t, "Deployment "+ns+"/test", func() error {
		d, err := client.AppsV1().Deployments(ns).Get(t.Context(), "test", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errors.Join(
			want("observedGeneration", d.Status.ObservedGeneration, d.Generation),
			want("availableReplicas", d.Status.AvailableReplicas, replicas),
		)
	})
}

// onlyPod is the one pod in a namespace.
func onlyPod(t *testing.T, client kubernetes.Interface, ns string) (corev1.Pod, error) {
	list, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return corev1.Pod{}, err
	}
	if len(list.Items) != 1 {
		return corev1.Pod{}, fmt.Errorf("%d pods in %s, want 1", len(list.Items), ns)
	}
	return list.Items[0], nil
}

func condition(p corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
	if i < 0 {
		return corev1.PodCondition{}
	}
	return p.Status.Conditions[i]
}

// TestVersion holds that the binary was stamped: unstamped, the API server says a
// version that clients cannot parse.
func TestVersion(t *testing.T) {
	t.Parallel()
	got, err := adminClient(t).Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := version.ParseSemantic(got.GitVersion)
	if err != nil || got.Major+"."+got.Minor != fmt.Sprintf("%d.%d", parsed.Major(), parsed.Minor()) {
		t.Errorf("version %+v (%v), want a semantic one with its major and minor", got, err)
	}
}

// TestNodes holds that nodes of every kind are Ready, as EKS labels them.
func TestNodes(t *testing.T) {
	t.Parallel()
	client := adminClient(t)
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, n := range list.Items {
		kind := n.Labels[corev1.LabelOSStable]
		if compute := n.Labels[computeType]; compute != "" {
			kind = compute
		}
		kinds[kind]++
		ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready || n.Status.NodeInfo.OperatingSystem != n.Labels[corev1.LabelOSStable] {
			t.Errorf("node %s: Ready is %v, operating system %q and label %q, want true and equal", n.Name, ready, n.Status.NodeInfo.OperatingSystem, n.Labels[corev1.LabelOSStable])
		}
	}
	for kind, n := range map[string]int{"linux": 3, "windows": 1, "fargate": 1, "auto": 1, "hybrid": 1} {
		if kinds[kind] != n {
			t.Errorf("%d nodes of kind %s, want %d; all: %v", kinds[kind], kind, n, kinds)
		}
	}
}

// TestPlacement holds where pods land: a plain one on EC2, others where their selector
// and toleration say, and one that fits nowhere on no node.
func TestPlacement(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		scheduler string
		selector  map[string]string
		node      string // the beginning of its name; "" is none
	}{
		{"plain", "", nil, "ip-10-0-1-1"},
		{"Fargate", "", map[string]string{computeType: "fargate"}, "fargate-ip-"},
		{"Fargate by its scheduler", "fargate-scheduler", nil, "fargate-ip-"},
		{"Windows", "", map[string]string{corev1.LabelOSStable: "windows"}, "ip-10-0-1-31."},
		{"Auto Mode", "", map[string]string{computeType: "auto"}, "i-"},
		{"hybrid", "", map[string]string{computeType: "hybrid"}, "mi-"},
		{"nowhere", "", map[string]string{computeType: "none"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := adminClient(t)
			ns := namespace(t, client)
			template := podOf(nil)
			template.Spec.SchedulerName = test.scheduler
			if test.selector != nil {
				template.Spec.NodeSelector = test.selector
				template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			}
			deploy(t, client, ns, 1, template)
			if test.node == "" {
				eventually(t, "a pod that fits no node", func() error {
					p, err := onlyPod(t, client, ns)
					return errors.Join(err, want("reason of PodScheduled", condition(p, corev1.PodScheduled).Reason, corev1.PodReasonUnschedulable))
				})
				return
			}
			available(t, client, ns, 1)
			if p, err := onlyPod(t, client, ns); err != nil || !strings.HasPrefix(p.Spec.NodeName, test.node) {
				t.Errorf("a pod with selector %v runs on node %q (%v), want %s...", test.selector, p.Spec.NodeName, err, test.node)
			}
		})
	}
}

// TestRollout holds that the controllers replace pods as the real ones do.
func TestRollout(t *testing.T) {
	t.Parallel()
	client := adminClient(t)
	ns := namespace(t, client)
	deploy(t, client, ns, 3, podOf(nil))
	available(t, client, ns, 3)
	deployments := client.AppsV1().Deployments(ns)
	d, err := deployments.Get(t.Context(), "test", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}
	if _, err := deployments.Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rollout", func() error {
		d, err := deployments.Get(t.Context(), "test", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errors.Join(
			want("observedGeneration", d.Status.ObservedGeneration, d.Generation),
			want("updatedReplicas", d.Status.UpdatedReplicas, 3),
			want("replicas", d.Status.Replicas, 3),
			want("availableReplicas", d.Status.AvailableReplicas, 3),
		)
	})
}

// TestFates holds how pods fare by the annotation, and that one with a fate that
// nobody knows does not pass for a healthy one.
func TestFates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		annotations map[string]string
		quiet       time.Duration // what has been seen must still hold after this long
		see         func(corev1.Pod) error
	}{
		{"never-ready", map[string]string{fate: "never-ready"}, 2 * time.Second, func(p corev1.Pod) error {
			return errors.Join(want("phase", p.Status.Phase, corev1.PodRunning), want("Ready", condition(p, corev1.PodReady).Status, corev1.ConditionFalse))
		}},
		{"ready-late", map[string]string{fate: "ready-late", delay: "2s"}, 0, func(p corev1.Pod) error {
			ready := condition(p, corev1.PodReady)
			if err := want("Ready", ready.Status, corev1.ConditionTrue); err != nil {
				return err
			}
			if after := ready.LastTransitionTime.Sub(p.Status.StartTime.Time); after < time.Second {
				return fmt.Errorf("Ready %v after the start, want 2 s, give or take the second that timestamps have", after)
			}
			return nil
		}},
		{"crash-loop", map[string]string{fate: "crash-loop", delay: "300ms"}, 0, func(p corev1.Pod) error {
			if len(p.Status.ContainerStatuses) != 1 {
				return fmt.Errorf("%d container statuses, want 1", len(p.Status.ContainerStatuses))
			}
			c := p.Status.ContainerStatuses[0]
			if c.RestartCount < 3 || c.State.Waiting == nil || c.State.Waiting.Reason != "CrashLoopBackOff" || c.LastTerminationState.Terminated == nil {
				return fmt.Errorf("container %+v, want CrashLoopBackOff after at least 3 restarts", c)
			}
			return want("Ready", condition(p, corev1.PodReady).Status, corev1.ConditionFalse)
		}},
		{"unknown", map[string]string{fate: "nonesuch"}, 2 * time.Second, func(p corev1.Pod) error {
			return errors.Join(want("phase", p.Status.Phase, corev1.PodPending), want("PodScheduled", condition(p, corev1.PodScheduled).Status, corev1.ConditionTrue))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := adminClient(t)
			ns := namespace(t, client)
			deploy(t, client, ns, 1, podOf(test.annotations))
			see := func() error {
				p, err := onlyPod(t, client, ns)
				if err != nil {
					return err
				}
				return test.see(p)
			}
			eventually(t, "a pod with "+fmt.Sprint(test.annotations), see)
			for end := time.Now().Add(test.quiet); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if err := see(); err != nil {
					t.Fatalf("a pod with %v: no longer: %v", test.annotations, err)
				}
			}
		})
	}
}

// TestJobs holds that a Job completes, that one asked to run on does so later, and that
// one whose pod crashes does not.
func TestJobs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		annotations map[string]string
		complete    bool
		ready       bool // seen before it completed
	}{
		{"plain", nil, true, false},
		{"runs-on", map[string]string{fate: "runs-on", delay: "3s"}, true, true},
		{"runs-on for long", map[string]string{fate: "runs-on"}, false, true},
		{"never-ready", map[string]string{fate: "never-ready"}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := adminClient(t)
			ns := namespace(t, client)
			template := podOf(test.annotations)
			template.Spec.RestartPolicy = corev1.RestartPolicyNever
			if _, err := client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "test"}, Spec: batchv1.JobSpec{Template: template}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if test.ready {
				eventually(t, "the Job's pod", func() error {
					p, err := onlyPod(t, client, ns)
					return errors.Join(err, want("phase", p.Status.Phase, corev1.PodRunning), want("Ready", condition(p, corev1.PodReady).Status, corev1.ConditionTrue))
				})
			}
			complete := func() error {
				j, err := client.BatchV1().Jobs(ns).Get(t.Context(), "test", metav1.GetOptions{})
				if err != nil {
					return err
				}
				return errors.Join(want("active", j.Status.Active, 0), want("succeeded", j.Status.Succeeded, 1))
			}
			if test.complete {
				eventually(t, "the Job", complete)
				return
			}
			eventually(t, "the Job's pod", func() error {
				p, err := onlyPod(t, client, ns)
				return errors.Join(err, want("phase", p.Status.Phase, corev1.PodRunning))
			})
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if complete() == nil {
					t.Fatalf("a Job whose pod has %v completed, want that it runs", test.annotations)
				}
			}
		})
	}
}
