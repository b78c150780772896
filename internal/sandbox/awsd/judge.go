package awsd

import (
	"fmt"
	"strings"
)

// The judge says who may do what under a policy document. It is a direct reading of the
// evaluation logic that AWS documents, statement by statement, and knows nothing of what
// lanyard thinks about the same documents.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html

// caller is who asks. Exactly one of service, provider and account says what it is: an AWS
// service, a web identity of an OIDC provider, or a user or role of an account.
type caller struct {
	service  string // "pods.eks.amazonaws.com".
	provider string // The provider's ARN.
	account  string
	arn      string // The user's or role's ARN.
	session  string // The role session's ARN, for a role.
}

func (c caller) String() string {
	switch {
	case c.service != "":
		return c.service
	case c.provider != "":
		return "a web identity of " + c.provider
	case c.session != "":
		return c.session
	}
	return c.arn
}

// request is one action that a caller asks for. Context keys are lower case; a key with no
// values is absent.
type request struct {
	caller   caller
	action   string
	resource string // Judged against Resource, in identity policies.
	context  map[string][]string
}

// decision is what a document says to a request.
type decision struct {
	allowed bool
	denied  bool   // By an explicit Deny, which nothing overrides.
	named   bool   // The Allow names the caller, or everyone; not just the caller's account.
	reason  string // For people: the statement that decided, or why none did.
}

// reach says how a principal element reaches a caller.
type reach int

const (
	reachNone    reach = iota
	reachAccount       // Through the caller's account: its own policies must agree.
	reachCaller        // By name, or as everyone.
)

// decide judges a request by one document. An explicit Deny wins over any Allow.
func (p *policy) decide(r request) decision {
	d := decision{reason: "no statement speaks of " + r.action + " by " + r.caller.String()}
	for i, st := range p.statements {
		who, why := st.applies(p.version, r)
		name := fmt.Sprintf("statement %d", i+1)
		if st.sid != "" {
			name += " (" + st.sid + ")"
		}
		switch {
		case who == reachNone:
			if why != "" && !d.allowed {
				d.reason = name + ": " + why
			}
		case st.deny:
			return decision{denied: true, reason: name + " denies " + r.action}
		default:
			d = decision{allowed: true, named: d.named || who == reachCaller, reason: name + " allows " + r.action}
		}
	}
	return d
}

// applies says whether a statement concerns the request, and for a near miss why not.
func (st statement) applies(version string, r request) (who reach, why string) {
	if !st.coversAction(r.action) || !st.coversResource(version, r) {
		return reachNone, ""
	}
	who = reachCaller
	if st.principals != nil {
		who = st.reaches(r.caller)
		if who == reachNone {
			return reachNone, "its principal is not " + r.caller.String()
		}
	}
	for _, c := range st.conditions {
		if !c.holds(version, r.context) {
			return reachNone, "condition " + c.String() + " does not hold"
		}
	}
	return who, ""
}

func (st statement) coversAction(action string) bool {
	for _, a := range st.actions {
		if glob([]rune(strings.ToLower(action)), wild(strings.ToLower(a))) {
			return !st.notAction
		}
	}
	return st.notAction
}

func (st statement) coversResource(version string, r request) bool {
	if st.resources == nil {
		return true
	}
	for _, res := range st.resources {
		if pattern, ok := compile(res, variables(version, r.context)); ok && glob([]rune(r.resource), pattern) {
			return !st.notResource
		}
	}
	return st.notResource
}

// reaches judges Principal, or NotPrincipal, which reaches whom Principal would not.
func (st statement) reaches(c caller) reach {
	best := reachNone
	for kind, values := range st.principals {
		if kind == "*" {
			best = reachCaller
		}
		for _, v := range values {
			best = max(best, c.is(kind, v))
		}
	}
	if !st.notPrincipal {
		return best
	}
	if best == reachNone {
		return reachCaller
	}
	return reachNone
}

// is says how one principal value reaches the caller. {"AWS": "*"} is everyone, AWS
// services and web identities too.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func (c caller) is(kind, value string) reach {
	hit := false
	switch kind {
	case "AWS":
		a, isARN := parseARN(value)
		if c.account != "" && (value == c.account || isARN && a.resource == "root" && a.account == c.account) {
			return reachAccount
		}
		hit = value == "*" || c.account != "" && (value == c.arn || c.session != "" && value == c.session)
	case "Service":
		hit = c.service != "" && (value == "*" || value == c.service)
	case "Federated":
		hit = c.provider != "" && (value == "*" || value == c.provider)
	}
	if hit {
		return reachCaller
	}
	return reachNone
}

// holds judges one operator with one key. Values of one key are alternatives; all the
// conditions of a statement must hold.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
func (c condition) holds(version string, context map[string][]string) bool {
	values := context[strings.ToLower(c.key)]
	present := len(values) > 0
	if c.base == "Null" {
		for _, v := range c.values {
			if strings.EqualFold(v, "true") != present {
				return true
			}
		}
		return false
	}
	op := operators[c.base]
	if !present {
		return c.ifExists || c.set == "ForAllValues" || c.set == "" && op.negate
	}
	matches := 0
	for _, v := range values {
		if c.matchesAny(op, v, version, context) {
			matches++
		}
	}
	switch {
	case c.set == "ForAllValues" && op.negate:
		return matches == 0
	case c.set == "ForAllValues":
		return matches == len(values)
	case c.set == "ForAnyValue" && op.negate:
		return matches < len(values)
	case op.negate:
		return matches == 0
	}
	return matches > 0
}

func (c condition) matchesAny(op operator, value, version string, context map[string][]string) bool {
	for _, want := range c.values {
		if pattern, ok := compile(want, variables(version, context)); ok && op.match(value, pattern) {
			return true
		}
	}
	return false
}

func (c condition) String() string {
	op := c.base
	if c.set != "" {
		op = c.set + ":" + op
	}
	if c.ifExists {
		op += "IfExists"
	}
	return op + " " + c.key
}

// variables returns what policy variables may name. The 2008 version has none.
func variables(version string, context map[string][]string) map[string][]string {
	if version != "2012-10-17" {
		return nil
	}
	if context == nil {
		return map[string][]string{}
	}
	return context
}
