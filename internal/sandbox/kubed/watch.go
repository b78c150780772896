package kubed

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// The fake's watches panic when a hundred events wait to be read, ignore field
// selectors, and miss what was deleted between a list and the watch that follows it.

// watcher takes events from the tracker's watch as they come, and keeps them for a
// reader that takes its time.
type watcher struct {
	*watch.ProxyWatcher
	from    watch.Interface
	matches func(runtime.Object) bool
	out     chan watch.Event
	wake    chan struct{}

	mu    sync.Mutex
	queue []watch.Event
}

// watch opens a watch that begins with what a list at the resourceVersion would not
// show, which is everything for none.
func (c *Cluster) watch(a clienttesting.WatchActionImpl) (watch.Interface, error) {
	sel, err := fieldSelector(a.Resource, a.ListOptions.FieldSelector)
	if err != nil {
		return nil, err
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
		matches: func(obj runtime.Object) bool { return sel.Matches(fieldsOf(obj)) }}
	if sel.Empty() {
		w.matches = func(runtime.Object) bool { return true }
	}
	for _, obj := range c.list(a.Resource, a.Namespace) {
		if versionOf(obj) > since {
			w.push(watch.Event{Type: watch.Added, Object: obj})
		}
	}
	for _, ch := range c.past {
		if ch.deleted && ch.gvr == a.Resource && (a.Namespace == "" || a.Namespace == ch.namespace) &&
			since > 0 && ch.version >= since && c.get(ch.key) == nil {
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

func (w *watcher) push(ev watch.Event) {
	if !w.matches(ev.Object) {
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
