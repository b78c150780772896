package rights

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is one rule of a Kubernetes Role or ClusterRole.
type Rule struct {
	Group     string
	Resources []string
	Names     []string // of the only objects meant
	Paths     []string // in place of resources: paths of the API server
	Verbs     []string
	Why       string // not part of the rule, but a comment beside it
}

// readRules are what every mode reads.
//
// A list or watch of one name by field selector is granted by resourceNames.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
var readRules = []Rule{
	{Resources: []string{"namespaces", "serviceaccounts"}, Verbs: []string{"list", "watch"}, Why: "annotations, and who owns them"},
	{Resources: []string{"nodes", "pods"}, Verbs: []string{"list", "watch"}, Why: "what running pods were given, and on which nodes"},
	{Group: "apps", Resources: []string{"daemonsets", "deployments", "replicasets", "statefulsets"}, Verbs: []string{"list", "watch"}, Why: "which workloads use a ServiceAccount"},
	{Group: "batch", Resources: []string{"cronjobs", "jobs"}, Verbs: []string{"list", "watch"}, Why: "as above"},
	{Group: "admissionregistration.k8s.io", Resources: []string{"mutatingwebhookconfigurations"}, Names: []string{"pod-identity-webhook"}, Verbs: []string{"list", "watch"}, Why: "the webhook that EKS runs, and no other"},
	{Group: "policy", Resources: []string{"poddisruptionbudgets"}, Verbs: []string{"list", "watch"}, Why: "whether a restart may evict one pod"},
	{Group: "networking.k8s.io", Resources: []string{"networkpolicies"}, Verbs: []string{"list", "watch"}, Why: "whether pods would reach the Pod Identity agent"},
	{Paths: []string{"/.well-known/openid-configuration"}, Verbs: []string{"get"}, Why: "the issuer: is this the cluster that is meant?"},
	{Paths: []string{"/apis"}, Verbs: []string{"get"}, Why: "which kinds the cluster has, for some of which there are rules below"},
	{Group: "events.k8s.io", Resources: []string{"events"}, Verbs: []string{"create"}, Why: "Events on ServiceAccounts: each step, and each new critical finding"},
}

// readers are kinds besides Kubernetes' own: what says that others use a ServiceAccount's
// IRSA, and Argo's Rollouts. They are read where the cluster has these kinds.
var readers = []Rule{
	{Group: "argoproj.io", Resources: []string{"rollouts"}, Verbs: []string{"list"}, Why: "how far a rollout of Argo's has come, where there are ReplicaSets of one"},
	{Group: "cert-manager.io", Resources: []string{"clusterissuers", "issuers"}, Verbs: []string{"list"}, Why: "who else uses a ServiceAccount's IRSA: their specs name it, and no Secret is read"},
	{Group: "external-secrets.io", Resources: []string{"clustersecretstores", "secretstores"}, Verbs: []string{"list"}, Why: "as above"},
	{Group: "keda.sh", Resources: []string{"clustertriggerauthentications", "scaledjobs", "scaledobjects", "triggerauthentications"}, Verbs: []string{"list"}, Why: "as above"},
	{Group: "secrets-store.csi.x-k8s.io", Resources: []string{"secretproviderclasses"}, Verbs: []string{"list"}, Why: "as above"},
	{Group: "storage.k8s.io", Resources: []string{"csidrivers"}, Names: []string{"s3.csi.aws.com"}, Verbs: []string{"get"}, Why: "whether there is Mountpoint for S3: only then are its volumes listed"},
	{Resources: []string{"persistentvolumes"}, Verbs: []string{"list"}, Why: "as above"},
}

// Readers returns the rules by which objects of kinds besides Kubernetes' own are read.
func Readers() []Rule { return slices.Clone(readers) }

// Hands returns the rules of what mode migrate does to workloads. It reads them by those
// of [Probe], right before a write and right after it.
//
// An eviction is a create of pods/eviction, on which disruption budgets count.
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
func Hands() []Rule {
	return []Rule{
		{Resources: []string{"pods/eviction"}, Verbs: []string{"create"}, Why: "a pod that must be made again: disruption budgets count"},
		{Group: "apps", Resources: []string{"daemonsets", "deployments", "statefulsets"}, Verbs: []string{"patch"}, Why: "a restart, and a rollout that is stopped or goes on: field by field"},
		{Group: "argoproj.io", Resources: []string{"rollouts"}, Verbs: []string{"patch"}, Why: "as above, where the cluster has Argo Rollouts"},
	}
}

// rules returns the rules of the ClusterRole, and of the Role beside lanyard.
func (w Wants) rules() (all, own []Rule) {
	all = append(slices.Clone(readRules), readers...)
	if w.writes() {
		all = append(all,
			Rule{Resources: []string{"namespaces"}, Verbs: []string{"get"}, Why: "right before a write, and right after it"},
			Rule{Resources: []string{"serviceaccounts"}, Verbs: []string{"get", "patch"}, Why: "as above; and one annotation at a time: a ServiceAccount is never created or deleted"})
	}
	if w.Mode == "migrate" {
		all = append(append(all, Probe()...), Hands()...)
	}
	if w.has(IdentityProbe) {
		all = append(all, Probes()...)
	}
	if w.has(APIAccess) {
		all = append(all,
			Rule{Group: "authentication.k8s.io", Resources: []string{"tokenreviews"}, Verbs: []string{"create"}, Why: "whose token it is that wants to read the API"},
			Rule{Group: "authorization.k8s.io", Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}, Why: "and whether they may"})
	}
	own = []Rule{
		{Group: "coordination.k8s.io", Resources: []string{"leases"}, Verbs: []string{"create"}, Why: "who leads. A right to create cannot be bound to a name"},
		{Group: "coordination.k8s.io", Resources: []string{"leases"}, Names: []string{w.Place.Lease}, Verbs: []string{"get", "update"}, Why: "lanyard's own Lease, with the last accepted commit and the last hour's removals"},
	}
	return all, own
}

// Verbs are the pairs of verb and resource that some rules grant, as "list apps/pods".
func Verbs(rules ...[]Rule) []string {
	var out []string
	for _, list := range rules {
		for _, r := range list {
			for _, verb := range r.Verbs {
				for _, what := range append(slices.Clone(r.Resources), r.Paths...) {
					out = append(out, verb+" "+strings.TrimPrefix(r.Group+"/"+what, "/"))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// RBAC returns ClusterRole, Role and their bindings as YAML.
func (w Wants) RBAC() string {
	p := w.Place
	var b strings.Builder
	subject := fmt.Sprintf("subjects:\n  - kind: ServiceAccount\n    name: %s\n    namespace: %s\n", p.ServiceAccount, p.Namespace)
	fmt.Fprintf(&b, "# What lanyard needs of Kubernetes in mode %s%s, as lanyard policy prints it.\n", w.Mode, w.with())
	fmt.Fprint(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: lanyard\n")
	yamlRules(&b, w.Rules)
	fmt.Fprint(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: lanyard\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: lanyard\n"+subject)
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: lanyard\n  namespace: %s\n", p.Namespace)
	yamlRules(&b, w.Own)
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: lanyard\n  namespace: %s\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: lanyard\n%s", p.Namespace, subject)
	return b.String()
}

// with names the features in a sentence.
func (w Wants) with() string {
	if len(w.Features) == 0 {
		return ""
	}
	return " with " + strings.Join(w.Features, ", ")
}

func yamlRules(b *strings.Builder, rules []Rule) {
	fmt.Fprint(b, "rules:\n")
	for _, r := range rules {
		fmt.Fprintf(b, "  # %s\n", r.Why)
		if len(r.Paths) > 0 {
			fmt.Fprintf(b, "  - nonResourceURLs: %s\n", flow(r.Paths))
		} else {
			fmt.Fprintf(b, "  - apiGroups: %s\n    resources: %s\n", flow([]string{r.Group}), flow(r.Resources))
		}
		if len(r.Names) > 0 {
			fmt.Fprintf(b, "    resourceNames: %s\n", flow(r.Names))
		}
		fmt.Fprintf(b, "    verbs: %s\n", flow(r.Verbs))
	}
}

// flow writes a list of words on one line. Each is quoted as JSON, which is YAML too.
func flow(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
