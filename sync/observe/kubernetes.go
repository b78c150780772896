package observe

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/sync/live"
)

// The prefixes of annotations and labels that are kept; all others are dropped.
const (
	eksPrefix     = "eks.amazonaws.com/"
	lanyardPrefix = "lanyard.io/"
	pauseMark     = lanyardPrefix + "pause"
)

// kept returns the entries under the prefixes.
func kept(all map[string]string, prefixes ...string) map[string]string {
	var out map[string]string
	for key, value := range all {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			if out == nil {
				out = map[string]string{}
			}
			out[strings.Clone(key)] = strings.Clone(value)
		}
	}
	return out
}

func namespaceFacts(n *corev1.Namespace) live.Namespace {
	return live.Namespace{
		Name:        n.Name,
		Terminating: n.DeletionTimestamp != nil || n.Status.Phase == corev1.NamespaceTerminating,
		Pause:       n.Annotations[pauseMark],
	}
}

func serviceAccountFacts(a *corev1.ServiceAccount) live.ServiceAccount {
	return live.ServiceAccount{
		Namespace: a.Namespace, Name: a.Name, UID: string(a.UID), ResourceVersion: a.ResourceVersion,
		CreatedAt: a.CreationTimestamp.UTC(), Terminating: a.DeletionTimestamp != nil,
		Annotations: kept(a.Annotations, eksPrefix, lanyardPrefix),
		Managers:    managers(a.ManagedFields),
		Tool:        tool(a.Labels, a.Annotations),
	}
}

// managers says who owns the annotations that are kept.
// Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
func managers(entries []metav1.ManagedFieldsEntry) []live.FieldManager {
	var out []live.FieldManager
	for _, e := range entries {
		if e.FieldsV1 == nil || e.Subresource != "" {
			continue
		}
		var fields struct {
			Metadata struct {
				Annotations map[string]json.RawMessage `json:"f:annotations"`
			} `json:"f:metadata"`
		}
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for field := range fields.Metadata.Annotations {
			key, ok := strings.CutPrefix(field, "f:")
			if !ok || !strings.HasPrefix(key, eksPrefix) && !strings.HasPrefix(key, lanyardPrefix) {
				continue
			}
			m := live.FieldManager{Annotation: strings.Clone(key), Manager: e.Manager, Operation: string(e.Operation)}
			if e.Time != nil {
				m.Time = e.Time.UTC()
			}
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b live.FieldManager) int {
		return cmp.Or(cmp.Compare(a.Annotation, b.Annotation), cmp.Compare(a.Manager, b.Manager), a.Time.Compare(b.Time))
	})
	return out
}

// tool names the deployment tool that labels and annotations tell of. A GitOps tool
// comes before Helm, whose marks stand on what Argo CD and Flux render from charts.
//
// Sources: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/,
// https://fluxcd.io/flux/components/kustomize/kustomizations/,
// https://helm.sh/docs/chart_best_practices/labels/
func tool(labels, annotations map[string]string) string {
	has := func(m map[string]string, key string) bool { return m[key] != "" }
	manager := labels["app.kubernetes.io/managed-by"]
	switch {
	case has(annotations, "argocd.argoproj.io/tracking-id"), has(labels, "argocd.argoproj.io/instance"):
		return "Argo CD"
	case has(labels, "kustomize.toolkit.fluxcd.io/name"), has(labels, "helm.toolkit.fluxcd.io/name"):
		return "Flux"
	case has(annotations, "meta.helm.sh/release-name"), manager == "Helm":
		return "Helm"
	}
	return manager
}

// nodeFacts leaves AgentReady to [assemble], except where the agent is built in.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
func nodeFacts(n *corev1.Node) live.Node {
	compute := cmp.Or(n.Labels[eksPrefix+"compute-type"], "ec2")
	return live.Node{
		Name: n.Name, ComputeType: compute, OS: cmp.Or(n.Labels[corev1.LabelOSStable], n.Status.NodeInfo.OperatingSystem),
		CreatedAt: n.CreationTimestamp.UTC(), Unschedulable: n.Spec.Unschedulable, AgentReady: compute == "auto",
		Labels: n.Labels, Taints: taints(n.Spec.Taints),
		Ready: slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}),
	}
}

func webhookFacts(w *admissionv1.MutatingWebhookConfiguration) live.Webhook {
	out := live.Webhook{Present: w.Name == webhookName && len(w.Webhooks) > 0}
	for _, h := range w.Webhooks {
		if h.FailurePolicy != nil {
			out.FailurePolicy = string(*h.FailurePolicy)
		}
	}
	return out
}
