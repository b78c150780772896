package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lanyard-io/lanyard/sync/live"
)

// rollouts are Argo's.
// Source: https://argo-rollouts.readthedocs.io/en/stable/features/specification/
var rollouts = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}

// podName is the name of every pod that is asked about. It is a name and not a
// generateName, so that all answers are about the same pod, and it fits in a label, as
// a pod's name becomes its host name.
const podName = "lanyard-probe"

// template is what a workload makes its pods of.
type template struct {
	corev1.PodTemplateSpec
	owner  metav1.OwnerReference
	claims []string // of a StatefulSet: volumes that its controller adds
}

func (t *template) serviceAccount() string {
	return cmp.Or(t.Spec.ServiceAccountName, t.Spec.DeprecatedServiceAccount, "default")
}

// pod makes of the template what its controller would make of it, as far as admission
// can tell.
//
//   - It has an owner, as the real one has: policies that refuse bare pods must not refuse
//     this one. The owner is the workload itself, not the ReplicaSet or Job between, and
//     never blocks the owner's deletion: setting that needs the right to change the
//     owner's finalizers where OwnerReferencesPermissionEnforcement is on.
//     https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement
//   - A StatefulSet's claims are volumes of its pods and not of its template, which is
//     invalid without them where a container mounts one.
//     https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage
//   - Where the pod would run is not asked: a node named in the template may be gone, and
//     beside a scheduling gate is invalid.
//     https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/
//   - Ephemeral containers are no part of a new pod.
func (t *template) pod(namespace string) *corev1.Pod {
	spec := t.Spec.DeepCopy()
	spec.NodeName, spec.EphemeralContainers = "", nil
	for _, claim := range t.claims {
		spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == claim })
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim + "-" + t.owner.Name + "-0"}}})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: podName, Labels: t.Labels, Annotations: t.Annotations,
			OwnerReferences: []metav1.OwnerReference{t.owner},
		},
		Spec: *spec,
	}
}

// template reads a workload's template as it is now.
func (p *Prober) template(ctx context.Context, namespace string, w live.WorkloadRef) (*template, error) {
	ctx, cancel := p.call(ctx)
	defer cancel()
	apps, batch, get := p.o.Kube.AppsV1(), p.o.Kube.BatchV1(), metav1.GetOptions{}
	switch w.Kind {
	case "Deployment":
		d, err := apps.Deployments(namespace).Get(ctx, w.Name, get)
		if err != nil {
			return nil, err
		}
		return made(appsv1.SchemeGroupVersion, w.Kind, &d.ObjectMeta, d.Spec.Template), nil
	case "StatefulSet":
		s, err := apps.StatefulSets(namespace).Get(ctx, w.Name, get)
		if err != nil {
			return nil, err
		}
		t := made(appsv1.SchemeGroupVersion, w.Kind, &s.ObjectMeta, s.Spec.Template)
		for _, c := range s.Spec.VolumeClaimTemplates {
			t.claims = append(t.claims, c.Name)
		}
		return t, nil
	case "DaemonSet":
		d, err := apps.DaemonSets(namespace).Get(ctx, w.Name, get)
		if err != nil {
			return nil, err
		}
		return made(appsv1.SchemeGroupVersion, w.Kind, &d.ObjectMeta, d.Spec.Template), nil
	case "ReplicaSet":
		r, err := apps.ReplicaSets(namespace).Get(ctx, w.Name, get)
		if err != nil {
			return nil, err
		}
		return made(appsv1.SchemeGroupVersion, w.Kind, &r.ObjectMeta, r.Spec.Template), nil
	case "Job":
		j, err := batch.Jobs(namespace).Get(ctx, w.Name, get)
		if err != nil {
			return nil, err
		}
		return made(batchv1.SchemeGroupVersion, w.Kind, &j.ObjectMeta, j.Spec.Template), nil
	case "CronJob":
		c, err := batch.CronJobs(namespace).Get(ctx, w.Name, get)
		if err != nil {
			return nil, err
		}
		return made(batchv1.SchemeGroupVersion, w.Kind, &c.ObjectMeta, c.Spec.JobTemplate.Spec.Template), nil
	case "Rollout":
		if p.o.Dynamic != nil {
			return p.rollout(ctx, namespace, w.Name)
		}
	case "", "Pod":
		return nil, errors.New("a pod of nobody's is never made again")
	}
	return p.newest(ctx, namespace, w)
}

func made(gv schema.GroupVersion, kind string, m *metav1.ObjectMeta, spec corev1.PodTemplateSpec) *template {
	controls := true
	return &template{PodTemplateSpec: spec, owner: metav1.OwnerReference{APIVersion: gv.String(), Kind: kind, Name: m.Name, UID: m.UID, Controller: &controls}}
}

// rollout reads an Argo Rollout, whose template may be a Deployment's.
func (p *Prober) rollout(ctx context.Context, namespace, name string) (*template, error) {
	u, err := p.o.Dynamic.Resource(rollouts).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	ref, _, err := unstructured.NestedStringMap(u.Object, "spec", "workloadRef")
	if err != nil {
		return nil, err
	}
	m := &metav1.ObjectMeta{Name: u.GetName(), UID: u.GetUID()}
	if ref["name"] != "" {
		if ref["kind"] != "Deployment" {
			return nil, fmt.Errorf("its template is that of %s %s, and only a Deployment's is read", ref["kind"], ref["name"])
		}
		d, err := p.o.Kube.AppsV1().Deployments(namespace).Get(ctx, ref["name"], metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read Deployment %s, which has its template: %w", ref["name"], err)
		}
		return made(rollouts.GroupVersion(), "Rollout", m, d.Spec.Template), nil
	}
	raw, found, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil || !found {
		return nil, errors.Join(errors.New("it has no template"), err)
	}
	var spec corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &spec); err != nil {
		return nil, fmt.Errorf("its template: %w", err)
	}
	return made(rollouts.GroupVersion(), "Rollout", m, spec), nil
}

// newest reads the newest ReplicaSet of an owner whose own template cannot be read: pods
// to come are of that one.
func (p *Prober) newest(ctx context.Context, namespace string, w live.WorkloadRef) (*template, error) {
	list, err := p.o.Kube.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var newest *appsv1.ReplicaSet
	for i := range list.Items {
		r := &list.Items[i]
		if ref := metav1.GetControllerOfNoCopy(r); ref == nil || ref.Kind != w.Kind || ref.Name != w.Name {
			continue
		}
		if newest == nil || newest.CreationTimestamp.Before(&r.CreationTimestamp) {
			newest = r
		}
	}
	if newest == nil {
		return nil, apierrors.NewNotFound(appsv1.Resource("replicasets"), w.Kind+" "+w.Name)
	}
	ref := metav1.GetControllerOf(newest)
	return &template{PodTemplateSpec: newest.Spec.Template, owner: metav1.OwnerReference{
		APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, UID: ref.UID, Controller: ref.Controller}}, nil
}
