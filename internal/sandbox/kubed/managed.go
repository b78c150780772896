package kubed

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// The fake stores a write before anybody can look at its outcome, dry run or not, and
// stamps managed fields with the machine's time. So a write is first tried in a tracker
// of its own that holds nothing but the object, the one that fake.NewClientset uses.
// The outcome is checked and finished (write.go), and only then stored.

var typeConverter = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(scheme.Scheme)
})

// try returns what a create, update or patch makes of old, which is nil where there is
// none. It stores nothing.
func (c *Cluster) try(a clienttesting.Action, old runtime.Object) (runtime.Object, error) {
	tracker, err := trial(a)
	if err != nil {
		return nil, err
	}
	gvk := kindOf(a.GetResource())
	if old != nil {
		old = old.DeepCopyObject()
		old.GetObjectKind().SetGroupVersionKind(gvk)
		if err := tracker.Add(old); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	}
	_, _, err = clienttesting.ObjectReaction(tracker)(a)
	if err != nil {
		return nil, refusal(a, err)
	}
	k := keyOf(a)
	obj, err := tracker.Get(k.gvr, k.namespace, k.name) // the reaction returns no managed fields for a patch
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // as client-go's decoder does
	return obj, c.stamp(old, obj)
}

// trial returns an empty tracker for the action. One that manages fields makes a
// RESTMapper of its whole scheme for each write, so it gets a scheme of one kind; for
// what is written often, and nobody asks whose, it does not manage fields at all.
func trial(a clienttesting.Action) (clienttesting.ObjectTracker, error) {
	gvr := a.GetResource()
	patch, _ := a.(clienttesting.PatchActionImpl)
	if patch.PatchType != types.ApplyPatchType && slices.Contains([]string{"pods", "leases", "nodes", "events", "controllerrevisions"}, gvr.Resource) {
		return newTracker(), nil
	}
	gvk := kindOf(gvr)
	zero, err := scheme.Scheme.New(gvk)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	one := runtime.NewScheme()
	one.AddKnownTypeWithName(gvk, zero)
	return clienttesting.NewFieldManagedObjectTracker(one, scheme.Codecs.UniversalDecoder(), typeConverter()), nil
}

// refusal puts the fake's bare errors of a patch into the API server's shape. A JSON
// patch whose test fails is answered with 422, without saying which test.
func refusal(a clienttesting.Action, err error) error {
	patch, ok := a.(clienttesting.PatchActionImpl)
	if status := apierrors.APIStatus(nil); !ok || errors.As(err, &status) {
		return err
	}
	if patch.PatchType == types.JSONPatchType && json.Valid(patch.Patch) {
		return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return apierrors.NewBadRequest(err.Error())
}

// stamp replaces the machine's time in changed managedFields entries by the cluster's,
// and keeps the time of entries that did not change.
func (c *Cluster) stamp(old, obj runtime.Object) error {
	m, before, err := accessors(obj, old)
	if err != nil {
		return err
	}
	now := c.now()
	entries := m.GetManagedFields()
	for i := range entries {
		e := &entries[i]
		e.Time = &now
		for _, b := range before.GetManagedFields() {
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
