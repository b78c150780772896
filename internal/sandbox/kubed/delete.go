package kubed

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
)

// The fake deletes at once: whatever the preconditions and the grace, and in a dry run.
// These know the uid as a precondition; finalizers keep nothing.

// remove answers deletes.
func (c *Cluster) remove(a clienttesting.Action) (bool, runtime.Object, error) {
	if del, ok := a.(clienttesting.DeleteActionImpl); ok {
		return true, nil, c.doDelete(keyOf(a), del.DeleteOptions)
	}
	return false, nil, nil // deletecollection
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
	if p := o.Preconditions; p != nil {
		if err := sameUID(k, om, p.UID); err != nil {
			return err
		}
	}
	if len(o.DryRun) > 0 {
		return nil
	}
	grace, stays := graceOf(old, o)
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

// sameUID refuses a request that was meant for an object that was there before.
func sameUID(k key, m metav1.Object, uid *types.UID) error {
	if uid == nil || *uid == m.GetUID() {
		return nil
	}
	return apierrors.NewConflict(k.gvr.GroupResource(), k.name,
		fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *uid, m.GetUID())) //nolint:staticcheck // the API server's own words
}

// graceOf returns how long an object that is deleted stays, and whether it stays at
// all: pods that run somewhere, and namespaces.
func graceOf(obj runtime.Object, o metav1.DeleteOptions) (grace int64, stays bool) {
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
	return grace, grace > 0
}
