package awsd

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// policy is a policy document, parsed. [parsePolicy] accepts IAM's grammar and nothing
// else, so that the judge never meets an element it does not know.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type policy struct {
	version    string
	statements []statement
}

type statement struct {
	sid          string
	deny         bool
	principals   map[string][]string // By kind; {"*": nil} for the bare "*"; nil if absent.
	notPrincipal bool
	actions      []string
	notAction    bool
	resources    []string // Nil if absent.
	notResource  bool
	conditions   []condition
}

type condition struct {
	set      string // "", "ForAllValues" or "ForAnyValue".
	base     string // The operator without set prefix and IfExists.
	ifExists bool
	key      string
	values   []string
}

// malformed is a reason to refuse a policy, in IAM's words where they are known.
type malformed string

func (m malformed) Error() string { return string(m) }

func malformedf(format string, args ...any) error { return malformed(fmt.Sprintf(format, args...)) }

const syntaxErrors = malformed("Syntax errors in policy.")

var alphanumeric = regexp.MustCompile(`^[0-9A-Za-z]*$`)

// parsePolicy reads a policy document.
func parsePolicy(doc string) (*policy, error) {
	tree, err := decodeObject(doc)
	if err != nil {
		return nil, err
	}
	p := &policy{version: "2008-10-17"}
	for _, m := range tree {
		switch m.key {
		case "Version":
			v, _ := m.val.(string)
			if v != "2012-10-17" && v != "2008-10-17" {
				return nil, syntaxErrors
			}
			p.version = v
		case "Id":
			if _, ok := m.val.(string); !ok {
				return nil, syntaxErrors
			}
		case "Statement":
			if p.statements, err = parseStatements(m.val); err != nil {
				return nil, err
			}
		default:
			return nil, syntaxErrors
		}
	}
	if len(p.statements) == 0 {
		return nil, syntaxErrors
	}
	return p, nil
}

func parseStatements(val any) ([]statement, error) {
	list, ok := val.([]any)
	if !ok {
		list = []any{val}
	}
	var out []statement
	sids := map[string]bool{}
	for _, v := range list {
		obj, ok := v.(object)
		if !ok {
			return nil, syntaxErrors
		}
		st, err := parseStatement(obj)
		if err != nil {
			return nil, err
		}
		if st.sid != "" && sids[st.sid] {
			return nil, malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[st.sid] = true
		out = append(out, st)
	}
	return out, nil
}

func parseStatement(obj object) (statement, error) {
	var st statement
	var err error
	has := map[string]bool{}
	for _, m := range obj {
		ok := true
		switch m.key {
		case "Sid":
			st.sid, ok = m.val.(string)
			if !alphanumeric.MatchString(st.sid) {
				err = malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
			}
		case "Effect":
			ok = m.val == "Allow" || m.val == "Deny"
			st.deny = m.val == "Deny"
		case "Principal", "NotPrincipal":
			st.notPrincipal = m.key == "NotPrincipal"
			st.principals, ok = parsePrincipals(m.val)
		case "Action", "NotAction":
			st.notAction = m.key == "NotAction"
			st.actions, ok = stringList(m.val, false)
		case "Resource", "NotResource":
			st.notResource = m.key == "NotResource"
			st.resources, ok = stringList(m.val, false)
		case "Condition":
			st.conditions, err = parseConditions(m.val)
		default:
			ok = false
		}
		if !ok {
			return st, syntaxErrors
		}
		if err != nil {
			return st, err
		}
		has[m.key] = true
	}
	if !has["Effect"] || has["Principal"] && has["NotPrincipal"] || has["Action"] && has["NotAction"] || has["Resource"] && has["NotResource"] {
		return st, syntaxErrors
	}
	if len(st.actions) == 0 {
		return st, malformed("Policy statement must contain actions.")
	}
	return st, nil
}

func parsePrincipals(val any) (map[string][]string, bool) {
	if val == "*" {
		return map[string][]string{"*": nil}, true
	}
	obj, ok := val.(object)
	if !ok || len(obj) == 0 {
		return nil, false
	}
	out := map[string][]string{}
	for _, m := range obj {
		if !slices.Contains([]string{"AWS", "Service", "Federated", "CanonicalUser"}, m.key) {
			return nil, false
		}
		if out[m.key], ok = stringList(m.val, false); !ok {
			return nil, false
		}
	}
	return out, true
}

func parseConditions(val any) ([]condition, error) {
	ops, ok := val.(object)
	if !ok {
		return nil, syntaxErrors
	}
	var out []condition
	for _, op := range ops {
		c, ok := parseOperator(op.key)
		if !ok {
			return nil, malformedf("Invalid Condition type : %s.", op.key)
		}
		keys, ok := op.val.(object)
		if !ok || len(keys) == 0 {
			return nil, syntaxErrors
		}
		for _, k := range keys {
			if c.values, ok = stringList(k.val, true); !ok || k.key == "" {
				return nil, syntaxErrors
			}
			c.key = k.key
			out = append(out, c)
		}
	}
	return out, nil
}

func parseOperator(name string) (c condition, ok bool) {
	c.base = name
	if set, rest, found := strings.Cut(name, ":"); found {
		if set != "ForAllValues" && set != "ForAnyValue" {
			return c, false
		}
		c.set, c.base = set, rest
	}
	if base, found := strings.CutSuffix(c.base, "IfExists"); found {
		c.base, c.ifExists = base, true
	}
	_, ok = operators[c.base]
	return c, ok && !(c.base == "Null" && (c.ifExists || c.set != ""))
}

// stringList reads a string or a list of strings, which may not be empty. Numbers and
// Booleans count as strings where scalars is true.
func stringList(val any, scalars bool) ([]string, bool) {
	list, ok := val.([]any)
	if !ok {
		list = []any{val}
	}
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case json.Number, bool:
			if !scalars {
				return nil, false
			}
			out = append(out, fmt.Sprint(v))
		default:
			return nil, false
		}
	}
	return out, len(out) > 0
}

// object is a JSON object in its own order. A map would drop duplicate keys, and on a
// security document nothing may be dropped.
type object []member

type member struct {
	key string
	val any
}

func decodeObject(doc string) (object, error) {
	if !json.Valid([]byte(doc)) {
		return nil, malformed("This policy contains invalid Json")
	}
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	val, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	obj, ok := val.(object)
	if _, err := dec.Token(); !ok || err != io.EOF {
		return nil, syntaxErrors
	}
	return obj, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil || depth > 8 {
		return nil, syntaxErrors
	}
	switch tok {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		obj := object{}
		for dec.More() {
			key, _ := dec.Token()
			name, _ := key.(string)
			if slices.ContainsFunc(obj, func(m member) bool { return m.key == name }) {
				return nil, syntaxErrors
			}
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			obj = append(obj, member{name, v})
		}
		_, err = dec.Token()
		return obj, err
	}
	return tok, nil
}
