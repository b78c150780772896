package actors

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubelets moves every pod on a node one step through its life.
func (l *Life) kubelets(ctx context.Context) error {
	list, err := l.o.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Spec.NodeName == "" {
			continue
		}
		if pod.DeletionTimestamp != nil {
			if err := l.stop(ctx, pod); err != nil {
				return err
			}
			continue
		}
		if !l.run(pod) {
			continue
		}
		_, err := l.o.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		if err := l.wrote(err); err != nil {
			return err
		}
	}
	return nil
}

// stop removes a pod that is being deleted, once its containers have stopped.
func (l *Life) stop(ctx context.Context, pod *corev1.Pod) error {
	at := pod.DeletionTimestamp.Time
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		grace := time.Duration(*g) * time.Second
		at = at.Add(min(l.behave(pod).StopAfter, grace) - grace)
	}
	if !l.later(at) {
		return nil
	}
	o := *metav1.NewDeleteOptions(0)
	o.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
	return l.wrote(l.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, o))
}

// run changes the status of a pod to what it should be now, and reports whether it did.
func (l *Life) run(pod *corev1.Pod) (changed bool) {
	b := l.behave(pod)
	switch pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed:
		return false
	case corev1.PodRunning:
	default:
		if !l.later(scheduledAt(pod).Add(b.StartUp)) {
			return false
		}
		now := l.now()
		pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
		l.containers(pod, true)
		l.setReady(pod, !b.Unready && !b.CrashLoops)
		if b.CrashLoops {
			l.crash(pod)
		}
		return true
	}
	if ends := pod.Spec.RestartPolicy != corev1.RestartPolicyAlways; ends && !b.CrashLoops && pod.Status.StartTime != nil {
		if l.later(pod.Status.StartTime.Add(b.RunFor)) {
			l.finish(pod, b.Fails)
			return true
		}
	}
	return l.health(pod, b)
}

// health is the part of run for a pod that already runs.
func (l *Life) health(pod *corev1.Pod, b Behaviour) (changed bool) {
	since := pod.Status.StartTime.Time
	if c := condition(pod, corev1.PodReady); c != nil {
		since = c.LastTransitionTime.Time
	}
	switch {
	case b.CrashLoops:
		if Ready(pod) || !l.o.Clock.Now().Before(since.Add(backOff(pod))) {
			l.crash(pod)
			return true
		}
	case b.Unready:
		if Ready(pod) {
			l.setReady(pod, false)
			return true
		}
	case !Ready(pod) && l.later(since.Add(b.StartUp)):
		l.containers(pod, true)
		l.setReady(pod, true)
		return true
	}
	return false
}

// crash ends the containers of a pod and counts a restart.
func (l *Life) crash(pod *corev1.Pod) {
	l.containers(pod, false)
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		s.RestartCount++
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: l.now()}
	}
	l.setReady(pod, false)
	if c := condition(pod, corev1.PodReady); c != nil {
		c.LastTransitionTime = l.now()
	}
}

// backOff is how long the kubelet waits before it restarts a container again.
//
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
func backOff(pod *corev1.Pod) time.Duration {
	wait := 10 * time.Second
	var restarts int32 // of the container that was restarted most
	for _, s := range pod.Status.ContainerStatuses {
		restarts = max(restarts, s.RestartCount)
	}
	for range min(restarts-1, 5) {
		wait = min(2*wait, 5*time.Minute)
	}
	return wait
}

func (l *Life) containers(pod *corev1.Pod, up bool) {
	old := pod.Status.ContainerStatuses
	pod.Status.ContainerStatuses = nil
	for i, c := range pod.Spec.Containers {
		s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: up, Started: &up}
		if i < len(old) {
			s.RestartCount, s.LastTerminationState = old[i].RestartCount, old[i].LastTerminationState
		}
		if up {
			s.State.Running = &corev1.ContainerStateRunning{StartedAt: l.now()}
		} else {
			s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
		}
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, s)
	}
}

func (l *Life) finish(pod *corev1.Pod, failed bool) {
	end := corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: l.now()}
	pod.Status.Phase = corev1.PodSucceeded
	if failed {
		pod.Status.Phase, end.ExitCode, end.Reason = corev1.PodFailed, 1, "Error"
	}
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		s.Ready, s.State = false, corev1.ContainerState{Terminated: &end}
	}
	l.setReady(pod, false)
}

func (l *Life) setReady(pod *corev1.Pod, ready bool) {
	want := corev1.ConditionFalse
	if ready {
		want = corev1.ConditionTrue
	}
	for _, t := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		c := condition(pod, t)
		if c == nil {
			pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: t})
			c = &pod.Status.Conditions[len(pod.Status.Conditions)-1]
		}
		if c.Status != want {
			c.Status, c.LastTransitionTime = want, l.now()
		}
	}
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].Ready = ready
	}
}

func condition(pod *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == t {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// scheduledAt is when a pod got its node; one that was made with a node got it then.
func scheduledAt(pod *corev1.Pod) time.Time {
	if c := condition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return pod.CreationTimestamp.Time
}

// Ready reports whether a pod is Ready.
func Ready(pod *corev1.Pod) bool {
	c := condition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// active reports whether a pod counts for its owner: neither ended nor on its way out.
func active(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}
