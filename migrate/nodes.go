package migrate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/sync/live"
)

// What nodes and pods say of themselves.
const (
	annotationRole = "eks.amazonaws.com/role-arn"
	labelGroup     = "eks.amazonaws.com/nodegroup"
	labelProfile   = "eks.amazonaws.com/fargate-profile"
	labelPool      = "karpenter.sh/nodepool"
)

// youngNode is how long a new node may be without a ready agent (design.md, law 1).
const youngNode = 2 * time.Minute

// place is where a workload's pods may run.
type place struct {
	workload live.Workload
	profiles []live.FargateProfile // that match its template
	nodes    []*live.Node          // schedulable ones that its template admits, Fargate's apart
}

// placesOf finds the profiles and nodes that a workload's template admits. A template
// that a profile matches goes to Fargate and nowhere else; a DaemonSet's never does.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/fargate.html, considerations:
// "Daemonsets aren't supported on Fargate".
func (a *Assessor) placesOf(w live.Workload) place {
	p := place{workload: w}
	if w.Kind != "DaemonSet" {
		p.profiles = MatchingProfiles(a.snap.Facts().FargateProfiles, w.Namespace, w.PodLabels)
	}
	if len(p.profiles) > 0 {
		return p
	}
	for _, n := range a.nodes {
		if n.ComputeType != "fargate" && n.Ready && (!n.Unschedulable || w.Kind == "DaemonSet") && Admits(w, *n) {
			p.nodes = append(p.nodes, n)
		}
	}
	return p
}

// MatchingProfiles returns the Fargate profiles that take a pod of a namespace with
// these labels, sorted by name, of which EKS chooses the first. A pod that names a
// profile by its label is taken by that one or by none.
//
// A selector matches where its namespace and all its labels do; a profile where any of
// its selectors does; * and ? are wildcards in namespaces, keys and values.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/fargate-profile.html
func MatchingProfiles(profiles []live.FargateProfile, namespace string, labels map[string]string) []live.FargateProfile {
	var out []live.FargateProfile
	named := labels[labelProfile]
	for _, p := range profiles {
		if (named == "" || p.Name == named) && slices.ContainsFunc(p.Selectors, func(s live.FargateSelector) bool { return selects(s, namespace, labels) }) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(x, y live.FargateProfile) int { return strings.Compare(x.Name, y.Name) })
	return out
}

func selects(s live.FargateSelector, namespace string, labels map[string]string) bool {
	if !live.Like(s.Namespace, namespace) {
		return false
	}
	for key, value := range s.Labels {
		found := false
		for k, v := range labels {
			found = found || live.Like(key, k) && live.Like(value, v)
		}
		if !found {
			return false
		}
	}
	return true
}

// Admits reports whether the scheduler may put a pod of the workload's template on a
// node, as far as node selector, required node affinity, operating system, taints and
// tolerations say. What it cannot tell (resources, topology, volumes) counts as admitted.
//
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ and
// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
func Admits(w live.Workload, n live.Node) bool {
	for key, value := range w.NodeSelector {
		if !hasLabel(n, key, value) {
			return false
		}
	}
	if w.OS != "" && n.OS != "" && w.OS != n.OS {
		return false
	}
	if len(w.NodeAffinity) > 0 && !slices.ContainsFunc(w.NodeAffinity, func(t live.NodeTerm) bool { return termAdmits(t, n) }) {
		return false
	}
	return !slices.ContainsFunc(n.Taints, func(t live.Taint) bool { return t.Effect != "PreferNoSchedule" && !tolerates(w, t) })
}

// hasLabel looks a label up. Where no labels of the node are known, nothing is ruled out
// by them but the two that the snapshot always has.
func hasLabel(n live.Node, key, value string) bool {
	if have, ok := n.Labels[key]; ok {
		return have == value
	}
	switch key {
	case "kubernetes.io/os", "beta.kubernetes.io/os":
		return n.OS == "" || n.OS == value
	case "eks.amazonaws.com/compute-type":
		return n.ComputeType == value
	}
	return len(n.Labels) == 0
}

func termAdmits(t live.NodeTerm, n live.Node) bool {
	if len(t.Labels)+len(t.Fields) == 0 {
		return false // "a null or empty node selector term matches no objects"
	}
	return !slices.ContainsFunc(t.Labels, func(r live.Requirement) bool { return !requirementAdmits(r, n) }) &&
		!slices.ContainsFunc(t.Fields, func(r live.Requirement) bool {
			return !r.Matches(map[string]string{"metadata.name": n.Name})
		})
}

func requirementAdmits(r live.Requirement, n live.Node) bool {
	if len(n.Labels) == 0 {
		switch r.Key {
		case "kubernetes.io/os", "beta.kubernetes.io/os":
			return r.Matches(map[string]string{r.Key: n.OS})
		case "eks.amazonaws.com/compute-type":
			return r.Matches(map[string]string{r.Key: n.ComputeType})
		}
		return true
	}
	if r.Operator != "Gt" && r.Operator != "Lt" {
		return r.Matches(n.Labels)
	}
	have, err := strconv.ParseInt(n.Labels[r.Key], 10, 64)
	if err != nil || len(r.Values) != 1 {
		return false
	}
	bound, err := strconv.ParseInt(r.Values[0], 10, 64)
	return err == nil && (r.Operator == "Gt" && have > bound || r.Operator == "Lt" && have < bound)
}

// daemonTolerates are the taints that the DaemonSet controller tolerates on its own.
// Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
var daemonTolerates = []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/disk-pressure",
	"node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure", "node.kubernetes.io/unschedulable"}

func tolerates(w live.Workload, t live.Taint) bool {
	if w.Kind == "DaemonSet" && slices.Contains(daemonTolerates, t.Key) {
		return true
	}
	return slices.ContainsFunc(w.Tolerations, func(have live.Toleration) bool {
		switch {
		case have.Effect != "" && have.Effect != t.Effect:
			return false
		case have.Key == "":
			return have.Operator == "Exists"
		case have.Key != t.Key:
			return false
		}
		return have.Operator == "Exists" || have.Value == t.Value
	})
}
