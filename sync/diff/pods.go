package diff

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// youngNode is how long a new node may be without a ready agent before that is a
// finding (design.md, law 1).
const youngNode = 2 * time.Minute

// comparePods compares what live pods were given at admission. Each kind is one
// finding for all pods of the subject.
func (j *Judged) comparePods(snap *live.Snapshot) {
	if len(j.Pods) == 0 || j.Wanted == identity.None {
		return
	}
	j.podFinding(PodsStaticKeys, Warning, "no access keys in the environment", func(p live.Pod) string {
		return anyContainer(p, func(c live.Container) string {
			if c.Credential == live.CredentialStatic {
				return "container " + c.Name + " has access keys in its environment, which every SDK takes first"
			}
			return ""
		})
	})
	j.podFinding(PodsUninjected, Critical, "credentials of "+j.On.String(), j.uninjected)
	j.podFinding(PodsWrongMechanism, Warning, j.Wanted.String(), j.wrongMechanism)
	if j.Wanted == identity.IRSA {
		j.podFinding(PodsWrongRole, Critical, j.Mapping.Role.String(), func(p live.Pod) string {
			return anyContainer(p, func(c live.Container) string {
				switch {
				case c.Credential != live.CredentialIRSA, c.Role == j.Mapping.Role.String():
					return ""
				case c.Role == "":
					return "takes its role from a reference in its own spec, so it is not known which"
				}
				return "was given " + c.Role
			})
		})
	}
	j.podFinding(PodsUnservable, Critical, "pods on Linux nodes that EKS Pod Identity serves", func(p live.Pod) string { return j.unservable(p, snap) })
	j.podFinding(PodsAgentMissing, Critical, "a ready agent on each node", func(p live.Pod) string { return agentMissing(p, snap) })
}

// podFinding records one finding over all pods for which wrong says why.
func (j *Judged) podFinding(kind Kind, severity Severity, expected string, wrong func(live.Pod) string) {
	var names, reasons []string
	for _, p := range j.Pods {
		if why := wrong(p); why != "" {
			names = append(names, p.Name)
			if !slices.Contains(reasons, why) {
				reasons = append(reasons, why)
			}
		}
	}
	if len(names) == 0 {
		return
	}
	j.add(Finding{Kind: kind, Severity: severity,
		Message:  fmt.Sprintf("%d of %d pods (%s): %s", len(names), len(j.Pods), list(names), strings.Join(reasons[:min(3, len(reasons))], "; ")),
		Expected: expected, Actual: list(reasons), Owner: owners(j.Pods, names)})
}

func owners(pods []live.Pod, names []string) string {
	var out []string
	for _, p := range pods {
		if owner := p.Owner.Kind + " " + p.Owner.Name; p.Owner.Name != "" && slices.Contains(names, p.Name) && !slices.Contains(out, owner) {
			out = append(out, owner)
		}
	}
	return list(out)
}

func anyContainer(p live.Pod, wrong func(live.Container) string) string {
	for _, c := range p.Containers {
		if c.Skipped {
			continue
		}
		if why := wrong(c); why != "" {
			return why
		}
	}
	return ""
}

// uninjected says why a pod of a wired subject came up without credentials. The
// webhook fails open and acts only when a pod is made, so this is silent in the pod.
func (j *Judged) uninjected(p live.Pod) string {
	if j.On == identity.None {
		return ""
	}
	why := anyContainer(p, func(c live.Container) string {
		switch c.Credential {
		case live.CredentialNone:
			return "came up without credentials"
		case live.CredentialBroken:
			return "was given credentials that cannot work: " + c.Why
		}
		return ""
	})
	if why == "" {
		return ""
	}
	if wired := j.WiredSince(); !wired.IsZero() && p.CreatedAt.Before(wired) {
		return why + "; it is older than its wiring: recreate it"
	}
	return why + ": recreate it"
}

// Uninjected reports whether a pod came up without credentials that work, while the
// subject is wired.
func (j *Judged) Uninjected(p live.Pod) bool { return j.uninjected(p) != "" }

// WiredSince returns when what a pod admitted now would get was put in place, if the
// live world dates it.
func (j *Judged) WiredSince() time.Time {
	if j.On == identity.PodIdentity {
		return j.Association.CreatedAt
	}
	var at time.Time
	for _, m := range j.ServiceAccount.Managers {
		if m.Annotation == AnnotationRole && m.Time.After(at) {
			at = m.Time
		}
	}
	return at
}

// wrongMechanism says that a pod was given the mechanism that Git does not want.
func (j *Judged) wrongMechanism(p live.Pod) string {
	return anyContainer(p, func(c live.Container) string {
		switch {
		case c.Credential == live.CredentialBoth:
			return "has web identity variables of its own beside Pod Identity's, and SDKs take those"
		case j.Wanted == identity.PodIdentity && c.Credential == live.CredentialIRSA:
			return "is on IRSA"
		case j.Wanted == identity.IRSA && c.Credential == live.CredentialPodIdentity:
			return "is on Pod Identity"
		}
		return ""
	})
}

// unservable says why a pod that gets Pod Identity cannot be served by it.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html, restrictions.
func (j *Judged) unservable(p live.Pod, snap *live.Snapshot) string {
	if j.On != identity.PodIdentity && !p.Uses(identity.PodIdentity) {
		return ""
	}
	node, _ := snap.Node(p.Node)
	switch {
	case p.Fargate || node.ComputeType == "fargate":
		return "runs on Fargate, which has no Pod Identity agent"
	case p.Windows || node.OS == "windows":
		return "runs on Windows, which has no Pod Identity agent"
	}
	return ""
}

func agentMissing(p live.Pod, snap *live.Snapshot) string {
	node, presence := snap.Node(p.Node)
	if presence != live.Present || !p.Uses(identity.PodIdentity) || node.AgentReady ||
		p.Fargate || p.Windows || node.ComputeType == "fargate" || node.OS == "windows" {
		return ""
	}
	if !node.CreatedAt.IsZero() && snap.Facts().TakenAt.Sub(node.CreatedAt) < youngNode {
		return ""
	}
	return "no ready Pod Identity agent on node " + node.Name
}
