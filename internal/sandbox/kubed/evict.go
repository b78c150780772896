package kubed

import (
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// The fake answers evictions and bindings and does nothing.

// evict deletes a pod unless its disruption budget forbids it.
//
// https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
func (c *Cluster) evict(a clienttesting.Action) (bool, runtime.Object, error) {
	create, _ := a.(clienttesting.CreateActionImpl)
	e, ok := create.Object.(*policyv1.Eviction)
	if !ok {
		return true, nil, apierrors.NewBadRequest(fmt.Sprintf("not an Eviction of policy/v1: %T", create.Object))
	}
	k := keyOf(a)
	pod, ok := c.get(k).(*corev1.Pod)
	if !ok {
		return true, nil, notFound(k)
	}
	var o metav1.DeleteOptions
	if e.DeleteOptions != nil {
		o = *e.DeleteOptions
	}
	o.DryRun = append(o.DryRun, create.CreateOptions.DryRun...)
	if err := c.spend(pod, len(o.DryRun) > 0); err != nil {
		return true, nil, err
	}
	if err := c.doDelete(k, o); err != nil {
		return true, nil, err
	}
	return true, &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}

// spend takes one disruption from the pod's budget. A pod that does not run yet, or no
// more, costs none.
func (c *Cluster) spend(pod *corev1.Pod, dryRun bool) error {
	if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
		return nil
	}
	var found []*policyv1.PodDisruptionBudget
	for _, obj := range c.list(budgets, pod.Namespace) {
		if b, ok := obj.(*policyv1.PodDisruptionBudget); ok {
			sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
			if err != nil {
				return apierrors.NewInternalError(err)
			}
			if sel.Matches(labels.Set(pod.Labels)) {
				found = append(found, b)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		// The API server gives no reason and no details with it.
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
			Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}}
	}
	b := found[0]
	switch {
	case !ready(pod) && spareUnready(b):
		return nil
	case b.Status.ObservedGeneration < b.Generation:
		return refused(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case b.Status.DisruptionsAllowed <= 0:
		return refused(0, fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently",
			b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy))
	case dryRun:
		return nil
	}
	spent := b.DeepCopy()
	spent.Status.DisruptionsAllowed--
	if spent.Status.DisruptedPods == nil {
		spent.Status.DisruptedPods = map[string]metav1.Time{}
	}
	spent.Status.DisruptedPods[pod.Name] = c.now()
	return c.put(key{budgets, b.Namespace, b.Name}, b, spent)
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(cond corev1.PodCondition) bool {
		return cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue
	})
}

// spareUnready reports whether the budget lets unready pods go: while enough others are
// healthy, or always where it says so.
func spareUnready(b *policyv1.PodDisruptionBudget) bool {
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

func refused(retryAfter int, cause string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: cause})
	return err
}

// bind is the scheduler's write: the node of a pod, once.
func (c *Cluster) bind(a clienttesting.Action) (bool, runtime.Object, error) {
	create, _ := a.(clienttesting.CreateActionImpl)
	b, ok := create.Object.(*corev1.Binding)
	if !ok {
		return true, nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", create.Object))
	}
	k := keyOf(a)
	old, ok := c.get(k).(*corev1.Pod)
	if !ok {
		return true, nil, notFound(k)
	}
	if old.Spec.NodeName != "" {
		return true, nil, apierrors.NewConflict(k.gvr.GroupResource(), k.name,
			fmt.Errorf("pod %s is already assigned to node %q", old.Name, old.Spec.NodeName))
	}
	pod := old.DeepCopy()
	pod.Spec.NodeName = b.Target.Name
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: c.now(),
	})
	if dryRun(a) {
		return true, b, nil
	}
	return true, b, c.put(k, old, pod)
}
