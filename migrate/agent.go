package migrate

import (
	"fmt"
	"strings"

	"github.com/lanyard-io/lanyard/sync/live"
)

// agentName names the agent's add-on and its DaemonSets, which may have a suffix.
// Source: https://github.com/aws/eks-pod-identity-agent, charts/eks-pod-identity-agent.
const agentName = "eks-pod-identity-agent"

// findAgent notes what shows that the cluster has an agent at all. One that Helm made is
// known by its DaemonSet alone.
func (a *Assessor) findAgent() {
	f := a.snap.Facts()
	for _, w := range f.Workloads {
		if w.Namespace == "kube-system" && w.Kind == "DaemonSet" &&
			(w.Name == agentName || strings.HasPrefix(w.Name, agentName+"-") || w.PodLabels["app.kubernetes.io/name"] == agentName) {
			a.agent = append(a.agent, workloadFact(w, ""))
		}
	}
	for _, d := range f.Addons {
		if d.Name == agentName {
			a.agent = append(a.agent, Fact{OfAddon, d.Name, d.Status})
		}
	}
	for _, n := range a.nodes {
		if n.AgentReady {
			a.agent = append(a.agent, Fact{OfNode, n.Name, ""})
		}
	}
	if f.Cluster.AutoMode {
		a.agent = append(a.agent, Fact{OfCluster, f.Cluster.Name, "has Auto Mode, whose nodes have the agent built in"})
	}
	_, pods := a.snap.Pods(agentSubject)
	a.agentSeen = pods == live.Present
}

// agentless reports whether a node surely has no ready agent. Where the agent's pods
// were not read no node shows one, and that says nothing.
func (a *Assessor) agentless(n *live.Node) bool { return !n.AgentReady && a.agentSeen }

// noAgent reports whether there surely is none: whatever would show one was read.
func (a *Assessor) noAgent() bool {
	_, workloads := a.snap.Workloads(agentSubject)
	return len(a.agent) == 0 && a.agentSeen && workloads == live.Present && a.snap.Whole(live.SourceListAddons, live.SourceNodes, live.SourceCluster)
}

// agents holds the cluster's agent against the nodes that the workload may run on.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
func (l *look) agents() {
	cluster := l.snap.Cluster().Name
	if l.noAgent() {
		l.reason(AgentAbsent, []Fact{{OfCluster, cluster, "has neither the add-on " + agentName + " nor a DaemonSet of that name in kube-system"}},
			"the cluster has no Pod Identity agent", fmt.Sprintf("aws eks create-addon --cluster-name %s --addon-name %s", cluster, agentName))
		return
	}
	var facts []Fact
	for _, p := range l.places {
		for _, n := range p.nodes {
			if l.agentless(n) && served(n) && !l.young(n) {
				facts = append(facts, Fact{OfNode, n.Name, "has no ready agent, and may get pods of " + workloadFact(p.workload, "").Name})
			}
		}
	}
	for _, p := range l.pods { // one on a node that takes no more pods moves with its restart
		if n, presence := l.snap.Node(p.Node); presence == live.Present && l.agentless(&n) && served(&n) && !n.Unschedulable && !p.Fargate && !l.young(&n) {
			facts = append(facts, Fact{OfNode, n.Name, "has no ready agent, and runs pod " + p.Namespace + "/" + p.Name})
		}
	}
	l.reason(AgentNotReady, facts, "nodes that its pods may run on have no ready Pod Identity agent",
		"find out why the agent's pod on these nodes is not ready: kubectl --namespace kube-system get pods --selector app.kubernetes.io/name="+agentName+" --output wide")
}

// served reports whether a node is one that the agent's own DaemonSet serves.
func served(n *live.Node) bool {
	return n.ComputeType != "fargate" && n.ComputeType != "hybrid" && n.OS != "windows"
}

func (l *look) young(n *live.Node) bool {
	return !n.CreatedAt.IsZero() && l.snap.Facts().TakenAt.Sub(n.CreatedAt) < youngNode
}

// findScaler notes what shows that nodes come and go.
func (a *Assessor) findScaler() {
	for _, w := range a.snap.Facts().Workloads {
		for _, c := range w.Containers {
			if name := imageOf(c.Image).name; name == "cluster-autoscaler" || strings.HasSuffix(name, "karpenter/controller") {
				a.scaler = append(a.scaler, workloadFact(w, "adds nodes when pods wait for them"))
			}
		}
	}
}

// startupRace: a Job's pod is often the first on a new node, and asks for credentials
// before the agent is ready there. A Job that fails is not started again by a restart.
//
// Source: https://github.com/aws/containers-roadmap/issues/2507
func (l *look) startupRace() {
	if l.opts.StartupTaint != "" {
		return
	}
	var facts []Fact
	for _, p := range l.places {
		w := p.workload
		if w.Kind != "Job" && w.Kind != "CronJob" || len(p.profiles) > 0 {
			continue
		}
		fixed := len(p.nodes) > 0 // only nodes whose agent is built in
		for _, n := range p.nodes {
			fixed = fixed && n.ComputeType == "auto"
			if pool := n.Labels[labelPool]; pool != "" && n.ComputeType != "auto" {
				facts = append(facts, Fact{OfNode, n.Name, "comes from Karpenter node pool " + pool + ", and may get pods of " + workloadFact(w, "").Name})
			}
		}
		if !fixed && len(l.scaler) > 0 {
			facts = append(facts, workloadFact(w, "its pods may wait for a new node"))
			facts = append(facts, l.scaler...)
		}
	}
	l.reason(AgentStartupRace, facts, "its Jobs run on nodes that come and go, and a pod may start before the agent on a new node does",
		"let new nodes bear a startup taint until their agent is ready, and name it in the configuration's migration.startupTaint")
}

// granting are the policies of AWS that let the agent serve.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/security-iam-awsmanpol.html
// and https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AdministratorAccess.html
var granting = []string{"AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy", "AdministratorAccess", "PowerUserAccess"}

// administrators are those of them that let everything else be done too.
var administrators = []string{"AdministratorAccess", "PowerUserAccess"}

// judgeNodeRoles finds the managed node groups whose role does not let the agent ask
// EKS for credentials. Of other nodes the role is not known, and nothing is said.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
func (a *Assessor) judgeNodeRoles() {
	for _, g := range a.snap.Facts().NodeGroups {
		policies, presence := a.snap.Policies(g.Role)
		switch {
		case !g.Described || g.Role.IsZero(): // a gap of its own, or a group that is gone
			continue
		case presence == live.Unknown:
			a.unreadNodeRoles[g.Name] = Fact{OfNodeGroup, g.Name, "the permission policies of its role " + g.Role.String() + " were not read"}
			continue
		}
		if !live.Grants(policies, live.ActionAgent, a.snap.Cluster().ARN(), granting...) {
			a.nodeRoles[g.Name] = &Fact{OfNodeGroup, g.Name, "its role " + g.Role.String() + " does not have " + live.ActionAgent}
		}
	}
}

func (l *look) nodeRole() {
	var facts []Fact
	for _, p := range l.places {
		for _, n := range p.nodes {
			if f := l.nodeRoles[n.Labels[labelGroup]]; f != nil {
				facts = append(facts, *f)
			}
		}
	}
	l.reason(NodeRoleLacksPermission, facts, "the role of its nodes does not let the Pod Identity agent ask EKS for credentials",
		"attach the policy AmazonEKSWorkerNodePolicy to the node role, or allow it "+live.ActionAgent)
}
