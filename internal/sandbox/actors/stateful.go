package actors

import (
	"context"
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const revisionLabel = appsv1.ControllerRevisionHashLabelKey

func (l *Life) statefulSets(ctx context.Context) error {
	sets, err := l.o.Client.AppsV1().StatefulSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.podsByOwner(ctx)
	if err != nil {
		return err
	}
	for i := range sets.Items {
		s := &sets.Items[i]
		if s.DeletionTimestamp != nil {
			continue
		}
		if err := l.statefulSet(ctx, s, pods[s.UID]); err != nil {
			return err
		}
	}
	return nil
}

// statefulSet keeps pods 0 to n-1, makes them upwards and replaces them downwards.
//
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies
func (l *Life) statefulSet(ctx context.Context, s *appsv1.StatefulSet, pods []*corev1.Pod) error {
	hash, err := hashOf(s.Spec.Template)
	if err != nil {
		return err
	}
	update := s.Name + "-" + hash
	if err := l.saveRevision(ctx, s, update); err != nil {
		return err
	}
	byName := map[string]*corev1.Pod{}
	for _, p := range pods {
		byName[p.Name] = p
	}
	want := int(pointerOr(s.Spec.Replicas, 1))
	if err := l.statefulStatus(ctx, s, pods, update, want); err != nil {
		return err
	}
	inOrder := s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	for i := range want {
		p := byName[nameOf(s.Name, i)]
		switch {
		case p == nil:
			if err := l.createOrdinal(ctx, s, i, update); err != nil {
				return err
			}
		case p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded:
			if err := l.deletePod(ctx, p); err != nil {
				return err
			}
		case active(p) && Ready(p):
			continue
		}
		if inOrder {
			return nil // the next one waits for this one
		}
	}
	for i := len(pods) - 1; i >= 0; i-- {
		if p := pods[i]; active(p) && !within(s.Name, p.Name, want) {
			return l.deletePod(ctx, p)
		}
	}
	return l.replaceOrdinals(ctx, s, byName, update, want)
}

// replaceOrdinals deletes the highest pod of an old revision, once all above are Ready.
func (l *Life) replaceOrdinals(ctx context.Context, s *appsv1.StatefulSet, byName map[string]*corev1.Pod, update string, want int) error {
	if s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return nil
	}
	for i := want - 1; i >= partition(s); i-- {
		p := byName[nameOf(s.Name, i)]
		if p == nil || !active(p) {
			return nil
		}
		if p.Labels[revisionLabel] != update {
			return l.deletePod(ctx, p)
		}
		if !Ready(p) {
			return nil
		}
	}
	return nil
}

func partition(s *appsv1.StatefulSet) int {
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil {
		return int(pointerOr(r.Partition, 0))
	}
	return 0
}

func within(set, pod string, want int) bool {
	for i := range want {
		if pod == nameOf(set, i) {
			return true
		}
	}
	return false
}

// createOrdinal makes a pod: of the present template from the partition up, and of the
// revision before below it.
func (l *Life) createOrdinal(ctx context.Context, s *appsv1.StatefulSet, i int, update string) error {
	template, revision := s.Spec.Template, update
	if i < partition(s) && s.Status.CurrentRevision != "" && s.Status.CurrentRevision != update {
		r, err := l.o.Client.AppsV1().ControllerRevisions(s.Namespace).Get(ctx, s.Status.CurrentRevision, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err == nil {
			old := corev1.PodTemplateSpec{}
			if err := json.Unmarshal(r.Data.Raw, &old); err != nil {
				return err
			}
			template, revision = old, r.Name
		}
	}
	pod := podFrom(template, s, appsv1.SchemeGroupVersion.WithKind("StatefulSet"), map[string]string{
		revisionLabel:                  revision,
		appsv1.StatefulSetPodNameLabel: nameOf(s.Name, i),
	})
	pod.GenerateName, pod.Name = "", nameOf(s.Name, i)
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, s.Spec.ServiceName
	return l.createPod(ctx, pod)
}

func (l *Life) saveRevision(ctx context.Context, s *appsv1.StatefulSet, name string) error {
	api := l.o.Client.AppsV1().ControllerRevisions(s.Namespace)
	if _, err := api.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return err
	}
	raw, err := json.Marshal(s.Spec.Template)
	if err != nil {
		return err
	}
	_, err = api.Create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace, OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(s, appsv1.SchemeGroupVersion.WithKind("StatefulSet")),
		}},
		Data:     runtime.RawExtension{Raw: raw},
		Revision: s.Generation,
	}, metav1.CreateOptions{})
	return l.wrote(err)
}

func (l *Life) statefulStatus(ctx context.Context, s *appsv1.StatefulSet, pods []*corev1.Pod, update string, want int) error {
	st := appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, UpdateRevision: update, CurrentRevision: s.Status.CurrentRevision}
	for _, p := range pods {
		if !active(p) {
			continue
		}
		st.Replicas++
		if Ready(p) {
			st.ReadyReplicas++
		}
		if p.Labels[revisionLabel] == update {
			st.UpdatedReplicas++
		}
	}
	st.AvailableReplicas = st.ReadyReplicas
	done := int(st.UpdatedReplicas) == want && st.Replicas == st.UpdatedReplicas && st.ReadyReplicas == st.Replicas
	if st.CurrentRevision == "" || done {
		st.CurrentRevision = update
	}
	st.CurrentReplicas = st.Replicas - st.UpdatedReplicas
	if st.CurrentRevision == update {
		st.CurrentReplicas = st.UpdatedReplicas
	}
	if equality.Semantic.DeepEqual(st, s.Status) {
		return nil
	}
	s.Status = st
	out, err := l.o.Client.AppsV1().StatefulSets(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{})
	if err == nil {
		s.ResourceVersion = out.ResourceVersion
	}
	return l.wrote(err)
}
