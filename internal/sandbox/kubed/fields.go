package kubed

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// The fake ignores field selectors.

// selectFields answers lists that have one.
func (c *Cluster) selectFields(a clienttesting.Action) (bool, runtime.Object, error) {
	list, ok := a.(clienttesting.ListActionImpl)
	if !ok || list.ListOptions.FieldSelector == "" {
		return false, nil, nil
	}
	sel, err := fieldSelector(list.Resource, list.ListOptions.FieldSelector)
	if err != nil {
		return true, nil, err
	}
	out, err := c.tracker.List(list.Resource, list.Kind, list.Namespace)
	if err != nil {
		return true, nil, err
	}
	var found []runtime.Object
	err = meta.EachListItem(out, func(obj runtime.Object) error {
		if sel.Matches(fieldsOf(obj)) {
			found = append(found, obj.DeepCopyObject())
		}
		return nil
	})
	if err != nil {
		return true, nil, apierrors.NewInternalError(err)
	}
	return true, out, meta.SetList(out, found)
}

// fieldSelector parses a selector and refuses fields that the resource does not offer.
func fieldSelector(gvr schema.GroupVersionResource, text string) (fields.Selector, error) {
	sel, err := fields.ParseSelector(text)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	known := fields.Set{"metadata.name": "", "metadata.namespace": ""}
	if gvr == pods {
		known = fieldsOf(&corev1.Pod{})
	}
	for _, r := range sel.Requirements() {
		if !known.Has(r.Field) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", r.Field))
		}
	}
	return sel, nil
}

func fieldsOf(obj runtime.Object) fields.Set {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil
	}
	set := fields.Set{"metadata.name": m.GetName(), "metadata.namespace": m.GetNamespace()}
	if pod, ok := obj.(*corev1.Pod); ok {
		set["spec.nodeName"] = pod.Spec.NodeName
		set["spec.serviceAccountName"] = pod.Spec.ServiceAccountName
		set["status.phase"] = string(pod.Status.Phase)
	}
	return set
}
