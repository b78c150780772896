package observe

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// probing are a Job and its pod under ServiceAccount s3-reader. The pod came up on IRSA,
// crash-loops and is not ready: everything that would hold up or undo a move, if it were
// the workload's.
func probing(name string, labels map[string]string) (*batchv1.Job, *corev1.Pod) {
	spec := corev1.PodSpec{ServiceAccountName: "s3-reader", RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "whoami", Image: "lanyard",
		Env: []corev1.EnvVar{{Name: "AWS_ROLE_ARN", Value: readerRole}, {Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}}}}}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, UID: "u-job", Labels: labels}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name + "-x", Labels: labels, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}}, Spec: spec,
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "whoami", RestartCount: 5, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}}}
	return job, pod
}

// TestIdentityProbeIsNoWorkload: what lanyard runs under a ServiceAccount itself is not
// seen, by either way of looking: whatever is decided is decided as without it. What is
// only named or only labelled like it is seen.
func TestIdentityProbeIsNoWorkload(t *testing.T) {
	t.Parallel()
	label := map[string]string{identity.ProbeLabel: identity.ProbeLabelValue}
	look := func(name string, labels map[string]string) (all, one *live.Facts) {
		objects := fleet()
		if name != "" {
			job, pod := probing(name, labels)
			objects = append(objects, job, pod)
		}
		w := newWorld(t, objects...)
		w.putRole(readerRole)
		o := w.observer()
		all = w.observe(o).Facts()
		s, err := o.Look(t.Context(), reader)
		w.must(err)
		return all, s.Facts()
	}
	kinds := gocmp.FilterPath(func(p gocmp.Path) bool { return p.Last().String() == ".ReadAt" }, gocmp.Ignore())
	wantAll, wantOne := look("", nil)
	gotAll, gotOne := look("lanyard-whoami-0123456789abcdef", label)
	if d := gocmp.Diff(wantAll, gotAll, kinds); d != "" {
		t.Errorf("seen by Observe (-without +with):\n%s", d)
	}
	if d := gocmp.Diff(wantOne, gotOne, kinds); d != "" {
		t.Errorf("seen by Look (-without +with):\n%s", d)
	}
	for name, labels := range map[string]map[string]string{"lanyard-whoami-0123456789abcdef": nil, "whoami": label} {
		all, one := look(name, labels)
		for way, f := range map[string]*live.Facts{"Observe": all, "Look": one} {
			if pods, jobs := len(f.Pods)-len(wantAll.Pods), len(f.Workloads)-len(wantAll.Workloads); way == "Observe" && (pods != 1 || jobs != 1) {
				t.Errorf("%s %v by %s: %d pods and %d workloads more, want 1 and 1", name, labels, way, pods, jobs)
			}
			if pods, jobs := len(f.Pods)-len(wantOne.Pods), len(f.Workloads)-len(wantOne.Workloads); way == "Look" && (pods != 1 || jobs != 1) {
				t.Errorf("%s %v by %s: %d pods and %d workloads more, want 1 and 1", name, labels, way, pods, jobs)
			}
		}
	}
}
