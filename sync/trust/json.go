package trust

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding/json folds the case of names and keeps the last of two members, both
// of which would misread a security document, and it forgets where a value
// stood, which an edit needs. So documents are read by this small reader:
// RFC 8259 to the letter, duplicates refused, every value with its offsets.

const (
	maxBytes = 64 << 10 // sixteen times IAM's largest trust policy
	maxDepth = 16       // a policy nests 6 deep
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

var kinds = [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}

// node is one JSON value.
type node struct {
	kind       kind
	start, end int      // its bytes are text[start:end]
	text       string   // strings: decoded; numbers and booleans: as written
	names      []member // objects: the names of vals
	vals       []node   // arrays and objects
}

type member struct {
	name  string
	start int
}

// ParseError says what is wrong with a text and where.
type ParseError struct {
	Line, Column int // from 1; columns count bytes
	What         string
}

// Error returns "parse trust policy: line 3, column 7: what".
func (e *ParseError) Error() string {
	return fmt.Sprintf("parse trust policy: line %d, column %d: %s", e.Line, e.Column, e.What)
}

type reader struct {
	text string
	at   int
	fail *ParseError
}

func position(text string, at int) (line, column int) {
	at = min(at, len(text))
	return 1 + strings.Count(text[:at], "\n"), at - strings.LastIndexByte(text[:at], '\n')
}

func (r *reader) errorf(at int, format string, args ...any) bool {
	if r.fail == nil {
		line, column := position(r.text, at)
		r.fail = &ParseError{Line: line, Column: column, What: fmt.Sprintf(format, args...)}
	}
	return false
}

// readJSON reads one JSON value that fills the text.
func readJSON(text string) (node, error) {
	r := &reader{text: text}
	if len(text) > maxBytes {
		r.errorf(maxBytes, "longer than %d bytes: IAM takes at most 4,096 characters", maxBytes)
		return node{}, r.fail
	}
	if !utf8.ValidString(text) {
		at := 0
		for at < len(text) {
			c, n := utf8.DecodeRuneInString(text[at:])
			if c == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		r.errorf(at, "not UTF-8")
		return node{}, r.fail
	}
	var n node
	if r.value(&n, 0) {
		if r.space(); r.at < len(text) {
			r.errorf(r.at, "something follows the document: %s", r.glimpse())
		}
	}
	if r.fail != nil {
		return node{}, r.fail
	}
	return n, nil
}

func (r *reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

func (r *reader) glimpse() string {
	if r.at >= len(r.text) {
		return "the end"
	}
	c, _ := utf8.DecodeRuneInString(r.text[r.at:])
	return fmt.Sprintf("%q", c)
}

func (r *reader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) value(n *node, depth int) bool {
	r.space()
	n.start = r.at
	ok := false
	switch c := r.peek(); {
	case depth > maxDepth:
		return r.errorf(r.at, "nested more than %d deep", maxDepth)
	case c == '{':
		ok = r.object(n, depth)
	case c == '[':
		ok = r.array(n, depth)
	case c == '"':
		n.kind = kindString
		n.text, ok = r.string()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = kindNumber
		n.text, ok = r.number()
	default:
		ok = r.literal(n)
	}
	n.end = r.at
	return ok
}

func (r *reader) literal(n *node) bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(r.text[r.at:], word) {
			r.at += len(word)
			n.text = word
			if word != "null" {
				n.kind = kindBool
			}
			return true
		}
	}
	return r.errorf(r.at, "want a JSON value, found %s", r.glimpse())
}

func (r *reader) array(n *node, depth int) bool {
	n.kind = kindArray
	r.at++
	if r.space(); r.peek() == ']' {
		r.at++
		return true
	}
	for {
		n.vals = append(n.vals, node{})
		if !r.value(&n.vals[len(n.vals)-1], depth+1) {
			return false
		}
		r.space()
		switch r.peek() {
		case ',':
			r.at++
		case ']':
			r.at++
			return true
		default:
			return r.errorf(r.at, "want ',' or ']', found %s", r.glimpse())
		}
	}
}

func (r *reader) object(n *node, depth int) bool {
	n.kind = kindObject
	r.at++
	if r.space(); r.peek() == '}' {
		r.at++
		return true
	}
	for seen := map[string]bool(nil); ; {
		r.space()
		at := r.at
		if r.peek() != '"' {
			return r.errorf(at, "want a name in quotes, found %s", r.glimpse())
		}
		name, ok := r.string()
		if !ok {
			return false
		}
		if len(n.names) == 8 { // few objects in a policy are larger: a map only for those
			seen = map[string]bool{}
			for _, m := range n.names {
				seen[m.name] = true
			}
		}
		if seen[name] || len(n.names) < 8 && n.member(name) != nil {
			return r.errorf(at, "%q stands twice in one object", name)
		}
		if seen != nil {
			seen[name] = true
		}
		if r.space(); r.peek() != ':' {
			return r.errorf(r.at, "want ':', found %s", r.glimpse())
		}
		r.at++
		n.names = append(n.names, member{name, at})
		n.vals = append(n.vals, node{})
		if !r.value(&n.vals[len(n.vals)-1], depth+1) {
			return false
		}
		r.space()
		switch r.peek() {
		case ',':
			r.at++
		case '}':
			r.at++
			return true
		default:
			return r.errorf(r.at, "want ',' or '}', found %s", r.glimpse())
		}
	}
}

// member returns the value of a name, exact in case.
func (n *node) member(name string) *node {
	for i := range n.names {
		if n.names[i].name == name && i < len(n.vals) {
			return &n.vals[i]
		}
	}
	return nil
}

func (r *reader) number() (string, bool) {
	start := r.at
	digits := func() bool {
		from := r.at
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.at++
		}
		return r.at > from
	}
	if r.peek() == '-' {
		r.at++
	}
	zero := r.peek() == '0'
	first := r.at
	ok := digits() && (!zero || r.at == first+1)
	if ok && r.peek() == '.' {
		r.at++
		ok = digits()
	}
	if c := r.peek(); ok && (c == 'e' || c == 'E') {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		ok = digits()
	}
	if !ok {
		return "", r.errorf(start, "not a JSON number")
	}
	return r.text[start:r.at], true
}

// string reads a quoted string and undoes its escapes; without any it is a
// slice of the text.
func (r *reader) string() (string, bool) {
	start := r.at
	r.at++
	from := r.at
	var b strings.Builder
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			s := r.text[from:r.at]
			r.at++
			if b.Len() > 0 {
				b.WriteString(s)
				s = b.String()
			}
			return s, true
		case c == '\\':
			b.WriteString(r.text[from:r.at])
			c, ok := r.escape()
			if !ok {
				return "", false
			}
			b.WriteRune(c)
			from = r.at
		case c < 0x20:
			return "", r.errorf(r.at, "a control character stands in a string: write it as an escape")
		default:
			r.at++
		}
	}
	return "", r.errorf(start, "the string has no closing quote")
}

func (r *reader) escape() (rune, bool) {
	at := r.at
	r.at++
	c := r.peek()
	r.at++
	if i := strings.IndexByte(`"\/bfnrt`, c); c != 0 && i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), true
	}
	if c != 'u' {
		return 0, r.errorf(at, "no such escape")
	}
	u, ok := r.hex4()
	if !ok {
		return 0, r.errorf(at, `\u needs four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(u) {
		return u, true
	}
	if strings.HasPrefix(r.text[min(r.at, len(r.text)):], `\u`) {
		r.at += 2
		if low, ok := r.hex4(); ok {
			if full := utf16.DecodeRune(u, low); full != utf8.RuneError {
				return full, true
			}
		}
	}
	return 0, r.errorf(at, "half of a surrogate pair")
}

func (r *reader) hex4() (rune, bool) {
	if r.at+4 > len(r.text) {
		return 0, false
	}
	var u rune
	for _, c := range []byte(r.text[r.at : r.at+4]) {
		switch {
		case c >= '0' && c <= '9':
			u = u<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			u = u<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	r.at += 4
	return u, true
}

// minifiedSize counts the characters of a JSON text outside the white space
// between its values: what IAM holds against its quota. The IAM guide says that
// white space does not count, and does not say it of trust policies; lanyard
// writes its own statement minified and counts everything else.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func minifiedSize(text string) int {
	size, quoted := 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		case c&0xC0 == 0x80: // a character's further bytes
			continue
		case quoted && c == '\\' && i+1 < len(text):
			i++
			size++
		case c == '"':
			quoted = !quoted
		}
		size++
	}
	return size
}
