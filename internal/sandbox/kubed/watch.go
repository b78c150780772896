package kubed

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// The fake's watches panic when a hundred events wait to be read, ignore selectors, and
// miss what was deleted between a list and the watch that follows it.

// watcher takes events from the tracker's watch as they come, and keeps them for a
// reader that takes its time.
type watcher struct {
	*watch.ProxyWatcher
	from    watch.Interface
	matches func(runtime.Object) bool // nil: all
	out     chan watch.Event
	wake    chan struct{}

	mu    sync.Mutex
	queue []watch.Event
	shown map[types.UID]bool // what the reader has, where there is a selector
}

// watch opens a watch that begins with what a list at the resourceVersion would not
// show, which is everything for none.
func (c *Cluster) watch(a clienttesting.WatchActionImpl) (watch.Interface, error) {
	sel, err := fieldSelector(a.Resource, a.ListOptions.FieldSelector)
	if err != nil {
		return nil, err
	}
	labelled, err := labels.Parse(a.ListOptions.LabelSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	var since int64
	if rv := a.ListOptions.ResourceVersion; rv != "" {
		if since, err = strconv.ParseInt(rv, 10, 64); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", rv, err))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	from, err := c.tracker.Watch(a.Resource, a.Namespace)
	if err != nil {
		return nil, err
	}
	out := make(chan watch.Event)
	w := &watcher{ProxyWatcher: watch.NewProxyWatcher(out), from: from, out: out, wake: make(chan struct{}, 1),
		shown: map[types.UID]bool{}}
	if !sel.Empty() || !labelled.Empty() {
		w.matches = func(obj runtime.Object) bool {
			m, err := meta.Accessor(obj)
			return err == nil && labelled.Matches(labels.Set(m.GetLabels())) && (sel.Empty() || sel.Matches(fieldsOf(obj)))
		}
	}
	for _, obj := range c.list(a.Resource, a.Namespace) {
		w.know(obj)
		if versionOf(obj) > since {
			w.push(watch.Event{Type: watch.Added, Object: obj})
		}
	}
	for _, ch := range c.past {
		if ch.deleted && ch.gvr == a.Resource && (a.Namespace == "" || a.Namespace == ch.namespace) &&
			since > 0 && ch.version >= since && c.get(ch.key) == nil {
			w.know(ch.was)
			w.push(watch.Event{Type: watch.Deleted, Object: ch.was.DeepCopyObject()})
		}
	}
	c.watchers = append(c.watchers, w)
	go c.pump(w)
	return w, nil
}

// drain takes what the tracker has put in its channel. It is called after every write,
// so that there is never more than one event.
func (w *watcher) drain() {
	for {
		select {
		case ev, ok := <-w.from.ResultChan():
			if !ok {
				return
			}
			w.push(ev)
		default:
			return
		}
	}
}

// know notes an object of a list that the reader has seen.
func (w *watcher) know(obj runtime.Object) {
	if m, err := meta.Accessor(obj); err == nil && w.matches != nil && w.matches(obj) {
		w.shown[m.GetUID()] = true
	}
}

// selected turns an event into what a reader with a selector sees: what begins to match
// is added to it, what matches no longer is deleted.
// Source: k8s.io/apiserver, pkg/storage/cacher, convertToWatchEvent.
func (w *watcher) selected(ev watch.Event) (watch.Event, bool) {
	m, err := meta.Accessor(ev.Object)
	if err != nil || w.matches == nil {
		return ev, err == nil
	}
	was, is := w.shown[m.GetUID()], ev.Type != watch.Deleted && w.matches(ev.Object)
	switch {
	case is && !was && ev.Type == watch.Modified:
		ev.Type = watch.Added
	case was && !is:
		ev.Type = watch.Deleted
	}
	if is {
		w.shown[m.GetUID()] = true
	} else {
		delete(w.shown, m.GetUID())
	}
	return ev, is || was
}

// push gives the reader an event. The cluster's lock is held.
func (w *watcher) push(ev watch.Event) {
	ev, told := w.selected(ev)
	if !told {
		return
	}
	w.mu.Lock()
	w.queue = append(w.queue, ev)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// pump hands events to the reader until the watch is stopped.
func (c *Cluster) pump(w *watcher) {
	defer close(w.out)
	defer func() {
		w.from.Stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watchers = slices.DeleteFunc(c.watchers, func(x *watcher) bool { return x == w })
	}()
	for {
		w.mu.Lock()
		batch := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, ev := range batch {
			select {
			case w.out <- ev:
			case <-w.StopChan():
				return
			}
		}
		select {
		case <-w.wake:
		case <-w.StopChan():
			return
		}
	}
}

func versionOf(obj runtime.Object) int64 {
	m, err := meta.Accessor(obj)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(m.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
