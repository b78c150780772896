package kubed

import (
	"errors"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clienttesting "k8s.io/client-go/testing"
)

// The fake lets a stale update win, lets a patch change a uid or make the object that
// it was meant for anew, stores dry runs, and writes spec and status together.

// errStale is the API server's text for a lost optimistic lock.
var errStale = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// write answers creates, updates and patches.
func (c *Cluster) write(a clienttesting.Action) (bool, runtime.Object, error) {
	obj, err := c.doWrite(a)
	if err != nil {
		return true, nil, err
	}
	return true, obj, nil
}

func (c *Cluster) doWrite(a clienttesting.Action) (runtime.Object, error) {
	old := c.get(keyOf(a))
	switch a := a.(type) {
	case clienttesting.CreateActionImpl:
		m, err := meta.Accessor(a.Object)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		m.SetManagedFields(nil)
		if err := c.makeNew(a.Resource, m, a.Object); err != nil {
			return nil, err
		}
		old = c.get(keyOf(a)) // now that it has a name
	case clienttesting.UpdateActionImpl:
		if old == nil {
			return nil, notFound(keyOf(a))
		}
		if err := checkUpdate(a, old); err != nil {
			return nil, err
		}
	case clienttesting.PatchActionImpl:
		if err := checkPatch(a); err != nil {
			return nil, err
		}
	}
	obj, err := c.try(a, old)
	if err != nil {
		return nil, err
	}
	return c.finish(a, old, obj)
}

// checkUpdate does what is checked before an update is tried. A PUT takes the uid of
// the object as a precondition; a patch does not, and meets the validation of metadata
// instead. The strategies of Lease and PodDisruptionBudget ask for a resourceVersion.
func checkUpdate(a clienttesting.UpdateActionImpl, old runtime.Object) error {
	m, om, err := accessors(a.Object, old)
	if err != nil {
		return err
	}
	if uid := m.GetUID(); uid != "" {
		if err := sameUID(keyOf(a), om, &uid); err != nil {
			return err
		}
	}
	if m.GetResourceVersion() == "" && (a.Resource == leases || a.Resource == budgets) {
		return apierrors.NewInvalid(kindOf(a.Resource).GroupKind(), m.GetName(), field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update")})
	}
	return nil
}

func checkPatch(a clienttesting.PatchActionImpl) error {
	var errs field.ErrorList
	apply := a.PatchType == types.ApplyPatchType
	if apply && a.PatchOptions.FieldManager == "" {
		errs = append(errs, field.Required(field.NewPath("fieldManager"), "is required for apply patch"))
	}
	if !apply && a.PatchOptions.Force != nil {
		errs = append(errs, field.Forbidden(field.NewPath("force"), "may not be specified for non-apply patch"))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "PatchOptions"}, "", errs)
}

// finish makes of the outcome of a write what the API server would, and stores it
// unless the write is a dry run.
func (c *Cluster) finish(a clienttesting.Action, old, obj runtime.Object) (runtime.Object, error) {
	k := keyOf(a)
	m, om, err := accessors(obj, old)
	if err != nil {
		return nil, err
	}
	_, created := a.(clienttesting.CreateActionImpl)
	switch {
	case old != nil:
		if rv := m.GetResourceVersion(); rv != "" && rv != om.GetResourceVersion() {
			return nil, apierrors.NewConflict(k.gvr.GroupResource(), k.name, errStale)
		}
		if err := keep(a, m, old, obj); err != nil {
			return nil, err
		}
	case !created: // server-side apply of what is absent
		if uid := m.GetUID(); uid != "" {
			return nil, apierrors.NewConflict(k.gvr.GroupResource(), k.name,
				fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
		}
		if err := c.openNamespace(k); err != nil {
			return nil, err
		}
		if err := c.makeNew(k.gvr, m, obj); err != nil {
			return nil, err
		}
	}
	if err := validate(k.gvr, m, om, old != nil); err != nil {
		return nil, err
	}
	switch {
	case old != nil && equality.Semantic.DeepEqual(old, obj):
		return old, nil // a write that changes nothing keeps the resourceVersion
	case dryRun(a):
		return obj, nil
	}
	if err := c.put(k, old, obj); err != nil {
		return nil, err
	}
	if old == nil && k.gvr == namespaces {
		return obj, c.ensureDefaultServiceAccount(k.name)
	}
	return obj, nil
}

// keep carries over what a writer cannot change: on the object itself its status, on
// the status everything else, and the server's metadata on both.
func keep(a clienttesting.Action, m metav1.Object, old, obj runtime.Object) error {
	old = old.DeepCopyObject()
	om, err := meta.Accessor(old)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if was, is := part(old, "Status"), part(obj, "Status"); a.GetSubresource() == "status" {
		managed := m.GetManagedFields()
		if is.IsValid() {
			was.Set(is)
		}
		reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(old).Elem())
		m.SetManagedFields(managed)
		return nil
	} else if is.IsValid() {
		is.Set(was)
	}
	if m.GetUID() == "" {
		m.SetUID(om.GetUID())
	}
	m.SetResourceVersion(om.GetResourceVersion())
	m.SetCreationTimestamp(om.GetCreationTimestamp())
	m.SetDeletionTimestamp(om.GetDeletionTimestamp())
	m.SetDeletionGracePeriodSeconds(om.GetDeletionGracePeriodSeconds())
	m.SetGeneration(om.GetGeneration())
	changed := differs("Spec", old, obj) || differs("Webhooks", old, obj)
	if _, is := obj.(*appsv1.Deployment); is { // whose controller copies annotations to its ReplicaSets
		changed = changed || !equality.Semantic.DeepEqual(m.GetAnnotations(), om.GetAnnotations())
	}
	if countsGenerations(a.GetResource()) && changed {
		m.SetGeneration(om.GetGeneration() + 1)
	}
	return nil
}

func differs(field string, a, b runtime.Object) bool {
	x, y := part(a, field), part(b, field)
	return x.IsValid() && !equality.Semantic.DeepEqual(x.Interface(), y.Interface())
}

// validate checks the metadata that every resource has.
func validate(gvr schema.GroupVersionResource, m, old metav1.Object, exists bool) error {
	p := field.NewPath("metadata")
	named := path.ValidatePathSegmentName         //nolint:staticcheck // what the real API server uses still
	if gvr.Group != "rbac.authorization.k8s.io" { // whose names may be anything that a path may
		named = validation.NameIsDNSSubdomain
	}
	errs := validation.ValidateObjectMetaAccessor(m, m.GetNamespace() != "", named, p)
	if exists {
		errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(m, old, p)...)
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(kindOf(gvr).GroupKind(), m.GetName(), errs)
}

// accessors returns the metadata of an object and of what was there before, which is
// empty for nil.
func accessors(obj, old runtime.Object) (m, om metav1.Object, err error) {
	if m, err = meta.Accessor(obj); err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if old == nil {
		return m, &metav1.ObjectMeta{}, nil
	}
	if om, err = meta.Accessor(old); err != nil {
		return nil, nil, apierrors.NewInternalError(err)
	}
	return m, om, nil
}

func notFound(k key) error { return apierrors.NewNotFound(k.gvr.GroupResource(), k.name) }
