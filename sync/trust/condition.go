package trust

import (
	"net/netip"
	"strings"
)

type family uint8

const (
	familyString family = iota
	familyIgnoreCase
	familyLike
	familyNumeric
	familyDate
	familyBool
	familyBinary
	familyIP
	familyARN
	familyNull
)

type relation uint8

const (
	equal relation = iota
	less
	lessEqual
	greater
	greaterEqual
)

// operator is a condition operator without its prefix and suffix.
type operator struct {
	name     string // lower case; of two that mean the same, the first
	family   family
	relation relation
	negated  bool // the list of values is NOR, not OR, and an absent key makes it true
}

func (o operator) takesVariables() bool {
	switch o.family {
	case familyString, familyIgnoreCase, familyLike, familyARN:
		return true
	}
	return false
}

// operators has every condition operator; names ignore case.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
var operators = func() map[string]operator {
	m := map[string]operator{}
	add := func(name string, op operator) {
		if op.name == "" {
			op.name = lower(name)
		}
		m[lower(name)] = op
	}
	add("StringEquals", operator{family: familyString})
	add("StringNotEquals", operator{family: familyString, negated: true})
	add("StringEqualsIgnoreCase", operator{family: familyIgnoreCase})
	add("StringNotEqualsIgnoreCase", operator{family: familyIgnoreCase, negated: true})
	add("StringLike", operator{family: familyLike})
	add("StringNotLike", operator{family: familyLike, negated: true})
	for prefix, f := range map[string]family{"Numeric": familyNumeric, "Date": familyDate} {
		add(prefix+"Equals", operator{family: f})
		add(prefix+"NotEquals", operator{family: f, negated: true})
		add(prefix+"LessThan", operator{family: f, relation: less})
		add(prefix+"LessThanEquals", operator{family: f, relation: lessEqual})
		add(prefix+"GreaterThan", operator{family: f, relation: greater})
		add(prefix+"GreaterThanEquals", operator{family: f, relation: greaterEqual})
	}
	add("Bool", operator{family: familyBool})
	add("BinaryEquals", operator{family: familyBinary})
	add("IpAddress", operator{family: familyIP})
	add("NotIpAddress", operator{family: familyIP, negated: true})
	add("ArnEquals", operator{family: familyARN})
	add("ArnLike", operator{family: familyARN, name: "arnequals"})
	add("ArnNotEquals", operator{family: familyARN, negated: true})
	add("ArnNotLike", operator{family: familyARN, negated: true, name: "arnnotequals"})
	add("Null", operator{family: familyNull})
	return m
}()

// set is how a condition treats a key's several values.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
type set uint8

const (
	setNone set = iota
	setAll      // ForAllValues: every value the request carries; true when it carries none
	setAny      // ForAnyValue: at least one; false when it carries none
)

// clause is one operator with one key and its values.
type clause struct {
	written  string // the operator as written
	op       operator
	set      set
	ifExists bool
	key      keyRef
	values   []value
}

// parseOperator reads "ForAllValues:StringLikeIfExists" and the like.
func parseOperator(written string) (c clause, ok bool) {
	c.written = written
	name := lower(written)
	if rest, found := strings.CutPrefix(name, "forallvalues:"); found {
		name, c.set = rest, setAll
	} else if rest, found := strings.CutPrefix(name, "foranyvalue:"); found {
		name, c.set = rest, setAny
	}
	name, c.ifExists = strings.CutSuffix(name, "ifexists")
	c.op, ok = operators[name]
	if c.op.family == familyNull {
		if c.ifExists { // "any condition operator name except the Null condition"
			return c, false
		}
		c.set = setNone // IAM Access Analyzer calls a qualifier here redundant
	}
	return c, ok
}

// eval judges one clause against the call.
func (e *env) eval(c *clause) tri {
	st, vals := e.lookup(&c.key)
	if c.op.family == familyNull {
		return c.null(st)
	}
	switch st {
	case absent:
		return c.whenAbsent()
	case hidden:
		return e.whenHidden(c)
	case unsure: // decided only if its absence and its presence agree
		if t := c.whenAbsent(); t == e.whenHidden(c) {
			return t
		}
		return maybe
	}
	switch c.set {
	case setAll:
		return e.all(c, vals)
	case setAny:
		return e.any(c, vals)
	}
	if len(vals) != 1 {
		// "Multivalued context keys require a condition set operator": what AWS
		// does without one is not written.
		return maybe
	}
	return e.test(c, vals[0])
}

// null tests presence: true means that the key is absent.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Null
func (c *clause) null(st status) tri {
	t := no
	for i := range c.values {
		v := &c.values[i]
		switch {
		case v.bad || st == unsure:
			t = max(t, maybe)
		case v.truth == (st == absent):
			return yes
		}
	}
	if t == maybe && st == unsure && c.wantsBoth() {
		return yes
	}
	return t
}

func (c *clause) wantsBoth() bool {
	var present, missing bool
	for i := range c.values {
		present = present || !c.values[i].bad && !c.values[i].truth
		missing = missing || !c.values[i].bad && c.values[i].truth
	}
	return present && missing
}

// whenAbsent: a missing key matches nothing, so that a negated operator is true;
// IfExists and ForAllValues are true, ForAnyValue is false.
func (c *clause) whenAbsent() tri {
	switch {
	case c.ifExists || c.set == setAll:
		return yes
	case c.set == setAny:
		return no
	}
	return truth(c.op.negated)
}

// whenHidden: the key has a value that nobody here knows. Only a value list that
// takes everything, or that can match nothing, decides.
func (e *env) whenHidden(c *clause) tri {
	t := no
	for i := range c.values {
		v := &c.values[i]
		if v.everything {
			t = yes
			break
		}
		if len(v.parts) > 0 {
			if _, ok := e.expand(v); ok == no {
				continue
			}
		}
		t = maybe
	}
	if c.op.negated {
		return not(t)
	}
	return t
}

// all is ForAllValues: "It also returns true if there are no context keys in the
// request, or if the context key value resolves to a null dataset, such as an
// empty string." Empty values are therefore passed over.
func (e *env) all(c *clause, vals [][]byte) tri {
	t := yes
	for _, v := range vals {
		if len(v) > 0 {
			t = min(t, e.test(c, v))
		}
	}
	return t
}

// any is ForAnyValue: "For no matching context key or a null dataset, the
// condition returns false".
func (e *env) any(c *clause, vals [][]byte) tri {
	t := no
	for _, v := range vals {
		if len(v) > 0 {
			t = max(t, e.test(c, v))
		}
	}
	return t
}

// test compares one value of the request with the list in the document: OR, and
// NOR when negated.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
func (e *env) test(c *clause, v []byte) tri {
	t := no
	var saved [512]byte
	for i := range c.values {
		if w := &c.values[i]; len(w.parts) > 0 && len(e.scratch) > 0 && len(v) > 0 && &v[0] == &e.scratch[0] {
			// Filling in a variable overwrites the scratch that v stands in.
			v = append(saved[:0], v...)
		}
		if t = max(t, e.match(c, &c.values[i], v)); t == yes {
			break
		}
	}
	if c.op.negated {
		return not(t)
	}
	return t
}

// match compares one value with one value.
func (e *env) match(c *clause, w *value, v []byte) tri {
	if w.bad {
		return maybe
	}
	switch c.op.family {
	case familyString, familyIgnoreCase, familyLike, familyARN:
		if len(w.parts) == 0 {
			return matchText(c.op.family, w.pattern, v)
		}
		pattern, t := e.expand(w)
		if t != yes {
			return t
		}
		if c.op.family == familyARN && !sixParts(pattern) {
			return maybe
		}
		return matchText(c.op.family, pattern, v)
	case familyNumeric:
		n, ok := parseNumber(string(v))
		return truth(ok && c.op.relation.holds(compareFloat(n, w.number)))
	case familyDate:
		t, ok := parseDate(string(v))
		return truth(ok && c.op.relation.holds(t.Compare(w.time)))
	case familyBool:
		return truth(w.truth && equalFold(v, literalTrue) || !w.truth && equalFold(v, literalFalse))
	case familyBinary:
		return truth(string(v) == w.binary)
	case familyIP:
		a, err := netip.ParseAddr(string(v))
		return truth(err == nil && w.prefix.Contains(a))
	}
	return maybe
}

func matchText[P text](f family, pattern P, v []byte) tri {
	switch f {
	case familyString:
		return truth(string(pattern) == string(v))
	case familyIgnoreCase:
		return sameButCase(pattern, v)
	case familyARN:
		return truth(likeARN(pattern, v))
	}
	return truth(like(pattern, v))
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (r relation) holds(order int) bool {
	switch r {
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterEqual:
		return order >= 0
	}
	return order == 0
}
