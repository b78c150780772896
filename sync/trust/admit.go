package trust

import (
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Admit sees to it that the request is allowed: it is [Document.Add] for those who
// want a subject let in and do not mind by whom. Nothing changes if the request
// is allowed already, by whatever statement but another mapping's of lanyard's,
// which may go at any time; else lanyard's statement of that width is added, or,
// where it stands and does not serve, written anew with the audiences that it had.
//
// What comes out allows the request. A Deny that defeats it, or may defeat it by a
// value that lanyard cannot know, is a [*DeniedError].
func (d *Document) Admit(r Request, w identity.Width, quota int) (Edit, error) {
	e := Edit{Document: d, Before: d.Size(), After: d.Size(), Limit: quota}
	r.IgnoreOthers = true
	if d.Decide(r) == Allow {
		return e, nil
	}
	g := Grant{
		Mechanism: r.Mechanism, Subject: r.Subject, Cluster: r.Cluster, Provider: r.Provider,
		Width: w, SessionTags: r.SessionTags,
	}
	if r.Mechanism == identity.IRSA {
		g.Audiences = d.audiences(g, r.Audience)
	}
	added, err := d.Add(g, quota)
	if err != nil {
		return e, err
	}
	switch v := added.Document.Evaluate(r); {
	case v.Decision == Allow:
		return added, nil
	case v.Decision == Undecidable || v.Cause == ExplicitDeny:
		return e, fmt.Errorf("add statement %s: %w", g.Sid(), &DeniedError{v})
	default:
		return e, fmt.Errorf("add statement %s: %w: it would not let the request in: %s", g.Sid(), ErrBadGrant, v.Reason)
	}
}

// audiences lists what the grant's own statement lets in already, and one more.
func (d *Document) audiences(g Grant, one string) []string {
	var out []string
	sid := g.Sid()
	for i := range d.stmts {
		s := &d.stmts[i]
		if s.sid != sid || s.deny || !slices.Contains(s.who.federated, g.Provider) {
			continue
		}
		r := Request{Mechanism: identity.IRSA, Subject: g.Subject, Cluster: g.Cluster, Provider: g.Provider}
		for j := range s.clauses {
			if c := &s.clauses[j]; c.key.key == keyIssuer && c.key.aud && c.op.family == familyString && !c.op.negated {
				for _, v := range c.values {
					r.Audience = v.written
					if d.Decide(r) == Allow && !slices.Contains(out, v.written) {
						out = append(out, v.written)
					}
				}
			}
		}
	}
	if !slices.Contains(out, one) {
		out = append(out, one)
	}
	return out
}
