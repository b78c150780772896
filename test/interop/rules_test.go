//go:build nightly

package interop

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// differences is the closed list of what lanyard and iam-simulate 0.1.173 see
// differently in decisions. Each rule is as narrow as the document and its world allow,
// and its count is exact for the seed: a rule that explains more, or less, than it did
// is looked at again.
var differences = []rule{
	{"variables before 2012-10-17", func(p pair) bool {
		// "If you do not include the Version element, or it is an earlier one, variables
		// are treated as literal strings"; iam-simulate fills them in all the same.
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
		return p.policy().Version != "2012-10-17" && p.anyClause(func(c clause) bool {
			return strings.Contains(strings.Join(c.values, "\n"), "${")
		})
	}, 92},
	{"IfExists behind ForAnyValue", func(p pair) bool {
		// "If the condition key is not present, evaluate the condition element as true",
		// of every operator but Null; iam-simulate lets ForAnyValue have the last word.
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IfExists
		return p.anyClause(func(c clause) bool {
			return strings.HasPrefix(c.op, "foranyvalue:") && strings.HasSuffix(c.op, "ifexists") && !p.carries(c.key)
		})
	}, 100},
	{"a variable without a value, negated", func(p pair) bool {
		// A value that holds such a variable matches nothing, and a negated operator is
		// true of what does not match; iam-simulate makes both false.
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-no-value
		return p.anyClause(func(c clause) bool {
			return c.negated() && c.anyVariable(func(name, fallback string) bool { return fallback == "" && !p.carries(name) })
		})
	}, 12},
	{"a variable in an ARN", func(p pair) bool {
		// iam-simulate cuts the pattern at its colons before it fills in variables, whose
		// names have a colon themselves. AWS's own examples write such ARNs.
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-wheretouse
		return p.anyClause(func(c clause) bool {
			return strings.Contains(c.op, "arn") && c.anyVariable(func(string, string) bool { return true })
		})
	}, 3},
	{"a date in epoch seconds", func(p pair) bool {
		// Dates are ISO 8601 "or in epoch (UNIX) time"; iam-simulate compares only the former.
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Date
		return p.anyClause(func(c clause) bool {
			epoch := func(v string) bool { return strings.Trim(v, "0123456789") == "" }
			return strings.Contains(c.op, "date") && slices.ContainsFunc(c.values, epoch)
		})
	}, 12},
	{"the account that the provider stands in", func(p pair) bool {
		// iam-simulate reads the account out of the provider's ARN and takes the web
		// identity for one of the account's own principals, in Deny and NotPrincipal.
		for _, s := range p.policy().Statement {
			if s.Effect == "Deny" && strings.Contains(fmt.Sprint(s.Principal, s.NotPrincipal), "123456789012") && p.r.Mechanism == identity.IRSA {
				return true
			}
		}
		return false
	}, 39},
}

// statement is a statement of a document, read only as far as the rules look.
type statement struct {
	Effect       string
	Principal    any
	NotPrincipal any
	Action       any
	Condition    map[string]map[string]any
}

type policy struct {
	Version   string
	Statement []statement
}

func (p pair) policy() (out policy) {
	if err := json.Unmarshal([]byte(p.text), &out); err != nil {
		panic(fmt.Sprintf("%v: %s", err, p.text))
	}
	return out
}

// clause is one operator, lower case, with one key and its values.
type clause struct {
	op, key string
	values  []string
}

func (s statement) clauses() (out []clause) {
	for op, keys := range s.Condition {
		for key, v := range keys {
			c := clause{op: strings.ToLower(op), key: key}
			switch v := v.(type) {
			case []any:
				for _, one := range v {
					c.values = append(c.values, fmt.Sprint(one))
				}
			default:
				c.values = []string{fmt.Sprint(v)}
			}
			out = append(out, c)
		}
	}
	return out
}

// anyClause reports whether some clause of the document is like that.
func (p pair) anyClause(like func(clause) bool) bool {
	for _, s := range p.policy().Statement {
		for _, c := range s.clauses() {
			if like(c) {
				return true
			}
		}
	}
	return false
}

// carries reports whether the calls carry a key in this world.
func (p pair) carries(key string) bool {
	for k := range p.calls[0].Context {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

func (c clause) negated() bool { return strings.Contains(c.op, "not") }

var variable = regexp.MustCompile(`\$\{([^},]*)(,[^}]*)?\}`)

// variables calls f for each policy variable of the clause's values.
func (c clause) anyVariable(like func(name, fallback string) bool) bool {
	for _, v := range c.values {
		for _, m := range variable.FindAllStringSubmatch(v, -1) {
			if !strings.Contains("*?$", m[1]) && like(m[1], m[2]) {
				return true
			}
		}
	}
	return false
}
