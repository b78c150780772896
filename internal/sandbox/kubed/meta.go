package kubed

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
)

// maxGenerated is how much of a generateName the API server keeps before the suffix.
const maxGenerated = 63 - 5

// suffixes is the alphabet of generated names: no vowels, nothing that looks alike.
const suffixes = "bcdfghjklmnpqrstvwxz2456789"

// kindOf returns the kind behind a resource, for every type client-go knows.
func kindOf(gvr schema.GroupVersionResource) (schema.GroupVersionKind, bool) {
	k, ok := kinds()[gvr]
	return k, ok
}

var kinds = sync.OnceValue(func() map[schema.GroupVersionResource]schema.GroupVersionKind {
	out := map[schema.GroupVersionResource]schema.GroupVersionKind{}
	for gvk := range scheme.Scheme.AllKnownTypes() {
		gvr, _ := meta.UnsafeGuessKindToResource(gvk)
		out[gvr] = gvk
	}
	return out
})

// countsGenerations reports whether spec changes of the resource count in
// metadata.generation.
func countsGenerations(gvr schema.GroupVersionResource) bool {
	return gvr == pods || slices.Contains([]string{"apps", "batch", "policy", "admissionregistration.k8s.io"}, gvr.Group)
}

// hasStatus reports whether the resource's status is written through its own
// subresource only.
func hasStatus(gvr schema.GroupVersionResource) bool {
	switch gvr.Group {
	case "apps", "batch", "policy":
		return gvr.Resource != "controllerrevisions"
	case "":
		return slices.Contains([]string{"pods", "nodes", "namespaces", "services"}, gvr.Resource)
	}
	return false
}

// unconditional reports whether an update without a resourceVersion is accepted.
// The strategies of Lease and PodDisruptionBudget refuse it.
func unconditional(gvr schema.GroupVersionResource) bool { return gvr != leases && gvr != budgets }

func nameOf(obj runtime.Object) string {
	m, err := meta.Accessor(obj)
	if err != nil {
		return ""
	}
	return m.GetName()
}

// mint returns 32 bytes that depend on the seed, on what was minted before, and on what for.
func (c *Cluster) mint(what string) [32]byte {
	c.minted++
	return sha256.Sum256(fmt.Appendf(nil, "%d %d %s", c.seed, c.minted, what))
}

func (c *Cluster) mintUID(gvr schema.GroupVersionResource, m metav1.Object) types.UID {
	b := c.mint(gvr.Resource + "/" + m.GetNamespace() + "/" + m.GetName())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}

// fillName gives an object with a generateName the name that the API server would,
// trying again where it is taken.
func (c *Cluster) fillName(m metav1.Object, gvr schema.GroupVersionResource) {
	if m.GetName() != "" || m.GetGenerateName() == "" {
		return
	}
	base := m.GetGenerateName()
	base = base[:min(len(base), maxGenerated)]
	for {
		b := c.mint(base)
		n := binary.BigEndian.Uint64(b[:])
		suffix := make([]byte, 5)
		for i := range suffix {
			suffix[i] = suffixes[n%uint64(len(suffixes))]
			n /= uint64(len(suffixes))
		}
		m.SetName(base + string(suffix))
		if c.store.get(key{gvr, m.GetNamespace(), m.GetName()}) == nil {
			return
		}
	}
}

// stripType empties the type of a typed object, as client-go's decoder does.
func stripType(obj runtime.Object) {
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
}

// validate checks the metadata that every resource has.
func validate(gvr schema.GroupVersionResource, m, old metav1.Object) error {
	p := field.NewPath("metadata")
	errs := validation.ValidateObjectMetaAccessor(m, m.GetNamespace() != "", path.ValidatePathSegmentName, p)
	if old != nil {
		errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(m, old, p)...)
	}
	if len(errs) == 0 {
		return nil
	}
	gvk, _ := kindOf(gvr)
	return apierrors.NewInvalid(gvk.GroupKind(), m.GetName(), errs)
}

// admitNamespace refuses a create in a namespace that is absent or going away.
func (c *Cluster) admitNamespace(req *request) error {
	if req.key.namespace == "" {
		return nil
	}
	ns, ok := c.store.get(key{gvr: namespaces, name: req.key.namespace}).(*corev1.Namespace)
	if !ok {
		return apierrors.NewNotFound(namespaces.GroupResource(), req.key.namespace)
	}
	if ns.DeletionTimestamp != nil {
		return apierrors.NewForbidden(req.key.gvr.GroupResource(), req.key.name,
			fmt.Errorf("unable to create new content in namespace %s because it is being terminated", ns.Name))
	}
	return nil
}
