package trust

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Evaluate judges the request as AWS STS would.
//
// IRSA is one call, sts:AssumeRoleWithWebIdentity by the federated principal.
// Pod Identity is two calls by pods.eks.amazonaws.com, sts:AssumeRole and
// sts:TagSession, which must both be allowed; with session tags off it is the
// first alone. A call is allowed if no Deny statement matches it and an Allow
// statement does; whatever hangs on a value that lanyard cannot know makes the
// verdict [Undecidable] only where it could still tip it.
//
// Each condition is judged by itself: of two that test the same unknown value,
// and between them cover whatever it may be, the verdict is still Undecidable.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
// https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
func (d *Document) Evaluate(r Request) Verdict {
	if err := d.Valid(); err != nil {
		return Verdict{Decision: Undecidable, Cause: BadDocument, Statement: -1, Reason: err.Error()}
	}
	e := newEnv(r)
	defer e.free()
	return d.judge(e)
}

// Decide returns the decision of [Document.Evaluate] alone. It allocates nothing,
// whatever the answer: a refusal's reason is what costs.
func (d *Document) Decide(r Request) Decision {
	if d.Valid() != nil {
		return Undecidable
	}
	e := newEnv(r)
	defer e.free()
	switch r.Mechanism {
	case identity.IRSA:
		return d.rule(e, assumeRoleWithWebIdentity).decision
	case identity.PodIdentity:
		first := d.rule(e, assumeRole).decision
		if first == Deny || !r.SessionTags {
			return first
		}
		if second := d.rule(e, tagSession).decision; second != Allow {
			return second
		}
		return first
	}
	return Deny
}

func (d *Document) judge(e *env) Verdict {
	switch e.r.Mechanism {
	case identity.IRSA:
		return d.verdict(e, assumeRoleWithWebIdentity)
	case identity.PodIdentity:
		v := d.verdict(e, assumeRole)
		if v.Decision == Deny || !e.r.SessionTags {
			return v
		}
		w := d.verdict(e, tagSession)
		switch {
		case w.Decision == Allow || w.Decision == Undecidable && v.Decision == Undecidable:
			return v
		case w.Decision == Deny && w.Cause != ExplicitDeny:
			return d.noTagSession(v, w)
		}
		return w
	}
	return Verdict{Decision: Deny, Cause: Other, Statement: -1, Reason: "the request names neither irsa nor pod-identity"}
}

// ruling is the outcome of one call: the decision and the statement behind it.
type ruling struct {
	decision Decision
	at       int // -1: no statement
	denied   bool
}

// rule decides one call. An explicit Deny beats every Allow; nothing is a Deny.
func (d *Document) rule(e *env, action actionSet) ruling {
	allow, mayAllow, mayDeny := -1, -1, -1
	for i := range d.stmts {
		s := &d.stmts[i]
		if allow >= 0 && !s.deny { // one Allow is enough
			continue
		}
		t := e.applies(s, action)
		switch {
		case t == no:
		case s.deny && t == yes:
			return ruling{decision: Deny, at: i, denied: true}
		case s.deny:
			mayDeny = first(mayDeny, i)
		case t == yes:
			allow = first(allow, i)
		default:
			mayAllow = first(mayAllow, i)
		}
	}
	switch {
	case allow >= 0 && mayDeny < 0:
		return ruling{decision: Allow, at: allow}
	case allow >= 0:
		return ruling{decision: Undecidable, at: mayDeny}
	case mayAllow >= 0:
		return ruling{decision: Undecidable, at: mayAllow}
	}
	return ruling{decision: Deny, at: -1}
}

func first(have, i int) int {
	if have >= 0 {
		return have
	}
	return i
}

// applies reports whether a statement speaks of the call.
func (e *env) applies(s *statement, action actionSet) tri {
	if s.actions&action == 0 || e.ignores(s) {
		return no
	}
	t := e.principal(s)
	if t == no {
		return no
	}
	return min(t, e.conditions(s))
}

func (e *env) conditions(s *statement) tri {
	t := yes
	for i := range s.clauses {
		if t = min(t, e.eval(&s.clauses[i])); t == no {
			break
		}
	}
	return t
}

// principal matches the caller against Principal or NotPrincipal. The caller is
// the web identity of one provider, named by its whole ARN, or one service; an
// account or an IAM principal is neither. "You cannot use a wildcard to match
// part of a principal name or ARN", so names compare exactly.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func (e *env) principal(s *statement) tri {
	p := &s.who
	named := p.everyone
	switch {
	case e.chain != nil:
		return e.chain.principal(s)
	case e.r.Mechanism == identity.IRSA:
		named = named || slices.Contains(p.federated, e.r.Provider)
	default:
		named = named || slices.Contains(p.services, podIdentityService)
	}
	return truth(named != s.except)
}

// ignores reports whether an Allow statement belongs to another mapping of
// lanyard's, and so may go at any time.
func (e *env) ignores(s *statement) bool {
	return e.r.IgnoreOthers && s.lanyard && !s.deny && !e.isOwn(s.own)
}

// ownHashes are the Sids of the request's own subject, once asked for.
type ownHashes struct {
	ready bool
	sids  [1 + len(widths)]uint64
}

func (e *env) isOwn(sid uint64) bool {
	if !e.own.ready {
		home, subject := &e.r.Cluster, &e.r.Subject
		if e.counts != nil {
			home, subject = e.home, e.counts
		}
		e.own.sids, e.own.ready = ownSidHashes(home, subject), true
	}
	return slices.Contains(e.own.sids[:], sid)
}

func parseLanyardSid(sid string) (uint64, bool) {
	if len(sid) != len(sidPrefix)+16 || sid[:len(sidPrefix)] != sidPrefix {
		return 0, false
	}
	digits := sid[len(sidPrefix):]
	for i := range len(digits) {
		if c := digits[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

func formatSid(sum []byte) string { return sidPrefix + hex.EncodeToString(sum[:8]) }
