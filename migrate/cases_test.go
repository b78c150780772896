package migrate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

// scenario is one change to the eligible world, and what it must lead to.
type scenario struct {
	name    string
	code    migrate.Code // "" where the change must lead to nothing
	fact    string       // in one of its facts, as printed
	fix     string       // in its way out
	change  func(*world)
	verdict migrate.Verdict // where it is not what the code alone says
}

var (
	chainAllowed = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	chainBare    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:AssumeRole"}]}`
	next         = "arn:aws:iam::210987654321:role/next"
	near         = "arn:aws:iam::123456789012:role/near"
)

func chain(trustPolicy string) func(*world) {
	return func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"sts:AssumeRole", "sts:TagSession"}, Resources: []string{next}})
		if trustPolicy != "" {
			w.f.Roles = append(w.f.Roles, live.Role{ARN: arn(next), Presence: live.Present, TrustPolicy: trustPolicy})
		}
	}
}

func association(w *world) live.Association {
	return live.Association{Namespace: "demo", ServiceAccount: "api", ID: "a-1", ARN: "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/irsa-lab/a-1", Described: true, Role: w.m.Role}
}

func addNode(w *world, n live.Node) {
	n.Ready, n.CreatedAt = true, now.Add(-time.Hour)
	w.f.Nodes = append(w.f.Nodes, n)
}

func job(w *world) {
	w.f.Workloads = append(w.f.Workloads, live.Workload{Namespace: "demo", Kind: "CronJob", Name: "nightly", ServiceAccount: "api", Replicas: 1,
		Containers: []live.Template{{Name: "nightly", Image: "aws-cli:2.33.0"}}})
}

var scenarios = []scenario{
	// keep
	{name: "a pod on Fargate", code: migrate.Fargate, fact: "pod demo/api-1: runs on Fargate node", change: func(w *world) { w.pod().Fargate = true }},
	{name: "a pod on a Fargate node", code: migrate.Fargate, fact: "pod demo/api-1", change: func(w *world) { w.node().ComputeType = "fargate" }},
	{name: "a pod on Fargate that is ending", code: migrate.Fargate, fact: "pod demo/api-1: runs on Fargate node", change: func(w *world) { w.pod().Fargate, w.pod().Terminating = true, true }},
	{name: "a profile selects the template, at zero replicas", code: migrate.Fargate, fact: "fargate-profile web: selects the pods of Deployment demo/api", change: func(w *world) {
		w.workload().Replicas, w.f.Pods = 0, nil
		w.f.FargateProfiles = append(w.f.FargateProfiles, live.FargateProfile{Name: "web", Described: true, Selectors: []live.FargateSelector{{Namespace: "other"}, {Namespace: "d?mo", Labels: map[string]string{"a*": "?pi"}}}})
	}},
	{name: "a profile selects a CronJob's template", code: migrate.Fargate, fact: "CronJob demo/nightly", change: func(w *world) {
		job(w)
		w.f.Workloads[2].PodLabels = map[string]string{"run": "on/fargate"}
		w.f.FargateProfiles[0].Selectors = []live.FargateSelector{{Namespace: "*", Labels: map[string]string{"run": "on*"}}}
	}},
	{name: "a label names another profile", change: func(w *world) {
		w.workload().PodLabels["eks.amazonaws.com/fargate-profile"] = "none"
		w.f.FargateProfiles[0].Selectors[0].Namespace = "*"
	}},
	{name: "a profile with one label too many", change: func(w *world) {
		w.f.FargateProfiles[0].Selectors = []live.FargateSelector{{Namespace: "demo", Labels: map[string]string{"app": "api", "tier": "*"}}}
	}},
	{name: "a profile selects a DaemonSet, which stays", change: func(w *world) {
		w.workload().Kind, w.pod().Owner.Kind = "DaemonSet", "DaemonSet"
		w.f.FargateProfiles[0].Selectors[0].Namespace = "demo"
	}},
	{name: "a profile selects a Job that is done", change: func(w *world) {
		job(w)
		w.f.Workloads[2].Kind, w.f.Workloads[2].Done, w.f.Workloads[2].PodLabels = "Job", true, map[string]string{"a": "b"}
		w.f.FargateProfiles[0].Selectors = []live.FargateSelector{{Namespace: "demo", Labels: map[string]string{"a": "b"}}}
	}},
	{name: "a role of another account", code: migrate.CrossAccountRole, fact: "role arn:aws:iam::210987654321:role/api: is in account 210987654321", fix: "podIdentity.targetRoleARN", change: func(w *world) { w.m.Role.Account = other }},
	{name: "a pod on Windows", code: migrate.Windows, fact: "pod demo/api-1: runs on Windows node", change: func(w *world) { w.pod().Windows = true }},
	{name: "a template that asks for Windows", code: migrate.Windows, fact: "workload Deployment demo/api: asks for Windows", change: func(w *world) { w.workload().OS, w.f.Pods = "windows", nil }},
	{name: "a template that nothing but Windows nodes admits", code: migrate.Windows, fact: "workload Deployment demo/api: no node but Windows nodes admits its pods", change: func(w *world) {
		addNode(w, live.Node{Name: "win", ComputeType: "ec2", OS: "windows", Labels: map[string]string{"node.kubernetes.io/windows-build": "10.0.20348"}})
		w.workload().NodeSelector, w.f.Pods = map[string]string{"node.kubernetes.io/windows-build": "10.0.20348"}, nil
	}},
	{name: "Windows nodes beside Linux nodes", change: func(w *world) { addNode(w, live.Node{Name: "win", ComputeType: "ec2", OS: "windows"}) }},
	{name: "a hybrid node without an agent", code: migrate.HybridUnsupported, fact: "node mi-1: is a hybrid node without a ready agent", fix: "daemonsets.hybrid.create=true", change: func(w *world) { addNode(w, live.Node{Name: "mi-1", ComputeType: "hybrid", OS: "linux"}) }},
	{name: "a pod on a hybrid node", code: migrate.HybridUnsupported, fact: "pod demo/api-1", change: func(w *world) {
		w.f.Workloads, w.node().ComputeType, w.node().AgentReady = w.f.Workloads[1:], "hybrid", false
	}},
	{name: "a hybrid node with an agent", change: func(w *world) {
		addNode(w, live.Node{Name: "mi-1", ComputeType: "hybrid", OS: "linux", AgentReady: true})
	}},
	{name: "a hybrid node that the template does not tolerate", change: func(w *world) {
		addNode(w, live.Node{Name: "mi-1", ComputeType: "hybrid", OS: "linux", Taints: []live.Taint{{Key: "hybrid", Effect: "NoSchedule"}}})
	}},
	{name: "a local cluster", code: migrate.OutsideEKS, fact: "cluster irsa-lab: is a local cluster on Outposts", change: func(w *world) { w.f.Cluster.Outpost = true }},
	{name: "a chain whose end was not read", code: migrate.ChainedRole, fact: "policy api/p2: allows sts:AssumeRole on " + next + ", whose trust policy was not read", fix: "sessionTags: false", change: chain("")},
	{name: "a chain whose end has no TagSession", code: migrate.ChainedRole, fact: "does not surely allow sts:TagSession", change: chain(chainBare)},
	{name: "a chain by wildcard", code: migrate.ChainedRole, fact: "names no single role", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"sts:*"}, Resources: []string{"arn:aws:iam::*:role/x"}})
	}},
	{name: "a role that assumes itself", code: migrate.ChainedRole, fact: "which is the role itself", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"sts:AssumeRole"}, Resources: []string{role}})
		w.role().TrustPolicy = strings.TrimSuffix(w.role().TrustPolicy, "]}") + `,{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:AssumeRole"}]}`
	}},
	{name: "a chain whose end allows TagSession", change: chain(chainAllowed)},
	{name: "a chain whose role may not pass tags", code: migrate.ChainedRole, fact: "allows sts:AssumeRole on " + next + ", and no policy of role api allows sts:TagSession on it", change: func(w *world) {
		chain(chainAllowed)(w)
		w.role().Policies[2].Statements[0].Actions = []string{"sts:AssumeRole"}
	}},
	{name: "a chain in one account by the role's name", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"sts:AssumeRole"}, Resources: []string{near}})
		w.f.Roles = append(w.f.Roles, live.Role{ARN: arn(near), Presence: live.Present, TrustPolicy: chainAllowed})
	}},
	{name: "a chain in one account by the account", code: migrate.ChainedRole, fact: "no policy of role api allows sts:TagSession", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"sts:AssumeRole"}, Resources: []string{near}})
		w.f.Roles = append(w.f.Roles, live.Role{ARN: arn(near), Presence: live.Present, TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + role + `"}}}]}`})
	}},
	{name: "a chain by everything on one role", code: migrate.ChainedRole, fact: "allows sts:AssumeRole on " + next, change: func(w *world) {
		chain(chainBare)(w)
		w.role().Policies[2].Statements[0].Actions = []string{"*"}
	}},
	{name: "a chain by everything in another account", code: migrate.ChainedRole, fact: "which names no single role", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"*"}, Resources: []string{"arn:aws:s3:::b", "arn:aws:iam::210987654321:policy/*", "!" + next, "arn:aws:iam::210987654321:*"}})
	}},
	{name: "everything, and no role", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"*"}, Resources: []string{"arn:aws:s3:::b", "arn:aws:iam::210987654321:policy/*", "!" + next, "arn:aws:*"}})
	}},
	{name: "a chain by all but something", code: migrate.ChainedRole, fact: "allows sts:AssumeRole on " + next, change: func(w *world) {
		chain(chainBare)(w)
		w.role().Policies[2].Statements[0].Actions = []string{"!iam:*"}
	}},
	{name: "a power user chains nothing", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"!iam:*", "!organizations:*"}, Resources: []string{"*"}})
	}},
	{name: "a chain without session tags", change: func(w *world) {
		chain(chainBare)(w)
		w.m.PodIdentity.SessionTags, w.m.PodIdentity.Trust = false, identity.WidthAccount
	}},
	{name: "an administrator chains nothing", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"*"}, Resources: []string{"*"}})
	}},
	{name: "a chain that does not work today", change: chain(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"sts:AssumeRole"}]}`)},
	{name: "a policy that pins the session", code: migrate.SessionNamePinned, fact: "policy api/p2: asks for StringLike aws:userid AROAEXAMPLE:api", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"s3:*"}, Conditions: []live.PolicyCondition{{Operator: "StringLike", Key: "aws:userid", Values: []string{"AROAEXAMPLE:api"}}}})
	}},
	{name: "a policy that takes any session of the role", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"s3:*"}, Conditions: []live.PolicyCondition{{Operator: "StringLike", Key: "aws:userid", Values: []string{"AROAEXAMPLE:*"}}}})
	}},
	{name: "a resource named after the session", code: migrate.SessionNamePinned, fact: "names arn:aws:s3:::b/${aws:userid}/*", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"s3:*"}, Resources: []string{"arn:aws:s3:::b/${aws:userid}/*"}})
	}},
	{name: "a resource named after the federation", code: migrate.OIDCKeyInPolicy, fact: "names arn:aws:s3:::b/${aws:FederatedProvider}/*", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"s3:*"}, Resources: []string{"arn:aws:s3:::b/${aws:FederatedProvider}/*"}})
	}},
	{name: "a container that names its session", code: migrate.SessionNamePinned, fact: "container Deployment demo/api: api: sets AWS_ROLE_SESSION_NAME", change: func(w *world) { w.container().Variables = []string{"AWS_ROLE_SESSION_NAME"} }},
	{name: "a policy that asks for the issuer's subject", code: migrate.OIDCKeyInPolicy, fact: "policy api/p2: asks for StringEquals " + host + ":sub x", fix: "aws:PrincipalTag/kubernetes-service-account", change: func(w *world) {
		w.policy(live.PolicyStatement{Actions: []string{"s3:*"}, Conditions: []live.PolicyCondition{{Operator: "StringEquals", Key: host + ":sub", Values: []string{"x"}}}})
	}},
	{name: "lanyard's own", code: migrate.Self, fact: "service-account demo/api: is lanyard's own", change: func(w *world) { w.o.Self = []identity.Subject{subject} }},

	// blocked
	{name: "no agent at all", code: migrate.AgentAbsent, fact: "cluster irsa-lab", fix: "create-addon --cluster-name irsa-lab --addon-name eks-pod-identity-agent", change: func(w *world) {
		w.f.Addons, w.f.Workloads, w.node().AgentReady = nil, w.f.Workloads[:1], false
	}},
	{name: "an agent that Helm made", change: func(w *world) { w.f.Addons = nil }},
	{name: "Auto Mode needs no agent", change: func(w *world) {
		w.f.Addons, w.f.Workloads, w.f.Cluster.AutoMode, w.node().ComputeType = nil, w.f.Workloads[:1], true, "auto"
	}},
	{name: "a node without a ready agent", code: migrate.AgentNotReady, fact: "node ip-2: has no ready agent, and may get pods of Deployment demo/api", change: func(w *world) { addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux"}) }},
	{name: "a node of Auto Mode's cluster without one", code: migrate.AgentNotReady, fact: "node ip-10-0-1-11", change: func(w *world) { w.f.Cluster.AutoMode, w.node().AgentReady = true, false }},
	{name: "a young node", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux"})
		w.f.Nodes[1].CreatedAt = now.Add(-time.Minute)
	}},
	{name: "a cordoned node", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", Unschedulable: true})
	}},
	{name: "a pod on a cordoned node", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", Unschedulable: true})
		w.pod().Node = "ip-2"
	}},
	{name: "a node that the selector rules out", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", Labels: map[string]string{"kubernetes.io/os": "linux", "zone": "b"}})
		w.node().Labels["zone"], w.workload().NodeSelector = "a", map[string]string{"zone": "a"}
	}},
	{name: "a node that the affinity rules out", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", Labels: map[string]string{"gen": "3"}})
		w.node().Labels["gen"] = "5"
		w.workload().NodeAffinity = []live.NodeTerm{{}, {Labels: []live.Requirement{{Key: "gen", Operator: "Gt", Values: []string{"4"}}}}}
	}},
	{name: "a node that the affinity's name rules out", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux"})
		w.workload().NodeAffinity = []live.NodeTerm{{Fields: []live.Requirement{{Key: "metadata.name", Operator: "NotIn", Values: []string{"ip-2"}}}}}
	}},
	{name: "a tainted node that is tolerated", code: migrate.AgentNotReady, fact: "node ip-2", change: func(w *world) {
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", Taints: []live.Taint{{Key: "gpu", Value: "yes", Effect: "NoSchedule"}}})
		w.workload().Tolerations = []live.Toleration{{Key: "gpu", Operator: "Equal", Value: "yes", Effect: "NoSchedule"}}
	}},
	{name: "a Job on Karpenter's nodes", code: migrate.AgentStartupRace, fact: "node ip-2: comes from Karpenter node pool spot, and may get pods of CronJob demo/nightly", fix: "migration.startupTaint", change: func(w *world) {
		job(w)
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", AgentReady: true, Labels: map[string]string{"karpenter.sh/nodepool": "spot"}})
	}},
	{name: "a Job beside the cluster autoscaler", code: migrate.AgentStartupRace, fact: "workload Deployment kube-system/ca: adds nodes", change: func(w *world) {
		job(w)
		w.f.Workloads = append(w.f.Workloads, live.Workload{Namespace: "kube-system", Kind: "Deployment", Name: "ca", ServiceAccount: "ca", Containers: []live.Template{{Name: "ca", Image: "registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.0"}}})
	}},
	{name: "a Job with a startup taint", change: func(w *world) {
		job(w)
		addNode(w, live.Node{Name: "ip-2", ComputeType: "ec2", OS: "linux", AgentReady: true, Labels: map[string]string{"karpenter.sh/nodepool": "spot"}})
		w.o.StartupTaint = "lanyard.io/agent"
	}},
	{name: "a Job on fixed nodes", change: job},
	{name: "a node role without the agent's right", code: migrate.NodeRoleLacksPermission, fact: "node-group general: its role arn:aws:iam::123456789012:role/node does not have eks-auth:AssumeRoleForPodIdentity", change: func(w *world) { w.f.Roles[1].Policies = nil }},
	{name: "a node role whose own policy bears AWS's name", code: migrate.NodeRoleLacksPermission, fact: "node-group general", change: func(w *world) {
		w.f.Roles[1].Policies = []live.Policy{{Name: "AdministratorAccess", ARN: "arn:aws:iam::123456789012:policy/:iam::aws:policy/AdministratorAccess"}}
	}},
	{name: "a node role with a right of its own", change: func(w *world) {
		w.f.Roles[1].Policies = []live.Policy{{Name: "own", Statements: []live.PolicyStatement{{Actions: []string{"eks-auth:*"}, Resources: []string{"*"}}}}}
	}},
	{name: "a node role with the right for another cluster", code: migrate.NodeRoleLacksPermission, fact: "node-group general", change: func(w *world) {
		w.f.Roles[1].Policies = []live.Policy{{Name: "own", Statements: []live.PolicyStatement{{Actions: []string{"eks-auth:*"}, Resources: []string{"arn:aws:eks:eu-west-1:123456789012:cluster/other"}}}}}
	}},
	{name: "a node role that is denied it", code: migrate.NodeRoleLacksPermission, fact: "node-group general", change: func(w *world) {
		w.f.Roles[1].Policies = append(w.f.Roles[1].Policies, live.Policy{Name: "no", Statements: []live.PolicyStatement{{Deny: true, Actions: []string{"eks-auth:*"}, Resources: []string{"*"}}}})
	}},
	{name: "trust that nobody adopted", code: migrate.TrustNotAdopted, fact: "role " + role, fix: `"Service":"pods.eks.amazonaws.com"`, change: func(w *world) { w.m.Adopt.Trust = false }},
	{name: "trust that others wrote", change: func(w *world) {
		w.m.Adopt.Trust = false
		w.role().TrustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	}},
	{name: "trust that denies", code: migrate.TrustNotAdopted, fact: "Deny", change: func(w *world) {
		w.role().TrustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	}},
	{name: "no role", code: migrate.TrustNotAdopted, fact: "does not exist", change: func(w *world) { *w.role() = live.Role{ARN: w.m.Role, Presence: live.Absent} }},
	{name: "trust that is no document", code: migrate.TrustNotAdopted, fact: "role " + role, fix: "where the role is made", change: func(w *world) { w.role().TrustPolicy = "{" }},
	{name: "a target role that does not let it in", code: migrate.TrustNotAdopted, fact: "role " + next, fix: "sts:TagSession", change: func(w *world) {
		w.m.PodIdentity.TargetRole = arn(next)
		w.f.Roles = append(w.f.Roles, live.Role{ARN: arn(next), Presence: live.Present, TrustPolicy: chainBare})
	}},
	{name: "a target role that the role may not assume", code: migrate.TrustNotAdopted, fact: "lets it in, and no policy of role api allows sts:AssumeRole on it", change: func(w *world) {
		w.m.PodIdentity.TargetRole = arn(next)
		w.f.Roles = append(w.f.Roles, live.Role{ARN: arn(next), Presence: live.Present, TrustPolicy: chainAllowed, PoliciesRead: true})
	}},
	{name: "a target role", change: func(w *world) {
		chain(chainAllowed)(w)
		w.m.PodIdentity.TargetRole, w.f.Roles[2].PoliciesRead = arn(next), true
	}},
	{name: "a target role that pins the session", code: migrate.SessionNamePinned, fact: "policy next/pin: names arn:aws:s3:::b/${aws:userid}/*", change: func(w *world) {
		chain(chainAllowed)(w)
		w.m.PodIdentity.TargetRole, w.f.Roles[2].PoliciesRead = arn(next), true
		w.f.Roles[2].Policies = []live.Policy{{Name: "pin", Statements: []live.PolicyStatement{{Actions: []string{"s3:*"}, Resources: []string{"arn:aws:s3:::b/${aws:userid}/*"}}}}}
	}},
	{name: "a target role that chains on", code: migrate.ChainedRole, fact: "policy next/on: allows sts:AssumeRole on " + near + ", whose trust policy was not read", change: func(w *world) {
		chain(chainAllowed)(w)
		w.m.PodIdentity.TargetRole, w.f.Roles[2].PoliciesRead = arn(next), true
		w.f.Roles[2].Policies = []live.Policy{{Name: "on", Statements: []live.PolicyStatement{{Actions: []string{"sts:AssumeRole"}, Resources: []string{near}}}}}
	}},
	{name: "trust without room", code: migrate.TrustFull, fact: "characters of 600 are taken", fix: "podIdentity.trust: bare, which would fit", change: func(w *world) { w.f.Accounts[0].TrustSizeQuota = 600 }},
	{name: "trust without any room", code: migrate.TrustFull, fact: "characters of 400", fix: "raise quota L-C07B4B0D", change: func(w *world) { w.f.Accounts[0].TrustSizeQuota = 400 }},
	{name: "a cluster full of associations", code: migrate.AssociationsFull, fact: "has 5000 associations of 5000", change: func(w *world) {
		for i := range migrate.AssociationQuota {
			w.f.Associations = append(w.f.Associations, live.Association{Namespace: "many", ServiceAccount: fmt.Sprint("sa-", i), ID: fmt.Sprint("m-", i), Described: true, Role: arn("arn:aws:iam::123456789012:role/many")})
		}
	}},
	{name: "an association of others with another role", code: migrate.AssociationForeign, fact: "association a-1: made by eksctl; not as Git asks: role", fix: "adopt: [association]", change: func(w *world) {
		a := association(w)
		a.Role, a.Tags = arn("arn:aws:iam::123456789012:role/else"), map[string]string{"alpha.eksctl.io/cluster-name": "irsa-lab"}
		w.f.Associations = append(w.f.Associations, a)
	}},
	{name: "an association of others that is right", change: func(w *world) { w.f.Associations = append(w.f.Associations, association(w)) }},
	{name: "an association of an add-on", code: migrate.AddonOwned, fact: "add-on vpc-cni: owns association a-1", fix: "aws eks update-addon --cluster-name irsa-lab --addon-name vpc-cni --pod-identity-associations serviceAccount=api,roleArn=" + role, change: func(w *world) {
		a := association(w)
		a.OwnerARN = "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1"
		w.f.Associations = append(w.f.Associations, a)
		w.f.Addons = append(w.f.Addons, live.Addon{Name: "vpc-cni", Described: true, Associations: []string{a.ARN}})
	}},
	{name: "an add-on with more associations", code: migrate.AddonOwned, fact: "add-on vpc-cni: owns association a-1", fix: "--pod-identity-associations serviceAccount=api,roleArn=" + role + " serviceAccount=more,roleArn=" + next, change: func(w *world) {
		a := association(w)
		a.OwnerARN = "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1"
		more := a
		more.ServiceAccount, more.ID, more.ARN, more.Role = "more", "a-2", a.ARN+"2", arn(next)
		w.f.Associations = append(w.f.Associations, more, a)
		w.f.Addons = append(w.f.Addons, live.Addon{Name: "vpc-cni", Described: true, Associations: []string{a.ARN, more.ARN}})
	}},
	{name: "an annotation of an add-on", code: migrate.AddonOwned, fact: "add-on aws-ebs-csi-driver: gives ServiceAccount demo/api the role", change: func(w *world) {
		w.f.Addons = append(w.f.Addons, live.Addon{Name: "aws-ebs-csi-driver", Described: true, ServiceAccountRole: role})
		w.sa().Managers = []live.FieldManager{{Annotation: "eks.amazonaws.com/role-arn", Manager: "eks"}}
	}},
	{name: "an add-on that only shares the role", change: func(w *world) {
		w.f.Addons = append(w.f.Addons, live.Addon{Name: "aws-ebs-csi-driver", Described: true, ServiceAccountRole: role})
	}},
	{name: "a store that names the ServiceAccount", code: migrate.AnnotationReader, fact: "annotation-reader ClusterSecretStore aws-secrets: spec.provider.aws.auth.jwt.serviceAccountRef; names ServiceAccount api", fix: "cleanup: keep-annotation", change: func(w *world) {
		w.f.Readers = append(w.f.Readers, live.Reader{Kind: "ClusterSecretStore", Name: "aws-secrets", Field: "spec.provider.aws.auth.jwt.serviceAccountRef", ServiceAccount: "*/api"})
	}},
	{name: "a class that its pods mount", code: migrate.AnnotationReader, fact: "SecretProviderClass demo/db", change: func(w *world) {
		w.f.Readers = append(w.f.Readers, live.Reader{Kind: "SecretProviderClass", Namespace: "demo", Name: "db", Field: "spec.provider: aws", Mounted: true})
		w.workload().SecretClasses = []string{"db"}
	}},
	{name: "a volume that its pods claim", code: migrate.AnnotationReader, fact: "PersistentVolume s3", change: func(w *world) {
		w.f.Readers = append(w.f.Readers, live.Reader{Kind: "PersistentVolume", Name: "s3", Field: "authenticationSource: pod", Mounted: true, Claim: "demo/data-api-0"})
		w.workload().Claims = []string{"data-api-*"}
	}},
	{name: "an authentication that scales it", code: migrate.AnnotationReader, fact: "TriggerAuthentication demo/aws", change: func(w *world) {
		w.f.Readers = append(w.f.Readers, live.Reader{Kind: "TriggerAuthentication", Namespace: "demo", Name: "aws", Field: "identityOwner: workload", Scaled: []live.WorkloadRef{{Kind: "Deployment", Name: "demo/api"}}})
	}},
	{name: "readers of others", change: func(w *world) {
		w.f.Readers = append(w.f.Readers, live.Reader{Kind: "SecretStore", Namespace: "demo", Name: "a", ServiceAccount: "demo/other"},
			live.Reader{Kind: "SecretProviderClass", Namespace: "demo", Name: "db", Mounted: true},
			live.Reader{Kind: "SecretProviderClass", Namespace: "other", Name: "own", Mounted: true},
			live.Reader{Kind: "PersistentVolume", Name: "s3", Mounted: true, Claim: "demo/x"},
			live.Reader{Kind: "TriggerAuthentication", Namespace: "demo", Name: "aws", Scaled: []live.WorkloadRef{{Kind: "Deployment", Name: "demo/other"}}})
		w.workload().SecretClasses = []string{"own"}
	}},
	{name: "a reader of an annotation that stays", change: func(w *world) {
		w.f.Readers = append(w.f.Readers, live.Reader{Kind: "SecretStore", Namespace: "demo", Name: "a", ServiceAccount: "demo/api"})
		w.m.Migration.Cleanup = desired.CleanupKeepAnnotation
	}},
	{name: "pods on Fargate and elsewhere", code: migrate.MixedCompute, verdict: migrate.KeepIRSA, fact: "workload Deployment demo/api: no Fargate profile selects its pods", change: func(w *world) {
		w.f.Pods = append(w.f.Pods, live.Pod{Namespace: "demo", Name: "job-1", ServiceAccount: "api", Fargate: true, Phase: "Running", Owner: live.WorkloadRef{Kind: "Job", Name: "job"}})
	}},
	{name: "access keys in the template", code: migrate.StaticKeys, fact: "container Deployment demo/api: api: sets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", change: func(w *world) {
		w.container().Variables = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
	}},
	{name: "half a pair of access keys", change: func(w *world) { w.container().Variables = []string{"AWS_ACCESS_KEY_ID"} }},
	{name: "access keys in a pod", code: migrate.StaticKeys, fact: "pod demo/api-1: container api: keys are set", change: func(w *world) {
		w.pod().Containers[0].Credential, w.pod().Containers[0].Why = live.CredentialStatic, "keys are set"
	}},
	{name: "a variable of the mechanism by hand", code: migrate.EnvOverride, fact: "sets AWS_ROLE_ARN", change: func(w *world) { w.container().Variables = []string{"AWS_ROLE_ARN"} }},
	{name: "a profile that is mounted", code: migrate.EnvOverride, fact: "mounts a volume over the AWS profile directory", change: func(w *world) { w.container().Profile = true }},
	{name: "both pairs in a pod", code: migrate.EnvOverride, fact: "pod demo/api-1", change: func(w *world) { w.pod().Containers[0].Credential = live.CredentialBoth }},
	{name: "a skipped container's own profile", change: func(w *world) {
		w.pod().Containers[0].Credential, w.pod().Containers[0].Skipped = live.CredentialProfile, true
	}},
	{name: "a volume of the token's name", code: migrate.VolumeConflict, fact: "workload Deployment demo/api: volume eks-pod-identity-token is there", change: func(w *world) { w.workload().TokenConflict = "volume eks-pod-identity-token is there" }},
	{name: "a proxy", code: migrate.ProxyWithoutExemption, fact: "sets HTTP_PROXY", fix: "169.254.170.23 and [fd00:ec2::23]", change: func(w *world) { w.container().Proxy = live.ProxyUnexempted }},
	{name: "a proxy with the exemption", change: func(w *world) { w.container().Proxy = live.ProxyExempt }},
	{name: "a policy that cuts the agent off", code: migrate.NetworkPolicy, fact: "network-policy demo/deny", change: func(w *world) {
		w.f.NetworkPolicies = append(w.f.NetworkPolicies, live.NetworkPolicy{Namespace: "demo", Name: "deny"})
	}},
	{name: "another policy lets the agent through", change: func(w *world) {
		w.f.NetworkPolicies = append(w.f.NetworkPolicies, live.NetworkPolicy{Namespace: "demo", Name: "deny"}, live.NetworkPolicy{Namespace: "demo", Name: "agent", AdmitsAgent: true})
	}},
	{name: "policies of others", change: func(w *world) {
		w.f.NetworkPolicies = append(w.f.NetworkPolicies, live.NetworkPolicy{Namespace: "other", Name: "deny"},
			live.NetworkPolicy{Namespace: "demo", Name: "web", Selector: live.Selector{Labels: map[string]string{"app": "web"}}})
	}},
	{name: "a policy on the node's network", change: func(w *world) {
		w.f.NetworkPolicies = append(w.f.NetworkPolicies, live.NetworkPolicy{Namespace: "demo", Name: "deny"})
		w.workload().HostNetwork = true
	}},
	{name: "a declared SDK that is too old", code: migrate.SDKTooOld, fact: "sdk aws-sdk-go/1.47.10: is declared by the mapping; the first that can is 1.47.11", change: func(w *world) { w.m.Migration.SDK = "aws-sdk-go/1.47.10" }},
	{name: "a declared SDK of the older major", code: migrate.SDKTooOld, fact: "the first that can is 1.12.746", change: func(w *world) { w.m.Migration.SDK = "aws-sdk-java/1.12.745" }},
	{name: "a declared SDK that will do", change: func(w *world) { w.m.Migration.SDK, w.container().Image = "aws-sdk-java/2.21.30", "example.com/own:1" }},
	{name: "an image that is too old", code: migrate.SDKTooOld, fact: "0.14.1 and older fail", change: func(w *world) { w.container().Image = "registry.k8s.io/external-dns/external-dns:v0.14.0" }},
	{name: "an image of the last version that fails", code: migrate.SDKTooOld, fact: "0.14.1 and older fail", change: func(w *world) { w.container().Image = "external-dns:v0.14.1" }},
	{name: "an old command line", code: migrate.SDKTooOld, fact: "runs public.ecr.aws/aws-cli/aws-cli:2.14.6", change: func(w *world) { w.container().Image = "public.ecr.aws/aws-cli/aws-cli:2.14.6" }},
	{name: "a bare pod", code: migrate.Unrestartable, fact: "pod demo/api-1: has no owner", change: func(w *world) { w.pod().Owner = live.WorkloadRef{} }},
	{name: "a pod of another controller", code: migrate.Unrestartable, fact: "is made by StrimziPodSet kafka", fix: "restart: natural", change: func(w *world) { w.pod().Owner = live.WorkloadRef{Kind: "StrimziPodSet", Name: "kafka"} }},
	{name: "a pod of another controller that may wait", change: func(w *world) {
		w.pod().Owner, w.m.Migration.Restart = live.WorkloadRef{Kind: "StrimziPodSet", Name: "kafka"}, desired.RestartNatural
	}},
	{name: "Recreate", code: migrate.RestartDisruptive, fact: "workload Deployment demo/api: strategy Recreate", fix: "allowDisruption: true", change: func(w *world) { w.workload().Strategy.Type = "Recreate" }},
	{name: "Recreate at zero replicas", change: func(w *world) { w.workload().Strategy.Type, w.workload().Replicas = "Recreate", 0 }},
	{name: "Recreate that may disrupt", change: func(w *world) { w.workload().Strategy.Type, w.m.Migration.AllowDisruption = "Recreate", true }},
	{name: "all pods at once", code: migrate.RestartDisruptive, fact: "maxUnavailable 100% ends all 2 pods", change: func(w *world) { w.workload().Strategy.MaxUnavailable = "100%" }},
	{name: "as many as there are", code: migrate.RestartDisruptive, fact: "maxUnavailable 2 ends all 2 pods", change: func(w *world) { w.workload().Strategy.MaxUnavailable = "2" }},
	{name: "one replica without surge", code: migrate.RestartDisruptive, fact: "one replica and no surge", change: func(w *world) { w.workload().Replicas, w.workload().Strategy.MaxSurge = 1, "0" }},
	{name: "one replica with surge", change: func(w *world) { w.workload().Replicas, w.workload().Strategy.MaxSurge = 1, "25%" }},
	{name: "a StatefulSet of one", code: migrate.RestartDisruptive, fact: "a StatefulSet has no surge", change: func(w *world) {
		w.workload().Kind, w.workload().Replicas, w.pod().Owner.Kind = "StatefulSet", 1, "StatefulSet"
	}},
	{name: "a DaemonSet at once", code: migrate.RestartDisruptive, fact: "ends the pods of all nodes", change: func(w *world) {
		w.workload().Kind, w.pod().Owner.Kind, w.workload().Strategy.MaxUnavailable = "DaemonSet", "DaemonSet", "100%"
	}},
	{name: "a budget that allows nothing", code: migrate.RestartDisruptive, fact: "pod-disruption-budget demo/api: allows no eviction", change: func(w *world) {
		w.f.Budgets = append(w.f.Budgets, live.Budget{Namespace: "demo", Name: "api", Selector: live.Selector{Labels: map[string]string{"app": "api"}}, Expected: 2})
	}},
	{name: "budgets that allow it, or are others'", change: func(w *world) {
		w.f.Budgets = append(w.f.Budgets, live.Budget{Namespace: "demo", Name: "api", Allowed: 1, Expected: 2}, live.Budget{Namespace: "other", Name: "api", Expected: 2},
			live.Budget{Namespace: "demo", Name: "web", Selector: live.Selector{Labels: map[string]string{"app": "web"}}, Expected: 2})
	}},
	{name: "no webhook", code: migrate.WebhookAbsent, fact: "has no MutatingWebhookConfiguration", change: func(w *world) { w.f.Webhook = live.Webhook{} }},

	// warnings; shared-role may block
	{name: "another uses the role", code: migrate.SharedRole, verdict: migrate.Eligible, fact: "service-account demo/worker: uses it by its annotation", change: share},
	{name: "another mapping names the role", code: migrate.SharedRole, verdict: migrate.Eligible, fact: "service-account other/x: uses it by its mapping", change: func(w *world) {
		w.o.Mappings = []desired.Mapping{w.m, {Subject: identity.Subject{Namespace: "other", ServiceAccount: "x"}, Role: w.m.Role}}
	}},
	{name: "a role shared by wildcard, to be narrowed", code: migrate.SharedRole, verdict: migrate.Blocked, fact: "statement 1 of api", fix: "keep-trust", change: func(w *world) {
		share(w)
		w.role().TrustPolicy = irsaTrust("system:serviceaccount:demo:*")
	}},
	{name: "a role shared by wildcard, to be kept", code: migrate.SharedRole, verdict: migrate.Eligible, change: func(w *world) {
		share(w)
		w.role().TrustPolicy, w.m.Migration.Cleanup = irsaTrust("system:serviceaccount:demo:*"), desired.CleanupKeepTrust
	}},
	{name: "an image that nobody knows", code: migrate.SDKUnknown, verdict: migrate.Eligible, fact: "container Deployment demo/api: api: runs example.com/own:1", fix: "migration.sdk", change: func(w *world) { w.container().Image = "example.com/own:1" }},
	{name: "an image between the known versions", code: migrate.SDKUnknown, verdict: migrate.Eligible, fact: "argoproj/argoexec:v3.5.12", change: func(w *world) { w.container().Image = "argoproj/argoexec:v3.5.12" }},
	{name: "an image by its digest", code: migrate.SDKUnknown, verdict: migrate.Eligible, change: func(w *world) { w.container().Image = "aws-cli@sha256:0123" }},
	{name: "a declared SDK that nobody knows", code: migrate.SDKUnknown, verdict: migrate.Eligible, fact: "sdk rusoto/0.48.0", change: func(w *world) { w.m.Migration.SDK = "rusoto/0.48.0" }},
	{name: "an init container that nobody knows", change: func(w *world) {
		w.workload().Containers = append([]live.Template{{Name: "init", Init: true, Image: "busybox:1"}}, w.workload().Containers...)
	}},
	{name: "budgets that were not read", code: migrate.OptionalUnread, verdict: migrate.Eligible, fact: "read kubernetes:poddisruptionbudgets: refused: AccessDenied", fix: "lanyard policy", change: func(w *world) { w.gap(live.SourceBudgets, "") }},
	{name: "a node role whose policies were not read", code: migrate.OptionalUnread, verdict: migrate.Eligible, fact: "node-group general: the permission policies of its role arn:aws:iam::123456789012:role/node were not read", change: func(w *world) { w.f.Roles[1].PoliciesRead, w.f.Roles[1].Policies = false, nil }},
	{name: "a proxy that is not seen", code: migrate.OptionalUnread, verdict: migrate.Eligible, fact: "takes its proxy from a reference", change: func(w *world) { w.container().Proxy = live.ProxyUnseen }},

	// holds
	{name: "held", code: migrate.Held, verdict: migrate.Eligible, fact: "after the audit", change: func(w *world) { w.m.Migration.Hold = "after the audit" }},
	{name: "paused", code: migrate.Paused, verdict: migrate.Eligible, fact: "lanyard.io/pause: incident 7", change: func(w *world) { w.sa().Annotations["lanyard.io/pause"] = "incident 7" }},
	{name: "a paused namespace", code: migrate.Paused, verdict: migrate.Eligible, fact: "incident 8", change: func(w *world) { w.f.Namespaces[0].Pause = "incident 8" }},
	{name: "outside the window", code: migrate.OutsideWindow, verdict: migrate.Eligible, fact: "Sat 09:00-16:00 Europe/Berlin", change: func(w *world) {
		w.m.Migration.Windows, _ = desired.ParseWindows("Sat 09:00-16:00 Europe/Berlin")
	}},
}

func share(w *world) {
	w.f.ServiceAccounts = append(w.f.ServiceAccounts, live.ServiceAccount{Namespace: "demo", Name: "worker", Annotations: map[string]string{"eks.amazonaws.com/role-arn": role}})
}

// TestImages: of what people run, the release before the first that takes Pod Identity is
// too old, and the first is not; each row names its source.
func TestImages(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]bool{ // whether it is too old
		"registry.k8s.io/autoscaling/cluster-autoscaler:v1.26.6": true, "registry.k8s.io/autoscaling/cluster-autoscaler:v1.28.3": false,
		"quay.io/jetstack/cert-manager-controller:v1.13.6": true, "quay.io/jetstack/cert-manager-controller:v1.14.0": false,
		"velero/velero-plugin-for-aws:v1.9.2": true, "velero/velero-plugin-for-aws:v1.10.0": false,
		"ghcr.io/kedacore/keda:2.12.1": true, "ghcr.io/kedacore/keda:2.13.0": false,
		"ghcr.io/external-secrets/external-secrets:v0.9.9": true, "ghcr.io/external-secrets/external-secrets:v0.9.10": false,
		"public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver:v1.25.0": true, "public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver:v1.26.0": false,
		"amazon/aws-efs-csi-driver:v2.0.2": true, "amazon/aws-efs-csi-driver:v2.0.3": false,
	} {
		w := eligible()
		w.container().Image = image
		a := w.assess(t)
		unknown := slices.ContainsFunc(a.Warnings, func(r migrate.Reason) bool { return r.Code == migrate.SDKUnknown })
		if a.Has(migrate.SDKTooOld) != want || unknown {
			t.Errorf("%s: too old is %t, want %t; unknown is %t", image, !want, want, unknown)
		}
	}
}
