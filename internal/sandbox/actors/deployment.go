package actors

import (
	"context"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	templateHashLabel = appsv1.DefaultDeploymentUniqueLabelKey
)

// rollout is what one Deployment has to do.
type rollout struct {
	d    *appsv1.Deployment
	want int32
	hash string
	cur  *appsv1.ReplicaSet // of the present template; nil before it is made
	old  []*appsv1.ReplicaSet
	pods map[types.UID][]*corev1.Pod
}

func (l *Life) deployments(ctx context.Context) error {
	ds, err := l.o.Client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	sets, err := l.o.Client.AppsV1().ReplicaSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.podsByOwner(ctx)
	if err != nil {
		return err
	}
	for i := range ds.Items {
		d := &ds.Items[i]
		if d.DeletionTimestamp != nil {
			continue
		}
		r := rollout{d: d, want: pointerOr(d.Spec.Replicas, 1), pods: pods}
		if r.hash, err = hashOf(d.Spec.Template); err != nil {
			return err
		}
		for j := range sets.Items {
			rs := &sets.Items[j]
			if !metav1.IsControlledBy(rs, d) {
				continue
			}
			if rs.Labels[templateHashLabel] == r.hash || sameTemplate(d, rs) {
				r.cur = rs
			} else {
				r.old = append(r.old, rs)
			}
		}
		if err := l.roll(ctx, &r); err != nil {
			return err
		}
		if err := l.deploymentStatus(ctx, &r); err != nil {
			return err
		}
	}
	return nil
}

// sameTemplate recognises a ReplicaSet that something else made, such as the world's
// builder, by its template.
func sameTemplate(d *appsv1.Deployment, rs *appsv1.ReplicaSet) bool {
	t := rs.Spec.Template.DeepCopy()
	delete(t.Labels, templateHashLabel)
	return equality.Semantic.DeepEqual(*t, d.Spec.Template)
}

// roll makes the ReplicaSet of the present template and moves replicas to it.
//
// https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy
func (l *Life) roll(ctx context.Context, r *rollout) error {
	if r.d.Spec.Paused {
		return l.scalePaused(ctx, r)
	}
	if r.cur == nil {
		if recreates(r.d) && (r.oldReplicas() > 0 || r.livingOld() > 0) {
			return l.scaleDownOld(ctx, r, r.oldReplicas())
		}
		return l.newReplicaSet(ctx, r)
	}
	if recreates(r.d) {
		if r.oldReplicas() > 0 || r.livingOld() > 0 {
			return l.scaleDownOld(ctx, r, r.oldReplicas())
		}
		return l.scaleSet(ctx, r.cur, r.want)
	}
	surge, unavailable := r.limits()
	if has := pointerOr(r.cur.Spec.Replicas, 1); has != r.want {
		room := max(0, r.want+surge-has-r.oldReplicas())
		next := min(has+room, r.want)
		if has > r.want {
			next = r.want
		}
		if next != has {
			return l.scaleSet(ctx, r.cur, next)
		}
	}
	return l.scaleDownOld(ctx, r, r.removable(unavailable))
}

// removable is how many old replicas can go now: those that are not available, which
// nobody misses, and so many of the others that enough stay.
func (r *rollout) removable(unavailable int32) int32 {
	available := int32(0)
	idle := int32(0)
	for _, rs := range r.old {
		n := availableOf(r.pods[rs.UID])
		available += n
		idle += max(0, pointerOr(rs.Spec.Replicas, 1)-n)
	}
	available += availableOf(r.pods[r.cur.UID])
	return min(r.oldReplicas(), idle+max(0, available-(r.want-unavailable)))
}

func (r *rollout) limits() (surge, unavailable int32) {
	quarter := intstr.FromString("25%")
	s, u := &quarter, &quarter
	if ru := r.d.Spec.Strategy.RollingUpdate; ru != nil {
		s, u = cmpOr(ru.MaxSurge, s), cmpOr(ru.MaxUnavailable, u)
	}
	sv, _ := intstr.GetScaledValueFromIntOrPercent(s, int(r.want), true)
	uv, _ := intstr.GetScaledValueFromIntOrPercent(u, int(r.want), false)
	if sv == 0 && uv == 0 {
		uv = 1
	}
	return int32(sv), int32(uv)
}

func cmpOr[T any](p, otherwise *T) *T {
	if p != nil {
		return p
	}
	return otherwise
}

func recreates(d *appsv1.Deployment) bool {
	return d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType
}

func (r *rollout) oldReplicas() (n int32) {
	for _, rs := range r.old {
		n += pointerOr(rs.Spec.Replicas, 1)
	}
	return n
}

// livingOld counts the pods of old ReplicaSets that have not ended, terminating ones too.
func (r *rollout) livingOld() (n int) {
	for _, rs := range r.old {
		n += len(r.pods[rs.UID])
	}
	return n
}

func availableOf(pods []*corev1.Pod) (n int32) {
	for _, p := range pods {
		if active(p) && Ready(p) {
			n++
		}
	}
	return n
}

// scalePaused keeps a paused rollout where it is, but follows a change of replicas with
// its newest ReplicaSet.
func (l *Life) scalePaused(ctx context.Context, r *rollout) error {
	sets := r.old
	if r.cur != nil {
		sets = append(slices.Clone(sets), r.cur)
	}
	var live []*appsv1.ReplicaSet
	for _, rs := range sets {
		if pointerOr(rs.Spec.Replicas, 1) > 0 {
			live = append(live, rs)
		}
	}
	if len(live) != 1 {
		return nil
	}
	return l.scaleSet(ctx, live[0], r.want)
}

func (l *Life) scaleDownOld(ctx context.Context, r *rollout, n int32) error {
	for _, rs := range r.old {
		has := pointerOr(rs.Spec.Replicas, 1)
		cut := min(has, n)
		if cut <= 0 {
			continue
		}
		n -= cut
		if err := l.scaleSet(ctx, rs, has-cut); err != nil {
			return err
		}
	}
	return nil
}

func (l *Life) scaleSet(ctx context.Context, rs *appsv1.ReplicaSet, n int32) error {
	if pointerOr(rs.Spec.Replicas, 1) == n {
		return nil
	}
	rs = rs.DeepCopy()
	rs.Spec.Replicas = &n
	_, err := l.o.Client.AppsV1().ReplicaSets(rs.Namespace).Update(ctx, rs, metav1.UpdateOptions{})
	return l.wrote(err)
}

func (l *Life) newReplicaSet(ctx context.Context, r *rollout) error {
	zero := int32(0)
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace:       r.d.Namespace,
		Name:            r.d.Name + "-" + r.hash,
		Labels:          maps.Clone(r.d.Spec.Template.Labels),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r.d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
	}}
	rs.Spec.Replicas = &zero
	rs.Spec.Selector = r.d.Spec.Selector.DeepCopy()
	if rs.Spec.Selector != nil {
		metav1.AddLabelToSelector(rs.Spec.Selector, templateHashLabel, r.hash)
	}
	rs.Spec.Template = *r.d.Spec.Template.DeepCopy()
	metav1.SetMetaDataLabel(&rs.ObjectMeta, templateHashLabel, r.hash)
	metav1.SetMetaDataLabel(&rs.Spec.Template.ObjectMeta, templateHashLabel, r.hash)
	_, err := l.o.Client.AppsV1().ReplicaSets(rs.Namespace).Create(ctx, rs, metav1.CreateOptions{})
	return l.wrote(err)
}

func (l *Life) deploymentStatus(ctx context.Context, r *rollout) error {
	s := appsv1.DeploymentStatus{ObservedGeneration: r.d.Generation}
	count := func(rs *appsv1.ReplicaSet) int32 {
		n := int32(len(filterPods(r.pods[rs.UID], active)))
		s.Replicas += n
		s.AvailableReplicas += availableOf(r.pods[rs.UID])
		return n
	}
	for _, rs := range r.old {
		count(rs)
	}
	if r.cur != nil {
		s.UpdatedReplicas = count(r.cur)
	}
	s.ReadyReplicas = s.AvailableReplicas
	s.UnavailableReplicas = max(0, r.want-s.AvailableReplicas)
	_, unavailable := r.limits()
	done := s.UpdatedReplicas == r.want && s.Replicas == r.want && s.AvailableReplicas == r.want
	s.Conditions = []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentAvailable, Status: boolStatus(s.AvailableReplicas >= r.want-unavailable), Reason: "MinimumReplicasAvailable"},
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated"},
	}
	if done {
		s.Conditions[1].Reason = "NewReplicaSetAvailable"
	}
	if equality.Semantic.DeepEqual(s, r.d.Status) {
		return nil
	}
	r.d.Status = s
	_, err := l.o.Client.AppsV1().Deployments(r.d.Namespace).UpdateStatus(ctx, r.d, metav1.UpdateOptions{})
	return l.wrote(err)
}

func boolStatus(b bool) corev1.ConditionStatus {
	if b {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// replicaSets makes and deletes pods until each ReplicaSet has as many as it asks for.
func (l *Life) replicaSets(ctx context.Context) error {
	sets, err := l.o.Client.AppsV1().ReplicaSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.podsByOwner(ctx)
	if err != nil {
		return err
	}
	for i := range sets.Items {
		rs := &sets.Items[i]
		if rs.DeletionTimestamp != nil {
			continue
		}
		have := filterPods(pods[rs.UID], active)
		want := int(pointerOr(rs.Spec.Replicas, 1))
		for range want - len(have) {
			if err := l.createPod(ctx, podFrom(rs.Spec.Template, rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), nil)); err != nil {
				return err
			}
		}
		victimsFirst(have)
		for _, p := range have[:max(0, len(have)-want)] {
			if err := l.deletePod(ctx, p); err != nil {
				return err
			}
		}
		s := appsv1.ReplicaSetStatus{ObservedGeneration: rs.Generation, Replicas: int32(len(have)), FullyLabeledReplicas: int32(len(have)), ReadyReplicas: availableOf(have)}
		s.AvailableReplicas = s.ReadyReplicas
		if equality.Semantic.DeepEqual(s, rs.Status) {
			continue
		}
		rs.Status = s
		_, err := l.o.Client.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, rs, metav1.UpdateOptions{})
		if err := l.wrote(err); err != nil {
			return err
		}
	}
	return nil
}
