package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// chained looks at the roles that a program may assume with the role it has: whether
// their trust policies let it in, and with the session tags of Pod Identity, which go
// along. What the program sends itself, such as an external ID, is not known here.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
func (w *walk) chained(l *Link) {
	role := w.j.Mapping.Role
	policies, presence := w.snap.Policies(role)
	if presence != live.Present {
		w.unread(l, "the permission policies of role "+role.String())
		return
	}
	var targets []string
	for _, p := range policies {
		for _, s := range p.Statements {
			if s.Deny || !assumes(s) {
				continue
			}
			for _, target := range s.Resources {
				if text := target + " (policy " + p.Name + ")"; !slices.Contains(targets, text) {
					targets = append(targets, text)
					w.next(l, role, target, p.Name)
				}
			}
		}
	}
	if len(targets) == 0 {
		l.Says = "no policy of its role speaks of assuming others"
	} else if l.State == Good {
		l.Says = "it may go on to other roles, whose trust policies let it in: " + strings.Join(targets, ", ")
	}
}

// assumes reports whether a statement speaks of sts:AssumeRole. Everything (*) is an
// administrator's right, and no sign that a program chains roles.
func assumes(s live.PolicyStatement) bool {
	s.Actions = slices.DeleteFunc(slices.Clone(s.Actions), func(a string) bool { return strings.Trim(a, "*") == "" })
	return s.Names(live.ActionAssumeRole)
}

// next judges one role that may come next.
func (w *walk) next(l *Link, role identity.RoleARN, target, policy string) {
	arn, err := identity.ParseRoleARN(target)
	if err != nil || strings.ContainsAny(target, "*?$") {
		l.Evidence = append(l.Evidence, fmt.Sprintf("to know: policy %s lets it assume %s, which names no single role", policy, target))
		return
	}
	tags := w.mechanism() == identity.PodIdentity && w.j.Mapping.PodIdentity.SessionTags
	doc, presence, err := w.snap.Trust(arn)
	v := trust.Verdict{Decision: trust.Undecidable, Reason: "its trust policy was not read"}
	switch {
	case presence == live.Absent:
		v = trust.Verdict{Decision: trust.Deny, Reason: "it does not exist"}
	case presence == live.Present && err != nil:
		v.Reason = "its trust policy cannot be read as one: " + err.Error()
	case presence == live.Present:
		v = doc.EvaluateChain(trust.ChainRequest{Caller: role, Target: arn, Subject: w.subject, Cluster: w.snap.Cluster(), SessionTags: tags, OrgID: w.opts.Policy.Diff.OrganizationID})
	}
	if v.Decision == trust.Allow {
		return
	}
	if reason, _, cut := strings.Cut(v.Reason, ", which EKS makes up"); cut { // so it does for a target role; a program sends its own
		v.Reason = reason + ", which the program sends"
	}
	state, says := Unknown, "whether role "+target+" lets it in cannot be told: "+v.Reason
	if v.Decision == trust.Deny {
		state, says = Broken, "role "+target+" does not let it in: "+v.Reason
	}
	if l.State == Broken && state == Unknown {
		l.Evidence = append(l.Evidence, says)
		return
	}
	if l.State != state { // the worse one speaks
		if l.Says != "" {
			l.Evidence = append(l.Evidence, l.Says)
		}
		l.State, l.Says, l.Fix = state, says, []string{}
	} else {
		l.Says += "; " + says
	}
	calls := live.ActionAssumeRole
	if tags {
		calls += " and sts:TagSession, or write podIdentity.sessionTags: false"
	}
	if state == Broken {
		l.Fix = append(l.Fix, "if the program needs it: let the trust policy of "+target+" allow "+role.String()+" to call "+calls)
	} else {
		l.Fix = append(l.Fix, "if the program needs it: see that it sends what the trust policy of "+target+" asks for, and that it allows "+role.String()+" to call "+calls)
	}
	if r, presence := w.snap.Role(arn); presence == live.Present && l.Owner == "" {
		l.Owner = diff.OwnerOfRole(r)
	}
}
