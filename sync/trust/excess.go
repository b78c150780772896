package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// nobody is a name that no one bears: a legal name of a namespace, a
// ServiceAccount and a cluster.
const nobody = "lanyard-nobody-7c1f"

// noAccount is an account number that AWS does not give out.
const noAccount = "000000000000"

// Excess reports whether the document lets in more than the request's subject
// asked for: made-up ServiceAccounts, namespaces, clusters, Regions and accounts
// are put to it, among them such as its own patterns would match, and the first
// that it surely allows is told with the statement that does. w is the width
// asked for; IRSA is always pinned, whatever w says.
//
// A statement that names another subject exactly (a shared role) is no excess,
// and neither is one that hangs on an unknown value. With IgnoreOthers, lanyard's
// own statements for others do not count, those for the subject do.
func (d *Document) Excess(r Request, w identity.Width) (Verdict, bool) {
	if d.Valid() != nil {
		return Verdict{}, false
	}
	probes := d.podIdentityProbes
	if r.Mechanism == identity.IRSA {
		w, probes = identity.WidthPinned, d.irsaProbes
	}
	for _, p := range probes(r, w) {
		e := newEnv(p.request)
		e.counts, e.home = &r.Subject, &r.Cluster
		v := d.judge(e)
		e.free()
		if v.Decision == Allow {
			v.Reason = fmt.Sprintf("%s also allows %s", d.stmts[v.Statement].label, p.who)
			return v, true
		}
	}
	return Verdict{}, false
}

type probe struct {
	request Request
	who     string
}

// irsaProbes: other subjects of the cluster, and the same subject of another.
func (d *Document) irsaProbes(r Request, _ identity.Width) []probe {
	other := r
	other.Cluster.Issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/" + nobody
	other.Provider = other.Cluster.Issuer.ProviderARN(r.Cluster.Partition, r.Cluster.Account)
	out := []probe{{other, "the ServiceAccount " + r.Subject.String() + " of any other cluster"}}
	subjects := []identity.Subject{
		{Namespace: r.Subject.Namespace, ServiceAccount: nobody},
		{Namespace: nobody, ServiceAccount: r.Subject.ServiceAccount},
		{Namespace: nobody, ServiceAccount: nobody},
	}
	for _, pattern := range d.patterns(func(c *clause) bool { return c.key.key == keyIssuer && !c.key.aud }) {
		for _, filling := range [...]string{"x7c1f", "x7c1f:y7c1f"} {
			sub := strings.NewReplacer("*", filling, "?", "q").Replace(pattern)
			if s, ok := identity.ParseOIDCSubject(sub); ok {
				subjects = append(subjects, s)
			}
		}
	}
	return append(out, subjectProbes(r, subjects)...)
}

func subjectProbes(r Request, subjects []identity.Subject) []probe {
	var out []probe
	for i, s := range subjects {
		if s == r.Subject || slices.Contains(subjects[:i], s) {
			continue
		}
		p := r
		p.Subject = s
		who := fmt.Sprintf("other ServiceAccounts, for example %s", s)
		switch {
		case s.ServiceAccount == nobody && s.Namespace == r.Subject.Namespace:
			who = "any ServiceAccount of namespace " + s.Namespace
		case s.ServiceAccount == nobody && s.Namespace == nobody:
			who = "any ServiceAccount of any namespace"
		case s.Namespace == nobody:
			who = "a ServiceAccount " + s.ServiceAccount + " of any namespace"
		}
		out = append(out, probe{p, who})
	}
	return out
}

// podIdentityProbes: whatever lies beyond the width, with session tags on and
// off, since anyone who may create an association chooses.
func (d *Document) podIdentityProbes(r Request, w identity.Width) []probe {
	var out []probe
	if w == identity.WidthBare {
		return nil
	}
	move := func(who string, change func(*identity.Cluster)) {
		p := r
		change(&p.Cluster)
		if r.SourceARN != "" {
			p.SourceARN = p.Cluster.ARN()
		}
		if p.Cluster != r.Cluster {
			out = append(out, probe{p, who})
		}
	}
	if w == identity.WidthPinned {
		out = append(out, subjectProbes(r, d.podIdentitySubjects(r))...)
	}
	if w != identity.WidthAccount {
		move("any cluster of the account", func(c *identity.Cluster) { c.Name = nobody })
		move("a cluster of the same name in another Region", func(c *identity.Cluster) { c.Region = "zz-nowhere-1" })
		for _, pattern := range d.patterns(func(c *clause) bool { return c.key.key == keyTagClusterName }) {
			name := strings.NewReplacer("*", "x7c1f", "?", "q").Replace(pattern)
			move("other clusters, for example "+name, func(c *identity.Cluster) { c.Name = name })
		}
		for _, pattern := range d.patterns(func(c *clause) bool { return c.key.key == keyTagClusterARN || c.key.key == keySourceARN }) {
			arn := strings.NewReplacer("*", "x7c1f", "?", "q").Replace(pattern)
			if c, err := identity.ParseClusterARN(arn); err == nil {
				move("other clusters, for example "+arn, func(into *identity.Cluster) {
					into.Name, into.Region, into.Partition, into.Account = c.Name, c.Region, c.Partition, c.Account
				})
			}
		}
	}
	move("clusters of other accounts", func(c *identity.Cluster) { c.Account = noAccount })
	move("any cluster of other accounts", func(c *identity.Cluster) { c.Account, c.Name = noAccount, nobody })
	for _, p := range out {
		p.request.SessionTags = !p.request.SessionTags
		out = append(out, p)
	}
	return out
}

func (d *Document) podIdentitySubjects(r Request) []identity.Subject {
	fill := func(id key) []string {
		names := []string{nobody}
		for _, pattern := range d.patterns(func(c *clause) bool { return c.key.key == id }) {
			names = append(names, strings.NewReplacer("*", "x7c1f", "?", "q").Replace(pattern))
		}
		return names[:min(len(names), 16)]
	}
	namespaces, accounts := fill(keyTagNamespace), fill(keyTagServiceAccount)
	var out []identity.Subject
	for _, a := range accounts {
		out = append(out, identity.Subject{Namespace: r.Subject.Namespace, ServiceAccount: a})
	}
	for _, n := range namespaces {
		out = append(out, identity.Subject{Namespace: n, ServiceAccount: r.Subject.ServiceAccount})
	}
	for _, n := range namespaces {
		for _, a := range accounts {
			out = append(out, identity.Subject{Namespace: n, ServiceAccount: a})
		}
	}
	return out
}

// patterns lists the values with wildcards of the clauses chosen.
func (d *Document) patterns(choose func(*clause) bool) []string {
	var out []string
	for i := range d.stmts {
		for j := range d.stmts[i].clauses {
			c := &d.stmts[i].clauses[j]
			if c.op.family != familyLike && c.op.family != familyARN || !choose(c) {
				continue
			}
			for _, v := range c.values {
				if strings.ContainsAny(v.written, "*?") && len(out) < 64 {
					out = append(out, v.written)
				}
			}
		}
	}
	return out
}
