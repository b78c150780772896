package kubed

import (
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// errStale is the API server's text for a lost optimistic lock.
var errStale = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// prepareCreate checks the request and sets the fields that belong to the server.
func (c *Cluster) prepareCreate(req *request, obj runtime.Object) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if m.GetNamespace() == "" {
		m.SetNamespace(req.key.namespace)
	}
	if m.GetNamespace() != req.key.namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if err := c.admitNamespace(req); err != nil {
		return err
	}
	if m.GetResourceVersion() != "" {
		return apierrors.NewInternalError(errors.New("resourceVersion should not be set on objects to be created"))
	}
	m.SetUID("")
	m.SetSelfLink("")
	m.SetDeletionTimestamp(nil)
	m.SetDeletionGracePeriodSeconds(nil)
	m.SetManagedFields(nil)
	m.SetCreationTimestamp(c.now())
	return nil
}

// finishCreate validates an admitted object, and stores it unless it is a dry run.
func (c *Cluster) finishCreate(req *request, obj runtime.Object) (runtime.Object, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	k := req.key
	c.fillName(m, k.gvr)
	k.name = m.GetName()
	req.key.name = k.name
	m.SetUID(c.mintUID(k.gvr, m))
	if countsGenerations(k.gvr) {
		m.SetGeneration(1)
	}
	if err := resetStatus(k.gvr, obj); err != nil {
		return nil, err
	}
	if err := validate(k.gvr, m, nil); err != nil {
		return nil, err
	}
	if c.store.get(k) != nil {
		return nil, apierrors.NewAlreadyExists(k.gvr.GroupResource(), k.name)
	}
	if obj, err = c.track(req, nil, obj); err != nil {
		return nil, err
	}
	stripType(obj)
	if req.dryRun {
		return obj, nil
	}
	c.commit(k, nil, obj)
	if k.gvr == namespaces {
		c.ensureDefaultServiceAccount(k.name)
	}
	return obj.DeepCopyObject(), nil
}

// resetStatus empties what only the status subresource may write.
func resetStatus(gvr schema.GroupVersionResource, obj runtime.Object) error {
	if !hasStatus(gvr) {
		return nil
	}
	if err := swapStatus(obj, nil); err != nil {
		return err
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		o.Status.Phase = corev1.PodPending
	case *corev1.Namespace:
		o.Status.Phase = corev1.NamespaceActive
	}
	return nil
}

// swapStatus replaces the status of obj by that of from, or empties it for nil.
func swapStatus(obj, from runtime.Object) error {
	to, err := asMap(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	delete(to, "status")
	if from != nil {
		f, err := asMap(from)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		if s, ok := f["status"]; ok {
			to["status"] = s
		}
	}
	return fill(obj, to)
}

// update is PUT of an object, its status or its scale.
func (c *Cluster) update(req *request) (runtime.Object, error) {
	old := c.store.get(req.key)
	if old == nil {
		return nil, notFound(req.key)
	}
	if req.subresource == "scale" {
		return c.updateScale(req, old)
	}
	if req.subresource != "" && req.subresource != "status" {
		return nil, noSubresource(req)
	}
	obj := req.object.DeepCopyObject()
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if m.GetNamespace() == "" {
		m.SetNamespace(req.key.namespace)
	}
	om, err := meta.Accessor(old)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	// A PUT takes the uid of the object as a precondition; a patch does not, and meets
	// the validation of metadata instead.
	if uid := m.GetUID(); uid != "" && uid != om.GetUID() {
		return nil, apierrors.NewConflict(req.key.gvr.GroupResource(), req.key.name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, om.GetUID())) //nolint:staticcheck // the API server's own words
	}
	if m.GetResourceVersion() == "" && !unconditional(req.key.gvr) {
		gvk, _ := kindOf(req.key.gvr)
		return nil, apierrors.NewInvalid(gvk.GroupKind(), req.key.name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"),
		})
	}
	return c.replace(req, old, obj, false)
}

// replace stores obj in the place of old, once versions, metadata and the borders
// between spec and status are checked. Where tracked is set, managedFields are done.
func (c *Cluster) replace(req *request, old, obj runtime.Object, tracked bool) (runtime.Object, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	om, err := meta.Accessor(old)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if rv := m.GetResourceVersion(); rv != "" && rv != om.GetResourceVersion() {
		return nil, apierrors.NewConflict(req.key.gvr.GroupResource(), req.key.name, errStale)
	}
	obj, err = keepServerFields(req, old, obj)
	if err != nil {
		return nil, err
	}
	if m, err = meta.Accessor(obj); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := validate(req.key.gvr, m, om); err != nil {
		return nil, err
	}
	if err := countGeneration(req, old, obj); err != nil {
		return nil, err
	}
	if !tracked {
		if obj, err = c.track(req, old, obj); err != nil {
			return nil, err
		}
	}
	stripType(obj)
	if equality.Semantic.DeepEqual(old, obj) {
		return old.DeepCopyObject(), nil // a write that changes nothing keeps the resourceVersion
	}
	if req.dryRun {
		return obj, nil
	}
	if om.GetDeletionTimestamp() != nil && len(m.GetFinalizers()) == 0 && len(om.GetFinalizers()) > 0 {
		c.commit(req.key, old, nil)
		return obj, nil
	}
	c.commit(req.key, old, obj)
	return obj.DeepCopyObject(), nil
}

// keepServerFields carries over what a writer cannot change: on the object itself its
// status, on the status everything else, and the server's metadata on both.
func keepServerFields(req *request, old, obj runtime.Object) (runtime.Object, error) {
	om, _ := meta.Accessor(old)
	if req.subresource == "status" {
		om2, _ := meta.Accessor(obj)
		managed := om2.GetManagedFields()
		status := obj
		obj = old.DeepCopyObject()
		if err := swapStatus(obj, status); err != nil {
			return nil, err
		}
		m, _ := meta.Accessor(obj)
		m.SetManagedFields(managed)
		return obj, nil
	}
	if hasStatus(req.key.gvr) {
		if err := swapStatus(obj, old); err != nil {
			return nil, err
		}
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if m.GetUID() == "" {
		m.SetUID(om.GetUID())
	}
	m.SetResourceVersion(om.GetResourceVersion())
	m.SetCreationTimestamp(om.GetCreationTimestamp())
	m.SetGeneration(om.GetGeneration())
	m.SetDeletionTimestamp(om.GetDeletionTimestamp())
	m.SetDeletionGracePeriodSeconds(om.GetDeletionGracePeriodSeconds())
	return obj, nil
}

// countGeneration raises metadata.generation where the spec changed.
func countGeneration(req *request, old, obj runtime.Object) error {
	if !countsGenerations(req.key.gvr) || req.subresource == "status" {
		return nil
	}
	was, err := asMap(old)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	is, err := asMap(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if equality.Semantic.DeepEqual(was["spec"], is["spec"]) && equality.Semantic.DeepEqual(was["webhooks"], is["webhooks"]) {
		return nil
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	m.SetGeneration(m.GetGeneration() + 1)
	return nil
}

// deleteOne marks or removes an object. A pod that runs on a node is only marked: the
// kubelet removes it when its time is over.
func (c *Cluster) deleteOne(k key, o metav1.DeleteOptions, dryRun bool) error {
	old := c.store.get(k)
	if old == nil {
		return notFound(k)
	}
	m, err := meta.Accessor(old)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if err := precondition(k, m, o.Preconditions); err != nil {
		return err
	}
	if dryRun {
		return nil
	}
	grace, marked := graceOf(old, o)
	if !marked {
		c.commit(k, old, nil)
		return nil
	}
	if m.GetDeletionTimestamp() != nil && !sooner(grace, m.GetDeletionGracePeriodSeconds()) {
		return nil
	}
	obj := old.DeepCopyObject()
	m, err = meta.Accessor(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	due := metav1.NewTime(c.now().Add(seconds(grace)))
	m.SetDeletionTimestamp(&due)
	m.SetDeletionGracePeriodSeconds(&grace)
	if ns, ok := obj.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceTerminating
	}
	c.commit(k, old, obj)
	return nil
}

func precondition(k key, m metav1.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != m.GetUID() {
		return apierrors.NewConflict(k.gvr.GroupResource(), k.name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, m.GetUID())) //nolint:staticcheck // the API server's own words
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != m.GetResourceVersion() {
		return apierrors.NewConflict(k.gvr.GroupResource(), k.name,
			fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, m.GetResourceVersion())) //nolint:staticcheck // the API server's own words
	}
	return nil
}

// graceOf returns how long an object that is deleted stays, and whether it stays at
// all: pods that run somewhere, namespaces, and what has finalizers.
func graceOf(obj runtime.Object, o metav1.DeleteOptions) (grace int64, stays bool) {
	switch t := obj.(type) {
	case *corev1.Pod:
		grace = 30
		if s := t.Spec.TerminationGracePeriodSeconds; s != nil {
			grace = *s
		}
		if o.GracePeriodSeconds != nil {
			grace = *o.GracePeriodSeconds
		}
		done := t.Status.Phase == corev1.PodSucceeded || t.Status.Phase == corev1.PodFailed
		if t.Spec.NodeName == "" || done {
			grace = 0
		}
		return grace, grace > 0 || len(t.Finalizers) > 0
	case *corev1.Namespace:
		return 0, true
	}
	m, err := meta.Accessor(obj)
	return 0, err == nil && len(m.GetFinalizers()) > 0
}

func sooner(grace int64, now *int64) bool { return now != nil && grace < *now }

func (c *Cluster) deleteCollection(req *request) error {
	f, err := newFilter(req.key.gvr, req.list.LabelSelector, req.list.FieldSelector)
	if err != nil {
		return err
	}
	for _, obj := range c.store.list(req.key.gvr, req.key.namespace) {
		if !f.matches(obj) {
			continue
		}
		m, err := meta.Accessor(obj)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		if err := c.deleteOne(key{req.key.gvr, m.GetNamespace(), m.GetName()}, req.delete, req.dryRun); err != nil {
			return err
		}
	}
	return nil
}

func formatRV(rv int64) string { return strconv.FormatInt(rv, 10) }
