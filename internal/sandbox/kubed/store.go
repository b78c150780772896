package kubed

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// The fake's tracker keeps a version of each object and shows it only on lists. Every
// write ends in [Cluster.put] or [Cluster.drop], which count along and write the number
// into the object, so that lists, objects and watches agree.

var (
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	pods            = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	leases          = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	budgets         = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
)

// How many writes are remembered, and for how long: a sandbox may run for days. An API
// server's etcd forgets at every fifth minute what is older than five.
// Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/, --etcd-compaction-interval.
const (
	maxPast  = 10_000
	pastLife = 10 * time.Minute
)

// key names an object.
type key struct {
	gvr             schema.GroupVersionResource
	namespace, name string
}

// change is a write of the past.
type change struct {
	key
	at      time.Time
	version int64          // of the resource, after the write
	was     runtime.Object // nil for a create
	deleted bool
}

func newTracker() clienttesting.ObjectTracker {
	return clienttesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder())
}

// kindOf returns the kind behind a resource, for every type client-go knows.
func kindOf(gvr schema.GroupVersionResource) schema.GroupVersionKind { return kinds()[gvr] }

var kinds = sync.OnceValue(func() map[schema.GroupVersionResource]schema.GroupVersionKind {
	out := map[schema.GroupVersionResource]schema.GroupVersionKind{}
	for gvk := range scheme.Scheme.AllKnownTypes() {
		gvr, _ := meta.UnsafeGuessKindToResource(gvk)
		out[gvr] = gvk
	}
	return out
})

// get returns a copy of an object, or nil.
func (c *Cluster) get(k key) runtime.Object {
	obj, err := c.tracker.Get(k.gvr, k.namespace, k.name)
	if err != nil {
		return nil
	}
	return obj
}

// list returns copies of the objects of a namespace, or of all for "".
func (c *Cluster) list(gvr schema.GroupVersionResource, namespace string) []runtime.Object {
	list, err := c.tracker.List(gvr, kindOf(gvr), namespace)
	if err != nil {
		return nil
	}
	objs, err := meta.ExtractList(list)
	if err != nil {
		return nil
	}
	return objs
}

// put stores obj in the place of old, which is nil for a new object.
func (c *Cluster) put(k key, old, obj runtime.Object) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	m.SetResourceVersion(strconv.FormatInt(max(c.versions[k.gvr], 1)+1, 10))
	if old == nil {
		err = c.tracker.Create(k.gvr, obj, k.namespace)
	} else {
		err = c.tracker.Update(k.gvr, obj, k.namespace)
	}
	if err != nil {
		return err
	}
	c.versions[k.gvr] = max(c.versions[k.gvr], 1) + 1
	c.tell(change{key: k, was: old}, obj)
	return nil
}

// drop takes an object out of the tracker.
func (c *Cluster) drop(k key, old runtime.Object) error {
	if err := c.tracker.Delete(k.gvr, k.namespace, k.name); err != nil {
		return err
	}
	c.tell(change{key: k, was: old, deleted: true}, old)
	return nil
}

// tell hands a write to who follows the cluster.
func (c *Cluster) tell(ch change, obj runtime.Object) {
	ch.at, ch.version = c.clock.Now(), c.versions[ch.gvr]
	c.past = append(c.past, ch)
	old := max(0, len(c.past)-maxPast)
	for ; old < len(c.past) && ch.at.Sub(c.past[old].at) > pastLife; old++ {
	}
	clear(c.past[:old]) // their objects can go before append makes a new array
	c.past = c.past[old:]
	for _, w := range c.watchers {
		w.drain()
	}
	for _, f := range c.observers {
		f(obj.DeepCopyObject(), ch.deleted)
	}
}

// resources are those that have been written, in a stable order.
func (c *Cluster) resources() []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for gvr := range c.versions {
		out = append(out, gvr)
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionResource) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
