package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// role judges the role that a ServiceAccount is wired to.
func (a *auditor) role(w *wire, row *Wired) {
	of := about{w.subject, w.text}
	a.named(of, w)
	a.shared(of, w)
	role, presence := a.snap.Role(w.role)
	row.Presence = presence
	switch presence {
	case live.Unknown:
		a.unknown(of, ofRole, "the role was not read%s", a.why(w.role.Account))
		return
	case live.Absent:
		return // role-missing says so
	}
	a.details(of, row, role)
	a.permissions(of, w, row, role)
	doc, _, err := a.snap.Trust(w.role)
	if err != nil || doc.Valid() != nil {
		a.unknown(of, ofTrust, "the role's trust policy cannot be read as one")
		return
	}
	a.lints(of, w, doc)
	a.callers(of, w, doc)
	a.strangers(of, w, row, doc)
	a.refuses(of, w, row, doc)
}

// why names the gap that shuts an account, or says that nobody looks at it.
func (a *auditor) why(account string) string {
	if !slices.ContainsFunc(a.snap.Facts().Accounts, func(x live.Account) bool { return x.ID == account }) {
		return ": account " + account + " is not looked at, name it under accounts in the configuration"
	}
	return ""
}

// named holds the role's name against the pattern. A name that IAM could not have is not
// asked for.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func (a *auditor) named(of about, w *wire) {
	c := a.snap.Cluster()
	want := strings.NewReplacer("${cluster}", c.Name, "${region}", c.Region, "${accountID}", w.role.Account,
		"${namespace}", w.subject.Namespace, "${serviceAccount}", w.subject.ServiceAccount).Replace(a.o.RoleName)
	if want == "" || len(want) > 64 || live.Like(want, w.role.Name) {
		return
	}
	a.find(of, RoleName, trust.Info, "", []string{"expected " + want + "; there is " + w.role.Name}, "its role is not called as the pattern has it")
}

// shared finds others that are wired to the role.
func (a *auditor) shared(of about, w *wire) {
	var with []string
	for _, s := range a.users[w.role] {
		if s != w.subject {
			with = append(with, s.String())
		}
	}
	if len(with) > 0 {
		a.find(of, SharedRole, trust.Warning, "", with, "its role is wired to %d other ServiceAccounts: what one may do all may", len(with))
	}
}

// unusedAfter is when a role that nobody used counts as unused.
const unusedAfter = 90 * 24 * time.Hour

// details judges tags, boundary and last use.
func (a *auditor) details(of about, row *Wired, role live.Role) {
	row.LastUsed, row.LastUsedRegion, row.Boundary, row.RoleOwner = lastUsed(role), role.LastUsedRegion, role.Boundary, diff.OwnerOfRole(role)
	for _, key := range slices.Sorted(maps.Keys(role.Tags)) {
		row.Tags = append(row.Tags, key+"="+role.Tags[key])
	}
	if !role.DetailsRead {
		a.unknown(of, ofDetails, "the role's tags, permissions boundary and last use were not read")
		return
	}
	if role.Boundary == "" {
		a.find(of, Boundary, trust.Info, "", nil, "the role has no permissions boundary: whoever may change its policies may let it do anything")
	}
	var missing []string
	for _, key := range a.o.Tags {
		if _, there := role.Tags[key]; !there {
			missing = append(missing, key)
		}
	}
	switch {
	case len(missing) > 0:
		a.find(of, Tags, trust.Info, "", missing, "the role lacks tags that it must bear: %s", strings.Join(missing, ", "))
	case len(role.Tags) == 0:
		a.find(of, Tags, trust.Info, "", nil, "the role bears no tag: nothing says whose it is")
	}
	now, since := a.snap.Facts().TakenAt, role.LastUsedAt
	if since.IsZero() {
		since = role.CreatedAt
	}
	if !since.IsZero() && now.Sub(since) > unusedAfter {
		a.find(of, RoleUnused, trust.Info, "", []string{"last used: " + lastUsed(role)}, "nobody has used the role for %d days", int(now.Sub(since)/(24*time.Hour)))
	}
}

// AWS-managed policies that by their names allow everything, and how those end that
// allow all of a service.
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AdministratorAccess.html
var (
	awsAdministers = []string{"AdministratorAccess", "PowerUserAccess"}
	awsFullAccess  = "FullAccess"
)

// permissions judges what the role may do.
func (a *auditor) permissions(of about, w *wire, row *Wired, role live.Role) {
	policies, presence := a.snap.Policies(w.role)
	if presence != live.Present {
		a.unknown(of, ofPolicies, "the role's permission policies were not read%s", a.why(w.role.Account))
		return
	}
	row.PoliciesRead = true
	var stars, wide, managed []string
	for _, p := range policies {
		if p.Bounds {
			continue
		}
		if p.ARN != "" {
			row.Attached = append(row.Attached, p.Name)
		} else {
			row.Inline = append(row.Inline, p.Name)
		}
		switch {
		case p.ByAWS() && slices.Contains(awsAdministers, p.Name):
			stars = append(stars, "policy "+p.Name+", which AWS manages")
		case p.ByAWS() && strings.HasSuffix(p.Name, awsFullAccess):
			wide = append(wide, "policy "+p.Name+", which AWS manages")
		case p.ByAWS():
			managed = append(managed, p.Name)
		}
		for _, action := range p.Everywhere {
			switch excepted, but := strings.CutPrefix(action, "!"); {
			case but:
				stars = append(stars, "policy "+p.Name+": all actions but "+excepted)
			case strings.Trim(action, "*:") == "":
				stars = append(stars, "policy "+p.Name+": "+action)
			default:
				wide = append(wide, "policy "+p.Name+": "+action)
			}
		}
	}
	slices.Sort(row.Attached)
	slices.Sort(row.Inline)
	if len(stars) > 0 {
		a.find(of, StarAction, trust.Critical, "", stars, "the role may do everything, or all but some, on every resource")
	}
	if len(wide) > 0 {
		a.find(of, StarResource, trust.Warning, "", wide, "policies of the role allow actions on every resource, under no condition")
	}
	if len(managed) > 0 {
		a.find(of, AWSManaged, trust.Info, "", managed, "what the role may do is AWS's to change: %s; these are not read, so star-resource does not see them", strings.Join(managed, ", "))
	}
	a.targets(of, w, policies)
}

// targets finds roles in other accounts that the role may assume in turn, and that let it
// in without an external ID.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html
func (a *auditor) targets(of about, w *wire, policies []live.Policy) {
	seen := map[identity.RoleARN]bool{}
	for _, p := range policies {
		for _, s := range p.Statements {
			if s.Deny || !s.Names(live.ActionAssumeRole) {
				continue
			}
			for _, r := range s.Resources {
				target, err := identity.ParseRoleARN(r)
				if err != nil || strings.ContainsAny(r, "*?$!") || target.Account == w.role.Account || seen[target] {
					continue
				}
				seen[target] = true
				a.target(of, w, target)
			}
		}
	}
}

func (a *auditor) target(of about, w *wire, target identity.RoleARN) {
	doc, presence, err := a.snap.Trust(target)
	switch {
	case presence == live.Unknown:
		a.unknown(of, []Check{ExternalID}, "role %s, which its role may assume, was not read%s", target, a.why(target.Account))
		return
	case presence == live.Absent || err != nil:
		return
	}
	v := doc.EvaluateChain(trust.ChainRequest{Caller: w.role, Target: target, Subject: w.subject, Cluster: a.snap.Cluster(), OrgID: a.o.Diff.OrganizationID})
	if v.Decision != trust.Allow {
		return // refused, or it hangs on the external ID or on the like
	}
	for _, c := range doc.Callers() {
		if c.Statement == v.Statement && c.Org {
			return
		}
	}
	a.find(of, ExternalID, trust.Warning, "", []string{"role " + target.String() + ": " + v.Reason}, "its role may assume a role of account %s that asks for no external ID", target.Account)
}

// lints takes over what package trust finds in single statements.
func (a *auditor) lints(of about, w *wire, doc *trust.Document) {
	providers, _ := a.snap.Providers(w.role.Account)
	foreign := false
	for _, l := range doc.Lint(trust.LintOptions{Cluster: a.snap.Cluster(), Providers: providers}) {
		if l.Check == trust.CheckTagSession { // hangs on the association, which package diff knows
			continue
		}
		foreign = foreign || l.Check == trust.CheckIssuerForeign
		a.find(of, Check(l.Check), l.Severity, l.Instead, []string{at(l.Statement, l.Sid)}, "%s", l.Message)
	}
	if foreign && providers == nil {
		a.unknown(of, []Check{Check(trust.CheckIssuerStale)}, "which OIDC providers account %s has was not read, so a provider that the role trusts may be gone", w.role.Account)
	}
}

func at(statement int, sid string) string {
	return strings.TrimSuffix(fmt.Sprintf("statement %d (%s)", statement+1, sid), " ()")
}

// callers judges whom the role lets in that is no ServiceAccount.
func (a *auditor) callers(of about, w *wire, doc *trust.Document) {
	for _, c := range doc.Callers() {
		evidence := []string{at(c.Statement, c.Sid) + ": " + c.Name}
		switch {
		case c.Kind == trust.CallerAnyone && !c.Pinned:
			a.find(of, TrustOpen, trust.Critical, "", evidence, "the role lets anyone in: its trust policy names every principal, under no condition")
		case c.Kind == trust.CallerAWS && c.Account != "" && c.Account != w.role.Account && !c.ExternalID && !c.Org:
			a.find(of, ExternalID, trust.Warning, "", evidence, "the role lets account %s in, and asks for no external ID", c.Account)
		}
	}
}

// whoElse is whom a role lets in, worked out once for each role.
type whoElse struct {
	accesses []trust.Access
	whole    bool
}

func (a *auditor) whoElse(role identity.RoleARN, doc *trust.Document) whoElse {
	w, known := a.others[role]
	if !known {
		w.accesses, w.whole = doc.Allows()
		a.others[role] = w
	}
	return w
}

// exact returns the ServiceAccount of this cluster that an access is for, if it is for
// one.
func (a *auditor) exact(role identity.RoleARN, x trust.Access) (identity.Subject, bool) {
	c := a.snap.Cluster()
	here := x.Cluster == c.ARN()
	if x.Mechanism == identity.IRSA {
		here = c.Issuer != "" && x.Provider == c.Issuer.ProviderARN(role.Partition, role.Account)
	}
	s := identity.Subject{Namespace: x.Namespace, ServiceAccount: x.ServiceAccount}
	return s, here && !strings.ContainsAny(s.Namespace+s.ServiceAccount, "*?")
}

// strangers tells who else may assume the role, and finds ServiceAccounts of this cluster
// that it names and that are not wired to it.
func (a *auditor) strangers(of about, w *wire, row *Wired, doc *trust.Document) {
	all := a.whoElse(w.role, doc)
	row.OthersWhole = all.whole
	var unwired []string
	for _, x := range all.accesses {
		s, one := a.exact(w.role, x)
		if one && s == w.subject {
			continue
		}
		row.Others = append(row.Others, Other{Kind: "service-account", Name: x.Namespace + "/" + x.ServiceAccount, By: x.Mechanism.String(), Through: cmp.Or(x.Provider, x.Cluster)})
		if one && !slices.Contains(a.users[w.role], s) {
			unwired = append(unwired, s.String()+" by "+x.Mechanism.String())
		}
	}
	for _, c := range doc.Callers() {
		row.Others = append(row.Others, Other{Kind: string(c.Kind), Name: c.Name})
	}
	slices.SortFunc(row.Others, func(x, y Other) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name), cmp.Compare(x.By, y.By), cmp.Compare(x.Through, y.Through))
	})
	if row.Others = slices.Compact(row.Others); len(row.Others) > mostEvidence {
		row.Others, row.OthersWhole = row.Others[:mostEvidence], false
	}
	if len(unwired) > 0 {
		a.find(of, SubjectUnwired, trust.Warning, "", unwired, "the role lets in ServiceAccounts of this cluster that are not wired to it")
	}
}

// nobody is a name that no one bears.
const nobody = "lanyard-audit-nobody-5b1d"

func unjudged() []Refusal {
	return []Refusal{{Test: OtherNamespace, Result: NotKnown}, {Test: OtherServiceAccount, Result: NotKnown}}
}

// refuses puts the standing negative tests to a role, whichever mechanism its
// ServiceAccount is on: the same name in another namespace, and any other ServiceAccount,
// must be refused. What only a pattern or another cluster gets past is found besides.
func (a *auditor) refuses(of about, w *wire, row *Wired, doc *trust.Document) {
	s := w.subject
	tests := [][]identity.Subject{
		{{Namespace: nobody, ServiceAccount: s.ServiceAccount}},
		{{Namespace: s.Namespace, ServiceAccount: nobody}, {Namespace: nobody, ServiceAccount: nobody}},
	}
	severity := trust.Warning
	var evidence []string
	undecided := ""
	for i, subjects := range tests {
		t := &row.Refuses[i]
		t.Result = Refused
		for _, one := range subjects {
			for _, r := range a.requests(w, one) {
				switch v := doc.Evaluate(r); {
				case v.Decision == trust.Allow:
					evidence = append(evidence, t.Test+" by "+r.Mechanism.String()+": "+v.Reason)
					if r.Mechanism == identity.IRSA {
						severity = trust.Critical
					}
					if t.Result != Admitted {
						t.Result, t.By, t.Says = Admitted, r.Mechanism.String(), v.Reason
					}
				case v.Decision == trust.Undecidable && t.Result == Refused:
					t.Result, t.By, t.Says = Undecidable, r.Mechanism.String(), v.Reason
					undecided = v.Reason
				}
			}
		}
	}
	for _, r := range a.requests(w, s) {
		if v, wide := doc.Excess(r, identity.WidthPinned); wide {
			evidence = append(evidence, "by "+r.Mechanism.String()+": "+v.Reason)
		}
	}
	switch {
	case len(evidence) > 0:
		a.find(of, TrustTooWide, severity, "", evidence, "the role does not refuse others: %s", tooWide(severity, row.Refuses))
	case undecided != "":
		a.unknown(of, []Check{TrustTooWide}, "whether the role refuses others hangs on what cannot be known: %s", undecided)
	}
}

// tooWide puts the negative tests that failed into words.
func tooWide(severity trust.Severity, tests []Refusal) string {
	var who []string
	for _, t := range tests {
		if t.Result == Admitted {
			who = append(who, map[string]string{OtherNamespace: "the same name in another namespace", OtherServiceAccount: "another ServiceAccount"}[t.Test])
		}
	}
	text := cmp.Or(strings.Join(who, " and "), "one that a pattern covers, or one of another cluster,")
	if severity == trust.Critical {
		return text + " gets in by an annotation"
	}
	return text + " gets in"
}

// requests are the calls by which a ServiceAccount would ask for the role: by IRSA with
// each audience that could be asked with, by Pod Identity with session tags and without.
func (a *auditor) requests(w *wire, s identity.Subject) []trust.Request {
	c := a.snap.Cluster()
	base := trust.Request{Subject: s, Cluster: c, OrgID: a.o.Diff.OrganizationID}
	var out []trust.Request
	if c.Issuer != "" {
		base.Mechanism, base.Provider = identity.IRSA, c.Issuer.ProviderARN(w.role.Partition, w.role.Account)
		provider, _ := a.snap.Provider(base.Provider)
		audiences := append([]string{diff.DefaultAudience, w.account.Annotations[diff.AnnotationAudience]}, provider.ClientIDs...)
		slices.Sort(audiences)
		for _, audience := range slices.Compact(audiences) {
			if base.Audience = audience; audience != "" {
				out = append(out, base)
			}
		}
	}
	if w.role.Account == c.Account {
		base.Mechanism, base.Provider, base.Audience = identity.PodIdentity, "", ""
		out = append(out, base)
		base.SessionTags = true
		out = append(out, base)
	}
	return out
}
