package desired

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// layered returns the values of a mapping over those of the defaults of its
// directory and of those above: the nearest wins, field by field. It is not good
// where one of those has mistakes, of which these would only be echoes.
func (p *parser) layered(o overlay) (all fields, good bool) {
	all, good = fields{}, true
	for k, v := range o.fields {
		all[k] = v
	}
	for dir := o.dir; ; dir = path.Dir(dir) {
		defaults := p.defaults[dir]
		good = good && !defaults.bad
		for k, v := range defaults.fields {
			if _, nearer := all[k]; !nearer && strings.HasPrefix(k, "spec.") {
				all[k] = v
			}
		}
		if dir == "." {
			return all, good
		}
	}
}

// draft applies defaults to a mapping and judges the whole.
func (p *parser) draft(o overlay) {
	f, good := p.layered(o)
	if !good {
		return
	}
	namespace, name := f.text("metadata.namespace"), f.text("metadata.name")
	d := draft{
		mapping: Mapping{
			Subject: identity.Subject{Namespace: namespace, ServiceAccount: textOr(f, "spec.serviceAccount", name)},
			Name:    name,
			At:      f["metadata.name"].at, RoleAt: f["spec.roleARN"].at, MechanismAt: f["spec.mechanism"].at,
		},
		role: templateAt(f, "spec.roleARN"), target: templateAt(f, "spec.podIdentity.targetRoleARN"),
		clusters: f.texts("spec.clusters"),
	}
	before := len(p.errs.errs)
	for _, key := range []string{"roleARN", "mechanism"} {
		if f.text("spec."+key) == "" {
			p.errs.add(d.mapping.At, fmt.Sprintf("spec.%s is missing, here and in every IdentityDefaults above", key), "write it")
		}
	}
	// The key is the value of an AWS tag, which has at most 256 characters:
	// https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html
	if n := len(d.mapping.Key()); n > 256 {
		p.errs.add(d.mapping.At, fmt.Sprintf("namespace and name together have %d characters", n-1), "write at most 255, and spec.serviceAccount beside a shorter name")
	}
	m := &d.mapping
	_ = m.Mechanism.UnmarshalText([]byte(f.text("spec.mechanism"))) // the shape has only its words
	m.IRSA = irsaOf(f)
	m.PodIdentity = p.podIdentity(f, o)
	m.Migration = p.migration(f, o)
	for _, plane := range f.texts("spec.adopt") {
		m.Adopt.Annotation = m.Adopt.Annotation || plane == "annotation"
		m.Adopt.Trust = m.Adopt.Trust || plane == "trust"
		m.Adopt.Association = m.Adopt.Association || plane == "association"
	}
	if len(p.errs.errs) == before {
		p.repo.drafts = append(p.repo.drafts, d)
	}
}

func irsaOf(f fields) IRSA {
	irsa := IRSA{
		Audience:        f.text("spec.irsa.audience"),
		TokenExpiration: or(f, "spec.irsa.tokenExpiration", time.Duration(0)),
	}
	if v, ok := f["spec.irsa.stsRegionalEndpoints"].v.(bool); ok {
		irsa.STSRegionalEndpoints = &v
	}
	return irsa
}

// podIdentity refuses what EKS or its trust conditions would: a session policy
// needs session tags off, and a statement that tests tags needs them on.
// https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html
func (p *parser) podIdentity(f fields, o overlay) PodIdentity {
	const tags, trust, policy = "spec.podIdentity.sessionTags", "spec.podIdentity.trust", "spec.podIdentity.sessionPolicy"
	pi := PodIdentity{SessionTags: or(f, tags, true), SessionPolicy: f.text(policy)}
	width := f.text(trust)
	switch {
	case width == "" && !pi.SessionTags:
		width = identity.WidthAccount.String()
	case width == "":
		width = identity.WidthPinned.String()
	}
	_ = pi.Trust.UnmarshalText([]byte(width)) // the shape has only its words
	if pi.Trust.NeedsSessionTags() && !pi.SessionTags {
		p.clash(f, o, trust, tags, fmt.Sprintf("trust %s tests session tags, which sessionTags: false turns off", width), "write trust: account or trust: bare, or sessionTags: true")
	}
	if pi.SessionPolicy != "" && pi.SessionTags {
		p.clash(f, o, policy, tags, "sessionPolicy needs session tags off", "write sessionTags: false beside it, or delete it")
	}
	return pi
}

// migration refuses a proof without its query. A query without that proof is a
// mistake where it stands in the mapping itself; one from defaults waits there
// for mappings that ask for it.
func (p *parser) migration(f fields, o overlay) Migration {
	const prefix = "spec.migration."
	m := Migration{
		Restart:         Restart(or(f, prefix+"restart", string(RestartRolling))),
		AllowDisruption: or(f, prefix+"allowDisruption", false),
		Soak:            or(f, prefix+"soak", 30*time.Minute),
		Proof:           Proof(or(f, prefix+"proof", string(ProofCloudTrail))),
		Query:           f.text(prefix + "query"),
		SDK:             f.text(prefix + "sdk"),
		Cleanup:         Cleanup(or(f, prefix+"cleanup", string(CleanupFull))),
		Hold:            f.text(prefix + "hold"),
	}
	m.Windows, _ = ParseWindows(f.text(prefix + "window")) // its rule has read it before
	switch {
	case m.Proof == ProofQuery && m.Query == "":
		p.clash(f, o, prefix+"proof", prefix+"query", "proof: query has no query", "write query: PROMQL beside it")
	case m.Proof != ProofQuery && o.fields.text(prefix+"query") != "":
		p.clash(f, o, prefix+"query", prefix+"proof", fmt.Sprintf("query is for proof: query, and proof is %s", m.Proof), "write proof: query beside it, or delete it")
	case m.Proof != ProofQuery:
		m.Query = ""
	}
	return m
}

// clash reports two values that cannot stand together, at the first of them that
// the mapping itself has, or at its name; what comes from defaults is named with
// its place.
func (p *parser) clash(f fields, o overlay, first, second, what, instead string) {
	at := f["metadata.name"].at
	for _, key := range []string{second, first} {
		if own, ok := o.fields[key]; ok {
			at = own.at
		} else if v, ok := f[key]; ok {
			what += fmt.Sprintf(" (%s at %s)", key, v.at)
		}
	}
	p.errs.add(at, what, instead)
}
