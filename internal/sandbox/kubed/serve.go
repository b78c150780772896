package kubed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// serve is the reactor behind every client: fault, answer, record.
func (c *Cluster) serve(user string, action clienttesting.Action) (bool, runtime.Object, error) {
	switch action.GetResource().Resource {
	case "version", "group", "resource": // discovery, which client-go's fake answers itself
		return false, nil, nil
	}
	req := newRequest(user, action)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fault(req)
	if f != nil && f.Failure != Stale && !f.Stored {
		err := f.err(req)
		c.record(req, err)
		return true, nil, err
	}
	obj, err := c.answer(&req, f)
	if err == nil && f != nil && f.Failure != Stale {
		obj, err = nil, f.err(req)
	}
	c.record(req, err)
	if err != nil {
		return true, nil, err
	}
	return true, obj, nil
}

// answer runs one request. Admission is the only part that runs without the lock.
func (c *Cluster) answer(req *request, f *Fault) (runtime.Object, error) {
	at := c.clock.Now()
	if f != nil && f.Failure == Stale {
		at = at.Add(-f.Lag)
	}
	switch req.verb {
	case "get":
		return c.get(req, f != nil && f.Failure == Stale, at)
	case "list":
		return c.listObjects(req, f != nil && f.Failure == Stale, at)
	case "create":
		return c.create(req)
	case "update":
		return c.update(req)
	case "patch":
		return c.patch(req)
	case "delete":
		return nil, c.deleteOne(req.key, req.delete, req.dryRun)
	case "deletecollection":
		return nil, c.deleteCollection(req)
	}
	return nil, apierrors.NewMethodNotSupported(req.key.gvr.GroupResource(), req.verb)
}

func (c *Cluster) get(req *request, stale bool, at time.Time) (runtime.Object, error) {
	obj := c.store.get(req.key)
	if stale {
		obj = nil
		past, _ := c.store.listAt(req.key.gvr, req.key.namespace, at)
		for _, o := range past {
			if nameOf(o) == req.key.name {
				obj = o
			}
		}
	}
	if obj == nil {
		return nil, notFound(req.key)
	}
	switch req.subresource {
	case "", "status":
		return obj.DeepCopyObject(), nil
	case "scale":
		return scaleOf(obj)
	case "log":
		return &runtime.Unknown{}, nil
	}
	return nil, noSubresource(req)
}

func (c *Cluster) create(req *request) (runtime.Object, error) {
	switch req.subresource {
	case "":
	case "eviction":
		return c.evict(req)
	case "binding":
		return c.bind(req)
	default:
		return nil, noSubresource(req)
	}
	obj := req.object.DeepCopyObject()
	if err := c.prepareCreate(req, obj); err != nil {
		return nil, err
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		admitted, err := c.admitPod(pod)
		if err != nil {
			return nil, err
		}
		obj = admitted
	}
	return c.finishCreate(req, obj)
}

// bind is the scheduler's write: the node of a pod, once.
func (c *Cluster) bind(req *request) (runtime.Object, error) {
	b, ok := req.object.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", req.object))
	}
	old, ok := c.store.get(req.key).(*corev1.Pod)
	if !ok {
		return nil, notFound(req.key)
	}
	if old.Spec.NodeName != "" {
		return nil, apierrors.NewConflict(req.key.gvr.GroupResource(), req.key.name,
			fmt.Errorf("pod %s is already assigned to node %q", old.Name, old.Spec.NodeName))
	}
	pod := old.DeepCopy()
	pod.Spec.NodeName = b.Target.Name
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: c.now(),
	})
	if !req.dryRun {
		c.commit(req.key, old, pod)
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}

func notFound(k key) error { return apierrors.NewNotFound(k.gvr.GroupResource(), k.name) }

func noSubresource(req *request) error {
	return apierrors.NewNotFound(schema.GroupResource{Group: req.key.gvr.Group, Resource: req.resource()}, req.key.name)
}

// asMap returns an object as a JSON map.
func asMap(obj runtime.Object) (map[string]any, error) {
	return runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
}

// jsonOf returns an object in JSON as the API server would show it.
func jsonOf(obj runtime.Object, gvk schema.GroupVersionKind) ([]byte, error) {
	obj = obj.DeepCopyObject()
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return json.Marshal(obj)
}
