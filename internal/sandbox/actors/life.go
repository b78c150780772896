package actors

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// RestartedAtAnnotation on a pod template is what kubectl rollout restart writes.
const RestartedAtAnnotation = "kubectl.kubernetes.io/restartedAt"

// Behaviour is how the containers of one pod behave.
type Behaviour struct {
	// StartUp is the time from the node, or from a crash, to Ready.
	StartUp time.Duration
	// StopAfter is the time from deletion to the end, at most the grace period.
	StopAfter time.Duration
	// RunFor is how long a pod runs that is to end, as those of Jobs are.
	RunFor time.Duration
	// Fails makes a pod that is to end fail.
	Fails bool
	// Unready keeps the pod running but not Ready.
	Unready bool
	// CrashLoops makes the containers exit again and again.
	CrashLoops bool
}

// LifeOptions are the settings of a [Life].
type LifeOptions struct {
	// Client is required. Its user is the one that all controllers write as.
	Client kubernetes.Interface
	// Clock is required.
	Clock *virtual.Clock
	// Behave says how a pod behaves, asked at every step; nil and the zero Behaviour
	// mean [DefaultBehaviour].
	Behave func(*corev1.Pod) Behaviour
	// Look is called at the start of every step, for actors with a late view of the
	// world such as [Webhook.Look]; nil is allowed.
	Look func()
	// Region is part of the names of Fargate nodes.
	Region string
}

// DefaultBehaviour is a pod that is Ready after two seconds, and after ten seconds if it
// is the Pod Identity agent's; that stops within one; and that runs for five if it is to
// end.
func DefaultBehaviour(pod *corev1.Pod) Behaviour {
	b := Behaviour{StartUp: 2 * time.Second, StopAfter: time.Second, RunFor: 5 * time.Second}
	if pod.Labels["app.kubernetes.io/name"] == AgentName {
		b.StartUp = 10 * time.Second
	}
	return b
}

// Life is the controllers, the scheduler and the kubelets of a cluster.
type Life struct {
	o LifeOptions

	changes int       // of this step
	due     time.Time // when the next thing happens by itself
	fargate int       // nodes made so far
}

// NewLife returns the life of a cluster, at rest until [Life.Step].
func NewLife(o LifeOptions) *Life { return &Life{o: o} }

// Step lets every controller look and act once, at the present moment, and returns how
// many writes that took. The order is fixed, so that a run can be repeated.
func (l *Life) Step(ctx context.Context) (changes int, err error) {
	l.changes, l.due = 0, time.Time{}
	if l.o.Look != nil {
		l.o.Look()
	}
	for _, part := range []struct {
		name string
		act  func(context.Context) error
	}{
		{"collect garbage", l.collect},
		{"run cron jobs", l.cronJobs},
		{"run jobs", l.jobs},
		{"roll deployments", l.deployments},
		{"fill replica sets", l.replicaSets},
		{"roll stateful sets", l.statefulSets},
		{"roll daemon sets", l.daemonSets},
		{"schedule pods", l.schedule},
		{"run pods", l.kubelets},
		{"count disruptions", l.disruptionBudgets},
	} {
		if err := part.act(ctx); err != nil {
			return l.changes, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return l.changes, nil
}

// Settle steps, and moves the clock to whatever is due next, until nothing is left to
// happen or the clock has moved by within. What never ends, such as a crash loop or a
// CronJob's schedule, is not waited for.
func (l *Life) Settle(ctx context.Context, within time.Duration) error {
	end := l.o.Clock.Now().Add(within)
	for {
		n, err := l.Step(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if l.due.IsZero() || l.due.After(end) {
			return nil
		}
		l.o.Clock.Advance(l.due.Sub(l.o.Clock.Now()))
	}
}

// Due returns when the next thing happens by itself, as the last step saw it.
func (l *Life) Due() (time.Time, bool) { return l.due, !l.due.IsZero() }

// later notes that something happens at t, and reports whether that is now or past.
func (l *Life) later(t time.Time) (now bool) {
	if !l.o.Clock.Now().Before(t) {
		return true
	}
	if l.due.IsZero() || t.Before(l.due) {
		l.due = t
	}
	return false
}

// wrote counts a write, and lets pass what another writer was quicker at: the next step
// looks again.
func (l *Life) wrote(err error) error {
	if err == nil {
		l.changes++
		return nil
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (l *Life) behave(pod *corev1.Pod) Behaviour {
	if l.o.Behave != nil {
		if b := l.o.Behave(pod); b != (Behaviour{}) {
			return b
		}
	}
	return DefaultBehaviour(pod)
}

func (l *Life) now() metav1.Time { return metav1.NewTime(l.o.Clock.Now()) }

// Restart does what kubectl rollout restart does to a Deployment, StatefulSet or
// DaemonSet.
func (l *Life) Restart(ctx context.Context, kind, namespace, name string) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{%q:%q}}}}}`,
		RestartedAtAnnotation, l.o.Clock.Now().Format(time.RFC3339Nano))
	return l.patchWorkload(ctx, kind, namespace, name, patch)
}

// Scale sets the replicas of a Deployment or StatefulSet.
func (l *Life) Scale(ctx context.Context, kind, namespace, name string, replicas int) error {
	return l.patchWorkload(ctx, kind, namespace, name, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
}

func (l *Life) patchWorkload(ctx context.Context, kind, namespace, name string, patch []byte) error {
	apps, o, pt := l.o.Client.AppsV1(), metav1.PatchOptions{}, types.StrategicMergePatchType
	var err error
	switch kind {
	case "Deployment":
		_, err = apps.Deployments(namespace).Patch(ctx, name, pt, patch, o)
	case "StatefulSet":
		_, err = apps.StatefulSets(namespace).Patch(ctx, name, pt, patch, o)
	case "DaemonSet":
		_, err = apps.DaemonSets(namespace).Patch(ctx, name, pt, patch, o)
	default:
		err = fmt.Errorf("patch %s %s/%s: not a Deployment, StatefulSet or DaemonSet", kind, namespace, name)
	}
	return err
}

// Evict asks for a pod's eviction, which its disruption budget may refuse.
func (l *Life) Evict(ctx context.Context, namespace, pod string) error {
	return l.o.Client.CoreV1().Pods(namespace).EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod},
	})
}

// Crash ends the containers of a pod once. They start again in the same pod, which is
// not admitted again.
func (l *Life) Crash(ctx context.Context, namespace, name string) error {
	pod, err := l.o.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	l.crash(pod)
	_, err = l.o.Client.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// hashOf names a pod template: the same template, the same name.
func hashOf(t corev1.PodTemplateSpec) (string, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return shortHash(raw), nil
}
