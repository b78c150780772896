package trust

import (
	"fmt"
	"strings"
)

// grammar reads a JSON tree as a trust policy and keeps the first thing that IAM
// would refuse. Element names and Effect are case-sensitive; condition operators
// and keys are not.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type grammar struct {
	text      string
	err       error
	variables bool // Version 2012-10-17
}

func (g *grammar) refuse(at int, format string, args ...any) {
	if g.err == nil {
		line, column := position(g.text, at)
		g.err = &GrammarError{Line: line, Column: column, What: fmt.Sprintf(format, args...)}
	}
}

func (g *grammar) document(d *Document, root *node) {
	// [\u0009\u000A\u000D\u0020-\u00FF]+
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAssumeRolePolicy.html
	for i, c := range g.text {
		if c > 0xFF {
			g.refuse(i, "%q is beyond Latin-1, which IAM does not take: write it as an escape", c)
			break
		}
	}
	for i, m := range root.names {
		v := &root.vals[i]
		switch m.name {
		case "Version":
			g.version(v)
		case "Id":
			if v.kind != kindString {
				g.refuse(v.start, "Id must be a string, this is %s", kinds[v.kind])
			}
		case "Statement":
		default:
			g.refuse(m.start, "%q is no element of a policy: Version, Id and Statement are", m.name)
		}
	}
	list := root.member("Statement")
	if list == nil {
		g.refuse(root.start, "there is no Statement")
		return
	}
	d.list = *list
	each := list.vals
	switch list.kind {
	case kindObject:
		each = []node{*list}
	case kindArray:
		if len(each) == 0 {
			g.refuse(list.start, "the list of statements is empty")
		}
	default:
		g.refuse(list.start, "Statement must be a statement or a list of them, this is %s", kinds[list.kind])
		return
	}
	d.stmts = make([]statement, len(each))
	for i := range each {
		g.statement(&d.stmts[i], &each[i])
		d.stmts[i].describe(i)
		d.principals = append(d.principals, d.stmts[i].who.aws...)
	}
	g.sids(d.stmts)
}

// version: "2012-10-17" or "2008-10-17", which is also what none means.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
func (g *grammar) version(v *node) {
	switch {
	case v.kind == kindString && v.text == "2012-10-17":
		g.variables = true
	case v.kind == kindString && v.text == "2008-10-17":
	default:
		g.refuse(v.start, `Version must be "2012-10-17" or "2008-10-17"`)
	}
}

// sids: "In IAM, the Sid value must be unique within a JSON policy." The empty
// Sid, which the console writes, names nothing and may repeat.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_sid.html
func (g *grammar) sids(stmts []statement) {
	seen := make(map[string]int, len(stmts))
	for i := range stmts {
		sid := stmts[i].sid
		if first, ok := seen[sid]; ok && sid != "" {
			g.refuse(stmts[i].start, "Sid %q is also that of statement %d", sid, first+1)
		}
		seen[sid] = i
	}
}

func (g *grammar) statement(s *statement, n *node) {
	s.start, s.end = n.start, n.end
	if n.kind != kindObject {
		g.refuse(n.start, "a statement is an object, this is %s", kinds[n.kind])
		return
	}
	var effect, who, what bool
	for i, m := range n.names {
		v := &n.vals[i]
		switch m.name {
		case "Sid":
			g.sid(s, v)
		case "Effect":
			effect = true
			s.deny = v.text == "Deny"
			if v.kind != kindString || v.text != "Allow" && v.text != "Deny" {
				g.refuse(v.start, `Effect must be "Allow" or "Deny"`)
			}
		case "Principal", "NotPrincipal":
			if who {
				g.refuse(m.start, "a statement has Principal or NotPrincipal, not both")
			}
			who, s.except = true, m.name == "NotPrincipal"
			g.principal(&s.who, m.name, v)
		case "Action", "NotAction":
			if what {
				g.refuse(m.start, "a statement has Action or NotAction, not both")
			}
			what = true
			g.action(s, m.name, v)
		case "Condition":
			g.condition(s, v)
		case "Resource", "NotResource":
			g.refuse(m.start, "a trust policy cannot have %s: it belongs to its role", m.name)
		default:
			g.refuse(m.start, "%q is no element of a statement in a trust policy", m.name)
		}
	}
	switch {
	case !effect:
		g.refuse(n.start, "the statement has no Effect")
	case !who:
		g.refuse(n.start, "the statement has no Principal")
	case !what:
		g.refuse(n.start, "the statement has no Action")
	case s.except && !s.deny:
		// "NotPrincipal must be used with "Effect":"Deny". Using it with
		// "Effect":"Allow" is not supported."
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
		// The same page rules it out in trust policies altogether, which older
		// editions did not: a Deny that still stands in a role is judged.
		g.refuse(n.start, "NotPrincipal works with Deny only")
	}
}

func (g *grammar) sid(s *statement, v *node) {
	s.sid = v.text
	if v.kind != kindString {
		s.sid = ""
		g.refuse(v.start, "Sid must be a string, this is %s", kinds[v.kind])
	}
	for i := range len(v.text) {
		if c := v.text[i]; !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') {
			g.refuse(v.start, "Sid %q may hold letters and digits only", v.text)
			break
		}
	}
}

// strings reads a string or a list of at least one.
func (g *grammar) strings(what string, n *node, each func(string, *node)) {
	switch {
	case n.kind == kindString:
		each(n.text, n)
	case n.kind == kindArray && len(n.vals) == 0:
		g.refuse(n.start, "the list of %s is empty", what)
	case n.kind == kindArray:
		for i := range n.vals {
			if v := &n.vals[i]; v.kind == kindString {
				each(v.text, v)
			} else {
				g.refuse(v.start, "%s must be strings, this is %s", what, kinds[v.kind])
			}
		}
	default:
		g.refuse(n.start, "%s must be a string or a list of strings, this is %s", what, kinds[n.kind])
	}
}

// principal: "*" alone, or a map of AWS, Federated, Service, CanonicalUser. A bare
// string of any other kind is refused.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func (g *grammar) principal(p *principals, element string, n *node) {
	if n.kind == kindString && n.text == "*" {
		p.everyone = true
		return
	}
	if n.kind != kindObject || len(n.names) == 0 {
		g.refuse(n.start, `%s must be "*" or an object such as {"Service": "pods.eks.amazonaws.com"}`, element)
		return
	}
	for i, m := range n.names {
		var into *[]string
		switch m.name {
		case "AWS":
			into = &p.aws
		case "Federated":
			into = &p.federated
		case "Service":
			into = &p.services
		case "CanonicalUser":
			into = &p.canonical
		default:
			g.refuse(m.start, "%q is no kind of principal: AWS, Federated, Service and CanonicalUser are", m.name)
			continue
		}
		g.strings(m.name+" principals", &n.vals[i], func(s string, v *node) {
			if s == "" {
				g.refuse(v.start, "a principal is empty")
			}
			// {"AWS": "*"} is "*" in another dress.
			p.everyone = p.everyone || m.name == "AWS" && s == "*"
			*into = append(*into, s)
		})
	}
}

// action: "*", or a service namespace, a colon and a name; letters ignore case,
// wildcards may stand anywhere.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
func (g *grammar) action(s *statement, element string, n *node) {
	g.strings("actions", n, func(a string, v *node) {
		if vendor, name, ok := strings.Cut(a, ":"); a != "*" && (!ok || vendor == "" || name == "") {
			g.refuse(v.start, `action %q is not like "sts:AssumeRole"`, a)
		}
		s.actions |= actionsLike(a)
	})
	if element == "NotAction" {
		s.actions ^= allActions
	}
}

// condition: operators and keys are ANDed. An empty object, which the console
// writes, tests nothing.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
func (g *grammar) condition(s *statement, n *node) {
	if n.kind != kindObject {
		g.refuse(n.start, "Condition must be an object, this is %s", kinds[n.kind])
		return
	}
	operators := map[string]bool{}
	for i, m := range n.names {
		c, ok := parseOperator(m.name)
		if !ok {
			g.refuse(m.start, "%q is no condition operator", m.name)
			continue
		}
		// Access Analyzer: "Duplicate keys with different case".
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html
		folded := lower(m.name)
		if operators[folded] {
			g.refuse(m.start, "operator %q stands twice, in different case", m.name)
		}
		operators[folded] = true
		g.clauses(s, c, &n.vals[i])
	}
}

func (g *grammar) clauses(s *statement, like clause, n *node) {
	if n.kind != kindObject {
		g.refuse(n.start, "%s must hold an object of keys and values, this is %s", like.written, kinds[n.kind])
		return
	}
	seen := map[string]bool{}
	for i, m := range n.names {
		c := like
		c.key = compileKey(m.name)
		if m.name == "" {
			g.refuse(m.start, "a condition key is empty")
		}
		if seen[c.key.folded] {
			g.refuse(m.start, "key %q stands twice, in different case", m.name)
		}
		seen[c.key.folded] = true
		g.values(&c, &n.vals[i])
		s.clauses = append(s.clauses, c)
	}
}

// values: quotation marks are optional for numbers and booleans.
func (g *grammar) values(c *clause, n *node) {
	each := n.vals
	switch n.kind {
	case kindArray:
		if len(each) == 0 {
			g.refuse(n.start, "the list of values for %s is empty", c.key.name)
		}
	default:
		each = []node{*n}
	}
	for i := range each {
		switch v := &each[i]; v.kind {
		case kindString, kindNumber, kindBool:
			w := compileValue(v.text, c.op, g.variables)
			w.start, w.end = v.start, v.end
			c.values = append(c.values, w)
		default:
			g.refuse(v.start, "a value of %s must be a string, a number or a boolean, this is %s", c.key.name, kinds[v.kind])
		}
	}
}

// actionSet is which of the three calls a statement speaks of.
type actionSet uint8

const (
	assumeRole actionSet = 1 << iota
	tagSession
	assumeRoleWithWebIdentity
	allActions = assumeRole | tagSession | assumeRoleWithWebIdentity
)

func (a actionSet) String() string {
	switch a {
	case assumeRole:
		return "sts:AssumeRole"
	case tagSession:
		return "sts:TagSession"
	case assumeRoleWithWebIdentity:
		return "sts:AssumeRoleWithWebIdentity"
	}
	return fmt.Sprintf("actions(%d)", uint8(a))
}

// actionsLike tells which calls a written action covers.
func actionsLike(written string) (a actionSet) {
	pattern := compileGlob(lower(written))
	for _, one := range [...]actionSet{assumeRole, tagSession, assumeRoleWithWebIdentity} {
		if like(pattern, lower(one.String())) {
			a |= one
		}
	}
	return a
}
