package trust

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Check names something that [Document.Lint] finds. The list is closed; each has a
// paragraph in docs/trust.md.
type Check string

// The checks.
const (
	CheckInvalid         Check = "document-invalid"
	CheckSubjectMissing  Check = "subject-missing"
	CheckSubjectWide     Check = "subject-wide"
	CheckAudienceMissing Check = "audience-missing"
	CheckLikeWithout     Check = "like-without-wildcard"
	CheckSeveralSubjects Check = "several-subjects"
	CheckIssuerForeign   Check = "issuer-foreign"
	CheckIssuerStale     Check = "issuer-stale"
	CheckIssuerKey       Check = "issuer-key-misspelled"
	CheckPodIdentityWide Check = "pod-identity-wide"
	CheckTagSession      Check = "tag-session-missing"
	CheckNeverHolds      Check = "condition-never-holds"
	CheckAssociationARN  Check = "source-arn-association"
	CheckDeleted         Check = "principal-deleted"
)

// Checks lists every check, in the order of docs/trust.md.
func Checks() []Check {
	return []Check{
		CheckInvalid, CheckSubjectMissing, CheckSubjectWide, CheckAudienceMissing, CheckLikeWithout, CheckSeveralSubjects,
		CheckIssuerForeign, CheckIssuerStale, CheckIssuerKey, CheckPodIdentityWide, CheckTagSession, CheckNeverHolds,
		CheckAssociationARN, CheckDeleted,
	}
}

// Severity says how much a [Lint] matters.
type Severity string

// The severities.
const (
	Info     Severity = "info"     // works, and could be plainer
	Warning  Severity = "warning"  // lets in more than it needs to, or soon fails
	Critical Severity = "critical" // lets in whom nobody meant, or lets in nobody
)

// Lint is one thing that a document could do better.
type Lint struct {
	Check     Check    `json:"check"`
	Severity  Severity `json:"severity"`
	Statement int      `json:"statement"` // index from 0; -1 is the whole document
	Sid       string   `json:"sid,omitempty"`
	Message   string   `json:"message"`
	Instead   string   `json:"instead"` // what to write instead
}

// LintOptions say what lanyard knows beside the document. All of them may be zero.
type LintOptions struct {
	Cluster   identity.Cluster // whose issuer is not foreign; without an Issuer none is
	Providers []string         // ARNs of all OIDC providers of the role's account; nil is unknown, and then none is stale
	Width     identity.Width   // the width of Pod Identity trust asked for
}

// Lint looks for what lets in more than it should, what can never let anyone in,
// and what IAM will refuse to write back, in the order of the statements. Statements
// that do not speak of IRSA or Pod Identity are passed over.
func (d *Document) Lint(o LintOptions) []Lint {
	if err := d.Valid(); err != nil {
		return []Lint{{CheckInvalid, Critical, -1, "", err.Error(), "mend this first: IAM would refuse the document, and no other check was made"}}
	}
	var out []Lint
	for i := range d.stmts {
		s := &d.stmts[i]
		l := linter{d: d, o: o, s: s, at: i}
		l.deleted()
		if s.actions&assumeRoleWithWebIdentity != 0 && slices.ContainsFunc(s.who.federated, l.isKubernetes) {
			l.irsa()
		}
		if s.actions&(assumeRole|tagSession) != 0 && slices.Contains(s.who.services, podIdentityService) {
			l.podIdentity()
		}
		l.conditions()
		out = append(out, l.found...)
	}
	return out
}

// linter looks at one statement.
type linter struct {
	d     *Document
	o     LintOptions
	s     *statement
	at    int
	found []Lint
}

// isKubernetes reports whether a provider is, as far as one can tell, the issuer of
// a cluster: others (of pipelines, of people) have rules of their own.
func (l *linter) isKubernetes(provider string) bool {
	host := providerHostPath(provider)
	if host == "" {
		return false
	}
	var e env
	return looksLikeEKS(host) || host == l.o.Cluster.Issuer.HostPath() || e.pinsSubject(l.s, host)
}

func (l *linter) find(check Check, severity Severity, instead, message string, args ...any) {
	l.found = append(l.found, Lint{check, severity, l.at, l.s.sid, l.s.label + " " + fmt.Sprintf(message, args...), instead})
}

func (l *linter) deleted() {
	for _, p := range l.s.who.aws {
		if isUniqueID(p) {
			l.find(CheckDeleted, Critical, "take the principal out: IAM shows the unique id of one that was deleted, and refuses to write it back",
				"names the deleted principal %s", p)
		}
	}
}

// pins reports whether a clause admits only those who send its key with one of the
// values that it names.
func (c *clause) pins() bool {
	return !c.op.negated && !c.ifExists && c.set != setAll && c.op.family != familyNull
}

// wide reports whether a value of the clause is a pattern or a variable.
func (c *clause) wide() bool {
	globs := c.op.family == familyLike || c.op.family == familyARN
	return slices.ContainsFunc(c.values, func(v value) bool {
		return len(v.parts) > 0 || globs && (strings.IndexByte(v.pattern, 0xff) >= 0 || strings.IndexByte(v.pattern, 0xfe) >= 0)
	})
}

func (l *linter) irsa() {
	l.issuers()
	if l.s.deny {
		return
	}
	var sub, aud *clause    // the best of its kind
	var loose *clause       // one that tests :sub and does not pin it
	var subOff, audOff bool // tested by the key of another issuer, which is found apart
	for i := range l.s.clauses {
		c := &l.s.clauses[i]
		switch {
		case c.key.key != keyIssuer:
		case !l.names(c.key.issuer):
			subOff, audOff = subOff || !c.key.aud && c.pins(), audOff || c.key.aud && c.pins()
		case !c.pins():
			if !c.key.aud && c.op.family != familyNull {
				loose = c
			}
		case c.key.aud:
			aud = c
		case sub == nil || sub.wide():
			sub = c
		}
	}
	host := providerHostPath(l.s.who.federated[slices.IndexFunc(l.s.who.federated, l.isKubernetes)])
	exact := fmt.Sprintf(`test "%s:sub" by StringEquals against "system:serviceaccount:<namespace>:<ServiceAccount>"`, host)
	switch {
	case sub == nil && subOff:
	case sub == nil && loose == nil:
		l.find(CheckSubjectMissing, Critical, exact, "lets in every ServiceAccount of the cluster: it tests no :sub")
	case sub == nil:
		l.find(CheckSubjectWide, Critical, exact, "lets in all but some, or whoever has no :sub, by %s of %s", loose.written, loose.key.name)
	case sub.wide():
		l.find(CheckSubjectWide, Warning, exact, "lets in whoever matches %s", quoted(sub.values))
	case !sub.single():
		l.find(CheckSeveralSubjects, Info, "give each ServiceAccount a role of its own, or at least a statement", "lets in several ServiceAccounts: %s", quoted(sub.values))
	}
	if aud == nil && !audOff {
		l.find(CheckAudienceMissing, Warning, fmt.Sprintf(`test "%s:aud" by StringEquals against "sts.amazonaws.com"`, host), "takes tokens of any audience: it tests no :aud")
	}
}

// names reports whether one of the statement's providers has this issuer.
func (l *linter) names(issuer string) bool {
	return slices.ContainsFunc(l.s.who.federated, func(p string) bool { return equalFold(providerHostPath(p), issuer) })
}

func (l *linter) issuers() {
	for _, p := range l.s.who.federated {
		host := providerHostPath(p)
		switch {
		case host == "":
		case l.o.Providers != nil && !slices.Contains(l.o.Providers, p):
			l.find(CheckIssuerStale, Warning, "drop the statement if that cluster is gone; else create the provider", "trusts %s, which is no OIDC provider of the account", p)
		case l.o.Cluster.Issuer != "" && looksLikeEKS(host) && host != l.o.Cluster.Issuer.HostPath():
			l.find(CheckIssuerForeign, Info, "drop the statement if that cluster is gone; nothing if it shares the role", "trusts %s, the issuer of another cluster than %s", p, cmp.Or(l.o.Cluster.Name, "this one"))
		}
	}
}

func (l *linter) podIdentity() {
	if l.s.deny {
		return
	}
	if l.s.actions&assumeRole != 0 {
		if w, missing := l.width(); w > l.o.Width {
			l.find(CheckPodIdentityWide, Warning, "test "+missing+" as well", "lets in more than trust %q: it tests no %s", l.o.Width, missing)
		}
		if !l.d.allowsTagSession() {
			l.find(CheckTagSession, Critical, "allow sts:TagSession beside sts:AssumeRole, or turn session tags off in the association",
				"allows sts:AssumeRole to %s, and nothing allows sts:TagSession, which EKS needs while session tags are on", podIdentityService)
		}
	}
	if accounts := l.pinned(keyTagServiceAccount); accounts != nil && !accounts.single() && !accounts.wide() {
		l.find(CheckSeveralSubjects, Info, "give each ServiceAccount a role of its own, or at least a statement", "lets in several ServiceAccounts: %s", quoted(accounts.values))
	} else if namespaces := l.pinned(keyTagNamespace); namespaces != nil && !namespaces.single() && !namespaces.wide() {
		l.find(CheckSeveralSubjects, Info, "give each ServiceAccount a role of its own, or at least a statement", "lets in several namespaces: %s", quoted(namespaces.values))
	}
}

// allowsTagSession reports whether some Allow offers it to EKS.
func (d *Document) allowsTagSession() bool {
	return slices.ContainsFunc(d.stmts, func(s statement) bool {
		return !s.deny && s.actions&tagSession != 0 && (s.who.everyone || slices.Contains(s.who.services, podIdentityService))
	})
}

// pinned finds a clause that pins one of the keys: an exact one if there is one.
func (l *linter) pinned(keys ...key) (found *clause) {
	for i := range l.s.clauses {
		if c := &l.s.clauses[i]; c.pins() && slices.Contains(keys, c.key.key) && (found == nil || found.wide()) {
			found = c
		}
	}
	return found
}

// width tells the width that a statement has, and what the next narrower one tests
// and it does not.
func (l *linter) width() (w identity.Width, missing string) {
	exact := func(keys ...key) bool {
		c := l.pinned(keys...)
		return c != nil && !c.wide()
	}
	cluster := exact(keyTagClusterARN, keyTagClusterName, keySourceARN)
	switch {
	case cluster && exact(keyTagNamespace) && exact(keyTagServiceAccount):
		return identity.WidthPinned, ""
	case cluster && !exact(keyTagNamespace):
		return identity.WidthCluster, "aws:RequestTag/kubernetes-namespace"
	case cluster:
		return identity.WidthCluster, "aws:RequestTag/kubernetes-service-account"
	case exact(keySourceAccount):
		return identity.WidthAccount, "aws:RequestTag/eks-cluster-arn"
	case l.o.Width == identity.WidthAccount:
		return identity.WidthBare, "aws:SourceAccount"
	}
	return identity.WidthBare, "aws:RequestTag/eks-cluster-arn"
}

// conditions looks at each by itself.
func (l *linter) conditions() {
	for i := range l.s.clauses {
		c := &l.s.clauses[i]
		switch {
		case l.misspelled(c):
		case l.neverHolds(c):
		case c.key.key == keySourceARN && c.pins() && slices.ContainsFunc(c.values, func(v value) bool {
			return strings.Contains(v.written, ":podidentityassociation/")
		}):
			l.find(CheckAssociationARN, Critical, `write the cluster's ARN, "arn:aws:eks:<region>:<account>:cluster/<name>", or test aws:RequestTag/eks-cluster-arn`,
				"wants aws:SourceArn to be an association's ARN; EKS sends the cluster's, so this denies")
		case c.op.family == familyLike && !c.wide():
			l.find(CheckLikeWithout, Info, strings.Replace(strings.Replace(c.written, "Like", "Equals", 1), "like", "equals", 1),
				"tests %s by %s without a wildcard: %s", c.key.name, c.written, quoted(c.values))
		}
	}
}

// misspelled finds issuers' keys with what does not belong to them.
func (l *linter) misspelled(c *clause) bool {
	if c.key.key != keyIssuer || l.names(c.key.issuer) {
		return false
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(c.key.issuer, "https://"), "http://"), "/")
	if !l.names(bare) || bare == c.key.issuer {
		return false
	}
	name := ":sub"
	if c.key.aud {
		name = ":aud"
	}
	l.find(CheckIssuerKey, Critical, fmt.Sprintf("write %q", bare+name), "tests %s, a key that no request carries: the issuer stands without https:// and without a slash at its end", c.key.name)
	return true
}

// neverHolds finds conditions on keys that the calls of the statement's principals
// do not carry: an Allow that lets nobody in, a Deny that stops nobody.
func (l *linter) neverHolds(c *clause) bool {
	var e env
	e.r.SessionTags = true
	who := ""
	switch s := l.s; {
	case s.except || s.who.everyone || len(s.who.aws)+len(s.who.canonical) > 0:
		return false
	case len(s.who.federated) == 0 && len(s.who.services) == 1 && s.who.services[0] == podIdentityService:
		e.r.Mechanism, who = identity.PodIdentity, "a service principal's call"
	case len(s.who.services) == 0 && len(s.who.federated) == 1 && l.isKubernetes(s.who.federated[0]):
		e.r.Mechanism, e.r.Provider, who = identity.IRSA, s.who.federated[0], "an AssumeRoleWithWebIdentity call"
	default:
		return false
	}
	if st, _ := e.lookup(&c.key); st != absent {
		return false
	}
	holds := c.op.family != familyNull && c.whenAbsent() == yes || c.op.family == familyNull && c.null(absent) == yes
	if holds {
		return false
	}
	if l.s.deny {
		l.find(CheckNeverHolds, Warning, "test a key that the call carries", "denies nobody: %s does not carry %s", who, c.key.name)
	} else {
		l.find(CheckNeverHolds, Critical, "drop the condition, or test a key that the call carries", "lets in nobody: %s does not carry %s", who, c.key.name)
	}
	return true
}
