package trust

import (
	"encoding/base64"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// value is one value of a condition in a document, read for its operator.
type value struct {
	written    string // as written
	start, end int    // where

	pattern    string // strings and ARNs without variables: the pattern's bytes
	parts      []part // strings and ARNs with policy variables
	everything bool   // matches whatever the key holds

	number float64
	time   time.Time
	prefix netip.Prefix
	binary string
	truth  bool

	// bad: it cannot be read as its operator wants (a number that is none, an
	// ARN without six parts, a variable without its brace). The guide does not
	// say what AWS makes of it; lanyard calls the condition undecidable rather
	// than bet on either answer.
	bad bool
}

// part is a stretch of a pattern: literal bytes, or a variable.
type part struct {
	pattern  string
	variable bool
	key      keyRef
	fallback string // the default, if hasDefault
	hasDef   bool
}

func compileValue(written string, op operator, variables bool) value {
	v := value{written: written}
	switch op.family {
	case familyString, familyIgnoreCase, familyLike, familyARN:
		v.compilePattern(op.family, variables)
	case familyNumeric:
		n, ok := parseNumber(written)
		v.number, v.bad = n, !ok
	case familyDate:
		t, ok := parseDate(written)
		v.time, v.bad = t, !ok
	case familyIP:
		p, ok := parsePrefix(written)
		v.prefix, v.bad = p, !ok
	case familyBinary:
		b, err := base64.StdEncoding.DecodeString(written)
		v.binary, v.bad = string(b), err != nil
	case familyBool, familyNull:
		v.truth = equalFold(written, "true")
		v.bad = !v.truth && !equalFold(written, "false")
	}
	return v
}

// compilePattern reads wildcards where the operator has them, and policy
// variables where the document's version has them.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func (v *value) compilePattern(f family, variables bool) {
	glob := func(s string) string { return s }
	if f == familyLike || f == familyARN {
		glob = compileGlob
	}
	if !variables || !strings.Contains(v.written, "${") {
		v.pattern = glob(v.written)
		v.finish(f)
		return
	}
	rest := v.written
	for {
		before, after, found := strings.Cut(rest, "${")
		if before != "" {
			v.parts = append(v.parts, part{pattern: glob(before)})
		}
		if !found {
			break
		}
		p, tail, ok := compileVariable(after)
		if !ok {
			v.bad = true
			return
		}
		v.parts, rest = append(v.parts, p), tail
	}
	var b strings.Builder
	for _, p := range v.parts {
		if p.variable {
			return
		}
		b.WriteString(p.pattern)
	}
	v.parts, v.pattern = nil, b.String() // escapes only
	v.finish(f)
}

func (v *value) finish(f family) {
	v.bad = f == familyARN && !sixParts(v.pattern)
	v.everything = f == familyLike && v.pattern != "" && strings.Count(v.pattern, "\xff") == len(v.pattern)
}

// compileVariable reads what follows "${": one of the escapes ${*} ${?} ${$}, a
// key, or a key with a default: ${key, 'default'}.
func compileVariable(s string) (p part, tail string, ok bool) {
	inner, tail, ok := strings.Cut(s, "}")
	if !ok {
		return p, "", false
	}
	switch inner {
	case "*", "?", "$":
		return part{pattern: inner}, tail, true
	}
	name, _, hasDef := strings.Cut(inner, ",")
	if hasDef {
		var rest string
		// The default may itself hold a brace: look for the closing quote.
		quoted, found := strings.CutPrefix(strings.TrimLeft(s[len(name)+1:], " "), "'")
		p.fallback, rest, ok = strings.Cut(quoted, "'")
		tail, closed := strings.CutPrefix(strings.TrimLeft(rest, " "), "}")
		if !found || !ok || !closed {
			return p, "", false
		}
		p.hasDef = true
		return p.named(name, tail)
	}
	return p.named(name, tail)
}

func (p part) named(name, tail string) (part, string, bool) {
	if name == "" || strings.ContainsAny(name, " \t'${") {
		return p, "", false
	}
	p.variable, p.key = true, compileKey(name)
	return p, tail, true
}

// expand fills in a value's variables. It answers yes with the pattern; no when a
// variable has no value, so that the value is "effectively null" and nothing
// equals it; maybe when a variable's value cannot be known.
func (e *env) expand(v *value) ([]byte, tri) {
	b := e.pattern[:0]
	for i := range v.parts {
		p := &v.parts[i]
		if !p.variable {
			b = append(b, p.pattern...)
			continue
		}
		// A variable's value goes to the scratch that the condition's own key
		// may hold: save that one first. See test.
		st, vals := e.lookup(&p.key)
		switch {
		case st == absent && p.hasDef:
			b = append(b, p.fallback...)
		case st == absent:
			return nil, no
		case st != known || len(vals) != 1: // a key with several values cannot be a variable
			return nil, maybe
		default:
			for _, c := range vals[0] {
				if c >= anyRune { // not UTF-8, so not a value that AWS would carry
					return nil, no
				}
			}
			b = append(b, vals[0]...)
		}
	}
	e.pattern = b
	return b, yes
}

// parseNumber reads an integer or a decimal.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Numeric
func parseNumber(s string) (float64, bool) {
	if s == "" || len(s) > 64 || strings.Trim(s, "+-.0123456789eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

var dateLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700",
	"2006-01-02", "2006-01", "2006",
}

// parseDate reads the W3C profiles of ISO 8601, and seconds since 1970.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Date
func parseDate(s string) (time.Time, bool) {
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 1<<40 {
		return time.Unix(n, 0), true
	}
	return time.Time{}, false
}

// parsePrefix reads a CIDR range; an address alone is the range of itself.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IPAddress
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}
