package observe

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lanyard-io/lanyard/sync/live"
)

// agentVolume is the name, and agentMount the path, under which EKS's webhook mounts the
// token of Pod Identity.
// Source: https://github.com/aws/amazon-eks-pod-identity-webhook, pkg/handler/handler.go.
const (
	agentVolume = "eks-pod-identity-token"
	agentMount  = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
)

// secretsDriver is the Secrets Store CSI driver.
// Source: https://secrets-store-csi-driver.sigs.k8s.io/getting-started/usage
const secretsDriver = "secrets-store.csi.k8s.io"

// telling are the variables whose names are kept of a template: they say where an SDK
// takes its credentials from, or what it calls its session.
var telling = []string{envAgentToken, envContainerURI, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", envRole, envWebToken, envKeyID, envSecret,
	"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_SESSION_NAME"}

// injectedBy are the variables of which the webhook adds none where one stands, whatever
// it holds: also an empty one, which no SDK looks at.
// Source: https://github.com/aws/amazon-eks-pod-identity-webhook, pkg/handler/handler.go.
var injectedBy = []string{envAgentToken, envContainerURI, envRole, envWebToken}

// addTemplate adds to a workload what its pod template says besides labels and selector.
func addTemplate(w *live.Workload, s *corev1.PodSpec) {
	w.HostNetwork = s.HostNetwork
	w.NodeAffinity = nodeAffinity(s.Affinity)
	for _, t := range s.Tolerations {
		w.Tolerations = append(w.Tolerations, live.Toleration{Key: t.Key, Operator: string(t.Operator), Value: t.Value, Effect: string(t.Effect)})
	}
	for i := range s.InitContainers {
		c := container(&s.InitContainers[i])
		c.Init = true
		w.Containers = append(w.Containers, c)
	}
	for i := range s.Containers {
		w.Containers = append(w.Containers, container(&s.Containers[i]))
	}
	w.TokenConflict = tokenConflict(s)
	for _, v := range s.Volumes {
		switch {
		case v.CSI != nil && v.CSI.Driver == secretsDriver && v.CSI.VolumeAttributes["secretProviderClass"] != "":
			w.SecretClasses = append(w.SecretClasses, v.CSI.VolumeAttributes["secretProviderClass"])
		case v.PersistentVolumeClaim != nil:
			w.Claims = append(w.Claims, v.PersistentVolumeClaim.ClaimName)
		}
	}
}

// nodeAffinity is what the scheduler must obey. Preferences are left out.
func nodeAffinity(a *corev1.Affinity) []live.NodeTerm {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	requirements := func(list []corev1.NodeSelectorRequirement) []live.Requirement {
		var out []live.Requirement
		for _, r := range list {
			out = append(out, live.Requirement{Key: r.Key, Operator: string(r.Operator), Values: r.Values})
		}
		return out
	}
	var out []live.NodeTerm
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		out = append(out, live.NodeTerm{Labels: requirements(t.MatchExpressions), Fields: requirements(t.MatchFields)})
	}
	return out
}

// container reduces one container of a template. Of its environment names are kept.
func container(c *corev1.Container) live.Template {
	env := environment(c.Env)
	out := live.Template{Name: c.Name, Image: c.Image, Profile: profileMount(c.VolumeMounts) != "", Proxy: proxy(env)}
	for _, name := range telling {
		if v, there := env[name]; v.set() || there && slices.Contains(injectedBy, name) {
			out.Variables = append(out.Variables, name)
		}
	}
	slices.Sort(out.Variables)
	return out
}

// proxy says whether a call to the agent, plain HTTP to a link-local address, would go to
// a proxy. SDKs take the names in either case.
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-proxy.html
func proxy(env map[string]variable) live.Proxy {
	either := func(name string) variable {
		if v := env[strings.ToLower(name)]; v.set() {
			return v
		}
		return env[name]
	}
	http, exempt := either("HTTP_PROXY"), either("NO_PROXY")
	switch {
	case !http.set():
		return live.ProxyNone
	case exempt.remote:
		return live.ProxyUnseen
	}
	for _, host := range agentHosts {
		if !exempted(exempt.value, host) {
			if http.remote {
				return live.ProxyUnseen // it may be empty
			}
			return live.ProxyUnexempted
		}
	}
	return live.ProxyExempt
}

// exempted reports whether NO_PROXY names an address: itself, a network that it is in, or
// everything.
func exempted(list, host string) bool {
	addr := netip.MustParseAddr(host)
	return slices.ContainsFunc(strings.Split(list, ","), func(entry string) bool {
		entry = strings.TrimSpace(entry)
		if network, err := netip.ParsePrefix(entry); err == nil {
			return network.Contains(addr)
		}
		other, err := netip.ParseAddr(strings.Trim(strings.TrimSuffix(entry, ":80"), "[]"))
		return entry == "*" || err == nil && other == addr
	})
}

// tokenConflict says what stands where the webhook would put Pod Identity's token: it
// keeps a volume or mount of its name as it is, and sets the variable all the same.
func tokenConflict(s *corev1.PodSpec) string {
	for _, v := range s.Volumes {
		if v.Name == agentVolume {
			return "its template has a volume named " + agentVolume
		}
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for _, c := range list {
			for _, m := range c.VolumeMounts {
				if at := slashed(m.MountPath); m.Name == agentVolume || at == agentMount || strings.HasPrefix(at, agentMount+"/") {
					return "container " + c.Name + " mounts volume " + m.Name + " at " + at
				}
			}
		}
	}
	return ""
}

// strategy reduces what controllers call update or deployment strategies.
func strategy(kind string, unavailable, surge *intstr.IntOrString) live.Strategy {
	s := live.Strategy{Type: kind}
	if unavailable != nil {
		s.MaxUnavailable = unavailable.String()
	}
	if surge != nil {
		s.MaxSurge = surge.String()
	}
	return s
}

// selector reduces a label selector.
func selector(s *metav1.LabelSelector) live.Selector {
	out := live.Selector{Labels: s.MatchLabels}
	for _, r := range s.MatchExpressions {
		out.Requirements = append(out.Requirements, live.Requirement{Key: r.Key, Operator: string(r.Operator), Values: r.Values})
	}
	return out
}

// budgetFacts reduces a PodDisruptionBudget; one without a selector selects nothing, and
// becomes zero.
func budgetFacts(b *policyv1.PodDisruptionBudget) live.Budget {
	if b.Spec.Selector == nil {
		return live.Budget{}
	}
	return live.Budget{Namespace: b.Namespace, Name: b.Name, Selector: selector(b.Spec.Selector),
		Allowed: int(b.Status.DisruptionsAllowed), Expected: int(b.Status.ExpectedPods)}
}

// policyFacts reduces a NetworkPolicy; one that does not bound egress becomes zero.
func policyFacts(p *networkingv1.NetworkPolicy) live.NetworkPolicy {
	bounds := slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) || len(p.Spec.PolicyTypes) == 0 && len(p.Spec.Egress) > 0
	if !bounds {
		return live.NetworkPolicy{}
	}
	return live.NetworkPolicy{Namespace: p.Namespace, Name: p.Name, Selector: selector(&p.Spec.PodSelector), AdmitsAgent: slices.ContainsFunc(p.Spec.Egress, admitsAgent)}
}

// admitsAgent reports whether a rule lets TCP port 80 of one of the agent's addresses
// through. Pods and namespaces are not it: the agent is on the node's own network.
func admitsAgent(r networkingv1.NetworkPolicyEgressRule) bool {
	ports := len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type != intstr.Int:
			return false // a name of the pod's own, and the agent is none
		}
		return p.Port.IntVal == 80 || p.EndPort != nil && p.Port.IntVal <= 80 && *p.EndPort >= 80
	})
	return ports && (len(r.To) == 0 || slices.ContainsFunc(r.To, func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.IPBlock != nil && slices.ContainsFunc(agentHosts, func(host string) bool {
			return inBlock(peer.IPBlock.CIDR, host) && !slices.ContainsFunc(peer.IPBlock.Except, func(cidr string) bool { return inBlock(cidr, host) })
		})
	}))
}

func inBlock(cidr, host string) bool {
	network, err := netip.ParsePrefix(cidr)
	return err == nil && network.Contains(netip.MustParseAddr(host))
}

// taints reduces a node's taints.
func taints(list []corev1.Taint) []live.Taint {
	var out []live.Taint
	for _, t := range list {
		out = append(out, live.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	slices.SortFunc(out, func(a, b live.Taint) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Effect, b.Effect), cmp.Compare(a.Value, b.Value))
	})
	return out
}
