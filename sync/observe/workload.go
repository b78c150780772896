package observe

import (
	"cmp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/sync/live"
)

// workload reduces an object with a pod template.
func workload(kind string, m *metav1.ObjectMeta, t *corev1.PodTemplateSpec, replicas int32) live.Workload {
	w := live.Workload{
		Namespace: m.Namespace, Kind: kind, Name: m.Name, UID: string(m.UID), Replicas: int(replicas), Owner: controller(m),
		ServiceAccount: cmp.Or(t.Spec.ServiceAccountName, t.Spec.DeprecatedServiceAccount, "default"),
		PodLabels:      t.Labels, NodeSelector: t.Spec.NodeSelector, OS: operatingSystem(&t.Spec), Scheduler: t.Spec.SchedulerName,
	}
	addTemplate(&w, &t.Spec)
	return w
}

// controller returns the object that controls another.
func controller(m *metav1.ObjectMeta) live.WorkloadRef {
	if ref := metav1.GetControllerOfNoCopy(m); ref != nil {
		return live.WorkloadRef{Kind: ref.Kind, Name: ref.Name}
	}
	return live.WorkloadRef{}
}

// operatingSystem is what a pod spec demands by spec.os, node selector or a required
// affinity, and empty where it demands nothing.
// Source: https://kubernetes.io/docs/concepts/windows/user-guide/
func operatingSystem(s *corev1.PodSpec) string {
	if s.OS != nil && s.OS.Name != "" {
		return string(s.OS.Name)
	}
	if os := cmp.Or(s.NodeSelector[corev1.LabelOSStable], s.NodeSelector["beta.kubernetes.io/os"]); os != "" {
		return os
	}
	if s.Affinity == nil || s.Affinity.NodeAffinity == nil || s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	var demanded string
	for i, term := range s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		at := slices.IndexFunc(term.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return (r.Key == corev1.LabelOSStable || r.Key == "beta.kubernetes.io/os") && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1
		})
		if at < 0 || i > 0 && term.MatchExpressions[at].Values[0] != demanded {
			return "" // the terms are alternatives: one of them leaves it open
		}
		demanded = term.MatchExpressions[at].Values[0]
	}
	return demanded
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func orZero(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

// Whether a rollout is under way is told as kubectl rollout status tells it: the newest
// template was seen, and all pods have it that are to have it. Where pods are replaced
// only when somebody deletes them (OnDelete, or below a partition), no rollout ever is;
// but what lanyard stopped that way is in the middle of one.
// Source: k8s.io/kubectl, pkg/polymorphichelpers/rollout_status.go.

// rolled reduces a workload whose controller rolls pods out.
func rolled(kind string, m *metav1.ObjectMeta, t *corev1.PodTemplateSpec, replicas int32) live.Workload {
	w := workload(kind, m, t, replicas)
	w.RestartedAt, w.PausedBy = t.Annotations[live.RestartedAtAnnotation], m.Annotations[live.RolloutPausedMark]
	return w
}

func deploymentFacts(d *appsv1.Deployment) live.Workload {
	w := rolled("Deployment", &d.ObjectMeta, &d.Spec.Template, orOne(d.Spec.Replicas))
	w.Suspended = d.Spec.Paused
	st := d.Status
	w.Rolling = st.ObservedGeneration < d.Generation || int(st.UpdatedReplicas) < w.Replicas || st.UpdatedReplicas < st.Replicas
	w.Strategy.Type = string(d.Spec.Strategy.Type)
	if r := d.Spec.Strategy.RollingUpdate; r != nil {
		w.Strategy = strategy(w.Strategy.Type, r.MaxUnavailable, r.MaxSurge)
	}
	return w
}

func statefulSetFacts(s *appsv1.StatefulSet) live.Workload {
	w := rolled("StatefulSet", &s.ObjectMeta, &s.Spec.Template, orOne(s.Spec.Replicas))
	w.Strategy.Type = string(s.Spec.UpdateStrategy.Type)
	left := 0 // pods that a partition leaves as they are
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil {
		w.Strategy = strategy(w.Strategy.Type, r.MaxUnavailable, nil)
		left = min(int(orZero(r.Partition)), w.Replicas)
	}
	if s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		left = w.Replicas
	}
	w.Suspended = left > 0 && left == w.Replicas
	switch st := s.Status; {
	case w.PausedBy != "":
		w.Rolling = int(st.UpdatedReplicas) < w.Replicas
	case !w.Suspended:
		w.Rolling = st.ObservedGeneration < s.Generation || int(st.UpdatedReplicas) < w.Replicas-left
	}
	// A claim is named after its template, the StatefulSet and the pod's number.
	// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage
	for _, c := range s.Spec.VolumeClaimTemplates {
		w.Claims = append(w.Claims, c.Name+"-"+s.Name+"-*")
	}
	return w
}

func daemonSetFacts(d *appsv1.DaemonSet) live.Workload {
	w := rolled("DaemonSet", &d.ObjectMeta, &d.Spec.Template, d.Status.DesiredNumberScheduled)
	w.Strategy.Type = string(d.Spec.UpdateStrategy.Type)
	if r := d.Spec.UpdateStrategy.RollingUpdate; r != nil {
		w.Strategy = strategy(w.Strategy.Type, r.MaxUnavailable, r.MaxSurge)
	}
	w.Suspended = d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	if !w.Suspended || w.PausedBy != "" {
		w.Rolling = d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled
	}
	return w
}

// replicaSetFacts drops the template of a Deployment's ReplicaSet: those are many, are
// told by the Deployment, and serve to find a pod's Deployment only. Of any other owner
// (an Argo Rollout) the ReplicaSet is all that is read.
func replicaSetFacts(r *appsv1.ReplicaSet) live.Workload {
	ref := metav1.GetControllerOfNoCopy(r)
	if ref != nil && ref.Kind == "Deployment" && strings.HasPrefix(ref.APIVersion, appsv1.GroupName+"/") {
		return live.Workload{Namespace: r.Namespace, Kind: "ReplicaSet", Name: r.Name, Owner: controller(&r.ObjectMeta)}
	}
	w := workload("ReplicaSet", &r.ObjectMeta, &r.Spec.Template, orOne(r.Spec.Replicas))
	if ref != nil {
		w.UID = string(ref.UID) // it is told as its owner: see makers
	}
	return w
}

// makers returns the workloads behind ReplicaSets whose templates were kept: the
// ReplicaSet itself, or its owner, which may have made several. These are one workload
// for each ServiceAccount that their templates name, with the replicas of all and the
// template of the largest; one that is scaled to zero may be scaled up again.
func makers(replicaSets []live.Workload) []live.Workload {
	out := slices.DeleteFunc(slices.Clone(replicaSets), func(r live.Workload) bool { return r.ServiceAccount == "" })
	slices.SortFunc(out, func(a, b live.Workload) int { return cmp.Compare(a.Name, b.Name) })
	for i, r := range out {
		if r.Owner.Name != "" {
			out[i].Kind, out[i].Name, out[i].Owner = r.Owner.Kind, r.Owner.Name, live.WorkloadRef{}
		}
	}
	slices.SortStableFunc(out, func(a, b live.Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ServiceAccount, b.ServiceAccount), cmp.Compare(b.Replicas, a.Replicas))
	})
	merged := out[:0]
	for _, w := range out {
		if n := len(merged); n > 0 && merged[n-1].Kind == w.Kind && merged[n-1].Name == w.Name && merged[n-1].Subject() == w.Subject() {
			merged[n-1].Replicas += w.Replicas
			continue
		}
		merged = append(merged, w)
	}
	return merged
}

func jobFacts(j *batchv1.Job) live.Workload {
	w := workload("Job", &j.ObjectMeta, &j.Spec.Template, orOne(j.Spec.Parallelism))
	w.Suspended = j.Spec.Suspend != nil && *j.Spec.Suspend
	w.Done = slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
	return w
}

func cronJobFacts(c *batchv1.CronJob) live.Workload {
	w := workload("CronJob", &c.ObjectMeta, &c.Spec.JobTemplate.Spec.Template, orOne(c.Spec.JobTemplate.Spec.Parallelism))
	w.Suspended = c.Spec.Suspend != nil && *c.Spec.Suspend
	return w
}
