package kubed

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// The fake stores what it is told to create as it is: a uid and a status that the
// client made up, no name for a generateName, no creationTimestamp, no generation.

// maxGenerated is how much of a generateName the API server keeps before the suffix.
const maxGenerated = 63 - 5

// suffixes is the alphabet of generated names: no vowels, nothing that looks alike.
const suffixes = "bcdfghjklmnpqrstvwxz2456789"

// makeNew gives an object that a client creates what belongs to the server.
func (c *Cluster) makeNew(gvr schema.GroupVersionResource, m metav1.Object, obj runtime.Object) error {
	if m.GetResourceVersion() != "" {
		return apierrors.NewInternalError(errors.New("resourceVersion should not be set on objects to be created"))
	}
	m.SetUID("")
	m.SetGeneration(0)
	m.SetCreationTimestamp(metav1.Time{})
	m.SetDeletionTimestamp(nil)
	m.SetDeletionGracePeriodSeconds(nil)
	c.identify(gvr, m)
	if status := part(obj, "Status"); status.IsValid() {
		status.SetZero()
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		o.Status.Phase = corev1.PodPending
	case *corev1.Namespace:
		o.Status.Phase = corev1.NamespaceActive
	}
	return nil
}

// identify fills in what is empty of name, uid, creationTimestamp and generation.
func (c *Cluster) identify(gvr schema.GroupVersionResource, m metav1.Object) {
	c.fillName(gvr, m)
	if m.GetUID() == "" {
		m.SetUID(c.mintUID(gvr, m))
	}
	if created := m.GetCreationTimestamp(); created.IsZero() {
		m.SetCreationTimestamp(c.now())
	}
	if m.GetGeneration() == 0 && countsGenerations(gvr) {
		m.SetGeneration(1)
	}
}

// countsGenerations reports whether changes of the resource's spec count in
// metadata.generation.
func countsGenerations(gvr schema.GroupVersionResource) bool {
	return gvr == pods || slices.Contains([]string{"apps", "batch", "policy", "admissionregistration.k8s.io"}, gvr.Group)
}

// part returns a field of a typed object, such as its Status; the zero Value where the
// kind has none.
func part(obj runtime.Object, field string) reflect.Value {
	return reflect.Indirect(reflect.ValueOf(obj)).FieldByName(field)
}

// fillName gives an object with a generateName the name that the API server would,
// trying again where it is taken.
func (c *Cluster) fillName(gvr schema.GroupVersionResource, m metav1.Object) {
	if m.GetName() != "" || m.GetGenerateName() == "" {
		return
	}
	base := m.GetGenerateName()
	base = base[:min(len(base), maxGenerated)]
	for m.GetName() == "" || c.get(key{gvr, m.GetNamespace(), m.GetName()}) != nil {
		b := c.mint(base)
		n := binary.BigEndian.Uint64(b[:])
		suffix := make([]byte, 5)
		for i := range suffix {
			suffix[i] = suffixes[n%uint64(len(suffixes))]
			n /= uint64(len(suffixes))
		}
		m.SetName(base + string(suffix))
	}
}

func (c *Cluster) mintUID(gvr schema.GroupVersionResource, m metav1.Object) types.UID {
	b := c.mint(gvr.Resource + "/" + m.GetNamespace() + "/" + m.GetName())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}

// mint returns 32 bytes that depend on the seed, on what was minted before, and on what for.
func (c *Cluster) mint(what string) [32]byte {
	c.minted++
	return sha256.Sum256(fmt.Appendf(nil, "%d %d %s", c.seed, c.minted, what))
}
