package kubed

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// scaleOf shows a Deployment, ReplicaSet or StatefulSet as its scale subresource.
func scaleOf(obj runtime.Object) (*autoscalingv1.Scale, error) {
	scale := func(m metav1.ObjectMeta, want *int32, have int32, sel *metav1.LabelSelector) *autoscalingv1.Scale {
		s := &autoscalingv1.Scale{}
		s.Name, s.Namespace, s.UID = m.Name, m.Namespace, m.UID
		s.ResourceVersion, s.CreationTimestamp = m.ResourceVersion, m.CreationTimestamp
		s.Spec.Replicas = 1
		if want != nil {
			s.Spec.Replicas = *want
		}
		s.Status.Replicas = have
		s.Status.Selector = metav1.FormatLabelSelector(sel)
		return s
	}
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return scale(o.ObjectMeta, o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector), nil
	case *appsv1.ReplicaSet:
		return scale(o.ObjectMeta, o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector), nil
	case *appsv1.StatefulSet:
		return scale(o.ObjectMeta, o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector), nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("%T has no scale", obj))
}

func (c *Cluster) updateScale(req *request, old runtime.Object) (runtime.Object, error) {
	s, ok := req.object.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Scale object: %T", req.object))
	}
	return c.setReplicas(req, old, s.Spec.Replicas, s.ResourceVersion)
}

func (c *Cluster) patchScale(req *request, old runtime.Object) (runtime.Object, error) {
	was, err := scaleOf(old)
	if err != nil {
		return nil, err
	}
	on := *req
	on.key.gvr = autoscalingv1.SchemeGroupVersion.WithResource("scales")
	obj, err := patched(&on, was)
	if err != nil {
		return nil, err
	}
	is, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("patch of a scale made a %T", obj))
	}
	return c.setReplicas(req, old, is.Spec.Replicas, is.ResourceVersion)
}

func (c *Cluster) setReplicas(req *request, old runtime.Object, n int32, rv string) (runtime.Object, error) {
	obj := old.DeepCopyObject()
	switch o := obj.(type) {
	case *appsv1.Deployment:
		o.Spec.Replicas = &n
		o.ResourceVersion = rv
	case *appsv1.ReplicaSet:
		o.Spec.Replicas = &n
		o.ResourceVersion = rv
	case *appsv1.StatefulSet:
		o.Spec.Replicas = &n
		o.ResourceVersion = rv
	}
	out, err := c.replace(req, old, obj, false)
	if err != nil {
		return nil, err
	}
	return scaleOf(out)
}

// fill writes a JSON map back into an object.
func fill(obj runtime.Object, from map[string]any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from, obj); err != nil {
		return apierrors.NewInternalError(err)
	}
	return nil
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
