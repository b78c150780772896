package kubed

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// The fake deletes at once: whatever the preconditions, finalizers and grace, and in a
// dry run.

// remove answers deletes.
func (c *Cluster) remove(a clienttesting.Action) (bool, runtime.Object, error) {
	del, ok := a.(clienttesting.DeleteActionImpl)
	if !ok {
		return false, nil, nil
	}
	return true, nil, c.doDelete(keyOf(a), del.DeleteOptions)
}

// doDelete marks or removes an object. A pod that runs on a node is only marked: the
// kubelet removes it when its time is over.
func (c *Cluster) doDelete(k key, o metav1.DeleteOptions) error {
	old := c.get(k)
	if old == nil {
		return notFound(k)
	}
	obj := old.DeepCopyObject()
	m, om, err := accessors(obj, old)
	if err != nil {
		return err
	}
	if err := precondition(k, om, o.Preconditions); err != nil || len(o.DryRun) > 0 {
		return err
	}
	grace, stays := graceOf(old, m, o)
	if !stays {
		return c.drop(k, old)
	}
	if now := om.GetDeletionGracePeriodSeconds(); om.GetDeletionTimestamp() != nil && (now == nil || grace >= *now) {
		return nil
	}
	due := metav1.NewTime(c.now().Add(time.Duration(grace) * time.Second))
	m.SetDeletionTimestamp(&due)
	m.SetDeletionGracePeriodSeconds(&grace)
	if ns, ok := obj.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceTerminating
	}
	return c.put(k, old, obj)
}

func precondition(k key, m metav1.Object, p *metav1.Preconditions) error {
	differs := func(what string, want, got any) error {
		return apierrors.NewConflict(k.gvr.GroupResource(), k.name,
			fmt.Errorf("Precondition failed: %s in precondition: %v, %s in object meta: %v", what, want, what, got)) //nolint:staticcheck // the API server's own words
	}
	switch {
	case p != nil && p.UID != nil && *p.UID != m.GetUID():
		return differs("UID", *p.UID, m.GetUID())
	case p != nil && p.ResourceVersion != nil && *p.ResourceVersion != m.GetResourceVersion():
		return differs("ResourceVersion", *p.ResourceVersion, m.GetResourceVersion())
	}
	return nil
}

// graceOf returns how long an object that is deleted stays, and whether it stays at
// all: pods that run somewhere, namespaces, and what has finalizers.
func graceOf(obj runtime.Object, m metav1.Object, o metav1.DeleteOptions) (grace int64, stays bool) {
	switch t := obj.(type) {
	case *corev1.Namespace:
		return 0, true
	case *corev1.Pod:
		if t.Spec.NodeName == "" || t.Status.Phase == corev1.PodSucceeded || t.Status.Phase == corev1.PodFailed {
			break
		}
		grace = corev1.DefaultTerminationGracePeriodSeconds
		if s := t.Spec.TerminationGracePeriodSeconds; s != nil {
			grace = *s
		}
		if s := o.GracePeriodSeconds; s != nil {
			grace = *s
		}
	}
	return grace, grace > 0 || len(m.GetFinalizers()) > 0
}
