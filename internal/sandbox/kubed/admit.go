package kubed

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clienttesting "k8s.io/client-go/testing"
)

// The fake admits everything: into namespaces that are not there, under ServiceAccounts
// that are not there, past every webhook. These reactors refuse, or change the object
// and pass the call on.

// admitNamespace refuses a create in a namespace that is absent or going away.
func (c *Cluster) admitNamespace(a clienttesting.Action) (bool, runtime.Object, error) {
	err := c.openNamespace(keyOf(a))
	return err != nil, nil, err
}

func (c *Cluster) openNamespace(k key) error {
	if k.namespace == "" {
		return nil
	}
	ns, ok := c.get(key{gvr: namespaces, name: k.namespace}).(*corev1.Namespace)
	if !ok {
		return apierrors.NewNotFound(namespaces.GroupResource(), k.namespace)
	}
	if ns.DeletionTimestamp != nil {
		return apierrors.NewForbidden(k.gvr.GroupResource(), k.name,
			fmt.Errorf("unable to create new content in namespace %s because it is being terminated", ns.Name))
	}
	return nil
}

// refuseSubresources refuses what would otherwise be done to the object itself.
func refuseSubresources(a clienttesting.Action) (bool, runtime.Object, error) {
	if sub := a.GetSubresource(); sub == "" || sub == "status" {
		return false, nil, nil
	}
	gr := schema.GroupResource{Group: a.GetResource().Group, Resource: resourceOf(a)}
	return true, nil, apierrors.NewNotFound(gr, keyOf(a).name)
}

// admitPod does what happens to a pod between the request and the store: defaults, the
// ServiceAccount admission plugin, then the mutating webhook, in the order of the API
// server's plugins.
//
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#serviceaccount
func (c *Cluster) admitPod(a clienttesting.Action) (bool, runtime.Object, error) {
	create, _ := a.(clienttesting.CreateActionImpl)
	pod, ok := create.Object.(*corev1.Pod)
	if !ok {
		return true, nil, apierrors.NewBadRequest(fmt.Sprintf("not a Pod object: %T", create.Object))
	}
	pod.Namespace = cmp.Or(pod.Namespace, create.Namespace)
	defaultPod(&pod.Spec)
	name := pod.Spec.ServiceAccountName
	if c.get(key{serviceAccounts, pod.Namespace, name}) == nil {
		return true, nil, apierrors.NewForbidden(pods.GroupResource(), pod.Name,
			fmt.Errorf("error looking up service account %s/%s: %w", pod.Namespace, name,
				apierrors.NewNotFound(serviceAccounts.GroupResource(), name)))
	}
	if len(pod.Spec.Containers) == 0 {
		return true, nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Pod").GroupKind(), pod.Name,
			field.ErrorList{field.Required(field.NewPath("spec", "containers"), "")})
	}
	c.mu.Lock()
	webhook := c.admission
	c.mu.Unlock()
	if webhook != nil {
		webhook.AdmitPod(pod.DeepCopy()).DeepCopyInto(pod)
	}
	return false, nil, nil
}

func defaultPod(s *corev1.PodSpec) {
	s.ServiceAccountName = cmp.Or(s.ServiceAccountName, s.DeprecatedServiceAccount, "default")
	s.DeprecatedServiceAccount = s.ServiceAccountName
	s.RestartPolicy = cmp.Or(s.RestartPolicy, corev1.RestartPolicyAlways)
	s.DNSPolicy = cmp.Or(s.DNSPolicy, corev1.DNSClusterFirst)
	s.SchedulerName = cmp.Or(s.SchedulerName, corev1.DefaultSchedulerName)
	if s.TerminationGracePeriodSeconds == nil {
		s.TerminationGracePeriodSeconds = new(int64(corev1.DefaultTerminationGracePeriodSeconds))
	}
}
