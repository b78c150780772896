package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// BuiltFor is the minor version of Kubernetes 1 whose client lanyard is built with, and
// AdmissionMinor the first one with ValidatingAdmissionPolicy in its stable version, which
// mode migrate rests on.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
const (
	BuiltFor       = 37
	AdmissionMinor = 30
)

// skew is how far an API server may be from the client before somebody should look.
// client-go promises to work with older and newer ones; kinds come and go with them.
// Source: https://github.com/kubernetes/client-go#compatibility-matrix
const skew = 3

// APIServer is what an API server says of itself.
type APIServer struct {
	Trouble
	Version string // v1.37.2-eks-3025e55
	Minor   int    // 37; 0 where that cannot be read from it
	Mode    string
}

// Judge tells whether it answers, in a version that lanyard knows.
func (f APIServer) Judge() Check {
	id := IDAPIServer
	switch {
	case f.Is():
		return f.unreachable(id, "name a kubeconfig with --kubeconfig and --context, and see that kubectl get --raw /version answers with it")
	case f.Minor == 0:
		return id.check(Warning, "it says it is "+f.Version+", which is no version of Kubernetes 1").fix("see which API server the kubeconfig names")
	case f.Minor < AdmissionMinor && f.Mode == "migrate":
		return id.check(Failed, fmt.Sprintf("it is %s; mode migrate needs ValidatingAdmissionPolicy, which is in 1.%d and later", f.Version, AdmissionMinor)).
			fix("upgrade the cluster: aws eks update-cluster-version, or stay in mode repair")
	case f.Minor > BuiltFor+skew, f.Minor < BuiltFor-skew:
		return id.check(Warning, fmt.Sprintf("it is %s; this lanyard is built with the client of 1.%d", f.Version, BuiltFor)).
			fix("run a lanyard that is built for a version within %d of it", skew)
	}
	return id.check(OK, "Kubernetes "+f.Version)
}

// unreachable is the check whose very question is whether somebody answers: a refusal by
// name is a failure, no answer in time is not known.
func (t Trouble) unreachable(id ID, next string) Check {
	if t.Reason == live.GapThrottled || t.Silent {
		return t.unknown(id)
	}
	return id.check(Failed, t.Message).fix("%s", next)
}

// How far clocks may be apart. AWS refuses signatures that are older than five minutes,
// and half of that is eaten up by nobody; ServiceAccount tokens and Leases are dated too.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
const (
	clockWarning = 30 * time.Second
	clockFailed  = 5 * time.Minute
)

// Clock is how far somebody's clock is ahead of this one's.
type Clock struct {
	Trouble
	ID    ID     // [IDKubernetesClock] or [IDAWSClock]
	Whose string // "the API server"
	Ahead time.Duration
}

// Judge compares the clocks.
func (f Clock) Judge() Check {
	if f.Is() {
		return f.unknown(f.ID)
	}
	apart := f.Ahead.Abs()
	text := fmt.Sprintf("%s is %s ahead of this clock", f.Whose, apart.Round(time.Second))
	if f.Ahead < 0 {
		text = fmt.Sprintf("%s is %s behind this clock", f.Whose, apart.Round(time.Second))
	}
	const next = "set this machine's clock by NTP, on EC2 by the Amazon Time Sync Service at 169.254.169.123"
	switch {
	case apart >= clockFailed:
		return f.ID.check(Failed, text+": AWS refuses what is signed with a clock that is 5 minutes off").fix(next)
	case apart >= clockWarning:
		return f.ID.check(Warning, text).fix(next)
	}
	return f.ID.check(OK, f.Whose+"'s clock agrees within "+clockWarning.String())
}

// Issuer compares whose tokens the API server issues with what EKS says of the cluster.
type Issuer struct {
	Trouble
	API, EKS string
	Cluster  string
}

// Judge tells whether the API server is that of the EKS cluster.
func (f Issuer) Judge() Check {
	id := IDIssuer
	switch {
	case f.Is():
		return f.unknown(id)
	case f.EKS == "":
		return id.check(Failed, "EKS names no OIDC issuer of cluster "+f.Cluster).fix("see what aws eks describe-cluster --name %s shows under identity", f.Cluster)
	case f.API != f.EKS:
		return id.check(Failed, "the API server issues tokens of "+f.API, "EKS says that cluster "+f.Cluster+" issues those of "+f.EKS, "lanyard halts with cluster-mismatch").
			fix("name the cluster and the kubeconfig of one and the same: aws eks update-kubeconfig --name %s", f.Cluster)
	}
	return id.check(OK, "both name "+f.EKS)
}

// Rule is one rule that `lanyard policy` prints, and what of it is missing.
type Rule struct {
	Text    string   // as YAML prints it, on one line
	Missing []string // "list apps/deployments"
	Absent  bool     // the cluster does not have these kinds, and nothing is asked for
}

// KubernetesPermissions are the rules of the mode, asked one by one.
type KubernetesPermissions struct {
	Trouble
	User    string // about whom it was asked
	Person  bool   // who is no ServiceAccount
	Asked   int    // how many pairs of verb and resource
	Rules   []Rule
	Command string // what prints the rules
}

// Judge tells which are missing.
func (f KubernetesPermissions) Judge() Check {
	id := IDKubernetesPermissions
	if f.Is() {
		c := f.unknown(id)
		if f.Reason == live.GapRefused {
			c = c.fix("let whoever runs this create subjectaccessreviews in authorization.k8s.io, or leave --as out to ask about oneself")
		}
		return c
	}
	var missing []string
	for _, r := range f.Rules {
		if len(r.Missing) > 0 && !r.Absent {
			missing = append(missing, fmt.Sprintf("missing: %s. The rule: %s", strings.Join(r.Missing, ", "), r.Text))
		}
	}
	if len(missing) > 0 {
		c := id.check(Failed, append([]string{f.User + " may not do all that lanyard does"}, missing...)...)
		if f.Person {
			return c.fix("ask about lanyard's own ServiceAccount with --as system:serviceaccount:NAMESPACE:NAME; what that one needs is granted by: %s | kubectl apply -f -", f.Command)
		}
		return c.fix("%s | kubectl apply -f -", f.Command)
	}
	seen := []string{fmt.Sprintf("%s has all %d", f.User, f.Asked)}
	for _, r := range f.Rules {
		if len(r.Missing) > 0 {
			seen = append(seen, "not granted, and not needed while the cluster does not have these kinds: "+r.Text)
		}
	}
	return id.check(OK, seen...)
}

// KubernetesExcess is what lanyard's user may do that lanyard never does.
type KubernetesExcess struct {
	Trouble
	User   string
	Person bool // whoever runs this is no ServiceAccount: what a person may do is not lanyard's
	Has    []string
}

// Judge tells whether there is anything.
func (f KubernetesExcess) Judge() Check {
	id := IDKubernetesExcess
	switch {
	case f.Is():
		return f.unknown(id)
	case f.Person:
		return id.check(Skipped, f.User+" is no ServiceAccount: with --as system:serviceaccount:NAMESPACE:NAME this is asked about lanyard's")
	case len(f.Has) > 0:
		return id.check(Warning, append([]string{f.User + " may do what lanyard never does"}, f.Has...)...).
			fix("find the binding with kubectl get clusterrolebindings,rolebindings --all-namespaces --output wide, look for an access entry of EKS, and leave lanyard the ClusterRole that lanyard policy prints")
	}
	return id.check(OK, f.User+" may not read Secrets, delete pods or change roles")
}

// Namespace is where lanyard's Lease is to be.
type Namespace struct {
	Trouble
	Name        string
	Present     bool
	Terminating bool
}

// Judge tells whether it is there.
func (f Namespace) Judge() Check {
	id := IDNamespace
	switch {
	case f.Is():
		return f.unknown(id)
	case !f.Present:
		return id.check(Failed, "there is no namespace "+f.Name).fix("kubectl create namespace %s, or name lanyard's own with --namespace", f.Name)
	case f.Terminating:
		return id.check(Failed, "namespace "+f.Name+" is being deleted").fix("wait until it is gone, then: kubectl create namespace %s", f.Name)
	}
	return id.check(OK, "namespace "+f.Name)
}

// Webhook is the MutatingWebhookConfiguration that EKS installs.
type Webhook struct {
	Trouble
	Present bool
	Hooks   int
	Cluster string
}

// Judge tells whether it is there. EKS runs the webhook itself, outside the cluster; the
// object says that the API server asks it. It fails open: without it pods start without
// credentials, and nobody is told.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
func (f Webhook) Judge() Check {
	id := IDWebhook
	switch {
	case f.Is():
		return f.unknown(id)
	case !f.Present, f.Hooks == 0:
		return id.check(Failed, "there is no MutatingWebhookConfiguration pod-identity-webhook with a webhook in it: new pods get no credentials, by either mechanism").
			fix("EKS makes it: see who deleted it in the audit log of cluster %s, and ask AWS Support to restore it; on a cluster that is not EKS's install https://github.com/aws/amazon-eks-pod-identity-webhook", f.Cluster)
	}
	return id.check(OK, "MutatingWebhookConfiguration pod-identity-webhook")
}

// Agent is the Pod Identity agent, and the nodes that it is to serve.
type Agent struct {
	Trouble
	Cluster string
	Auto    bool     // EKS Auto Mode: its nodes have the agent built in
	Sets    []string // DaemonSets: "eks-pod-identity-agent v0.1.31: 3 of 3 ready"
	Nodes   []live.Node
	Young   map[string]bool // nodes of the last minutes, whose agent may still start
}

// Judge tells which nodes have no ready agent. A cluster without an agent serves IRSA
// alone, which is for somebody to know and not a failure.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
func (f Agent) Judge() Check {
	id := IDAgent
	if f.Is() {
		return f.unknown(id)
	}
	var without []string
	served, ready := 0, 0
	for _, n := range f.Nodes {
		if n.ComputeType == "fargate" || n.ComputeType == "hybrid" || n.OS == "windows" {
			continue
		}
		if served++; n.AgentReady {
			ready++
		} else if !f.Young[n.Name] {
			without = append(without, "node "+n.Name+" has no ready agent")
		}
	}
	seen := fmt.Sprintf("%d of %d nodes that can have the agent have it ready", ready, served)
	switch {
	case len(f.Sets) == 0 && !f.Auto && ready == 0:
		return id.check(Warning, "there is no DaemonSet eks-pod-identity-agent in kube-system: nobody can use Pod Identity here").
			fix("aws eks create-addon --cluster-name %s --addon-name eks-pod-identity-agent, or keep everything on IRSA", f.Cluster)
	case len(without) > 0:
		slices.Sort(without)
		return id.check(Failed, append(append([]string{seen}, f.Sets...), without...)...).
			fix("see why its pod is not ready there: kubectl --namespace kube-system get pods --selector app.kubernetes.io/name=eks-pod-identity-agent --output wide; the node's role needs eks-auth:AssumeRoleForPodIdentity")
	}
	return id.check(OK, append([]string{seen}, f.Sets...)...)
}

// AdmissionPolicy is the ValidatingAdmissionPolicy that keeps lanyard from making pods, and
// with identity probes the one about Jobs, as they were read back.
type AdmissionPolicy struct {
	Trouble
	User    identity.Subject
	Wrong   []string // how they differ from what is to be; none: they do not
	Command string   // what prints them
	Assumed bool     // the user is lanyard's usual one, because a person runs this
}

// Judge tells whether it stands unchanged.
func (f AdmissionPolicy) Judge() Check {
	id := IDAdmissionPolicy
	switch {
	case len(f.Wrong) > 0:
		return id.check(Failed, append(f.Wrong, "there will be no probe, and so no crossing: probe-unguarded")...).fix("%s | kubectl apply -f -", f.Command)
	case f.Is():
		return f.unknown(id)
	}
	seen := "policy and binding stand unchanged, for ServiceAccount " + f.User.String()
	if f.Assumed {
		seen += ", which lanyard is taken to run as"
	}
	return id.check(OK, seen)
}

// orNone says "none" of an empty text.
func orNone(s string) string { return cmp.Or(s, "none") }
