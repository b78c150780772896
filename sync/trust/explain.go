package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// verdict rules on one call and says why.
func (d *Document) verdict(e *env, action actionSet) Verdict {
	r := d.rule(e, action)
	switch {
	case r.decision == Allow:
		s := &d.stmts[r.at]
		return Verdict{Decision: Allow, Statement: r.at, Sid: s.sid, Reason: s.allows}
	case r.decision == Undecidable:
		s := &d.stmts[r.at]
		return Verdict{Decision: Undecidable, Cause: Unknowable, Statement: r.at, Sid: s.sid, Reason: e.whyMaybe(s)}
	case r.denied:
		s := &d.stmts[r.at]
		return Verdict{
			Decision: Deny, Cause: ExplicitDeny, Statement: r.at, Sid: s.sid,
			Reason: fmt.Sprintf("%s denies %s, which no Allow can lift", s.label, action),
		}
	}
	return d.whyNot(e, action)
}

func (d *Document) noTagSession(v, w Verdict) Verdict {
	s := &d.stmts[v.Statement]
	reason := s.label + " allows sts:AssumeRole, but nothing allows sts:TagSession, which EKS needs while session tags are on"
	if s.actions&tagSession == 0 && w.Statement >= 0 && w.Statement != v.Statement {
		reason += "; " + w.Reason
	}
	return Verdict{Decision: Deny, Cause: NoTagSession, Statement: v.Statement, Sid: v.Sid, Reason: reason}
}

// whyMaybe names the first condition that hangs on something unknown.
func (e *env) whyMaybe(s *statement) string {
	verb := "allows it"
	if s.deny {
		verb = "denies it"
	}
	if e.principal(s) == maybe {
		return fmt.Sprintf("%s %s or not by its principals: whether they cover the session in which EKS calls cannot be told", s.label, verb)
	}
	for i := range s.clauses {
		c := &s.clauses[i]
		if e.eval(c) != maybe {
			continue
		}
		st, vals := e.lookup(&c.key)
		switch {
		case st == known && len(vals) != 1 && c.set == setNone:
			return fmt.Sprintf("%s %s or not by %s of %s, a key with several values that needs ForAllValues or ForAnyValue", s.label, verb, c.written, c.key.name)
		case st == known:
			for _, v := range c.values {
				if v.bad {
					return fmt.Sprintf("%s %s or not by %s of %s: nobody says what AWS makes of the value %q", s.label, verb, c.written, c.key.name, v.written)
				}
			}
			if !slices.ContainsFunc(c.values, func(v value) bool { return len(v.parts) > 0 }) {
				return fmt.Sprintf("%s %s or not by %s of %s: nobody says whether AWS takes %s for %s", s.label, verb, c.written, c.key.name, vals[0], quoted(c.values))
			}
			return fmt.Sprintf("%s %s or not by %s of %s: a policy variable in %s has a value that lanyard cannot know", s.label, verb, c.written, c.key.name, quoted(c.values))
		}
		if c.key.key == keyExternalID && !e.r.SessionTags {
			return fmt.Sprintf("%s %s or not by %s, which EKS makes up when it creates the association", s.label, verb, c.key.name)
		}
		return fmt.Sprintf("%s %s or not by %s, whose value lanyard cannot know", s.label, verb, c.key.name)
	}
	return s.label + " hangs on a value that lanyard cannot know"
}

// near is an Allow statement that did not apply, and how close it came.
type near struct {
	rank   int // the larger the closer
	cause  Cause
	reason string
}

// whyNot finds the Allow statement that comes closest.
func (d *Document) whyNot(e *env, action actionSet) Verdict {
	best, at := near{}, -1
	for i := range d.stmts {
		s := &d.stmts[i]
		if s.deny {
			continue
		}
		if n := e.near(s, action); n.rank > best.rank {
			best, at = n, i
		}
	}
	if at < 0 {
		who := podIdentityService
		switch {
		case e.chain != nil:
			who = e.chain.Caller.String()
		case e.r.Mechanism == identity.IRSA:
			who = e.r.Provider
		}
		return Verdict{Decision: Deny, Cause: NoStatement, Statement: -1, Reason: fmt.Sprintf("no statement lets %s call %s", who, action)}
	}
	s := &d.stmts[at]
	return Verdict{Decision: Deny, Cause: best.cause, Statement: at, Sid: s.sid, Reason: s.label + " " + best.reason}
}

func (e *env) near(s *statement, action actionSet) near {
	speaks := s.actions&action != 0
	switch {
	case e.principal(s) == no:
		if speaks && e.r.Mechanism == identity.IRSA {
			return e.nearIssuer(s)
		}
		return near{}
	case !speaks:
		return near{1, NoStatement, fmt.Sprintf("names the principal, but not %s", action)}
	case e.ignores(s):
		if e.conditions(s) == yes {
			return near{9, NoStatement, "allows it, but is another mapping's of lanyard's and may go at any time"}
		}
		return near{}
	}
	return e.nearConditions(s)
}

// nearIssuer asks whether a statement would let the same subject in through
// another Kubernetes issuer: a cluster's earlier life, or a neighbour.
func (e *env) nearIssuer(s *statement) near {
	for _, provider := range s.who.federated {
		host := providerHostPath(provider)
		if host == "" || !e.pinsSubject(s, host) && !looksLikeEKS(host) {
			continue
		}
		if e.through(provider, host, s) == yes {
			return near{8, OtherIssuer, fmt.Sprintf("allows %s through %s, the cluster's provider is %s", e.r.Subject, provider, e.r.Provider)}
		}
	}
	return near{}
}

// through judges the conditions as if the token came from another issuer.
func (e *env) through(provider, host string, s *statement) tri {
	other := e.r
	other.Provider, other.Cluster.Issuer = provider, identity.Issuer("https://"+host)
	o := newEnv(other)
	defer o.free()
	return o.conditions(s)
}

// pinsSubject reports whether a statement tests the subject of that issuer's
// tokens against Kubernetes subjects.
func (e *env) pinsSubject(s *statement, host string) bool {
	for i := range s.clauses {
		c := &s.clauses[i]
		if c.key.key == keyIssuer && !c.key.aud && equalFold(c.key.issuer, host) && !c.op.negated {
			return slices.ContainsFunc(c.values, func(v value) bool {
				return strings.HasPrefix(v.written, "system:serviceaccount:")
			})
		}
	}
	return false
}

func looksLikeEKS(host string) bool {
	return (strings.HasPrefix(host, "oidc.eks.") || strings.HasPrefix(host, "oidc-eks.")) && strings.Contains(host, "/id/")
}

// nearConditions sorts the conditions that fail by what they speak of.
func (e *env) nearConditions(s *statement) near {
	var subject, audience, cluster, stale, other []*clause
	for i := range s.clauses {
		c := &s.clauses[i]
		if e.eval(c) != no {
			continue
		}
		switch c.key.key {
		case keyIssuer:
			switch {
			case e.r.Mechanism != identity.IRSA:
				other = append(other, c)
			case !equalFold(c.key.issuer, e.issuer()):
				stale = append(stale, c)
			case c.key.aud:
				audience = append(audience, c)
			default:
				subject = append(subject, c)
			}
		case keyTagNamespace, keyTagServiceAccount:
			subject = append(subject, c)
		case keySourceAccount, keySourceARN, keyTagClusterARN, keyTagClusterName:
			cluster = append(cluster, c)
		default:
			other = append(other, c)
		}
	}
	if e.r.Mechanism == identity.PodIdentity && !e.r.SessionTags && len(subject)+len(cluster) > 0 {
		return near{3, Other, "tests request tags, which EKS does not send with session tags off: " + e.differences(subject, cluster, other)}
	}
	switch {
	case len(other) > 0:
		return near{2, Other, "comes close, but " + e.differences(other, subject, audience, cluster, stale)}
	case len(stale) > 0:
		host := stale[0].key.issuer
		if len(subject)+len(audience) == 0 && e.through(e.r.Provider, host, s) == yes {
			return near{8, OtherIssuer, fmt.Sprintf("allows %s by the keys of issuer %s, the cluster's is %s", e.r.Subject, host, e.issuer())}
		}
		return near{2, Other, "comes close, but " + e.differences(stale, subject, audience)}
	case len(subject) > 0 && len(cluster) > 0:
		return near{4, OtherSubject, e.otherSubject(s, subject) + "; " + e.differences(cluster)}
	case len(subject) > 0 && len(audience) > 0:
		return near{5, OtherSubject, e.otherSubject(s, subject) + "; " + e.differences(audience)}
	case len(subject) > 0:
		return near{6, OtherSubject, e.otherSubject(s, subject)}
	case len(cluster) > 0:
		return near{7, OtherCluster, fmt.Sprintf("allows %s elsewhere: %s", e.r.Subject, e.differences(cluster))}
	case len(audience) > 0:
		return near{8, OtherAudience, fmt.Sprintf("allows %s with another audience: %s", e.r.Subject, e.differences(audience))}
	}
	return near{} // undecidable statements do not come here
}

// otherSubject says whom a statement allows instead.
func (e *env) otherSubject(s *statement, failing []*clause) string {
	var names []string
	for _, c := range failing {
		names = append(names, shortKey(c.key.name))
	}
	verb := " differs"
	if len(names) > 1 {
		verb = " differ"
	}
	differ := strings.Join(names, " and ") + verb
	for _, c := range failing {
		if c.op.negated || c.set != setNone {
			return fmt.Sprintf("leaves out %s: %s", e.r.Subject, e.differences(failing))
		}
	}
	return fmt.Sprintf("allows %s, the pod is %s: %s", e.whom(s), e.r.Subject, differ)
}

// whom names the subjects of a statement, as far as it names any.
func (e *env) whom(s *statement) string {
	namespace, account := "*", "*"
	for i := range s.clauses {
		c := &s.clauses[i]
		if c.op.negated {
			continue
		}
		switch {
		case c.key.key == keyIssuer && !c.key.aud:
			var names []string
			for _, v := range c.values {
				name := v.written
				if s, ok := identity.ParseOIDCSubject(name); ok {
					name = s.String()
				}
				names = append(names, name)
			}
			return several(names)
		case c.key.key == keyTagNamespace:
			namespace = quoted(c.values)
		case c.key.key == keyTagServiceAccount:
			account = quoted(c.values)
		}
	}
	return namespace + "/" + account
}

// differences lists failing conditions with what they want and what there is.
func (e *env) differences(groups ...[]*clause) string {
	var out []string
	for _, group := range groups {
		for _, c := range group {
			st, vals := e.lookup(&c.key)
			have := "the call does not carry it"
			if st == known {
				var each []string
				for _, v := range vals {
					each = append(each, string(v))
				}
				have = "it is " + several(each)
			}
			out = append(out, fmt.Sprintf("%s wants %s %s, %s", c.written, c.key.name, quoted(c.values), have))
		}
	}
	return strings.Join(out, "; ")
}

// shortKey cuts an issuer's host off its keys.
func shortKey(name string) string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 && strings.ContainsAny(name[:i], "./") {
		return name[i:]
	}
	return name
}

func quoted(values []value) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.written
	}
	return several(names)
}

// several joins alternatives, and stops before a person would.
func several(names []string) string {
	const enough = 4
	if len(names) > enough {
		return fmt.Sprintf("%s or %d more", strings.Join(names[:enough], " or "), len(names)-enough)
	}
	return strings.Join(names, " or ")
}
