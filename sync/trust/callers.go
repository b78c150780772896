package trust

import (
	"slices"
	"strings"
)

// CallerKind says what sort of principal a [Caller] is.
type CallerKind string

// The kinds of callers.
const (
	CallerAnyone    CallerKind = "anyone"    // "*"
	CallerAWS       CallerKind = "aws"       // an account, a role, a user
	CallerService   CallerKind = "service"   // an AWS service but EKS Pod Identity
	CallerFederated CallerKind = "federated" // an identity provider but a cluster's issuer
	CallerCanonical CallerKind = "canonical" // a canonical user ID
)

// Caller is a principal that is no ServiceAccount, and that a statement may let in.
type Caller struct {
	Kind       CallerKind
	Name       string // as written
	Account    string // of an AWS principal, where its name tells
	Statement  int    // index from 0
	Sid        string
	Pinned     bool // by some condition: not whoever is that principal is let in
	ExternalID bool // one on sts:ExternalId is among them
	Org        bool // one on the caller's organization is among them
}

// Callers lists the principals of Allow statements that are no ServiceAccounts: those
// [Compare] and [Document.Allows] do not speak of. They are named and not judged: a Deny
// may defeat them. Their order is that of the statements.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func (d *Document) Callers() []Caller {
	if d.Valid() != nil {
		return nil
	}
	var out []Caller
	for i := range d.stmts {
		s := &d.stmts[i]
		if s.deny || s.actions == 0 {
			continue
		}
		base := Caller{Statement: i, Sid: s.sid}
		for j := range s.clauses {
			c := &s.clauses[j]
			if !c.pins() {
				continue
			}
			base.Pinned = true
			base.ExternalID = base.ExternalID || c.key.key == keyExternalID
			base.Org = base.Org || c.key.key == keyPrincipalOrgID || c.key.folded == "aws:principalorgpaths"
		}
		add := func(kind CallerKind, name string) {
			c := base
			c.Kind, c.Name = kind, name
			if kind == CallerAWS {
				c.Account = accountIn(name)
			}
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
		if s.who.everyone {
			add(CallerAnyone, "*")
		}
		for _, p := range s.who.aws {
			if p != "*" {
				add(CallerAWS, p)
			}
		}
		for _, p := range s.who.services {
			if p != podIdentityService {
				add(CallerService, p)
			}
		}
		l := linter{d: d, s: s}
		for _, p := range s.who.federated {
			if !l.isKubernetes(p) {
				add(CallerFederated, p)
			}
		}
		for _, p := range s.who.canonical {
			add(CallerCanonical, p)
		}
	}
	return out
}

// accountIn returns the account of an AWS principal: twelve digits alone, or in an ARN.
func accountIn(principal string) string {
	text := principal
	if parts := strings.SplitN(principal, ":", 6); len(parts) == 6 {
		text = parts[4]
	}
	if len(text) != 12 || strings.Trim(text, "0123456789") != "" {
		return ""
	}
	return text
}
