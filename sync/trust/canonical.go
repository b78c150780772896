package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Digest identifies what the document means: the SHA-256, in hexadecimal, of a
// canonical form in which order, white space, Sid and Id, one value or a list of
// one, repeated values, the case of actions, condition keys and operators, the
// spellings of an account, and operators that mean the same do not matter. A
// document that is not [Document.Valid] has the digest of its JSON.
func (d *Document) Digest() string {
	if d == nil || d.digest == nil {
		return ""
	}
	return d.digest()
}

// Equal reports whether two documents mean the same, as [Document.Digest] has it:
// equal documents allow the same; documents that allow the same by other means (a
// wildcard instead of a list) may not be equal. Documents that could not be read
// equal nothing.
func Equal(a, b *Document) bool {
	return a.Digest() != "" && a.Digest() == b.Digest()
}

func canonicalDigest(d *Document, root *node) string {
	var form string
	if d.invalid != nil {
		form = "json\n" + canonicalJSON(root)
	} else {
		form = canonicalPolicy(d, root)
	}
	sum := sha256.Sum256([]byte(form))
	return hex.EncodeToString(sum[:])
}

// canonicalJSON sorts members and drops white space, nothing else.
func canonicalJSON(n *node) string {
	switch n.kind {
	case kindString:
		return strconv.Quote(n.text)
	case kindArray:
		each := make([]string, len(n.vals))
		for i := range n.vals {
			each[i] = canonicalJSON(&n.vals[i])
		}
		return "[" + strings.Join(each, ",") + "]"
	case kindObject:
		each := make([]string, len(n.vals))
		for i := range n.vals {
			each[i] = strconv.Quote(n.names[i].name) + ":" + canonicalJSON(&n.vals[i])
		}
		slices.Sort(each)
		return "{" + strings.Join(each, ",") + "}"
	}
	return n.text
}

func canonicalPolicy(d *Document, root *node) string {
	lines := make([]string, len(d.stmts))
	for i := range d.stmts {
		lines[i] = canonicalStatement(d, i)
	}
	// Only "${" reads differently in the two versions, however it is spelled in JSON.
	version := ""
	if v := root.member("Version"); v != nil && v.text == "2012-10-17" && d.hasVariables() {
		version = "variables\n"
	}
	return "policy\n" + version + strings.Join(sorted(lines), "\n")
}

// hasVariables reports whether a value holds "${" where policy variables have a
// meaning: with the operators for strings and ARNs.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-wheretouse
func (d *Document) hasVariables() bool {
	for i := range d.stmts {
		for _, c := range d.stmts[i].clauses {
			if c.op.takesVariables() && slices.ContainsFunc(c.values, func(v value) bool { return strings.Contains(v.written, "${") }) {
				return true
			}
		}
	}
	return false
}

func canonicalStatement(d *Document, i int) string {
	n := &d.list
	if n.kind == kindArray {
		n = &n.vals[i]
	}
	s := &d.stmts[i]
	var b strings.Builder
	b.WriteString(strconv.FormatBool(s.deny))
	for j, m := range n.names {
		if m.name == "Action" || m.name == "NotAction" {
			actions := texts(&n.vals[j])
			for k, a := range actions {
				actions[k] = lower(a)
			}
			b.WriteString(" " + m.name + list(actions))
		}
	}
	b.WriteString(" except=" + strconv.FormatBool(s.except))
	b.WriteString(canonicalPrincipals(&s.who))
	clauses := make([]string, len(s.clauses))
	for j := range s.clauses {
		clauses[j] = canonicalClause(&s.clauses[j])
	}
	return b.String() + " " + list(clauses)
}

func canonicalPrincipals(p *principals) string {
	if p.everyone {
		return " *"
	}
	aws := make([]string, len(p.aws))
	for i, a := range p.aws {
		aws[i] = canonicalAccount(a)
	}
	return " AWS" + list(aws) + " Federated" + list(p.federated) + " Service" + list(p.services) + " CanonicalUser" + list(p.canonical)
}

// canonicalAccount: the root ARN and the account's number name the same.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-accounts
func canonicalAccount(a string) string {
	parts := strings.Split(a, ":")
	if len(parts) == 6 && parts[0] == "arn" && parts[2] == "iam" && parts[5] == "root" {
		return parts[4]
	}
	return a
}

func canonicalClause(c *clause) string {
	op := c.op.name
	if c.op.family == familyLike && !slices.ContainsFunc(c.values, func(v value) bool {
		return strings.ContainsAny(v.written, "*?$")
	}) {
		op = strings.Replace(op, "like", "equals", 1)
	}
	values := make([]string, len(c.values))
	for i, v := range c.values {
		values[i] = v.written
	}
	return strconv.Itoa(int(c.set)) + " " + op + " " + strconv.FormatBool(c.ifExists) + " " + strconv.Quote(c.key.folded) + list(values)
}

func texts(n *node) []string {
	if n.kind != kindArray {
		return []string{n.text}
	}
	out := make([]string, len(n.vals))
	for i := range n.vals {
		out[i] = n.vals[i].text
	}
	return out
}

// list renders a set: sorted, each once, quoted.
func list(values []string) string {
	values = sorted(values)
	for i, v := range values {
		values[i] = strconv.Quote(v)
	}
	return "[" + strings.Join(values, ",") + "]"
}

func sorted(values []string) []string {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}
