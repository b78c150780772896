package trust

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// RemoveSid takes away the statement that bears a lanyard Sid, and no more. A Sid
// that is not there is no error: nothing changes. It refuses to remove the only
// statement, and to touch a Sid that is not lanyard's, or a Deny that bears one.
func (d *Document) RemoveSid(sid string) (Edit, error) {
	e := Edit{Document: d, Before: d.Size(), After: d.Size()}
	fail := func(err error) (Edit, error) { return e, fmt.Errorf("remove statement %s: %w", sid, err) }
	if !IsLanyardSid(sid) {
		return fail(ErrForeign)
	}
	if err := d.editable(); err != nil {
		return fail(err)
	}
	at := -1
	for i := range d.stmts {
		if d.stmts[i].sid == sid {
			at = i
		}
	}
	switch {
	case at < 0:
		return e, nil
	case d.stmts[at].deny:
		return fail(fmt.Errorf("%w: %s denies", ErrForeign, d.stmts[at].label))
	case len(d.stmts) == 1:
		return fail(ErrLastStatement)
	}
	next, err := d.without(at)
	if err != nil {
		return fail(err)
	}
	e.Document, e.Changed, e.After = next, true, next.size
	return e, nil
}

// without drops statement i: up to the next one, or, if it is the last, from the
// end of the one before. The one that is left stands alone again if it once did.
func (d *Document) without(i int) (*Document, error) {
	if len(d.stmts) == 2 && d.stoodAlone(i) {
		left := &d.stmts[1-i]
		return d.splice(d.list.start, d.list.end, d.text[left.start:left.end])
	}
	if i+1 < len(d.stmts) {
		return d.splice(d.stmts[i].start, d.stmts[i+1].start, "")
	}
	before, s := &d.stmts[i-1], &d.stmts[i]
	return d.splice(before.end, s.end, "")
}

// SharedError is a grant that cannot be taken out of a statement without taking
// it from others too; it wraps [ErrShared].
type SharedError struct {
	Statement int // index from 0
	Sid       string
	Why       string
}

// Error names the statement and whom else it serves.
func (e *SharedError) Error() string { return label(e.Statement, e.Sid) + " " + e.Why }

// Unwrap returns [ErrShared].
func (e *SharedError) Unwrap() error { return ErrShared }

// Remove takes away what lets the request in, and no more, whoever wrote it: the
// whole statement where it serves nobody else, else the one value of a list that
// names the subject. It refuses with a [*SharedError], and changes nothing at all,
// where a wildcard, a cross product of lists, a negation or a missing condition
// lets the subject in together with others. What is not granted is not removed,
// but lanyard's own statements for the subject always go. Statements of lanyard's
// for other subjects are left alone: their owner drops them. An unknown
// aws:SourceArn is taken to be the cluster's.
func (d *Document) Remove(r Request) (Edit, error) {
	e := Edit{Document: d, Before: d.Size(), After: d.Size()}
	fail := func(err error) (Edit, error) {
		return e, fmt.Errorf("remove grant of %s: %w", r.Subject, err)
	}
	if err := d.editable(); err != nil {
		return fail(err)
	}
	r.IgnoreOthers, r.SourceARN = true, cmp.Or(r.SourceARN, r.Cluster.ARN())
	next, granted := d, d.Decide(r) != Deny
	var shared error
	for at := 0; at < len(next.stmts); {
		cut, err := next.hold(r, at, granted)
		switch {
		case err != nil || cut == nil:
			shared = cmp.Or(shared, err)
			at++
			continue
		case !cut.whole:
			next, err = next.splice(cut.from, cut.to, "")
		case len(next.stmts) == 1:
			return fail(ErrLastStatement)
		default:
			next, err = next.without(at)
		}
		if err != nil {
			return fail(err)
		}
	}
	// What others share is in the way only if it is what still lets the request in.
	if shared != nil && next.Decide(r) != Deny {
		return fail(shared)
	}
	if next != d {
		e.Document, e.Changed, e.After = next, true, next.size
	}
	return e, nil
}

// cut is what to take out of a document: a whole statement, or a stretch of text.
type cut struct {
	whole    bool
	from, to int
}

// hold tells how a statement lets the request in, and so what to cut; nil if it
// does not. The error is a [*SharedError].
func (d *Document) hold(r Request, at int, granted bool) (*cut, error) {
	s := &d.stmts[at]
	e := newEnv(r)
	defer e.free()
	calls := assumeRole
	switch {
	case r.Mechanism == identity.IRSA:
		calls = assumeRoleWithWebIdentity
	case r.SessionTags:
		calls |= tagSession
	}
	switch {
	case s.deny || s.actions&calls == 0 || e.principal(s) == no:
		return nil, nil
	case s.lanyard:
		if !e.isOwn(s.own) {
			return nil, nil
		}
		return &cut{whole: true}, nil
	case !granted || e.conditions(s) == no:
		return nil, nil
	}
	shared := func(why string) (*cut, error) { return nil, &SharedError{at, s.sid, why} }
	if n := len(s.who.aws) + len(s.who.federated) + len(s.who.services) + len(s.who.canonical); s.who.everyone || n > 1 {
		return shared("serves other principals too")
	}
	var lists []*clause
	for _, dim := range e.dimensions() {
		c, why := e.pinned(dim, s)
		if why != "" {
			return shared(why)
		}
		if !c.single() {
			lists = append(lists, c)
		}
	}
	switch len(lists) {
	case 0:
		return &cut{whole: true}, nil
	case 1:
		return e.cutValue(lists[0]), nil
	}
	return shared(fmt.Sprintf("lets in every pair of the lists for %s and %s: split it first", lists[0].key.name, lists[1].key.name))
}

// dimension is something that a statement must pin to serve one subject only.
type dimension struct {
	what string
	keys []key
}

func (e *env) dimensions() []dimension {
	if e.r.Mechanism == identity.IRSA {
		return []dimension{{"subject", []key{keyIssuer}}}
	}
	return []dimension{
		{"namespace", []key{keyTagNamespace}},
		{"ServiceAccount", []key{keyTagServiceAccount}},
		{"cluster", []key{keyTagClusterARN, keyTagClusterName, keySourceARN}},
	}
}

// pinned finds the condition that names the dimension's value literally: one that
// names nothing else if there is one. Else it says why there is none.
func (e *env) pinned(m dimension, s *statement) (found *clause, why string) {
	why = "tests no " + m.what + ", so it serves others too"
	for i := range s.clauses {
		c := &s.clauses[i]
		if c.key.aud || !slices.Contains(m.keys, c.key.key) {
			continue
		}
		switch {
		case c.op.family == familyNull:
		case c.op.negated:
			why = fmt.Sprintf("lets in all but some by %s of %s", c.written, c.key.name)
		case c.ifExists || c.set == setAll:
			why = fmt.Sprintf("lets in whoever does not send %s, by %s", c.key.name, c.written)
		case !e.literally(c):
			why = fmt.Sprintf("lets in others too by the pattern %s of %s", quoted(c.values), c.key.name)
		case found == nil || c.single():
			found = c
		}
	}
	if found != nil {
		return found, ""
	}
	return nil, why
}

// literally reports whether every value that matches the request stands for
// itself alone; the patterns that do not match are other people's.
func (e *env) literally(c *clause) bool {
	globs := c.op.family == familyLike || c.op.family == familyARN
	return !slices.ContainsFunc(c.values, func(v value) bool {
		if !v.bad && len(v.parts) == 0 && !(globs && (strings.IndexByte(v.pattern, 0xff) >= 0 || strings.IndexByte(v.pattern, 0xfe) >= 0)) {
			return false
		}
		one := *c
		one.values = []value{v}
		return e.eval(&one) != no
	})
}

// single reports whether the list names one value.
func (c *clause) single() bool {
	return !slices.ContainsFunc(c.values, func(v value) bool { return v.written != c.values[0].written })
}

// cutValue cuts the first value that matches out of a list; the next look finds
// the next.
func (e *env) cutValue(c *clause) *cut {
	for i := range c.values {
		one := *c
		one.values = c.values[i : i+1]
		if e.eval(&one) == no {
			continue
		}
		if i+1 < len(c.values) {
			return &cut{from: c.values[i].start, to: c.values[i+1].start}
		}
		return &cut{from: c.values[i-1].end, to: c.values[i].end}
	}
	return nil
}
