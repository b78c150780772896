package actors

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// AgentName is the name of the Pod Identity agent's DaemonSet, ServiceAccount and label.
const AgentName = "eks-pod-identity-agent"

// NewAgent returns the agent's DaemonSet as its add-on installs it: on every Linux node,
// whatever its taints, but not on Fargate, hybrid and Auto Mode nodes. It runs as the
// ServiceAccount "default" of kube-system unless the world says otherwise.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
func NewAgent() *appsv1.DaemonSet {
	labels := map[string]string{"app.kubernetes.io/name": AgentName, "app.kubernetes.io/instance": AgentName}
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: AgentName, Labels: labels}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec = corev1.PodSpec{
		HostNetwork: true,
		Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Containers:  []corev1.Container{{Name: AgentName, Image: "602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/eks-pod-identity-agent:v0.1.30"}},
		Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"linux"}},
					{Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"amd64", "arm64"}},
					{Key: computeTypeLabel, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"fargate", "hybrid", "auto"}},
				},
			}}},
		}},
	}
	return d
}

func (l *Life) daemonSets(ctx context.Context) error {
	sets, err := l.o.Client.AppsV1().DaemonSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	nodes, err := l.o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.podsByOwner(ctx)
	if err != nil {
		return err
	}
	for i := range sets.Items {
		if d := &sets.Items[i]; d.DeletionTimestamp == nil {
			if err := l.daemonSet(ctx, d, nodes.Items, pods[d.UID]); err != nil {
				return err
			}
		}
	}
	return nil
}

// daemonSet keeps one pod on every node that the template admits.
func (l *Life) daemonSet(ctx context.Context, d *appsv1.DaemonSet, nodes []corev1.Node, pods []*corev1.Pod) error {
	hash, err := hashOf(d.Spec.Template)
	if err != nil {
		return err
	}
	on := map[string]*corev1.Pod{}
	for _, p := range pods {
		if old := on[p.Spec.NodeName]; old == nil || !active(old) {
			on[p.Spec.NodeName] = p
		}
	}
	s := appsv1.DaemonSetStatus{ObservedGeneration: d.Generation}
	var outdated []*corev1.Pod
	for i := range nodes {
		n := &nodes[i]
		p := on[n.Name]
		probe := &corev1.Pod{Spec: d.Spec.Template.Spec}
		if !selects(probe, n) || !tolerates(withDaemonTolerations(probe.Spec), n.Spec.Taints) {
			if p != nil && active(p) {
				if err := l.deletePod(ctx, p); err != nil {
					return err
				}
			}
			continue
		}
		s.DesiredNumberScheduled++
		if p == nil {
			if err := l.daemonPod(ctx, d, n.Name, hash); err != nil {
				return err
			}
			continue
		}
		s.CurrentNumberScheduled++
		if active(p) && Ready(p) {
			s.NumberReady++
		}
		if p.Labels[revisionLabel] == hash {
			s.UpdatedNumberScheduled++
		} else if active(p) {
			outdated = append(outdated, p)
		}
		if p.DeletionTimestamp == nil && !active(p) { // it ended: make room for another
			if err := l.deletePod(ctx, p); err != nil {
				return err
			}
		}
	}
	s.NumberAvailable, s.NumberUnavailable = s.NumberReady, s.DesiredNumberScheduled-s.NumberReady
	if err := l.replaceDaemons(ctx, d, outdated, s); err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(s, d.Status) {
		return nil
	}
	d.Status = s
	_, err = l.o.Client.AppsV1().DaemonSets(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{})
	return l.wrote(err)
}

// replaceDaemons deletes pods of an old template, no more than may be unavailable at
// once; those that are unavailable anyway first, since they cost nothing.
func (l *Life) replaceDaemons(ctx context.Context, d *appsv1.DaemonSet, outdated []*corev1.Pod, s appsv1.DaemonSetStatus) error {
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		return nil
	}
	one := intstr.FromInt32(1)
	limit := &one
	if ru := d.Spec.UpdateStrategy.RollingUpdate; ru != nil {
		limit = cmpOr(ru.MaxUnavailable, limit)
	}
	room, err := intstr.GetScaledValueFromIntOrPercent(limit, int(s.DesiredNumberScheduled), true)
	if err != nil {
		return err
	}
	room -= int(s.NumberUnavailable)
	for _, p := range outdated {
		if Ready(p) {
			if room <= 0 {
				continue
			}
			room--
		}
		if err := l.deletePod(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (l *Life) daemonPod(ctx context.Context, d *appsv1.DaemonSet, node, hash string) error {
	pod := podFrom(d.Spec.Template, d, appsv1.SchemeGroupVersion.WithKind("DaemonSet"), map[string]string{revisionLabel: hash})
	pod.Spec.NodeName = node
	pod.Spec.Tolerations = withDaemonTolerations(pod.Spec)
	return l.createPod(ctx, pod)
}

// withDaemonTolerations adds what the controller gives every DaemonSet's pods.
//
// https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
func withDaemonTolerations(s corev1.PodSpec) []corev1.Toleration {
	out := append([]corev1.Toleration{}, s.Tolerations...)
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		out = append(out, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	}
	for _, key := range []string{corev1.TaintNodeUnschedulable, corev1.TaintNodeDiskPressure, corev1.TaintNodeMemoryPressure, corev1.TaintNodePIDPressure} {
		out = append(out, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	return out
}
