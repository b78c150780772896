package kubed

import (
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// admitPod does what happens to a pod between the request and the store: defaults, the
// ServiceAccount admission plugin, then the mutating webhook, in the order of the API
// server's plugins. It is called with the lock held, and lets go of it for the webhook.
//
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#serviceaccount
func (c *Cluster) admitPod(pod *corev1.Pod) (*corev1.Pod, error) {
	defaultPod(pod)
	name := pod.Spec.ServiceAccountName
	if c.store.get(key{serviceAccounts, pod.Namespace, name}) == nil {
		return nil, apierrors.NewForbidden(pods.GroupResource(), pod.Name,
			fmt.Errorf("error looking up service account %s/%s: %w", pod.Namespace, name,
				apierrors.NewNotFound(serviceAccounts.GroupResource(), name)))
	}
	if len(pod.Spec.Containers) == 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Pod").GroupKind(), pod.Name,
			field.ErrorList{field.Required(field.NewPath("spec", "containers"), "")})
	}
	webhook := c.admission
	if webhook == nil {
		return pod, nil
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	return webhook.AdmitPod(pod.DeepCopy()), nil
}

func defaultPod(pod *corev1.Pod) {
	s := &pod.Spec
	if s.ServiceAccountName == "" {
		s.ServiceAccountName = s.DeprecatedServiceAccount
	}
	if s.ServiceAccountName == "" {
		s.ServiceAccountName = "default"
	}
	s.DeprecatedServiceAccount = s.ServiceAccountName
	if s.RestartPolicy == "" {
		s.RestartPolicy = corev1.RestartPolicyAlways
	}
	if s.DNSPolicy == "" {
		s.DNSPolicy = corev1.DNSClusterFirst
	}
	if s.SchedulerName == "" {
		s.SchedulerName = corev1.DefaultSchedulerName
	}
	if s.TerminationGracePeriodSeconds == nil {
		grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
		s.TerminationGracePeriodSeconds = &grace
	}
}

// evict deletes a pod unless its disruption budget forbids it.
//
// https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
func (c *Cluster) evict(req *request) (runtime.Object, error) {
	var options metav1.DeleteOptions
	switch e := req.object.(type) {
	case *policyv1.Eviction:
		if e.DeleteOptions != nil {
			options = *e.DeleteOptions
		}
	case *policyv1beta1.Eviction:
		if e.DeleteOptions != nil {
			options = *e.DeleteOptions
		}
	default:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", req.object))
	}
	dryRun := req.dryRun || len(options.DryRun) > 0
	pod, ok := c.store.get(req.key).(*corev1.Pod)
	if !ok {
		return nil, notFound(req.key)
	}
	if err := c.spend(pod, dryRun); err != nil {
		return nil, err
	}
	if err := c.deleteOne(req.key, options, dryRun); err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}

// spend takes one disruption from the pod's budget. A pod that does not run yet, or no
// more, costs none.
func (c *Cluster) spend(pod *corev1.Pod, dryRun bool) error {
	if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
		return nil
	}
	found, err := c.budgetsOf(pod)
	if err != nil || len(found) == 0 {
		return err
	}
	if len(found) > 1 {
		return apierrors.NewInternalError(fmt.Errorf("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")) //nolint:staticcheck // the API server's own words
	}
	b := found[0]
	if !ready(pod) && spareUnready(b) {
		return nil
	}
	if b.Status.ObservedGeneration < b.Generation {
		return refused(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	}
	if b.Status.DisruptionsAllowed <= 0 {
		return refused(0, fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently",
			b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy))
	}
	if dryRun {
		return nil
	}
	spent := b.DeepCopy()
	spent.Status.DisruptionsAllowed--
	if spent.Status.DisruptedPods == nil {
		spent.Status.DisruptedPods = map[string]metav1.Time{}
	}
	spent.Status.DisruptedPods[pod.Name] = c.now()
	c.commit(key{budgets, b.Namespace, b.Name}, b, spent)
	return nil
}

// spareUnready reports whether the budget lets unready pods go: while enough others are
// healthy, or always where it says so.
func spareUnready(b *policyv1.PodDisruptionBudget) bool {
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

func refused(retryAfter int, cause string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: cause})
	return err
}

func (c *Cluster) budgetsOf(pod *corev1.Pod) ([]*policyv1.PodDisruptionBudget, error) {
	var out []*policyv1.PodDisruptionBudget
	for _, obj := range c.store.list(budgets, pod.Namespace) {
		b, ok := obj.(*policyv1.PodDisruptionBudget)
		if !ok {
			continue
		}
		sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if sel.Matches(labels.Set(pod.Labels)) {
			out = append(out, b)
		}
	}
	return out, nil
}

func ready(pod *corev1.Pod) bool {
	for _, cond := range pod.Status.Conditions {
		if cond.Type == corev1.PodReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}
