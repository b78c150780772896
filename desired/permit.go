package desired

import (
	"fmt"
	"regexp"
)

// Rule names a guard rail of the operator's.
type Rule string

// The guard rails that bound what is written.
const (
	RuleNone    Rule = ""             // nothing forbids it
	RuleProtect Rule = "protect"      // the namespace is protected
	RuleNoAllow Rule = "allow"        // there is no allow, which repair and migrate require
	RuleRole    Rule = "allow.role"   // no rule of allow has both the namespace and the role
	RuleTarget  Rule = "allow.target" // no rule of allow has both the namespace and the target role
)

// Permit says whether the guard rails let lanyard write for a mapping, and if not
// which of them forbids it and where it stands. A protected namespace is stronger
// than any allow; a rule must have both the namespace and the role; and a target
// role must be allowed as the role is, since the pod gets its rights. In mode
// observe, where nothing is written, a configuration without allow permits all.
// So does no configuration at all, with which lanyard only observes.
func (c *Configuration) Permit(m Mapping) (rule Rule, at Position, ok bool) {
	if c == nil {
		return RuleNone, Position{}, true
	}
	for _, p := range c.Protect {
		if glob(p.Namespace, m.Subject.Namespace) {
			return RuleProtect, p.At, false
		}
	}
	if len(c.Allow) == 0 {
		if c.Mode == ModeObserve {
			return RuleNone, Position{}, true
		}
		return RuleNoAllow, c.At, false
	}
	if !c.allows(m.Subject.Namespace, m.Role.String()) {
		return RuleRole, c.AllowAt, false
	}
	if target := m.PodIdentity.TargetRole; !target.IsZero() && !c.allows(m.Subject.Namespace, target.String()) {
		return RuleTarget, c.AllowAt, false
	}
	return RuleNone, Position{}, true
}

// allows reports whether one rule has both a namespace and a role.
func (c *Configuration) allows(namespace, role string) bool {
	for _, a := range c.Allow {
		if anyGlob(a.Namespaces, namespace) && anyGlob(a.Roles, role) {
			return true
		}
	}
	return false
}

// Explain says in a sentence what a rule forbids, for findings.
func (r Rule) Explain(m Mapping) string {
	switch r {
	case RuleProtect:
		return "namespace " + m.Subject.Namespace + " is protected by the operator"
	case RuleNoAllow:
		return "the configuration has no allow, without which nothing is written"
	case RuleRole:
		return "no rule of allow has both namespace " + m.Subject.Namespace + " and role " + m.Role.String()
	case RuleTarget:
		return "no rule of allow has both namespace " + m.Subject.Namespace + " and target role " + m.PodIdentity.TargetRole.String()
	}
	return ""
}

// Refusal is what findings say of a mapping that a rule forbids: where the rule stands,
// what it forbids, and its name.
func (r Rule) Refusal(at Position, m Mapping) string {
	return fmt.Sprintf("%s: %s (%s)", at, r.Explain(m), r)
}

// RefusedBy reads the rule from the end of a [Rule.Refusal]; RuleNone if there is none.
func RefusedBy(refusal string) Rule {
	if m := refusalRE.FindStringSubmatch(refusal); m != nil {
		return Rule(m[1])
	}
	return RuleNone
}

var refusalRE = regexp.MustCompile(`\(([a-z.]+)\)$`)
