package kubed

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

type managerKey struct {
	gvk         schema.GroupVersionKind
	subresource string
}

// typeConverter reads client-go's schema of all built-in types, once.
var typeConverter = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(scheme.Scheme)
})

// tracked reports whether ordinary writes of the resource are recorded in its
// managedFields. Those that are written often and that nobody asks about are not,
// which is most of the cost of a write.
func tracked(gvr schema.GroupVersionResource) bool {
	return gvr != pods && gvr != leases && !slices.Contains([]string{"nodes", "events", "controllerrevisions"}, gvr.Resource)
}

// fieldManager is the API server's own merge and ownership code, which lives in
// apimachinery.
func (c *Cluster) fieldManager(gvr schema.GroupVersionResource, subresource string) (*managedfields.FieldManager, schema.GroupVersionKind, error) {
	gvk, ok := kindOf(gvr)
	if !ok {
		return nil, gvk, apierrors.NewInternalError(fmt.Errorf("no kind for resource %s", gvr))
	}
	k := managerKey{gvk, subresource}
	if fm := c.managers[k]; fm != nil {
		return fm, gvk, nil
	}
	fm, err := managedfields.NewDefaultFieldManager(typeConverter(), scheme.Scheme, noDefaults{}, scheme.Scheme,
		gvk, gvk.GroupVersion(), subresource, nil)
	if err != nil {
		return nil, gvk, apierrors.NewInternalError(err)
	}
	c.managers[k] = fm
	return fm, gvk, nil
}

type noDefaults struct{}

func (noDefaults) Default(runtime.Object) {}

// track records in obj's managedFields what the request changed from old.
func (c *Cluster) track(req *request, old, obj runtime.Object) (runtime.Object, error) {
	if req.patchType == types.ApplyPatchType {
		return obj, nil
	}
	if !tracked(req.key.gvr) {
		return obj, nil
	}
	fm, gvk, err := c.fieldManager(req.key.gvr, req.subresource)
	if err != nil {
		return nil, err
	}
	live, err := liveOrNew(old, gvk)
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	out, err := fm.Update(live, obj, req.manager)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return out, c.stamp(old, out)
}

// merge does a server-side apply, with a conflict where another manager owns a field
// that would change and force is not set.
func (c *Cluster) merge(req *request, old runtime.Object, asked *unstructured.Unstructured) (runtime.Object, error) {
	fm, gvk, err := c.fieldManager(req.key.gvr, req.subresource)
	if err != nil {
		return nil, err
	}
	live, err := liveOrNew(old, gvk)
	if err != nil {
		return nil, err
	}
	out, err := fm.Apply(live, asked, req.manager, req.force != nil && *req.force)
	if err != nil {
		return nil, err
	}
	return out, c.stamp(old, out)
}

func liveOrNew(old runtime.Object, gvk schema.GroupVersionKind) (runtime.Object, error) {
	if old != nil {
		live := old.DeepCopyObject()
		live.GetObjectKind().SetGroupVersionKind(gvk)
		return live, nil
	}
	live, err := scheme.Scheme.New(gvk)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	live.GetObjectKind().SetGroupVersionKind(gvk)
	return live, nil
}

// stamp replaces the machine's time in changed managedFields entries by the cluster's,
// and keeps the time of entries that did not change.
func (c *Cluster) stamp(old, obj runtime.Object) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	var before []metav1.ManagedFieldsEntry
	if old != nil {
		om, err := meta.Accessor(old)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		before = om.GetManagedFields()
	}
	now := c.now()
	entries := m.GetManagedFields()
	for i := range entries {
		e := &entries[i]
		e.Time = &now
		for _, b := range before {
			if b.Manager == e.Manager && b.Operation == e.Operation && b.Subresource == e.Subresource &&
				b.APIVersion == e.APIVersion && equality.Semantic.DeepEqual(b.FieldsV1, e.FieldsV1) {
				e.Time = b.Time
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b metav1.ManagedFieldsEntry) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), a.Time.Compare(b.Time.Time), cmp.Compare(a.Manager, b.Manager))
	})
	m.SetManagedFields(entries)
	return nil
}
