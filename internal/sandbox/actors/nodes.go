package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// NodeKind is a kind of compute in an EKS cluster.
type NodeKind uint8

// The kinds of compute.
const (
	EC2 NodeKind = iota
	Windows
	Auto
	Hybrid
	Fargate
)

const (
	computeTypeLabel = "eks.amazonaws.com/compute-type"
	fargateProfile   = "eks.amazonaws.com/fargate-profile"
	fargateScheduler = "fargate-scheduler"
	labelWindows     = "windows"
	defaultRegion    = "eu-west-1"
)

// NewNode returns a Ready node of a kind, with the labels and taints that EKS gives it.
func NewNode(name string, kind NodeKind) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
	}}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: "v1.37.2-eks-3025e55"}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	switch kind {
	case EC2:
		n.Labels["eks.amazonaws.com/nodegroup"] = "default"
		n.Spec.ProviderID = "aws:///eu-west-1a/i-" + shortHash([]byte(name))
	case Windows:
		n.Labels[corev1.LabelOSStable] = labelWindows
		n.Status.NodeInfo.OperatingSystem = labelWindows
		n.Spec.Taints = []corev1.Taint{{Key: "os", Value: labelWindows, Effect: corev1.TaintEffectNoSchedule}}
	case Auto:
		n.Labels[computeTypeLabel] = "auto"
	case Hybrid:
		n.Labels[computeTypeLabel] = "hybrid"
	case Fargate:
		n.Labels[computeTypeLabel] = "fargate"
		n.Spec.Taints = []corev1.Taint{{Key: computeTypeLabel, Value: "fargate", Effect: corev1.TaintEffectNoSchedule}}
	}
	return n
}

// schedule gives pods a node: the emptiest that fits, by name among equals. A Fargate pod
// gets one of its own.
func (l *Life) schedule(ctx context.Context) error {
	nodes, err := l.o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.o.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	load := map[string]int{}
	for i := range pods.Items {
		load[pods.Items[i].Spec.NodeName]++
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Spec.NodeName != "" || !active(pod) {
			continue
		}
		target := ""
		if pod.Spec.SchedulerName == fargateScheduler {
			if target, err = l.fargateNode(ctx); err != nil {
				return err
			}
		} else if target = place(pod, nodes.Items, load); target == "" {
			continue // stays Pending
		}
		load[target]++
		err := l.o.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			Target:     corev1.ObjectReference{Kind: "Node", Name: target},
		}, metav1.CreateOptions{})
		if err := l.wrote(err); err != nil {
			return err
		}
	}
	return nil
}

func place(pod *corev1.Pod, nodes []corev1.Node, load map[string]int) string {
	var fit []string
	for i := range nodes {
		n := &nodes[i]
		if nodeReady(n) && !n.Spec.Unschedulable && selects(pod, n) && tolerates(pod.Spec.Tolerations, n.Spec.Taints) {
			fit = append(fit, n.Name)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return slices.MinFunc(fit, func(a, b string) int { return cmp.Or(cmp.Compare(load[a], load[b]), cmp.Compare(a, b)) })
}

func (l *Life) fargateNode(ctx context.Context) (string, error) {
	l.fargate++
	name := fmt.Sprintf("fargate-ip-10-0-%d-%d.%s.compute.internal", l.fargate/250, l.fargate%250+4, cmp.Or(l.o.Region, defaultRegion))
	_, err := l.o.Client.CoreV1().Nodes().Create(ctx, NewNode(name, Fargate), metav1.CreateOptions{})
	if err == nil { // conditions are a status, which create leaves out
		n := NewNode(name, Fargate)
		_, err = l.o.Client.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
	}
	return name, l.wrote(err)
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// selects reports whether nodeSelector and required node affinity admit the node.
func selects(pod *corev1.Pod, n *corev1.Node) bool {
	if !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
		return false
	}
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return slices.ContainsFunc(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms,
		func(t corev1.NodeSelectorTerm) bool {
			if len(t.MatchExpressions) == 0 && len(t.MatchFields) == 0 {
				return false // an empty term admits nothing
			}
			return matchAll(t.MatchExpressions, n.Labels) && matchAll(t.MatchFields, map[string]string{"metadata.name": n.Name})
		})
}

func matchAll(terms []corev1.NodeSelectorRequirement, set map[string]string) bool {
	return !slices.ContainsFunc(terms, func(r corev1.NodeSelectorRequirement) bool { return !match(r, set) })
}

// match is one requirement, whose operators are those of label selectors and two more.
func match(r corev1.NodeSelectorRequirement, set map[string]string) bool {
	value, ok := set[r.Key]
	switch r.Operator {
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		have, err1 := strconv.ParseInt(value, 10, 64)
		if len(r.Values) != 1 || err1 != nil {
			return false
		}
		want, err2 := strconv.ParseInt(r.Values[0], 10, 64)
		return err2 == nil && (r.Operator == corev1.NodeSelectorOpGt && have > want || r.Operator == corev1.NodeSelectorOpLt && have < want)
	case corev1.NodeSelectorOpExists:
		return ok
	case corev1.NodeSelectorOpDoesNotExist:
		return !ok
	}
	op := selection.In
	if r.Operator == corev1.NodeSelectorOpNotIn {
		op = selection.NotIn
	}
	req, err := labels.NewRequirement(r.Key, op, r.Values)
	return err == nil && req.Matches(labels.Set(set))
}

// tolerates reports whether every taint that keeps pods off is tolerated.
func tolerates(tolerations []corev1.Toleration, taints []corev1.Taint) bool {
	return !slices.ContainsFunc(taints, func(t corev1.Taint) bool {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			return false
		}
		return !slices.ContainsFunc(tolerations, func(o corev1.Toleration) bool {
			if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
				return false
			}
			return o.Operator == corev1.TolerationOpExists || o.Value == t.Value && o.Key != ""
		})
	})
}
