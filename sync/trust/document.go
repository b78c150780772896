package trust

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
)

// Document is a trust policy as IAM stores it: its text, to the byte, and what
// lanyard understands of it. It is immutable and safe for concurrent use. The
// nil and the zero Document are ones that could not be read: it is judged [Undecidable] with
// [BadDocument], and no edit touches it.
type Document struct {
	text    string
	invalid error // what the grammar refuses
	list    node  // the value of Statement
	stmts   []statement
	size    int

	digest     func() string
	principals []string // AWS principals, for deleted ones
}

// Decode undoes the URL encoding in which IAM's answers carry documents. The
// encoding is RFC 3986: a plus sign is a plus sign.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
func Decode(urlEncoded string) (string, error) {
	s, err := url.PathUnescape(urlEncoded)
	if err != nil {
		return "", fmt.Errorf("decode trust policy: %w", err)
	}
	return s, nil
}

// Parse reads a document. The error is a [*ParseError] that says where the text
// is not one JSON object, or names a member twice ("Individual elements must not
// contain multiple instances of the same key"). What is JSON but not a trust
// policy parses, and [Document.Valid] says why IAM would refuse it.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func Parse(text string) (*Document, error) {
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	if root.kind != kindObject {
		line, column := position(text, root.start)
		return nil, &ParseError{Line: line, Column: column, What: "a trust policy is an object, this is " + kinds[root.kind]}
	}
	d := &Document{text: text, size: minifiedSize(text)}
	g := grammar{text: text}
	g.document(d, &root)
	d.invalid = g.err
	d.digest = sync.OnceValue(func() string { return canonicalDigest(d, &root) })
	return d, nil
}

// Text returns the text that was parsed.
func (d *Document) Text() string {
	if d == nil {
		return ""
	}
	return d.text
}

// Size returns the document's length as IAM counts it against the quota for
// trust policies: characters outside white space.
func (d *Document) Size() int {
	if d == nil {
		return 0
	}
	return d.size
}

// Valid returns what IAM's grammar refuses in the document: a [*GrammarError], or
// nil. A document that IAM itself returned and that is not valid here is one that
// lanyard does not understand: it is judged [Undecidable] and never edited.
func (d *Document) Valid() error {
	if d == nil || d.digest == nil {
		return &GrammarError{What: "there is no document"}
	}
	return d.invalid
}

// Statement is one statement of a [Document].
type Statement struct {
	Index int    // from 0
	Sid   string // "" if it has none
	Raw   []byte // a copy of its bytes as written
}

// Statements lists the document's statements in their order.
func (d *Document) Statements() []Statement {
	if d == nil {
		return nil
	}
	out := make([]Statement, len(d.stmts))
	for i := range d.stmts {
		s := &d.stmts[i]
		out[i] = Statement{Index: i, Sid: s.sid, Raw: []byte(d.text[s.start:s.end])}
	}
	return out
}

// GrammarError says which rule of IAM's grammar for trust policies a document
// breaks.
type GrammarError struct {
	Line, Column int // from 1; 0 if there is no text
	What         string
}

// Error returns "trust policy line 3, column 7: what".
func (e *GrammarError) Error() string {
	if e.Line == 0 {
		return "trust policy: " + e.What
	}
	return fmt.Sprintf("trust policy line %d, column %d: %s", e.Line, e.Column, e.What)
}

// label names a statement for a person, who counts from 1.
func label(i int, sid string) string {
	if sid == "" {
		return fmt.Sprintf("statement %d", i+1)
	}
	return fmt.Sprintf("statement %d (%s)", i+1, sid)
}

// statement is one statement, read for judging.
type statement struct {
	start, end int
	sid        string
	label      string
	allows     string // the reason of an Allow
	own        uint64 // the 16 hex digits of a lanyard Sid
	lanyard    bool
	deny       bool
	except     bool // NotPrincipal
	who        principals
	actions    actionSet
	clauses    []clause
}

// principals is what a Principal or NotPrincipal element names.
type principals struct {
	everyone  bool
	aws       []string
	federated []string
	services  []string
	canonical []string
}

func (s *statement) describe(i int) {
	s.label = label(i, s.sid)
	s.allows = s.label + " allows it"
	s.own, s.lanyard = parseLanyardSid(s.sid)
}

// deletedPrincipals lists the AWS principals that are unique ids: what IAM shows
// in place of a principal that was deleted, and refuses to take back.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
func (d *Document) deletedPrincipals() []string {
	var out []string
	for _, p := range d.principals {
		if isUniqueID(p) {
			out = append(out, p)
		}
	}
	return out
}

func isUniqueID(s string) bool {
	if len(s) < 16 || !strings.HasPrefix(s, "A") {
		return false
	}
	switch s[:4] {
	case "AROA", "AIDA", "AGPA", "AIPA", "ANPA", "ANVA", "ASCA", "APKA", "ABIA", "ACCA", "AKIA", "ASIA":
		return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
	}
	return false
}
