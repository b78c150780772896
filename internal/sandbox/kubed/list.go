package kubed

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// filter is a label selector and a field selector.
type filter struct {
	labels labels.Selector
	fields fields.Selector
}

// selectable are the fields that a selector may name, besides metadata.name and
// metadata.namespace, which every resource has.
func selectable(obj runtime.Object) fields.Set {
	switch o := obj.(type) {
	case *corev1.Pod:
		return fields.Set{
			"spec.nodeName":           o.Spec.NodeName,
			"spec.schedulerName":      o.Spec.SchedulerName,
			"spec.serviceAccountName": o.Spec.ServiceAccountName,
			"spec.restartPolicy":      string(o.Spec.RestartPolicy),
			"status.phase":            string(o.Status.Phase),
		}
	case *corev1.Event:
		return fields.Set{
			"involvedObject.kind":      o.InvolvedObject.Kind,
			"involvedObject.namespace": o.InvolvedObject.Namespace,
			"involvedObject.name":      o.InvolvedObject.Name,
			"involvedObject.uid":       string(o.InvolvedObject.UID),
			"reason":                   o.Reason,
			"type":                     o.Type,
		}
	case *corev1.Secret:
		return fields.Set{"type": string(o.Type)}
	}
	return fields.Set{}
}

func newFilter(gvr schema.GroupVersionResource, label, fieldSelector string) (filter, error) {
	l, err := labels.Parse(label)
	if err != nil {
		return filter{}, apierrors.NewBadRequest(err.Error())
	}
	f, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return filter{}, apierrors.NewBadRequest(err.Error())
	}
	gvk, _ := kindOf(gvr)
	if f.Empty() {
		return filter{l, f}, nil
	}
	zero, err := scheme.Scheme.New(gvk)
	if err != nil {
		return filter{}, apierrors.NewBadRequest(err.Error())
	}
	known := selectable(zero)
	for _, r := range f.Requirements() {
		if !known.Has(r.Field) && r.Field != "metadata.name" && r.Field != "metadata.namespace" {
			return filter{}, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", r.Field))
		}
	}
	return filter{l, f}, nil
}

func (f filter) matches(obj runtime.Object) bool {
	m, err := meta.Accessor(obj)
	if err != nil || !f.labels.Matches(labels.Set(m.GetLabels())) {
		return false
	}
	if f.fields.Empty() {
		return true
	}
	set := selectable(obj)
	set["metadata.name"], set["metadata.namespace"] = m.GetName(), m.GetNamespace()
	return f.fields.Matches(set)
}

// listObjects answers a list, a page of it where a limit is asked for.
//
// https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
func (c *Cluster) listObjects(req *request, stale bool, at time.Time) (runtime.Object, error) {
	f, err := newFilter(req.key.gvr, req.list.LabelSelector, req.list.FieldSelector)
	if err != nil {
		return nil, err
	}
	objs, rv := c.store.list(req.key.gvr, req.key.namespace), c.store.rv
	if stale {
		objs, rv = c.store.listAt(req.key.gvr, req.key.namespace, at)
	}
	var found []runtime.Object
	for _, obj := range objs {
		if f.matches(obj) {
			found = append(found, obj.DeepCopyObject())
		}
	}
	page, next, left, err := paginate(found, req.list.Limit, req.list.Continue)
	if err != nil {
		return nil, err
	}
	list, err := scheme.Scheme.New(req.kind.GroupVersion().WithKind(req.kind.Kind + "List"))
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := meta.SetList(list, page); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	lm, err := meta.ListAccessor(list)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	lm.SetResourceVersion(formatRV(rv))
	if next != "" {
		lm.SetContinue(next)
		lm.SetRemainingItemCount(&left)
	}
	return list, nil
}

// paginate cuts one page out of sorted objects. The continue token names the last
// object of the page before.
func paginate(objs []runtime.Object, limit int64, token string) (page []runtime.Object, next string, left int64, err error) {
	if token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", 0, apierrors.NewBadRequest(fmt.Sprintf("continue key is not valid: %v", err))
		}
		for len(objs) > 0 && strings.Compare(place(objs[0]), string(raw)) <= 0 {
			objs = objs[1:]
		}
	}
	if limit <= 0 || int64(len(objs)) <= limit {
		return objs, "", 0, nil
	}
	page = objs[:limit]
	return page, base64.RawURLEncoding.EncodeToString([]byte(place(page[limit-1]))), int64(len(objs)) - limit, nil
}

// place is an object's place in a list's order: namespace, then name.
func place(obj runtime.Object) string {
	m, err := meta.Accessor(obj)
	if err != nil {
		return ""
	}
	return m.GetNamespace() + "\x00" + m.GetName()
}
