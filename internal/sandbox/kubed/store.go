package kubed

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// maxLog bounds how many past events a watch can resume from and a stale list can
// look back over. Like a real API server, older ones are gone.
const maxLog = 50_000

type key struct {
	gvr             schema.GroupVersionResource
	namespace, name string
}

// event is one committed write. The objects are never changed after they are stored.
type event struct {
	rv       int64
	at       time.Time
	key      key
	old, new runtime.Object
}

// store keeps the objects, the one resourceVersion counter of the cluster and the log
// of what happened. It is guarded by the lock of its [Cluster].
type store struct {
	objects  map[schema.GroupVersionResource]map[key]runtime.Object
	rv       int64
	log      []event
	lost     int64 // the newest resourceVersion that is no longer in the log
	watchers map[*watcher]bool
}

func newStore() store {
	return store{
		objects:  map[schema.GroupVersionResource]map[key]runtime.Object{},
		watchers: map[*watcher]bool{},
	}
}

func (s *store) get(k key) runtime.Object { return s.objects[k.gvr][k] }

// all returns every object in a stable order.
func (s *store) all() []runtime.Object {
	var out []runtime.Object
	for _, gvr := range slices.SortedFunc(maps.Keys(s.objects), func(a, b schema.GroupVersionResource) int {
		return cmp.Compare(a.String(), b.String())
	}) {
		out = append(out, sorted(s.objects[gvr], "")...)
	}
	return out
}

// list returns the objects of a resource, of one namespace or of all for "".
func (s *store) list(gvr schema.GroupVersionResource, namespace string) []runtime.Object {
	return sorted(s.objects[gvr], namespace)
}

// listAt returns what list returned at an earlier moment, and the resourceVersion then.
func (s *store) listAt(gvr schema.GroupVersionResource, namespace string, at time.Time) ([]runtime.Object, int64) {
	then := maps.Clone(s.objects[gvr])
	if then == nil {
		then = map[key]runtime.Object{}
	}
	rv := s.rv
	for _, e := range slices.Backward(s.log) {
		if !e.at.After(at) {
			break
		}
		rv = e.rv - 1
		if e.key.gvr != gvr {
			continue
		}
		if e.old == nil {
			delete(then, e.key)
		} else {
			then[e.key] = e.old
		}
	}
	return sorted(then, namespace), rv
}

func sorted(objs map[key]runtime.Object, namespace string) []runtime.Object {
	keys := make([]key, 0, len(objs))
	for k := range objs {
		if namespace == "" || k.namespace == namespace {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	out := make([]runtime.Object, len(keys))
	for i, k := range keys {
		out[i] = objs[k]
	}
	return out
}

// commit stores obj under the next resourceVersion, or deletes for nil, and tells
// watchers and observers. It owns obj from then on.
func (c *Cluster) commit(k key, old, obj runtime.Object) {
	s := &c.store
	s.rv++
	seen, deleted := obj, obj == nil
	if deleted {
		seen = old.DeepCopyObject() // a watch shows a deleted object with the version of its deletion
		delete(s.objects[k.gvr], k)
	} else {
		if s.objects[k.gvr] == nil {
			s.objects[k.gvr] = map[key]runtime.Object{}
		}
		s.objects[k.gvr][k] = obj
	}
	if m, err := meta.Accessor(seen); err == nil {
		m.SetResourceVersion(strconv.FormatInt(s.rv, 10))
	}
	e := event{rv: s.rv, at: c.clock.Now(), key: k, old: old, new: obj}
	if len(s.log) >= maxLog {
		s.lost = s.log[maxLog/2-1].rv
		s.log = slices.Clone(s.log[maxLog/2:])
	}
	s.log = append(s.log, e)
	for w := range s.watchers {
		w.offer(e, seen)
	}
	for _, f := range c.observers {
		f(seen, deleted)
	}
}

// shown returns the event as a watcher with the filter sees it, if it does: an object
// that stops matching is deleted for it, and one that begins to is added.
func (e event) shown(f filter, seen runtime.Object) (watch.Event, bool) {
	was := e.old != nil && f.matches(e.old)
	is := e.new != nil && f.matches(e.new)
	switch {
	case is && was:
		return watch.Event{Type: watch.Modified, Object: seen.DeepCopyObject()}, true
	case is:
		return watch.Event{Type: watch.Added, Object: seen.DeepCopyObject()}, true
	case was:
		return watch.Event{Type: watch.Deleted, Object: seen.DeepCopyObject()}, true
	}
	return watch.Event{}, false
}
