package kubed

import (
	"fmt"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// watcher is one open watch. Its queue has no bound, because the fake's own watchers
// panic after a hundred events that nobody has read yet.
type watcher struct {
	cluster   *Cluster
	key       key // the resource, and the namespace or "" for all
	filter    filter
	result    chan watch.Event
	stopped   chan struct{}
	stop      sync.Once
	wake      chan struct{}
	mu        sync.Mutex
	queue     []watch.Event
	exhausted bool
}

func (c *Cluster) serveWatch(user string) clienttesting.WatchReactionFunc {
	return func(action clienttesting.Action) (bool, watch.Interface, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		req := newRequest(user, action)
		if f := c.fault(req); f != nil {
			err := f.err(req)
			c.record(req, err)
			return true, nil, err
		}
		c.record(req, nil)
		w, err := c.watch(req)
		return true, w, err
	}
}

// watch opens a watch: from the objects as they are where no resourceVersion is given,
// else from the events since then.
//
// https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-watch
func (c *Cluster) watch(req request) (watch.Interface, error) {
	f, err := newFilter(req.key.gvr, req.list.LabelSelector, req.list.FieldSelector)
	if err != nil {
		return nil, err
	}
	w := &watcher{
		cluster: c,
		key:     req.key,
		filter:  f,
		result:  make(chan watch.Event),
		stopped: make(chan struct{}),
		wake:    make(chan struct{}, 1),
	}
	if err := w.catchUp(&c.store, req.list.ResourceVersion); err != nil {
		return nil, err
	}
	if !w.exhausted {
		c.store.watchers[w] = true
	}
	go w.pump()
	return w, nil
}

func (w *watcher) catchUp(s *store, from string) error {
	if from == "" || from == "0" {
		for _, obj := range s.list(w.key.gvr, w.key.namespace) {
			if w.filter.matches(obj) {
				w.push(watch.Event{Type: watch.Added, Object: obj.DeepCopyObject()})
			}
		}
		return nil
	}
	rv, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", from, err))
	}
	if rv < s.lost {
		gone := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", rv, s.lost+1))
		w.push(watch.Event{Type: watch.Error, Object: &gone.ErrStatus})
		w.exhausted = true
		return nil
	}
	for _, e := range s.log {
		if e.rv <= rv {
			continue
		}
		seen := e.new
		if seen == nil {
			seen = e.old.DeepCopyObject()
			if m, err := meta.Accessor(seen); err == nil {
				m.SetResourceVersion(strconv.FormatInt(e.rv, 10))
			}
		}
		w.offer(e, seen)
	}
	return nil
}

// offer queues an event that concerns the watch.
func (w *watcher) offer(e event, seen runtime.Object) {
	if e.key.gvr != w.key.gvr || w.key.namespace != "" && w.key.namespace != e.key.namespace {
		return
	}
	if ev, ok := e.shown(w.filter, seen); ok {
		w.push(ev)
	}
}

func (w *watcher) push(ev watch.Event) {
	w.mu.Lock()
	w.queue = append(w.queue, ev)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// pump hands queued events to the reader until the watch is stopped.
func (w *watcher) pump() {
	defer close(w.result)
	for {
		w.mu.Lock()
		batch := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, ev := range batch {
			select {
			case w.result <- ev:
			case <-w.stopped:
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		if w.exhausted {
			return
		}
		select {
		case <-w.wake:
		case <-w.stopped:
			return
		}
	}
}

// ResultChan implements [watch.Interface].
func (w *watcher) ResultChan() <-chan watch.Event { return w.result }

// Stop implements [watch.Interface].
func (w *watcher) Stop() {
	w.stop.Do(func() {
		close(w.stopped)
		w.cluster.mu.Lock()
		delete(w.cluster.store.watchers, w)
		w.cluster.mu.Unlock()
	})
}

// BreakWatches ends every open watch, as an API server that restarts does. Informers
// open new ones.
func (c *Cluster) BreakWatches() {
	c.mu.Lock()
	open := make([]*watcher, 0, len(c.store.watchers))
	for w := range c.store.watchers {
		open = append(open, w)
	}
	c.mu.Unlock()
	for _, w := range open {
		w.Stop()
	}
}
