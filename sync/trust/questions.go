package trust

import (
	"iter"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// question is an access and a request that stands for it.
type question struct {
	access  Access
	request Request
}

const (
	maxQuestions = 2048
	nowhere      = "zz-nowhere-1" // a Region that is none
)

// named is something that documents speak of: as written, and a value it covers.
type named struct{ written, value string }

// vocabulary is what a set of statements names.
type vocabulary struct {
	providers, audiences      []named
	issuers                   []string // of condition keys, without their schemes
	subjects                  [][2]named
	namespaces, accounts      []named
	clusterARNs, clusterNames []named
	homes                     []named // AWS accounts
}

// questions collects what to ask: for each statement whom it names, and for what
// it leaves open whom the others name.
func questions(docs ...*Document) ([]question, bool) {
	var all vocabulary
	tries := 0
	for _, d := range docs {
		for i := range d.statements() {
			all.read(&d.stmts[i])
		}
	}
	all.addIssuers()
	seen := map[Access]bool{}
	var out []question
	for _, d := range docs {
		for i := range d.statements() {
			var v vocabulary
			v.read(&d.stmts[i])
			for q := range v.ask(&all, d.stmts[i].actions) {
				if tries++; len(out) == maxQuestions || tries > 8*maxQuestions {
					return out, true
				}
				if !seen[q.access] {
					seen[q.access] = true
					out = append(out, q)
				}
			}
		}
	}
	return out, false
}

func (d *Document) statements() []statement {
	if d == nil {
		return nil
	}
	return d.stmts
}

func (v *vocabulary) read(s *statement) {
	for _, p := range s.who.federated {
		if providerHostPath(p) != "" {
			v.providers = append(v.providers, named{p, p})
		}
	}
	for i := range s.clauses {
		c := &s.clauses[i]
		if host := c.key.name[:len(c.key.issuer)]; host != "" && !strings.Contains(host, "://") {
			v.issuers = append(v.issuers, host)
		}
		globs := c.op.family == familyLike || c.op.family == familyARN
		for _, w := range c.values {
			wild := strings.ContainsAny(w.written, "*?")
			if len(w.parts) == 0 && !w.bad && (globs || !wild) { // to the letter, nobody is called "*"
				v.value(&c.key, w.written, wild)
			}
		}
	}
}

// addIssuers makes up a provider for each issuer that conditions speak of and that no
// principal names: under "*" it may be any account's.
func (v *vocabulary) addIssuers() {
	for _, host := range v.issuers {
		if !slices.ContainsFunc(v.providers, func(p named) bool { return equalFold(providerHostPath(p.value), host) }) {
			v.providers = append(v.providers, named{"arn:aws:iam::*:oidc-provider/" + host, "arn:aws:iam::" + noAccount + ":oidc-provider/" + host})
		}
	}
}

func (v *vocabulary) value(k *keyRef, written string, glob bool) {
	one := fill(written, glob)
	switch k.key {
	case keyIssuer:
		if k.aud {
			v.audiences = append(v.audiences, one)
		} else if namespace, account, ok := splitSubject(written, glob); ok {
			v.subjects = append(v.subjects, [2]named{fill(namespace, glob), fill(account, glob)})
		}
	case keyTagNamespace:
		v.namespaces = append(v.namespaces, one)
	case keyTagServiceAccount:
		v.accounts = append(v.accounts, one)
	case keyTagClusterARN, keySourceARN:
		v.clusterARNs = append(v.clusterARNs, one)
	case keyTagClusterName:
		v.clusterNames = append(v.clusterNames, one)
	case keySourceAccount:
		v.homes = append(v.homes, one)
	}
}

// fill makes a value that a pattern covers.
func fill(written string, glob bool) named {
	if !glob {
		return named{written, written}
	}
	return named{written, strings.NewReplacer("*", "x7c1f", "?", "q").Replace(written)}
}

// splitSubject cuts a sub claim, or a pattern of it, into its two names.
func splitSubject(written string, glob bool) (namespace, account string, ok bool) {
	rest, ok := strings.CutPrefix(written, "system:serviceaccount:")
	if !ok {
		return "*", "*", glob // "*", "system:*"
	}
	namespace, account, ok = strings.Cut(rest, ":")
	if !ok {
		return namespace, "*", glob
	}
	return namespace, account, namespace != "" && account != ""
}

// or returns what a statement names, and the made-up one that stands for all
// others; what it does not name at all, the other statements may.
func or(own, all []named, filler string) []named {
	if len(own) == 0 {
		own = all[:min(len(all), 32)]
	}
	return append(slices.Clip(own), named{"*", filler})
}

func (v *vocabulary) ask(all *vocabulary, actions actionSet) iter.Seq[question] {
	return func(yield func(question) bool) {
		if actions&assumeRoleWithWebIdentity != 0 && !v.askIRSA(all, yield) {
			return
		}
		if actions&(assumeRole|tagSession) != 0 {
			v.askPodIdentity(all, yield)
		}
	}
}

func (v *vocabulary) askIRSA(all *vocabulary, yield func(question) bool) bool {
	subjects := v.subjects
	if len(subjects) == 0 {
		subjects = all.subjects[:min(len(all.subjects), 32)]
	}
	subjects = append(slices.Clip(subjects), [2]named{{"*", nobody}, {"*", nobody}})
	audiences := append(or(v.audiences, all.audiences, nobody), named{"sts.amazonaws.com", "sts.amazonaws.com"})
	filler := "arn:aws:iam::" + noAccount + ":oidc-provider/" + nobody + ".example"
	for _, p := range or(v.providers, all.providers, filler) {
		for _, s := range subjects {
			for _, aud := range audiences {
				if !yield(question{
					Access{Mechanism: identity.IRSA, Namespace: s[0].written, ServiceAccount: s[1].written, Provider: p.written, Audience: aud.written},
					Request{
						Mechanism: identity.IRSA, Provider: p.value, Audience: aud.value,
						Subject: identity.Subject{Namespace: s[0].value, ServiceAccount: s[1].value},
					},
				}) {
					return false
				}
			}
		}
	}
	return true
}

func (v *vocabulary) askPodIdentity(all *vocabulary, yield func(question) bool) {
	for _, c := range v.clusters(all) {
		for _, n := range or(v.namespaces, all.namespaces, nobody) {
			for _, a := range or(v.accounts, all.accounts, nobody) {
				q := question{
					Access{Mechanism: identity.PodIdentity, Namespace: n.written, ServiceAccount: a.written, Cluster: c.written},
					Request{
						Mechanism: identity.PodIdentity, Cluster: c.cluster, SourceARN: c.cluster.ARN(), SessionTags: true,
						Subject: identity.Subject{Namespace: n.value, ServiceAccount: a.value},
					},
				}
				if !yield(q) {
					return
				}
				q.access.WithoutTags, q.request.SessionTags = true, false
				if !yield(q) {
					return
				}
			}
		}
	}
}

// placed is a cluster, and how it is called.
type placed struct {
	written string
	cluster identity.Cluster
}

// clusters are those that are named by their ARNs, those named by name or account
// only, and one that is not named at all.
func (v *vocabulary) clusters(all *vocabulary) []placed {
	arns := v.clusterARNs
	if len(arns) == 0 {
		arns = all.clusterARNs[:min(len(all.clusterARNs), 32)]
	}
	var out []placed
	for _, n := range arns {
		value := strings.Replace(n.value, ":x7c1f:cluster", ":"+noAccount+":cluster", 1)
		if c, err := identity.ParseClusterARN(value); err == nil {
			out = append(out, placed{n.written, c})
		}
	}
	for _, home := range or(v.homes, all.homes, noAccount) {
		for _, name := range or(v.clusterNames, all.clusterNames, nobody) {
			out = append(out, placed{
				"arn:aws:eks:*:" + home.written + ":cluster/" + name.written,
				identity.Cluster{Name: name.value, Region: nowhere, Account: home.value, Partition: "aws"},
			})
		}
	}
	return out
}
