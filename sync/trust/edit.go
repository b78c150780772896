package trust

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Edit is the outcome of an edit. If nothing changed, Document is the one that
// was edited.
type Edit struct {
	Document      *Document
	Changed       bool
	Before, After int // sizes as IAM counts them
	Limit         int // the quota given; 0 if none was
}

// What an edit refuses. The error returned says more and wraps one of these.
var (
	ErrQuota            = errors.New("the trust policy would be larger than IAM's quota")
	ErrDeniedElsewhere  = errors.New("an explicit Deny defeats the grant")
	ErrDeletedPrincipal = errors.New("the trust policy names a deleted principal, and IAM would refuse to write it back")
	ErrUneditable       = errors.New("the trust policy is beyond lanyard's grammar")
	ErrLastStatement    = errors.New("it is the only statement, and IAM takes no empty trust policy")
	ErrForeign          = errors.New("the Sid is not of lanyard's making")
	ErrShared           = errors.New("the statement lets in others as well")
	ErrBadGrant         = errors.New("the grant cannot be written")
)

// QuotaError is an edit that would not fit; it wraps [ErrQuota].
type QuotaError struct {
	Before, After, Limit int
	Fits                 []identity.Width // the Pod Identity widths that would fit, narrowest first
}

// Error says how much there is, and what would fit.
func (e *QuotaError) Error() string {
	s := fmt.Sprintf("%d characters of %d are taken, %d would be needed", e.Before, e.Limit, e.After)
	if len(e.Fits) > 0 {
		var names []string
		for _, w := range e.Fits {
			names = append(names, w.String())
		}
		s += "; trust: " + strings.Join(names, " or ") + " would fit"
	}
	return s
}

// Unwrap returns [ErrQuota].
func (e *QuotaError) Unwrap() error { return ErrQuota }

// DeniedError is a grant that a Deny statement defeats; it wraps
// [ErrDeniedElsewhere].
type DeniedError struct{ Verdict Verdict }

// Error names the Deny statement.
func (e *DeniedError) Error() string {
	if e.Verdict.Decision == Undecidable {
		return "an explicit Deny may defeat the grant: " + e.Verdict.Reason
	}
	return ErrDeniedElsewhere.Error() + ": " + e.Verdict.Reason
}

// Unwrap returns [ErrDeniedElsewhere].
func (e *DeniedError) Unwrap() error { return ErrDeniedElsewhere }

// DeletedPrincipalError names the principals in the way; it wraps
// [ErrDeletedPrincipal].
type DeletedPrincipalError struct{ Principals []string }

// Error names the principals.
func (e *DeletedPrincipalError) Error() string {
	return ErrDeletedPrincipal.Error() + ": " + strings.Join(e.Principals, ", ") + "; take it out of the statement first"
}

// Unwrap returns [ErrDeletedPrincipal].
func (e *DeletedPrincipalError) Unwrap() error { return ErrDeletedPrincipal }

// Add puts the grant's statement behind the others, of which not a byte changes.
// A statement with the grant's own Sid and another meaning is replaced in place,
// unless it is a Deny; one of the same meaning is left as it stands. Nothing is added that is already
// granted by a statement without a lanyard Sid: whoever wrote it, it counts.
//
// quota is IAM's AssumeRolePolicySizeQuota; 0 is none. Add then RemoveSid gives
// the document back, to the byte: a Statement that is a single object becomes a
// list, and lanyard's own then names its principal in a list of one, which is how
// the removal knows to undo it, even where another program has rewritten the JSON.
func (d *Document) Add(g Grant, quota int) (Edit, error) {
	e := Edit{Document: d, Before: d.Size(), After: d.Size(), Limit: quota}
	if err := errors.Join(d.editable(), g.check()); err != nil {
		return e, fmt.Errorf("add statement %s: %w", g.Sid(), err)
	}
	next, err := d.with(g)
	if err != nil {
		return e, fmt.Errorf("add statement %s: %w", g.Sid(), err)
	}
	if v, denied := next.denies(g); denied {
		return e, fmt.Errorf("add statement %s: %w", g.Sid(), &DeniedError{v})
	}
	if next == d {
		return e, nil
	}
	if quota > 0 && next.size > quota {
		return e, fmt.Errorf("add statement %s: %w", g.Sid(), d.overQuota(g, next.size, quota))
	}
	e.Document, e.Changed, e.After = next, true, next.size
	return e, nil
}

// with returns the document with the grant in it: d itself if it is there.
func (d *Document) with(g Grant) (*Document, error) {
	sid := g.Sid()
	for i := range d.stmts {
		s := &d.stmts[i]
		if s.sid != sid {
			continue
		}
		if s.deny { // somebody turned it round, to shut the role: not lanyard's to undo
			return nil, &DeniedError{Verdict{Cause: ExplicitDeny, Statement: i, Sid: sid, Reason: s.label + " denies, under lanyard's own Sid"}}
		}
		next, err := d.splice(s.start, s.end, string(g.statement(d.stoodAlone(i))))
		if err == nil && next.Digest() == d.Digest() {
			return d, nil
		}
		return next, err
	}
	if d.grantedByOthers(g) {
		return d, nil
	}
	last := &d.stmts[len(d.stmts)-1]
	if d.list.kind == kindObject {
		return d.splice(last.start, last.end, "["+d.text[last.start:last.end]+","+string(g.statement(true))+"]")
	}
	alone, others := false, false // where there is no other statement, none stood alone
	for i := range d.stmts {
		alone, others = alone || d.stoodAlone(i), others || !d.stmts[i].lanyard
	}
	alone = alone && others
	return d.splice(last.end, last.end, ","+string(g.statement(alone)))
}

// stoodAlone reports whether statement i is lanyard's and marks a document whose
// one other statement once stood alone: by its principal in a list of one.
func (d *Document) stoodAlone(i int) bool {
	if d.list.kind != kindArray || !d.stmts[i].lanyard {
		return false
	}
	who := d.list.vals[i].member("Principal")
	return who != nil && len(who.vals) == 1 && who.vals[0].kind == kindArray && len(who.vals[0].vals) == 1
}

// splice replaces text[from:to] and parses the outcome, which must be valid.
func (d *Document) splice(from, to int, with string) (*Document, error) {
	next, err := Parse(d.text[:from] + with + d.text[to:])
	if err == nil {
		err = next.Valid()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUneditable, err)
	}
	return next, nil
}

func (d *Document) editable() error {
	if err := d.Valid(); err != nil {
		return fmt.Errorf("%w: %w", ErrUneditable, err)
	}
	if gone := d.deletedPrincipals(); len(gone) > 0 {
		return &DeletedPrincipalError{gone}
	}
	return nil
}

// check refuses grants that would not let their subject in.
func (g Grant) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrBadGrant, what) }
	switch {
	case g.Subject.Namespace == "" || g.Subject.ServiceAccount == "":
		return bad("it names no ServiceAccount")
	case !isName(g.Subject.Namespace) || !isName(g.Subject.ServiceAccount):
		return bad(fmt.Sprintf("%q is no ServiceAccount that Kubernetes takes", g.Subject.String()))
	case g.Cluster.Name == "" || g.Cluster.Account == "" || g.Cluster.Region == "" || g.Cluster.Partition == "":
		return bad("its cluster has no ARN")
	case g.Mechanism == identity.PodIdentity && g.Width > identity.WidthBare:
		return bad("its width is unknown")
	case g.Mechanism == identity.PodIdentity && g.Width.NeedsSessionTags() && !g.SessionTags:
		return bad("trust: " + g.Width.String() + " tests request tags, which EKS does not send with session tags off: use account or bare")
	case g.Mechanism == identity.PodIdentity:
	case g.Mechanism != identity.IRSA:
		return bad("its mechanism is neither irsa nor pod-identity")
	case g.Provider == "" || g.Cluster.Issuer == "" && providerHostPath(g.Provider) == "":
		return bad("it names no OIDC provider")
	case len(g.Audiences) == 0:
		return bad("it names no audience")
	}
	literal := []string{g.Subject.Namespace, g.Subject.ServiceAccount, g.Cluster.ARN()}
	if g.Mechanism == identity.IRSA {
		literal = append(append(literal, g.Provider), g.Audiences...)
	}
	for _, s := range literal {
		if s == "" || strings.Contains(s, "${") {
			return bad(fmt.Sprintf("%q would not be taken literally in a policy", s))
		}
	}
	return nil
}

// isName reports whether a name has the characters of Kubernetes names alone: a
// colon would make the subject of a token ambiguous.
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
func isName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

// requests are the questions that the grant's statement must answer with allow.
func (g Grant) requests() []Request {
	r := Request{
		Mechanism: g.Mechanism, Subject: g.Subject, Cluster: g.Cluster,
		Provider: g.Provider, SessionTags: g.SessionTags,
	}
	if g.Mechanism != identity.IRSA {
		return []Request{r}
	}
	out := make([]Request, len(g.Audiences))
	for i, a := range g.Audiences {
		out[i] = r
		out[i].Audience = a
	}
	return out
}

func (d *Document) denies(g Grant) (Verdict, bool) {
	for _, r := range g.requests() {
		if v := d.Evaluate(r); v.Cause == ExplicitDeny {
			return v, true
		}
	}
	return Verdict{}, false
}

// grantedByOthers reports whether statements without a lanyard Sid let in all that
// the grant asks for.
func (d *Document) grantedByOthers(g Grant) bool {
	for _, r := range g.requests() {
		r.IgnoreOthers = true
		e := newEnv(r)
		e.counts, e.home = new(identity.Subject), new(identity.Cluster)
		v := d.judge(e)
		e.free()
		if v.Decision != Allow {
			return false
		}
	}
	return true
}

func (d *Document) overQuota(g Grant, after, quota int) *QuotaError {
	q := &QuotaError{Before: d.size, After: after, Limit: quota}
	if g.Mechanism != identity.PodIdentity {
		return q
	}
	for _, w := range widths {
		if w == g.Width || w.NeedsSessionTags() && !g.SessionTags {
			continue
		}
		g.Width = w
		if next, err := d.with(g); err == nil && next.size <= quota {
			q.Fits = append(q.Fits, w)
		}
	}
	return q
}
