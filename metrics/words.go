package metrics

import (
	"slices"

	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// The closed lists of label values. What is on none of them is counted as [Other],
// so that a mistake in a caller costs one series and not one for each word.

// Other stands for a word that is on no list.
const Other = "other"

var (
	stages     = []string{"cluster", "git", "observe", "round", Other}
	heads      = []string{"unreachable", "invalid", "unsigned", "rewound", "empty", Other}
	remedies   = []string{"retry", "replan", "hold", "halt"}
	modes      = []string{"observe", "repair", "migrate"}
	mechanisms = []string{"irsa", "pod-identity", "unresolved"}
	classes    = []string{"rest", "drift", "transition", "held", "blind"}
	severities = []string{"critical", "warning", "info"} // the worst first
	services   = []string{"iam", "eks", "sts", "cloudtrail", "eks-auth"}
	events     = []string{"sent", "failed"}
	providers  = []string{"github", "gitlab", "gitea", "generic"}
	deliveries = []string{"accepted", "ping", "replayed", "unsigned", "refused", "stale", "oversized", "malformed", "busy", "unconfigured", "method"}
	shown      = []string{"comment", "status"}
	shownAs    = []string{"created", "edited", "deleted", "same", "failed"}
	hostCodes  = []string{"ok", "unchanged", "redirected", "unauthorized", "forbidden", "not-found", "invalid", "too-many", "error", "none", Other}
	identities = []string{"as-git", "other-role", "other-mechanism", "no-identity", "no-answer", "refused", "unguarded"}
	phases     = []string{"rolled-back", "crossing", "narrowing", "soaking", "widened", "pending"} // of what is on its way; the most urgent first
	results    = []report.Result{report.Done, report.Unverified, report.Skipped, report.Failed, report.NotTaken}
	effects    = []plan.Effect{plan.Widen, plan.Cross, plan.Narrow}
	looks      = append([]string{"followed"}, heads...)
	signatures = []string{"good", "unsigned", "malformed", "unknown-key", "expired", "not-yet-valid", "revoked", "wrong-namespace", "wrong-content", Other}
	troubles   = []string{"exposed", "uninjected", "node-role"} // the worst first
	quotas     = []string{"associations", "oidc-providers", "trust-policy-characters"}
	objects    = []string{"service-accounts", "pods", "workloads", "nodes", "namespaces", "associations", "roles"}
	limited    = []string{"iam", "eks", "sts"} // services with a rate limit of lanyard's own
)

// planes are the kinds of findings by plane, both in the order of diff.Kinds: a view
// does not import diff, which is below the record that it reads. A test compares the two.
var planes = []struct {
	plane string
	kinds []string
}{
	{"service-account", []string{"service-account-missing", "annotation-missing", "annotation-mismatch", "annotation-unexpected", "annotation-tuning"}},
	{"trust", []string{"role-missing", "trust-subject-missing", "trust-issuer-stale", "trust-audience-wrong", "trust-too-wide",
		"trust-pod-identity-missing", "trust-tag-session-missing", "trust-undecidable", "oidc-provider-missing", "oidc-audience-missing"}},
	{"association", []string{"association-missing", "association-role", "association-settings", "association-unexpected", "association-foreign"}},
	{"pods", []string{"pods-uninjected", "pods-wrong-mechanism", "pods-wrong-role", "pods-static-keys", "pods-agent-missing", "pods-unservable"}},
	{"git", []string{"mapping-invalid", "mapping-forbidden", "mapping-gone", "revision-stale", "cluster-mismatch"}},
}

func planeNames() []string {
	var out []string
	for _, p := range planes {
		out = append(out, p.plane)
	}
	return out
}

// planeOf returns the plane of a kind, and the kind; Other twice for one of no list.
func planeOf(kind string) (string, string) {
	for _, p := range planes {
		if slices.Contains(p.kinds, kind) {
			return p.plane, kind
		}
	}
	return Other, Other
}

// actions are the kinds of every action.
func actions() []string {
	var out []string
	for _, a := range []plan.Action{plan.PutTrustStatement{}, plan.DropTrustStatement{}, plan.SetAnnotation{}, plan.DropAnnotation{},
		plan.CreateAssociation{}, plan.UpdateAssociation{}, plan.DeleteAssociation{}, plan.RevokeTrust{}, plan.EvictPod{},
		plan.RestartWorkload{}, plan.PauseRollout{}, plan.ResumeRollout{}} {
		out = append(out, a.Kind())
	}
	return out
}

// sources are the reads of a round.
var sources = []live.Source{
	live.SourceServiceAccounts, live.SourceNamespaces, live.SourcePods, live.SourceWorkloads, live.SourceNodes, live.SourceWebhook,
	live.SourceIssuer, live.SourceBudgets, live.SourceNetworkPolicies, live.SourceReaders, live.SourceCluster, live.SourceListAssociations, live.SourceDescribeAssociation, live.SourceListAddons,
	live.SourceDescribeAddon, live.SourceListFargateProfiles, live.SourceDescribeFargate, live.SourceDescribeNodeGroup, live.SourceRole, live.SourceRoles,
	live.SourceAuthorizationDetails, live.SourceListProviders, live.SourceProvider, live.SourceAccountSummary,
	live.SourceAssumeRole, live.SourceCallerIdentity,
}

// known returns a word of a list, or Other.
func known[T ~string](list []T, word T) T {
	if slices.Contains(list, word) {
		return word
	}
	return Other
}
