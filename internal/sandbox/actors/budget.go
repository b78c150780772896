package actors

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// disruptionBudgets counts what evictions each budget allows.
//
// https://kubernetes.io/docs/tasks/run-application/configure-pdb/
func (l *Life) disruptionBudgets(ctx context.Context) error {
	list, err := l.o.Client.PolicyV1().PodDisruptionBudgets("").List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) == 0 {
		return err
	}
	scales, err := l.scales(ctx)
	if err != nil {
		return err
	}
	for i := range list.Items {
		b := &list.Items[i]
		s, err := l.budgetStatus(ctx, b, scales)
		if err != nil {
			return err
		}
		if equality.Semantic.DeepEqual(s, b.Status) {
			continue
		}
		b.Status = s
		_, err = l.o.Client.PolicyV1().PodDisruptionBudgets(b.Namespace).UpdateStatus(ctx, b, metav1.UpdateOptions{})
		if err := l.wrote(err); err != nil {
			return err
		}
	}
	return nil
}

func (l *Life) budgetStatus(ctx context.Context, b *policyv1.PodDisruptionBudget, scales map[types.UID]int) (policyv1.PodDisruptionBudgetStatus, error) {
	s := policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation}
	sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return s, err
	}
	pods, err := l.o.Client.CoreV1().Pods(b.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, err
	}
	healthy, matched, expected := 0, 0, 0
	counted := map[types.UID]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if !sel.Matches(labels.Set(p.Labels)) || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		matched++
		if active(p) && Ready(p) {
			healthy++
		}
		if o := metav1.GetControllerOf(p); o != nil && !counted[o.UID] {
			counted[o.UID] = true
			expected += scales[o.UID]
		}
	}
	desired := 0
	switch atLeast, atMost := b.Spec.MinAvailable, b.Spec.MaxUnavailable; {
	case atMost != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(atMost, expected, true)
		if err != nil {
			return s, err
		}
		desired = expected - n
	case atLeast != nil && atLeast.Type == intstr.Int:
		desired, expected = atLeast.IntValue(), matched
	case atLeast != nil:
		if desired, err = intstr.GetScaledValueFromIntOrPercent(atLeast, expected, true); err != nil {
			return s, err
		}
	}
	desired = max(0, desired)
	s.ExpectedPods, s.CurrentHealthy, s.DesiredHealthy = int32(expected), int32(healthy), int32(desired)
	if expected > 0 {
		s.DisruptionsAllowed = int32(max(0, healthy-desired))
	}
	return s, nil
}

// scales returns how many pods each controller asks for. A Deployment's rollout counts
// once: its ReplicaSets stand for the Deployment's own number.
func (l *Life) scales(ctx context.Context) (map[types.UID]int, error) {
	out := map[types.UID]int{}
	deployments := map[types.UID]int{}
	ds, err := l.o.Client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, d := range ds.Items {
		deployments[d.UID] = int(pointerOr(d.Spec.Replicas, 1))
	}
	rs, err := l.o.Client.AppsV1().ReplicaSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	newest := map[types.UID]*appsv1.ReplicaSet{}
	for i := range rs.Items {
		r := &rs.Items[i]
		o := metav1.GetControllerOf(r)
		if o == nil {
			out[r.UID] = int(pointerOr(r.Spec.Replicas, 1))
			continue
		}
		if n := newest[o.UID]; r.Status.Replicas > 0 && (n == nil || n.CreationTimestamp.Before(&r.CreationTimestamp)) {
			newest[o.UID] = r
		}
	}
	for uid, r := range newest {
		out[r.UID] = deployments[uid]
	}
	ss, err := l.o.Client.AppsV1().StatefulSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, s := range ss.Items {
		out[s.UID] = int(pointerOr(s.Spec.Replicas, 1))
	}
	return out, nil
}
