package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/live"
)

// What a container may set by hand, and what it does to the mechanism.
var (
	envKeys  = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} // both together come before everything
	envOwn   = []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
	envFiles = []string{"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}
)

// containers goes over the containers of the templates that may still make pods.
func (l *look) containers(each func(w live.Workload, c live.Template)) {
	for _, w := range l.workloads {
		for _, c := range w.Containers {
			each(w, c)
		}
	}
}

// credentials finds what SDKs would take before Pod Identity's: access keys, variables
// of either mechanism set by hand, profiles. The webhook adds nothing where one of the
// pair's variables stands, and the web identity comes before the container's.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
// and https://github.com/aws/amazon-eks-pod-identity-webhook, pkg/handler/handler.go.
func (l *look) credentials() {
	var static, own []Fact
	l.containers(func(w live.Workload, c live.Template) {
		set := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return !slices.Contains(c.Variables, v) })
		}
		if len(set(envKeys)) == len(envKeys) {
			static = append(static, containerFact(w, c, "sets "+several(envKeys)))
		}
		if v := append(set(envOwn), set(envFiles)...); len(v) > 0 {
			own = append(own, containerFact(w, c, "sets "+several(v)))
		}
		if c.Profile {
			own = append(own, containerFact(w, c, "mounts a volume over the AWS profile directory"))
		}
	})
	for _, p := range l.pods {
		for _, c := range p.Containers {
			switch {
			case c.Skipped:
			case c.Credential == live.CredentialStatic:
				static = append(static, podFact(p, "container "+c.Name+": "+c.Why))
			case c.Credential == live.CredentialProfile, c.Credential == live.CredentialBoth:
				own = append(own, podFact(p, "container "+c.Name+": "+c.Why))
			}
		}
	}
	l.reason(StaticKeys, static, "it has access keys in its environment, which every SDK takes first: a move would change nothing",
		"take "+several(envKeys)+" out of the workload, and make its pods again")
	l.reason(EnvOverride, own, "it says itself where its credentials come from, which comes before what Pod Identity gives",
		"take these variables and mounts out of the workload, and leave it to EKS's webhook")
}

// tokens finds volumes and mounts where the webhook would put Pod Identity's token. It
// keeps what is there, and the token's variable then names a file that is not.
// Source: https://github.com/aws/amazon-eks-pod-identity-webhook, pkg/handler/handler.go.
func (l *look) tokens() {
	var facts []Fact
	for _, w := range l.workloads {
		if w.TokenConflict != "" {
			facts = append(facts, workloadFact(w, w.TokenConflict))
		}
	}
	l.reason(VolumeConflict, facts, "its pod template has a volume or mount where Pod Identity's token belongs", "rename the volume, or mount it elsewhere")
}

// proxies: the agent is asked by plain HTTP at a link-local address.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html and
// https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html, considerations
func (l *look) proxies() {
	var facts []Fact
	l.containers(func(w live.Workload, c live.Template) {
		if c.Proxy == live.ProxyUnexempted {
			facts = append(facts, containerFact(w, c, "sets HTTP_PROXY, and NO_PROXY lacks an address of the agent"))
		}
	})
	l.reason(ProxyWithoutExemption, facts, "its calls to the Pod Identity agent would go to a proxy", "add 169.254.170.23 and [fd00:ec2::23] to NO_PROXY")
}

// networkPolicies finds policies that cut the workload's pods off from the agent. Pods
// in the node's own network are not bound by them.
// Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
func (l *look) networkPolicies() {
	var facts []Fact
	for _, w := range l.workloads {
		if w.HostNetwork {
			continue
		}
		var bound []Fact
		admitted := false
		for _, n := range l.snap.Facts().NetworkPolicies {
			if n.Namespace == w.Namespace && n.Selector.Matches(w.PodLabels) {
				bound = append(bound, Fact{OfNetworkPolicy, n.Namespace + "/" + n.Name, "bounds the egress of " + workloadFact(w, "").Name})
				admitted = admitted || n.AdmitsAgent
			}
		}
		if !admitted {
			facts = append(facts, bound...)
		}
	}
	l.reason(NetworkPolicy, facts, "network policies let its pods reach much less than everything, and not the Pod Identity agent",
		"allow egress to 169.254.170.23/32 (on IPv6 clusters fd00:ec2::23/128), TCP port 80")
}

// sdk judges whether what runs can use Pod Identity: by the mapping's declaration, else
// by what is known of the images. An init container that is not known is passed over: it
// seldom calls AWS.
func (l *look) sdk() {
	if declared := l.m.Migration.SDK; declared != "" {
		name, version, _ := strings.Cut(declared, "/")
		first := firstOf(name, version)
		switch {
		case first == "":
			l.warn(SDKUnknown, []Fact{{OfSDK, declared, "is declared by the mapping, and not in lanyard's table"}},
				"it is not known whether the declared SDK can use Pod Identity", "compare with https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html")
		case older(version, first):
			l.reason(SDKTooOld, []Fact{{OfSDK, declared, "is declared by the mapping; the first that can is " + first}},
				"its SDK is too old for Pod Identity", "build it with "+name+" "+first+" or later")
		}
		return
	}
	var old, unknown []Fact
	l.containers(func(w live.Workload, c live.Template) {
		known := imageOf(c.Image)
		switch {
		case known.version != "" && known.fails != "" && !older(known.fails, known.version):
			old = append(old, containerFact(w, c, fmt.Sprintf("runs %s; %s and older fail with Pod Identity: %s", c.Image, known.fails, known.source)))
		case known.version != "" && known.works != "" && !older(known.version, known.works):
		case !c.Init:
			unknown = append(unknown, containerFact(w, c, "runs "+c.Image))
		}
	})
	l.reason(SDKTooOld, old, "a program that it runs is too old for Pod Identity", "run a later version of it, or declare migration.sdk if you know better")
	l.warn(SDKUnknown, unknown, "it is not known whether what it runs can use Pod Identity",
		"compare its SDK with https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html, and declare it as migration.sdk: NAME/VERSION")
}

// restartable are the kinds whose pods lanyard, or their next run, makes again.
var restartable = []string{"Deployment", "StatefulSet", "DaemonSet", "Rollout", "Job", "CronJob"}

// restarts finds pods that nobody makes again, and restarts that would take a workload
// down. Only a new pod gets another mechanism.
func (l *look) restarts() {
	natural := l.m.Migration.Restart == desired.RestartNatural
	var bare, hard []Fact
	for _, p := range l.pods {
		switch {
		case p.Owner.Name == "":
			bare = append(bare, podFact(p, "has no owner"))
		case !natural && !slices.Contains(restartable, p.Owner.Kind):
			bare = append(bare, podFact(p, "is made by "+p.Owner.Kind+" "+p.Owner.Name+", which lanyard cannot restart"))
		}
	}
	if !natural && !l.m.Migration.AllowDisruption {
		for _, w := range l.workloads {
			if why := disruptive(w); why != "" {
				hard = append(hard, workloadFact(w, why))
			}
			hard = append(hard, l.budgets(w)...)
		}
	}
	l.reason(Unrestartable, bare, "pods of it are not made again by a controller that lanyard can restart, and only new pods move",
		"let a Deployment make them, or delete them yourself; pods of other controllers may wait for their own rollout with migration.restart: natural")
	l.reason(RestartDisruptive, hard, "restarting it would leave it without a running pod, or is forbidden",
		"write migration.restart: natural to wait for its own rollout, or migration.allowDisruption: true; or give it more replicas, a surge, or a budget that allows one eviction")
}

// disruptive says why a workload's own strategy leaves no pod running during a restart.
//
// Sources: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy,
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies,
// https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
func disruptive(w live.Workload) string {
	if w.Replicas == 0 {
		return ""
	}
	switch w.Kind {
	case "Deployment":
		switch {
		case w.Strategy.Type == "Recreate":
			return "strategy Recreate ends all pods before it makes new ones"
		case whole(w.Strategy.MaxUnavailable, w.Replicas):
			return "maxUnavailable " + w.Strategy.MaxUnavailable + " ends all " + strconv.Itoa(w.Replicas) + " pods at once"
		case w.Replicas == 1 && none(w.Strategy.MaxSurge):
			return "one replica and no surge"
		}
	case "StatefulSet":
		switch {
		case w.Replicas == 1:
			return "one replica, and a StatefulSet has no surge"
		case whole(w.Strategy.MaxUnavailable, w.Replicas):
			return "maxUnavailable " + w.Strategy.MaxUnavailable + " ends all " + strconv.Itoa(w.Replicas) + " pods at once"
		}
	case "DaemonSet":
		if w.Replicas > 1 && whole(w.Strategy.MaxUnavailable, w.Replicas) {
			return "maxUnavailable " + w.Strategy.MaxUnavailable + " ends the pods of all nodes at once"
		}
	}
	return ""
}

// whole reports whether a number or percentage covers all replicas.
func whole(s string, replicas int) bool {
	if p, is := strings.CutSuffix(s, "%"); is {
		n, err := strconv.Atoi(p)
		return err == nil && n >= 100
	}
	n, err := strconv.Atoi(s)
	return err == nil && n >= replicas
}

// none reports whether a number or percentage is there, and nothing.
func none(s string) bool { return s == "0" || s == "0%" }

// budgets finds budgets that forbid one eviction.
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
func (l *look) budgets(w live.Workload) []Fact {
	if w.Kind == "Job" || w.Kind == "CronJob" {
		return nil
	}
	var out []Fact
	for _, b := range l.snap.Facts().Budgets {
		if b.Namespace == w.Namespace && b.Allowed < 1 && b.Expected > 0 && b.Selector.Matches(w.PodLabels) {
			out = append(out, Fact{OfBudget, b.Namespace + "/" + b.Name, "allows no eviction of " + workloadFact(w, "").Name})
		}
	}
	return out
}
