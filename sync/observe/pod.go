package observe

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// podSeen is a pod as it is cached: what can be told from the pod alone. Its Owner is
// still the object that controls it directly.
type podSeen struct {
	live.Pod
	agent bool // a Pod Identity agent
	probe bool // lanyard's own, of an identity probe
}

func podFacts(p *corev1.Pod) podSeen {
	ready, restarts := condition(p, corev1.PodReady), int32(0)
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		restarts = max(restarts, s.RestartCount)
	}
	seen := podSeen{
		Pod: live.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName,
			ServiceAccount: cmp.Or(p.Spec.ServiceAccountName, "default"),
			Owner:          controller(&p.ObjectMeta), CreatedAt: p.CreationTimestamp.UTC(),
			Phase: string(p.Status.Phase), Terminating: p.DeletionTimestamp != nil,
			Ready: ready.Status == corev1.ConditionTrue, Restarts: int(restarts), Trouble: trouble(p),
			Fargate: p.Spec.SchedulerName == "fargate-scheduler" || p.Labels[eksPrefix+"fargate-profile"] != "" ||
				strings.HasPrefix(p.Spec.NodeName, "fargate-ip-"),
			Windows: operatingSystem(&p.Spec) == "windows", HostNetwork: p.Spec.HostNetwork,
			Labels: kept(p.Labels, eksPrefix), Containers: Given(p),
		},
		agent: isAgent(p),
	}
	seen.probe = seen.Owner.Kind == "Job" && identity.IsProbe(seen.Owner.Name, p.Labels)
	if seen.Ready {
		seen.ReadyAt = ready.LastTransitionTime.UTC()
	}
	return seen
}

// condition returns a pod's condition, or a zero one.
func condition(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// What the status of a pod says that its node ends, that an image cannot be had, and
// that a container cannot be made as it is asked for.
//
// Sources: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions,
// https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/,
// https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/, and
// k8s.io/kubernetes, pkg/util/node (NodeLost), pkg/kubelet/images/types.go and
// pkg/kubelet/kuberuntime/kuberuntime_container.go.
var (
	nodeEnds       = []string{"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"}
	nodeDisrupts   = []string{"DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"}
	imageWaits     = []string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
	containerWaits = []string{"CreateContainerConfigError", "CreateContainerError"}
)

// trouble says why a pod is not what it is to be. Of a node that is not Ready the node
// tells: see [parts.assemble].
func trouble(p *corev1.Pod) live.Trouble {
	disruption := condition(p, corev1.DisruptionTarget)
	switch {
	case slices.Contains(nodeEnds, p.Status.Reason), disruption.Status == corev1.ConditionTrue && slices.Contains(nodeDisrupts, disruption.Reason):
		return live.TroubleNode
	case p.DeletionTimestamp != nil: // containers that are told to end do so one way or another
		return live.TroubleNone
	case condition(p, corev1.PodScheduled).Status == corev1.ConditionFalse:
		return live.TroubleUnschedulable
	}
	found := live.TroubleNone
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch waiting := waitsFor(s); {
		case slices.Contains(imageWaits, waiting):
			return live.TroubleImage
		case slices.Contains(containerWaits, waiting), crashes(s) && outOfMemory(s):
			found = live.TroubleConfig
		case crashes(s) && found == live.TroubleNone:
			found = live.TroubleCrash
		}
	}
	return found
}

func waitsFor(s corev1.ContainerStatus) string {
	if s.State.Waiting == nil {
		return ""
	}
	return s.State.Waiting.Reason
}

// crashes reports whether a container ends in failure again and again: the kubelet waits
// before it starts it once more, or it was started once more and is not Ready yet.
// Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
func crashes(s corev1.ContainerStatus) bool {
	failed := func(state corev1.ContainerState) bool {
		return state.Terminated != nil && state.Terminated.ExitCode != 0
	}
	return waitsFor(s) == "CrashLoopBackOff" || s.RestartCount > 0 && !s.Ready && (failed(s.State) || s.State.Terminated == nil && failed(s.LastTerminationState))
}

// outOfMemory reports whether the kernel ended the container for its memory.
// Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-limits-are-run
func outOfMemory(s corev1.ContainerStatus) bool {
	for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if t != nil {
			return t.Reason == "OOMKilled"
		}
	}
	return false
}

// isAgent recognises the agent's DaemonSets: eks-pod-identity-agent, and -hybrid and
// -hybrid-bottlerocket beside it, by the add-on or by Helm. Both put it into
// kube-system; anywhere else the name is whoever's who may make a DaemonSet there.
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html,
// https://github.com/aws/eks-pod-identity-agent, charts/eks-pod-identity-agent.
func isAgent(p *corev1.Pod) bool {
	const name = "eks-pod-identity-agent"
	owner := controller(&p.ObjectMeta)
	return p.Namespace == metav1.NamespaceSystem && owner.Kind == "DaemonSet" && (owner.Name == name || strings.HasPrefix(owner.Name, name+"-") || p.Labels["app.kubernetes.io/name"] == name)
}

// Nodes returns nodes as a look shows them, with which of them have an agent that is ready
// by the pods given.
func Nodes(nodes []corev1.Node, pods []corev1.Pod) []live.Node {
	var p parts
	for i := range nodes {
		p.nodes = append(p.nodes, nodeFacts(&nodes[i]))
	}
	for i := range pods {
		p.pods = append(p.pods, podFacts(&pods[i]))
	}
	_, seen, _ := p.assemble()
	return seen
}

// parts are the Kubernetes objects of a look, reduced one by one.
type parts struct {
	pods        []podSeen
	nodes       []live.Node
	workloads   []live.Workload
	replicaSets []live.Workload
}

// assemble joins what one object alone does not tell: a pod's Deployment or CronJob,
// its node's kind, and which nodes have an agent that is ready.
//
// The Job and the pod of an identity probe are left out. They run under a workload's
// ServiceAccount and are not the workload: nothing waits for them, nothing about them is to
// be mended, and lanyard removes them itself.
func (p parts) assemble() (pods []live.Pod, nodes []live.Node, workloads []live.Workload) {
	type key struct{ namespace, kind, name string }
	owners := map[key]live.WorkloadRef{}
	for _, r := range p.replicaSets {
		owners[key{r.Namespace, r.Kind, r.Name}] = r.Owner
	}
	workloads = append(workloads, makers(p.replicaSets)...)
	for _, w := range p.workloads {
		if w.Kind == "Job" {
			owners[key{w.Namespace, w.Kind, w.Name}] = w.Owner
		}
	}
	workloads = append(workloads, slices.DeleteFunc(slices.Clone(p.workloads), func(w live.Workload) bool {
		return w.Kind == "Job" && identity.IsProbe(w.Name, w.PodLabels)
	})...)
	kinds := make(map[string]live.Node, len(p.nodes))
	for _, n := range p.nodes {
		kinds[n.Name] = n
	}
	agents := map[string]bool{}
	pods = make([]live.Pod, 0, len(p.pods))
	for _, seen := range p.pods {
		if seen.probe {
			continue
		}
		pod := seen.Pod
		if above := owners[key{pod.Namespace, pod.Owner.Kind, pod.Owner.Name}]; above.Name != "" {
			pod.Owner = above
		}
		node := kinds[pod.Node]
		pod.Fargate = pod.Fargate || node.ComputeType == "fargate"
		pod.Windows = pod.Windows || node.OS == "windows"
		if node.Name != "" && !node.Ready && !pod.Ready {
			pod.Trouble = live.TroubleNode // whatever its status says is old
		}
		if seen.agent && pod.Ready && !pod.Terminating {
			agents[pod.Node] = true
		}
		pods = append(pods, pod)
	}
	nodes = slices.Clone(p.nodes)
	for i := range nodes {
		nodes[i].AgentReady = nodes[i].AgentReady || agents[nodes[i].Name]
	}
	slices.SortFunc(pods, func(a, b live.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(nodes, func(a, b live.Node) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(workloads, func(a, b live.Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ServiceAccount, b.ServiceAccount))
	})
	return pods, nodes, workloads
}
