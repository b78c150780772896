package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// auditor is one audit in the making.
type auditor struct {
	snap     *live.Snapshot
	state    desired.State
	o        Options
	assessor *migrate.Assessor
	users    map[identity.RoleARN][]identity.Subject // whom a role is wired to, sorted
	inUse    map[identity.RoleARN]bool               // roles that something uses besides
	others   map[identity.RoleARN]whoElse
	r        Report
}

// wire is one ServiceAccount's wiring as it stands.
type wire struct {
	subject     identity.Subject
	account     live.ServiceAccount
	association live.Association
	associated  live.Presence
	mechanism   identity.Mechanism
	text        string           // the role as it stands
	role        identity.RoleARN // zero where it is none
	bad         error            // why not
	mapping     desired.Mapping  // of what stands
}

// all goes over everything.
func (a *auditor) all() {
	var wires []wire
	asItStands := desired.State{Cluster: a.snap.Cluster().Name}
	for _, s := range a.snap.Subjects() {
		w, wired := a.wiring(s)
		if !wired {
			continue
		}
		wires = append(wires, w)
		for _, role := range w.roles() {
			if !slices.Contains(a.users[role], s) {
				a.users[role] = append(a.users[role], s)
			}
		}
		if w.judged() {
			asItStands.Mappings = append(asItStands.Mappings, w.mapping)
		}
	}
	result := diff.Compare(asItStands, a.snap, a.o.Diff)
	judged := make(map[identity.Subject]*diff.Judged, len(result.Judged))
	for i := range result.Judged {
		judged[result.Judged[i].Mapping.Subject] = &result.Judged[i]
	}
	a.using()
	wiredTo := map[identity.Subject]bool{}
	for i := range wires {
		wiredTo[wires[i].subject] = true
		a.serviceAccount(&wires[i], judged[wires[i].subject])
	}
	for _, f := range result.Findings {
		if f.Kind == diff.ClusterMismatch {
			a.fromDiff(f, "")
		}
	}
	a.staticKeys(wiredTo)
	a.orphans()
	a.accounts()
}

// judged reports whether what stands can be compared as if Git asked for it.
func (w *wire) judged() bool { return w.mechanism != identity.None && w.bad == nil && !w.role.IsZero() }

// roles are those that the wiring names: an association's, and an annotation's beside it.
func (w *wire) roles() []identity.RoleARN {
	var out []identity.RoleARN
	for _, text := range []string{w.text, w.account.Annotations[diff.AnnotationRole]} {
		if arn, err := identity.ParseRoleARN(text); err == nil && !slices.Contains(out, arn) {
			out = append(out, arn)
		}
	}
	return out
}

// wiring reads a ServiceAccount's wiring. An association that was listed and not
// described is wiring too; whether there is one that was not listed, a gap leaves open.
func (a *auditor) wiring(s identity.Subject) (w wire, wired bool) {
	w.subject = s
	w.account, _ = a.snap.ServiceAccount(s)
	w.association, w.associated = a.snap.Association(s)
	w.text = w.account.Annotations[diff.AnnotationRole]
	switch {
	case w.associated == live.Present:
		w.mechanism, w.text = identity.PodIdentity, w.association.Role.String()
	case w.associated == live.Unknown && w.association.ID != "" && a.snap.Whole(live.SourceListAssociations):
		w.mechanism, w.text = identity.PodIdentity, ""
	case w.associated == live.Unknown && w.association.ID == "" && w.text == "":
		return w, false
	case w.associated == live.Absent && w.text == "":
		return w, false
	case w.associated == live.Absent:
		w.mechanism = identity.IRSA
	}
	if w.text != "" {
		w.role, w.bad = identity.ParseRoleARN(w.text)
	}
	w.mapping = desired.Undeclared(s, w.role, w.mechanism)
	if w.associated == live.Present {
		p := &w.mapping.PodIdentity
		p.SessionTags, p.TargetRole, p.SessionPolicy = !w.association.SessionTagsOff, w.association.TargetRole, w.association.SessionPolicy
	}
	return w, true
}

// using notes the roles that something uses which is no wiring: pods as they were
// admitted, node groups, target roles, add-ons; and those that Git asks for.
func (a *auditor) using() {
	for _, m := range a.state.Mappings {
		a.inUse[m.Role], a.inUse[m.PodIdentity.TargetRole] = true, true
	}
	f := a.snap.Facts()
	for _, p := range f.Pods {
		for _, c := range p.Containers {
			if arn, err := identity.ParseRoleARN(c.Role); err == nil && p.Live() {
				a.inUse[arn] = true
			}
		}
	}
	for _, g := range f.NodeGroups {
		a.inUse[g.Role] = true
	}
	for _, s := range f.Associations {
		a.inUse[s.TargetRole] = true // zero where there is none, which no role's ARN is
	}
	for _, d := range f.Addons {
		if arn, err := identity.ParseRoleARN(d.ServiceAccountRole); err == nil {
			a.inUse[arn] = true
		}
	}
}

// about is whom a finding concerns.
type about struct {
	subject identity.Subject
	role    string
}

// find records a finding; without a fix of its own it has the check's.
func (a *auditor) find(of about, check Check, severity trust.Severity, fix string, evidence []string, message string, args ...any) {
	a.r.Findings = append(a.r.Findings, Finding{Check: check, Severity: severity, Namespace: of.subject.Namespace, ServiceAccount: of.subject.ServiceAccount,
		Role: of.role, Message: fmt.Sprintf(message, args...), Evidence: tidy(evidence), Fix: cmp.Or(fix, check.rule().fix)})
}

// unknown records a missing fact, and the checks that were not made for it.
func (a *auditor) unknown(of about, checks []Check, fact string, args ...any) {
	a.r.Unknown = append(a.r.Unknown, Unknown{Namespace: of.subject.Namespace, ServiceAccount: of.subject.ServiceAccount, Role: of.role,
		Fact: fmt.Sprintf(fact, args...), Checks: slices.Clone(checks)})
}

// mostEvidence bounds the evidence of one finding, and the others of one role.
const mostEvidence = 20

// tidy sorts evidence, drops doubles and cuts a long list.
func tidy(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	out = slices.Compact(out)
	if n := len(out) - mostEvidence; n > 0 {
		out = append(out[:mostEvidence:mostEvidence], fmt.Sprintf("and %d more", n))
	}
	return out
}

// fromDiff takes a finding of package diff over.
func (a *auditor) fromDiff(f diff.Finding, role string) {
	check, ours := ofDiff[f.Kind]
	if !ours {
		return
	}
	var evidence []string
	if f.Expected != "" || f.Actual != "" {
		evidence = append(evidence, fmt.Sprintf("expected %s; there is %s", cmp.Or(f.Expected, "nothing"), cmp.Or(f.Actual, "nothing")))
	}
	if f.Owner != "" {
		evidence = append(evidence, "made by "+f.Owner)
	}
	a.find(about{f.Subject, role}, check, trust.Severity(f.Severity), "", evidence, "%s", f.Message)
}

// serviceAccount judges one wired ServiceAccount. What is judged of its wiring is told in
// j, which is nil where that could not be compared.
func (a *auditor) serviceAccount(w *wire, j *diff.Judged) {
	of := about{w.subject, w.text}
	row := Wired{Namespace: w.subject.Namespace, ServiceAccount: w.subject.ServiceAccount, Mechanism: w.mechanism, Role: w.text, Account: w.role.Account, role: w.role,
		Attached: []string{}, Inline: []string{}, Tags: []string{}, LastUsed: NotKnown, Trust: NotKnown, Refuses: unjudged(), Others: []Other{},
		Workloads: []string{}, Reasons: []string{}, Owned: []string{}, Checks: []Check{}, Verdict: migrate.Unclear}
	if w.associated == live.Present && !w.association.TargetRole.IsZero() {
		row.TargetRole = w.association.TargetRole.String()
	}
	a.use(w, &row)
	a.owners(w, &row)
	if w.mechanism == identity.None {
		a.unknown(of, ofRole, "its Pod Identity association was not read, so it is not known by which mechanism its pods get a role, nor which")
		a.r.ServiceAccounts = append(a.r.ServiceAccounts, row)
		return
	}
	switch {
	case w.bad != nil:
		a.find(of, RoleMalformed, trust.Critical, "", []string{w.bad.Error()}, "its annotation names %q, which is no role: its pods are given it all the same, and every call fails", w.text)
	case w.role.IsZero():
		a.unknown(of, ofRole, "association %s was listed and not described: its role is not known", w.association.ID)
	default:
		a.verdict(w, &row)
		a.compared(of, &row, j)
		a.role(w, &row)
	}
	a.r.ServiceAccounts = append(a.r.ServiceAccounts, row)
}

// compared takes over what package diff found, and what it could not know.
func (a *auditor) compared(of about, row *Wired, j *diff.Judged) {
	for _, f := range j.Findings {
		a.fromDiff(f, of.role)
	}
	if j.Document != nil {
		row.Trust = j.Trust.Decision.String()
	}
	for _, fact := range j.Unknown {
		switch {
		case fact == "pods":
			a.unknown(of, ofPods, "its pods were not read, or not all")
		case fact == "ServiceAccount":
			a.unknown(of, []Check{AssociationAlone, Check(diff.AnnotationUnexpected)}, "ServiceAccounts were not read: whether it is there is not known")
		case strings.HasPrefix(fact, "OIDC provider "):
			a.unknown(of, ofProvider, "%s was not read", fact)
		}
	}
}

// use tells what uses the ServiceAccount, and finds one that nothing uses.
func (a *auditor) use(w *wire, row *Wired) {
	of := about{w.subject, w.text}
	workloads, known := a.snap.Workloads(w.subject)
	for _, one := range workloads {
		if !one.Done {
			row.Workloads = append(row.Workloads, one.Kind+" "+one.Name)
		}
	}
	slices.Sort(row.Workloads)
	row.Workloads = slices.Compact(row.Workloads)
	pods, seen := a.snap.Pods(w.subject)
	row.Pods = len(pods)
	switch {
	case len(row.Workloads) > 0 || len(pods) > 0 || a.readBy(w.subject):
	case known == live.Unknown:
		a.unknown(of, []Check{WiringUnused}, "workloads were not read, or not all")
	case seen == live.Unknown: // told with the other checks of pods
	case a.snap.Unread(live.SourceReaders):
		a.unknown(of, []Check{WiringUnused}, "who else reads its annotation was not read")
	default:
		a.find(of, WiringUnused, trust.Info, "", nil, "no workload names it and no pod runs as it, and yet it is wired to a role")
	}
}

// readBy reports whether an object of others names the ServiceAccount for its IRSA.
func (a *auditor) readBy(s identity.Subject) bool {
	return slices.ContainsFunc(a.snap.Facts().Readers, func(r live.Reader) bool {
		return r.ServiceAccount == s.String() || r.ServiceAccount == "*/"+s.ServiceAccount
	})
}

// owners tells who made the wiring, and what of it is lanyard's.
func (a *auditor) owners(w *wire, row *Wired) {
	c := a.snap.Cluster()
	annotated := w.account.Annotations[diff.AnnotationRole] != ""
	if annotated {
		row.Owner = diff.OwnerOfAnnotation(w.account, diff.AnnotationRole)
	}
	if slices.ContainsFunc([]string{diff.AnnotationRole, diff.AnnotationAudience, diff.AnnotationRegional, diff.AnnotationExpiration}, func(key string) bool {
		return w.account.Annotations[key] != "" && diff.OwnerOfAnnotation(w.account, key) == diff.FieldManager
	}) {
		row.Owned = append(row.Owned, "annotation")
	}
	if w.associated == live.Present {
		row.Owner = diff.OwnerOfAssociation(w.association, c)
		if diff.Ours(w.association, c) {
			row.Owned = append(row.Owned, "association")
		}
	}
	if d, ok := a.snap.Addon(w.association); ok {
		row.Addon = d.Name
	} else if name, is := strings.CutPrefix(row.Owner, "EKS add-on "); is {
		row.Addon = name
	}
	for _, d := range a.snap.Facts().Addons {
		if row.Addon == "" && annotated && d.ServiceAccountRole == w.account.Annotations[diff.AnnotationRole] {
			row.Addon = d.Name
		}
	}
	doc, _, _ := a.snap.Trust(w.role)
	own := trust.OwnSids(c, w.subject)
	if slices.ContainsFunc(doc.Statements(), func(s trust.Statement) bool { return slices.Contains(own, s.Sid) }) {
		row.Owned = append(row.Owned, "trust")
	}
}

// verdict asks whether it could move to Pod Identity: as Git's mapping has it, or else as
// it stands.
func (a *auditor) verdict(w *wire, row *Wired) {
	m, named := a.state.Mapping(w.subject)
	if named {
		row.Declared = m.Mechanism.String()
	} else {
		m = w.mapping
		m.Adopt = desired.Adopt{Annotation: true, Trust: true, Association: true}
	}
	v := a.assessor.Assess(m)
	row.Verdict = v.Verdict
	for _, reason := range v.Reasons {
		row.Reasons = append(row.Reasons, string(reason.Code))
	}
}

// envKey is the variable that holds a static key's ID.
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html
const envKey = "AWS_ACCESS_KEY_ID"

// staticKeys finds access keys in the environment of pods and templates, of wired
// ServiceAccounts and of others: those have nothing else. Keys that come from a Secret
// as a whole (envFrom) are not seen, and are not looked for.
func (a *auditor) staticKeys(wired map[identity.Subject]bool) {
	found := map[identity.Subject][]string{}
	for _, p := range a.snap.Facts().Pods {
		for _, c := range p.Containers {
			if p.Live() && c.Credential == live.CredentialStatic {
				found[p.Subject()] = append(found[p.Subject()], "pod "+p.Name+", container "+c.Name)
			}
		}
	}
	for _, w := range a.snap.Facts().Workloads {
		for _, c := range w.Containers {
			if !w.Done && slices.Contains(c.Variables, envKey) {
				found[w.Subject()] = append(found[w.Subject()], w.Kind+" "+w.Name+", container "+c.Name)
			}
		}
	}
	for s, evidence := range found {
		role := ""
		message := "access keys stand in the environment of its pods, and it is wired to no role"
		if wired[s] {
			w, _ := a.wiring(s)
			role = w.text
			message = "access keys stand in the environment of its pods: every SDK takes them before the role"
		}
		a.find(about{s, role}, StaticKeys, trust.Critical, "", evidence, "%s", message)
	}
	if a.snap.Unread(live.SourcePods) || a.snap.Unread(live.SourceWorkloads) {
		a.unknown(about{}, []Check{StaticKeys}, "pods or workloads were not read, or not all")
	}
}

// orphans finds roles that let a ServiceAccount of this cluster in, and that nothing is
// wired to. A role that lets in all of them, or those of clusters that it does not name,
// may be another cluster's, and is none.
func (a *auditor) orphans() {
	for _, role := range a.snap.Facts().Roles {
		if role.Presence != live.Present || len(a.users[role.ARN]) > 0 || a.inUse[role.ARN] {
			continue
		}
		doc, _, err := a.snap.Trust(role.ARN)
		if err != nil {
			continue
		}
		var whom []string
		for _, access := range a.whoElse(role.ARN, doc).accesses {
			if s, ours := a.exact(role.ARN, access); ours {
				whom = append(whom, s.String()+" by "+access.Mechanism.String())
			}
		}
		if len(whom) == 0 {
			continue
		}
		evidence := slices.Clone(whom)
		if role.DetailsRead {
			evidence = append(evidence, "last used: "+lastUsed(role))
		}
		if owner := diff.OwnerOfRole(role); owner != "" {
			evidence = append(evidence, "made by "+owner)
		}
		a.find(about{role: role.ARN.String()}, OrphanRole, trust.Warning, "", evidence, "the role lets ServiceAccounts of this cluster in, and none is wired to it")
	}
	for _, account := range a.snap.Facts().Accounts {
		if !account.RolesListed {
			a.unknown(about{}, []Check{OrphanRole}, "roles of account %s that nothing names were not read: an audit of a cluster or of a snapshot of `lanyard snapshot` reads them, a daemon does not", account.ID)
		}
	}
}

// lastUsed is a role's last use, as IAM tells it: the trailing 400 days.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_RoleLastUsed.html
func lastUsed(r live.Role) string {
	switch {
	case !r.DetailsRead:
		return NotKnown
	case r.LastUsedAt.IsZero():
		return "never"
	}
	return r.LastUsedAt.UTC().Format(time.RFC3339)
}

// The default quota of OIDC providers, and how many are near it.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	providerQuota = 100
	nearQuota     = 90
)

// accounts judges what concerns a whole account.
func (a *auditor) accounts() {
	f := a.snap.Facts()
	for _, account := range f.Accounts {
		listed, presence := a.snap.Providers(account.ID)
		has := slices.ContainsFunc(f.Providers, func(p live.OIDCProvider) bool { return p.Account == account.ID })
		n, what := len(listed), "OIDC providers"
		if presence != live.Present {
			n, what = account.IdentityProviders, "identity providers, OIDC and SAML together"
		}
		switch {
		case presence != live.Present && n == 0 && (has || account.TrustSizeQuota == 0):
			a.unknown(about{}, []Check{ProviderCount}, "how many OIDC providers account %s has was not read", account.ID)
		case n >= nearQuota:
			a.find(about{}, ProviderCount, trust.Warning, "", []string{fmt.Sprintf("account %s: %d", account.ID, n)},
				"account %s has %d %s, and a new cluster needs one more: the quota is %d unless AWS raised it", account.ID, n, what, providerQuota)
		}
	}
}
