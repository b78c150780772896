package kubed

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// The fake is never behind, as a real API server's watch cache can be.

// stale answers a list or get as it was at an earlier moment.
func (c *Cluster) stale(a clienttesting.Action, at time.Time) (bool, runtime.Object, error) {
	c.mu.Lock()
	tracker, err := c.asOf(a.GetResource(), at)
	c.mu.Unlock()
	if err != nil {
		return true, nil, err
	}
	return clienttesting.ObjectReaction(tracker)(a)
}

// asOf returns a tracker that holds the objects of a resource of that moment.
func (c *Cluster) asOf(gvr schema.GroupVersionResource, at time.Time) (clienttesting.ObjectTracker, error) {
	then := map[key]runtime.Object{}
	for _, obj := range c.list(gvr, "") {
		m, _, err := accessors(obj, nil)
		if err != nil {
			return nil, err
		}
		then[key{gvr, m.GetNamespace(), m.GetName()}] = obj
	}
	for _, ch := range slices.Backward(c.past) {
		if !ch.at.After(at) {
			break
		}
		if ch.gvr == gvr {
			then[ch.key] = ch.was
		}
	}
	tracker := newTracker()
	for k, obj := range then {
		if obj == nil {
			continue
		}
		if err := tracker.Create(gvr, obj, k.namespace); err != nil {
			return nil, err
		}
	}
	return tracker, nil
}
