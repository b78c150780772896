package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// compute finds pods where there is no Pod Identity agent: Fargate, Windows, and hybrid
// nodes without the agent's hybrid DaemonSet.
//
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
// (restrictions) and https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-add-ons.html
func (l *look) compute() {
	var fargate, windows, hybrid, elsewhere []Fact
	for _, p := range l.pods {
		node, _ := l.snap.Node(p.Node)
		switch {
		case p.Fargate || node.ComputeType == "fargate":
			fargate = append(fargate, podFact(p, "runs on Fargate node "+p.Node))
			continue
		case p.Windows || node.OS == "windows":
			windows = append(windows, podFact(p, "runs on Windows node "+p.Node))
		case node.ComputeType == "hybrid" && l.agentless(&node):
			hybrid = append(hybrid, podFact(p, "runs on hybrid node "+p.Node+", which has no ready agent"))
		}
		elsewhere = append(elsewhere, podFact(p, "runs on node "+p.Node))
	}
	for _, p := range l.ending {
		if node, _ := l.snap.Node(p.Node); p.Fargate || node.ComputeType == "fargate" {
			fargate = append(fargate, podFact(p, "runs on Fargate node "+p.Node+", until it has ended"))
		}
	}
	for _, place := range l.places {
		w := place.workload
		for _, profile := range place.profiles {
			fargate = append(fargate, Fact{OfProfile, profile.Name, "selects the pods of " + workloadFact(w, "").Name})
		}
		if len(place.profiles) == 0 {
			elsewhere = append(elsewhere, workloadFact(w, "no Fargate profile selects its pods"))
		}
		switch {
		case w.OS == "windows":
			windows = append(windows, workloadFact(w, "asks for Windows nodes"))
		case len(place.nodes) > 0 && !slices.ContainsFunc(place.nodes, func(n *live.Node) bool { return n.OS != "windows" }):
			windows = append(windows, workloadFact(w, "no node but Windows nodes admits its pods"))
		}
		for _, n := range place.nodes {
			if n.ComputeType == "hybrid" && l.agentless(n) {
				hybrid = append(hybrid, Fact{OfNode, n.Name, "is a hybrid node without a ready agent, and may get pods of " + workloadFact(w, "").Name})
			}
		}
	}
	l.reason(Fargate, fargate, "its pods run on Fargate, where no Pod Identity agent can be",
		"leave it on IRSA, or move it to EC2 nodes: change its labels or namespace so that no Fargate profile selects it")
	l.reason(Windows, windows, "its pods run on Windows, where no Pod Identity agent can be", "leave it on IRSA, or move it to Linux nodes")
	l.reason(HybridUnsupported, hybrid, "its pods may run on hybrid nodes that have no ready Pod Identity agent",
		"leave it on IRSA, or let the add-on make the hybrid DaemonSet (daemonsets.hybrid.create=true) and set enableCredentialsFile: true on every hybrid node")
	if len(fargate) > 0 {
		l.reason(MixedCompute, elsewhere, "one ServiceAccount serves pods on Fargate and pods elsewhere, and an association would reach both",
			"give the pods on Fargate a ServiceAccount of their own, with a mapping that stays on IRSA")
	}
}

// crossAccount: iam:PassRole does not reach over accounts, so an association takes only
// roles of the cluster's.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html
func (l *look) crossAccount() {
	cluster := l.snap.Cluster()
	if l.m.Role.Account == cluster.Account {
		return
	}
	l.reason(CrossAccountRole, []Fact{{OfRole, l.m.Role.String(), "is in account " + l.m.Role.Account}, {OfCluster, cluster.Name, "is in account " + cluster.Account}},
		"its role is in another account than the cluster, and an association takes only roles of the cluster's account",
		fmt.Sprintf("leave it on IRSA, or name a role of account %s in roleARN and this one in podIdentity.targetRoleARN", cluster.Account))
}

// outsideEKS: local clusters on Outposts have neither mechanism's service.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html, restrictions.
func (l *look) outsideEKS() {
	if c := l.snap.Facts().Cluster; c.Outpost {
		l.reason(OutsideEKS, []Fact{{OfCluster, c.Name, "is a local cluster on Outposts"}},
			"the cluster's control plane has no Pod Identity", "leave it as it is: Pod Identity needs a cluster in an AWS Region")
	}
}

// agentSubject is the ServiceAccount without which nobody has Pod Identity.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
var agentSubject = identity.Subject{Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent"}

// self keeps lanyard's hands off what lanyard stands on.
func (l *look) self() {
	if l.opts.AllowSelf {
		return
	}
	s := l.m.Subject
	var facts []Fact
	if s == agentSubject {
		facts = append(facts, Fact{OfServiceAccount, s.String(), "is the Pod Identity agent's"})
	}
	if slices.Contains(l.opts.Self, s) {
		facts = append(facts, Fact{OfServiceAccount, s.String(), "is lanyard's own"})
	}
	l.reason(Self, facts, "lanyard does not move what it stands on itself", "move it by hand, or let the configuration name feature self")
}

// chained finds roles that the workload's role may assume in turn. Sessions of Pod
// Identity bear transitive tags, and the next role must allow sts:TagSession for them.
//
// A target is no obstacle where its trust policy surely lets the tagged session in. One
// whose policy was not read, or that no single role is named by, counts as an obstacle;
// so does every target where the role's policies name it in a way that is not plain.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html and
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_role-chaining
func (l *look) chained() {
	if !l.m.PodIdentity.SessionTags {
		return
	}
	var facts []Fact
	l.statements(func(caller identity.RoleARN, policy string, s live.PolicyStatement) {
		if s.Deny || !s.Takes(live.ActionAssumeRole) {
			return
		}
		for _, target := range s.Resources {
			if !assumesRoles(s) && !namesRoles(target) {
				continue
			}
			if why := l.breaks(caller, target); why != "" {
				facts = append(facts, Fact{OfPolicy, policy, "allows " + live.ActionAssumeRole + " on " + target + ", " + why})
			}
		}
	})
	l.reason(ChainedRole, facts, "it may assume other roles, and the transitive session tags of Pod Identity would break that call",
		"let each target's trust policy allow sts:TagSession to this role, and this role's own policy allow it on each target, or write podIdentity.sessionTags: false (with trust: account or bare), or take the permission out")
}

// assumesRoles reports whether a statement speaks of sts:AssumeRole. Everything (*), or
// everything but something, is an administrator's right, and no sign that the workload
// chains roles; unless it is given on roles.
func assumesRoles(s live.PolicyStatement) bool {
	s.Actions = slices.DeleteFunc(slices.Clone(s.Actions), func(a string) bool { return strings.Trim(a, "*") == "" })
	return s.Names(live.ActionAssumeRole)
}

// namesRoles reports whether a resource is a role, or a pattern of roles, and not simply
// everything.
func namesRoles(resource string) bool {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "iam" {
		return false
	}
	const kind = "role/"
	begins, _, _ := strings.Cut(strings.ReplaceAll(parts[5], "?", "*"), "*")
	return strings.HasPrefix(begins, kind) || begins != parts[5] && strings.HasPrefix(kind, begins)
}

// breaks says why a role's call to assume a target would fail with session tags, or may;
// empty where it would not.
func (l *look) breaks(caller identity.RoleARN, target string) string {
	arn, err := identity.ParseRoleARN(target)
	switch {
	case err != nil || strings.ContainsAny(target, "*?$"):
		return "which names no single role: whether their trust policies allow sts:TagSession cannot be told"
	case arn == caller:
		return l.breaksItself(caller)
	case caller == l.m.Role && arn == l.m.PodIdentity.TargetRole:
		return "" // EKS assumes it, and [look.trust] judges that
	}
	doc, presence, err := l.snap.Trust(arn)
	switch {
	case presence == live.Absent:
		return ""
	case presence == live.Unknown:
		return "whose trust policy was not read"
	case err != nil:
		return "whose trust policy cannot be read as one"
	}
	v := doc.EvaluateChain(trust.ChainRequest{Caller: caller, Target: arn, Subject: l.m.Subject, Cluster: l.snap.Cluster(), SessionTags: true, OrgID: l.opts.OrganizationID})
	if v.Decision == trust.Allow {
		return l.withholds(caller, doc, arn, live.ActionTagSession)
	}
	untagged := doc.EvaluateChain(trust.ChainRequest{Caller: caller, Target: arn, Subject: l.m.Subject, Cluster: l.snap.Cluster(), OrgID: l.opts.OrganizationID})
	if untagged.Decision == trust.Deny {
		return "" // it does not work today either
	}
	return "whose trust policy does not surely allow sts:TagSession: " + v.Reason
}

// withholds says which of a call's actions, that a target's trust policy lets in, the
// caller's own policies do not allow. Within one account a trust policy that names the
// caller is enough.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
func (l *look) withholds(caller identity.RoleARN, doc *trust.Document, target identity.RoleARN, actions ...string) string {
	policies, presence := l.snap.Policies(caller)
	byName := target.Account == caller.Account && slices.ContainsFunc(doc.Statements(), func(s trust.Statement) bool {
		var of struct {
			Effect    string
			Principal json.RawMessage
		}
		return json.Unmarshal(s.Raw, &of) == nil && of.Effect == "Allow" && bytes.Contains(of.Principal, []byte(`"`+caller.String()+`"`))
	})
	if presence != live.Present || byName {
		return ""
	}
	for _, action := range actions {
		if !live.Grants(policies, action, target.String(), administrators...) {
			return "and no policy of role " + caller.Name + " allows " + action + " on it"
		}
	}
	return ""
}

// breaksItself: a role that assumes itself needs its own leave for that, tags included.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_manage-assume.html
func (l *look) breaksItself(caller identity.RoleARN) string {
	doc, presence, err := l.snap.Trust(caller)
	if presence != live.Present || err != nil {
		return ""
	}
	r := trust.ChainRequest{Caller: caller, Target: caller, Subject: l.m.Subject, Cluster: l.snap.Cluster(), OrgID: l.opts.OrganizationID}
	if doc.EvaluateChain(r).Decision == trust.Deny {
		return ""
	}
	if r.SessionTags = true; doc.EvaluateChain(r).Decision == trust.Allow {
		return ""
	}
	return "which is the role itself, and its trust policy does not surely allow sts:TagSession to it"
}

// statements goes over what the permission policies say of the role, and of the target
// role, whose session the workload has where there is one.
func (l *look) statements(each func(role identity.RoleARN, policy string, s live.PolicyStatement)) {
	for _, role := range []identity.RoleARN{l.m.Role, l.m.PodIdentity.TargetRole} {
		policies, _ := l.snap.Policies(role)
		for _, p := range policies {
			for _, s := range p.Statements {
				each(role, role.Name+"/"+p.Name, s)
			}
		}
	}
}

// sessions finds what depends on the name of a session or on the web identity: neither
// is carried over to sessions of Pod Identity, whose name EKS chooses.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html and
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
func (l *look) sessions() {
	var pinned, web []Fact
	l.statements(func(_ identity.RoleARN, policy string, s live.PolicyStatement) {
		for _, c := range s.Conditions {
			detail := c.Operator + " " + c.Key + " " + strings.Join(c.Values, " or ")
			switch {
			case ofFederation(c.Key):
				web = append(web, Fact{OfPolicy, policy, "asks for " + detail})
			case live.OfSession(c.Key) && !anySession(c):
				pinned = append(pinned, Fact{OfPolicy, policy, "asks for " + detail})
			}
		}
		for _, text := range texts(s) {
			switch {
			case variableOf(text, ofFederation):
				web = append(web, Fact{OfPolicy, policy, "names " + text})
			case variableOf(text, live.OfSession):
				pinned = append(pinned, Fact{OfPolicy, policy, "names " + text})
			}
		}
	})
	for _, w := range l.workloads {
		for _, c := range w.Containers {
			if slices.Contains(c.Variables, envSessionName) {
				pinned = append(pinned, containerFact(w, c, "sets "+envSessionName))
			}
		}
	}
	l.reason(SessionNamePinned, pinned, "something depends on the session's name, which EKS chooses for Pod Identity and changes at each renewal",
		"let policies match the role's ID with :* or session tags (aws:PrincipalTag/kubernetes-service-account), and take AWS_ROLE_SESSION_NAME out if nothing relies on it")
	l.reason(OIDCKeyInPolicy, web, "a permission policy of its role asks for keys of the web identity, which sessions of Pod Identity do not have",
		"write aws:PrincipalTag/kubernetes-namespace and aws:PrincipalTag/kubernetes-service-account in their place")
}

const envSessionName = "AWS_ROLE_SESSION_NAME"

// ofFederation reports whether a condition key is one that sessions of IRSA have and
// those of Pod Identity do not.
func ofFederation(key string) bool {
	return live.OfWebIdentity(key) || strings.EqualFold(key, "aws:FederatedProvider")
}

// anySession reports whether a condition on the user ID takes any session: all values
// end in ":*", as the role's ID does that is matched whole.
func anySession(c live.PolicyCondition) bool {
	return strings.EqualFold(c.Key, "aws:userid") && !slices.ContainsFunc(c.Values, func(v string) bool { return v != "*" && !strings.HasSuffix(v, ":*") })
}

// texts are the parts of a statement in which policy variables may stand.
func texts(s live.PolicyStatement) []string {
	out := slices.Clone(s.Resources)
	for _, c := range s.Conditions {
		out = append(out, c.Values...)
	}
	return out
}

// variableOf reports whether a text holds a policy variable of some kind.
func variableOf(text string, of func(string) bool) bool {
	for {
		_, after, found := strings.Cut(text, "${")
		name, rest, closed := strings.Cut(after, "}")
		if !found || !closed {
			return false
		}
		if key, _, _ := strings.Cut(name, ","); of(strings.TrimSpace(key)) {
			return true
		}
		text = rest
	}
}
