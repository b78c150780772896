package awsd

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// operator is a condition operator: how one value of the request compares with one value
// of the policy, and whether the comparison is negated. A negated operator holds when the
// request's value matches none of the policy's, and when the key is absent.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
type operator struct {
	match  func(value string, pattern []rune) bool
	negate bool
}

var operators = map[string]operator{
	"StringEquals":              {matchEqual, false},
	"StringNotEquals":           {matchEqual, true},
	"StringEqualsIgnoreCase":    {matchFold, false},
	"StringNotEqualsIgnoreCase": {matchFold, true},
	"StringLike":                {matchLike, false},
	"StringNotLike":             {matchLike, true},
	"ArnEquals":                 {matchARN, false},
	"ArnNotEquals":              {matchARN, true},
	"ArnLike":                   {matchARN, false},
	"ArnNotLike":                {matchARN, true},
	"Bool":                      {matchFold, false},
	"BinaryEquals":              {matchEqual, false},
	"NumericEquals":             {numeric(func(c int) bool { return c == 0 }), false},
	"NumericNotEquals":          {numeric(func(c int) bool { return c == 0 }), true},
	"NumericLessThan":           {numeric(func(c int) bool { return c < 0 }), false},
	"NumericLessThanEquals":     {numeric(func(c int) bool { return c <= 0 }), false},
	"NumericGreaterThan":        {numeric(func(c int) bool { return c > 0 }), false},
	"NumericGreaterThanEquals":  {numeric(func(c int) bool { return c >= 0 }), false},
	"DateEquals":                {date(func(c int) bool { return c == 0 }), false},
	"DateNotEquals":             {date(func(c int) bool { return c == 0 }), true},
	"DateLessThan":              {date(func(c int) bool { return c < 0 }), false},
	"DateLessThanEquals":        {date(func(c int) bool { return c <= 0 }), false},
	"DateGreaterThan":           {date(func(c int) bool { return c > 0 }), false},
	"DateGreaterThanEquals":     {date(func(c int) bool { return c >= 0 }), false},
	"IpAddress":                 {matchIP, false},
	"NotIpAddress":              {matchIP, true},
	"Null":                      {matchFold, false}, // Judged apart: it asks about the key.
}

// A compiled pattern is a string of runes in which wildcards are these two, so that the
// text "*" that came from ${*} or from a variable is not mistaken for a wildcard.
const (
	anyRunes rune = -1
	oneRune  rune = -2
)

var variable = regexp.MustCompile(`\$\{([^{}]*)\}`)

// compile replaces the policy variables in a value. It fails where a variable is not in
// the request and has no default: such a value matches nothing.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func compile(value string, vars map[string][]string) ([]rune, bool) {
	var out []rune
	for {
		loc := variable.FindStringSubmatchIndex(value)
		if vars == nil || loc == nil {
			return append(out, wild(value)...), true
		}
		out = append(out, wild(value[:loc[0]])...)
		text, ok := resolve(value[loc[2]:loc[3]], vars)
		if !ok {
			return nil, false
		}
		out = append(out, []rune(text)...)
		value = value[loc[1]:]
	}
}

func resolve(name string, vars map[string][]string) (string, bool) {
	if name == "*" || name == "?" || name == "$" {
		return name, true
	}
	name, fallback, hasDefault := strings.Cut(name, ",")
	if vals := vars[strings.ToLower(strings.TrimSpace(name))]; len(vals) == 1 {
		return vals[0], true
	}
	fallback = strings.TrimSpace(fallback)
	if n := len(fallback); hasDefault && n >= 2 && fallback[0] == '\'' && fallback[n-1] == '\'' {
		return fallback[1 : n-1], true
	}
	return "", false
}

func wild(s string) []rune {
	out := []rune(s)
	for i, r := range out {
		switch r {
		case '*':
			out[i] = anyRunes
		case '?':
			out[i] = oneRune
		}
	}
	return out
}

func plain(pattern []rune) string {
	out := make([]rune, len(pattern))
	for i, r := range pattern {
		switch r {
		case anyRunes:
			r = '*'
		case oneRune:
			r = '?'
		}
		out[i] = r
	}
	return string(out)
}

func matchEqual(value string, pattern []rune) bool { return value == plain(pattern) }

func matchFold(value string, pattern []rune) bool { return strings.EqualFold(value, plain(pattern)) }

func matchLike(value string, pattern []rune) bool { return glob([]rune(value), pattern) }

// glob matches with * and ? only, both of which match any character, slashes too.
func glob(s, p []rune) bool {
	star, mark, i, j := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case j < len(p) && p[j] == anyRunes:
			star, mark = j, i
			j++
		case j < len(p) && (p[j] == oneRune || p[j] == s[i]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(p) && p[j] == anyRunes {
		j++
	}
	return j == len(p)
}

// matchARN compares the six parts of two ARNs one by one; a wildcard does not reach over
// a colon, except in the last part, which may have colons of its own.
func matchARN(value string, pattern []rune) bool {
	v, p := strings.SplitN(value, ":", 6), splitN(pattern, ':', 6)
	if len(v) != 6 || len(p) != 6 {
		return false
	}
	for i := range v {
		if !glob([]rune(v[i]), p[i]) {
			return false
		}
	}
	return true
}

func splitN(p []rune, sep rune, n int) [][]rune {
	var out [][]rune
	start := 0
	for i, r := range p {
		if r == sep && len(out) < n-1 {
			out = append(out, p[start:i])
			start = i + 1
		}
	}
	return append(out, p[start:])
}

func numeric(holds func(int) bool) func(string, []rune) bool {
	return func(value string, pattern []rune) bool {
		a, err1 := strconv.ParseFloat(value, 64)
		b, err2 := strconv.ParseFloat(plain(pattern), 64)
		return err1 == nil && err2 == nil && holds(compareFloat(a, b))
	}
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

func date(holds func(int) bool) func(string, []rune) bool {
	return func(value string, pattern []rune) bool {
		a, ok1 := parseDate(value)
		b, ok2 := parseDate(plain(pattern))
		return ok1 && ok2 && holds(a.Compare(b))
	}
}

func parseDate(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0), true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func matchIP(value string, pattern []rune) bool {
	ip, err := netip.ParseAddr(value)
	if err != nil {
		return false
	}
	if prefix, err := netip.ParsePrefix(plain(pattern)); err == nil {
		return prefix.Contains(ip)
	}
	other, err := netip.ParseAddr(plain(pattern))
	return err == nil && other == ip
}
