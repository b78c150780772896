package actors

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// alphabet is the one of Kubernetes' generated names.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

func shortHash(b []byte) string {
	h := fnv.New64a()
	h.Write(b)
	n := h.Sum64()
	out := make([]byte, 10)
	for i := range out {
		out[i] = alphabet[n%uint64(len(alphabet))]
		n /= uint64(len(alphabet))
	}
	return string(out)
}

// podsByOwner returns all pods, by the uid of the controller that owns them.
func (l *Life) podsByOwner(ctx context.Context) (map[types.UID][]*corev1.Pod, error) {
	list, err := l.o.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[types.UID][]*corev1.Pod{}
	for i := range list.Items {
		if o := metav1.GetControllerOf(&list.Items[i]); o != nil {
			out[o.UID] = append(out[o.UID], &list.Items[i])
		}
	}
	return out, nil
}

// podFrom makes a pod of a template, owned by a controller.
func podFrom(t corev1.PodTemplateSpec, owner metav1.Object, kind schema.GroupVersionKind, more map[string]string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       owner.GetNamespace(),
			GenerateName:    owner.GetName() + "-",
			Labels:          maps.Clone(t.Labels),
			Annotations:     maps.Clone(t.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)},
		},
		Spec: *t.Spec.DeepCopy(),
	}
	for k, v := range more {
		metav1.SetMetaDataLabel(&pod.ObjectMeta, k, v)
	}
	return pod
}

// createPod makes a pod. That admission refuses it is no error of the controller, which
// tries again at the next step.
func (l *Life) createPod(ctx context.Context, pod *corev1.Pod) error {
	_, err := l.o.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return l.wrote(err)
}

func (l *Life) deletePod(ctx context.Context, pod *corev1.Pod) error {
	o := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	return l.wrote(l.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, o))
}

func filterPods(pods []*corev1.Pod, keep func(*corev1.Pod) bool) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return !keep(p) })
}

// victimsFirst sorts pods as a ReplicaSet picks those to delete: unready before Ready,
// then young before old.
func victimsFirst(pods []*corev1.Pod) {
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		if Ready(a) != Ready(b) {
			if Ready(b) {
				return -1
			}
			return 1
		}
		return cmp.Or(b.CreationTimestamp.Time.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// collect deletes what lost its owner, pods whose node is gone, and Fargate nodes whose
// pod is.
func (l *Life) collect(ctx context.Context) error {
	known, err := l.owners(ctx)
	if err != nil {
		return err
	}
	for _, d := range known.dependents {
		if known.orphaned(d.meta) {
			if err := l.wrote(d.remove(ctx, d.meta.GetNamespace(), d.meta.GetName())); err != nil {
				return err
			}
		}
	}
	return l.collectNodes(ctx)
}

func (l *Life) collectNodes(ctx context.Context) error {
	nodes, err := l.o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.o.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there, used := map[string]bool{}, map[string]bool{}
	for _, n := range nodes.Items {
		there[n.Name] = true
	}
	for _, p := range pods.Items {
		used[p.Spec.NodeName] = true
		if p.Spec.NodeName != "" && !there[p.Spec.NodeName] {
			err := l.o.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, *metav1.NewDeleteOptions(0))
			if err := l.wrote(err); err != nil {
				return err
			}
		}
	}
	for _, n := range nodes.Items {
		if n.Labels[computeTypeLabel] == "fargate" && !used[n.Name] {
			if err := l.wrote(l.o.Client.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{})); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownership is who owns what.
type ownership struct {
	uids       map[types.UID]bool
	dependents []dependent
}

type dependent struct {
	meta   metav1.Object
	remove func(ctx context.Context, namespace, name string) error
}

// orphaned reports whether all owners are gone. Owners of kinds that have no actor here
// are taken to exist.
func (o ownership) orphaned(m metav1.Object) bool {
	refs := m.GetOwnerReferences()
	return len(refs) > 0 && m.GetDeletionTimestamp() == nil && !slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool {
		switch r.Kind {
		case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob":
			return o.uids[r.UID]
		}
		return true
	})
}

func (l *Life) owners(ctx context.Context) (ownership, error) {
	o := ownership{uids: map[types.UID]bool{}}
	apps, batch, all := l.o.Client.AppsV1(), l.o.Client.BatchV1(), metav1.ListOptions{}
	depends := func(m metav1.Object, remove func(context.Context, string, string) error) {
		o.dependents = append(o.dependents, dependent{m, remove})
	}
	ds, err := apps.Deployments("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range ds.Items {
		o.uids[ds.Items[i].UID] = true
	}
	ss, err := apps.StatefulSets("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range ss.Items {
		o.uids[ss.Items[i].UID] = true
	}
	dms, err := apps.DaemonSets("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range dms.Items {
		o.uids[dms.Items[i].UID] = true
	}
	cs, err := batch.CronJobs("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range cs.Items {
		o.uids[cs.Items[i].UID] = true
	}
	rs, err := apps.ReplicaSets("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range rs.Items {
		o.uids[rs.Items[i].UID] = true
		depends(&rs.Items[i], func(ctx context.Context, ns, name string) error {
			return apps.ReplicaSets(ns).Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	js, err := batch.Jobs("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range js.Items {
		o.uids[js.Items[i].UID] = true
		depends(&js.Items[i], func(ctx context.Context, ns, name string) error {
			return batch.Jobs(ns).Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	crs, err := apps.ControllerRevisions("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range crs.Items {
		depends(&crs.Items[i], func(ctx context.Context, ns, name string) error {
			return apps.ControllerRevisions(ns).Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	ps, err := l.o.Client.CoreV1().Pods("").List(ctx, all)
	if err != nil {
		return o, err
	}
	for i := range ps.Items {
		depends(&ps.Items[i], func(ctx context.Context, ns, name string) error {
			return l.o.Client.CoreV1().Pods(ns).Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	return o, nil
}

func pointerOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func nameOf(prefix string, ordinal int) string { return fmt.Sprintf("%s-%d", prefix, ordinal) }
