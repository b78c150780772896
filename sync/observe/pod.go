package observe

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/sync/live"
)

// podSeen is a pod as it is cached: what can be told from the pod alone. Its Owner is
// still the object that controls it directly.
type podSeen struct {
	live.Pod
	agent bool // a Pod Identity agent
}

func podFacts(p *corev1.Pod) podSeen {
	return podSeen{
		Pod: live.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName,
			ServiceAccount: cmp.Or(p.Spec.ServiceAccountName, "default"),
			Owner:          controller(&p.ObjectMeta), CreatedAt: p.CreationTimestamp.UTC(),
			Phase: string(p.Status.Phase), Terminating: p.DeletionTimestamp != nil,
			Ready: slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			}),
			Fargate: p.Spec.SchedulerName == "fargate-scheduler" || p.Labels[eksPrefix+"fargate-profile"] != "" ||
				strings.HasPrefix(p.Spec.NodeName, "fargate-ip-"),
			Windows: operatingSystem(&p.Spec) == "windows", HostNetwork: p.Spec.HostNetwork,
			Labels: kept(p.Labels, eksPrefix), Containers: credentialsOf(p.Annotations, &p.Spec),
		},
		agent: isAgent(p),
	}
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

// parts are the Kubernetes objects of a look, reduced one by one.
type parts struct {
	pods        []podSeen
	nodes       []live.Node
	workloads   []live.Workload
	replicaSets []live.Workload
}

// assemble joins what one object alone does not tell: a pod's Deployment or CronJob,
// its node's kind, and which nodes have an agent that is ready.
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
	workloads = append(workloads, p.workloads...)
	kinds := make(map[string]live.Node, len(p.nodes))
	for _, n := range p.nodes {
		kinds[n.Name] = n
	}
	agents := map[string]bool{}
	pods = make([]live.Pod, 0, len(p.pods))
	for _, seen := range p.pods {
		pod := seen.Pod
		if above := owners[key{pod.Namespace, pod.Owner.Kind, pod.Owner.Name}]; above.Name != "" {
			pod.Owner = above
		}
		node := kinds[pod.Node]
		pod.Fargate = pod.Fargate || node.ComputeType == "fargate"
		pod.Windows = pod.Windows || node.OS == "windows"
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
