package rights

import (
	"slices"
	"strings"
)

// Asked is one pair of verb and resource, or path, as an access review asks about it.
type Asked struct {
	Verb, Group, Resource, Subresource, Name string
	Path                                     string // in place of a resource
	Namespace                                string // empty: in all of them
}

// String is the pair as [Verbs] writes it.
func (a Asked) String() string {
	if a.Path != "" {
		return a.Verb + " " + a.Path
	}
	what := strings.TrimPrefix(a.Group+"/"+a.Resource, "/")
	if a.Subresource != "" {
		what += "/" + a.Subresource
	}
	if a.Name != "" {
		what += " " + a.Name
	}
	return a.Verb + " " + what
}

// Asks takes a rule apart: one question for each verb, resource and name.
func (r Rule) Asks(namespace string) []Asked {
	names := r.Names
	if len(names) == 0 {
		names = []string{""}
	}
	var out []Asked
	for _, verb := range r.Verbs {
		for _, path := range r.Paths {
			out = append(out, Asked{Verb: verb, Path: path})
		}
		for _, what := range r.Resources {
			resource, sub, _ := strings.Cut(what, "/")
			for _, name := range names {
				out = append(out, Asked{Verb: verb, Group: r.Group, Resource: resource, Subresource: sub, Name: name, Namespace: namespace})
			}
		}
	}
	return out
}

// Line is the rule as YAML on one line, as [Wants.RBAC] writes it on several.
func (r Rule) Line() string {
	var parts []string
	if len(r.Paths) > 0 {
		parts = append(parts, "nonResourceURLs: "+flow(r.Paths))
	} else {
		parts = append(parts, "apiGroups: "+flow([]string{r.Group}), "resources: "+flow(r.Resources))
	}
	if len(r.Names) > 0 {
		parts = append(parts, "resourceNames: "+flow(r.Names))
	}
	return "{" + strings.Join(append(parts, "verbs: "+flow(r.Verbs)), ", ") + "}"
}

// foreign are the API groups that are not Kubernetes' own, of which a cluster may have
// none.
var foreign = []string{"argoproj.io", "cert-manager.io", "external-secrets.io", "keda.sh", "secrets-store.csi.x-k8s.io"}

// Foreign reports whether a rule is about kinds that a cluster may not have.
func (r Rule) Foreign() bool { return slices.Contains(foreign, r.Group) }

// Command returns the command line that prints one form of this. It bears no external ID.
func (w Wants) Command(form string) string {
	p := w.Place
	args := []string{"lanyard policy", "--mode " + w.Mode}
	for _, f := range w.Features {
		args = append(args, "--feature "+f)
	}
	switch form {
	case "rbac", "admission":
		args = append(args, "--namespace "+p.Namespace, "--service-account "+p.ServiceAccount, "--lease-name "+p.Lease)
	default:
		args = append(args, "--partition "+p.Partition, "--account "+p.Account, "--region "+p.Region, "--cluster "+p.Cluster)
		for _, r := range p.Roles {
			args = append(args, "--role-pattern '"+r+"'")
		}
		if w.has(Accounts) {
			for _, r := range p.AccountRoles {
				args = append(args, "--account-role '"+r+"'")
			}
		}
	}
	return strings.Join(append(args, "-o "+form), " ")
}

// Doctor returns what lanyard doctor asks for beyond the rights of the mode that it judges,
// with which it asks more exactly: it is run by a person, and a daemon never does. A
// SelfSubjectAccessReview is everybody's to ask.
//
// Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
// and https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
func Doctor(p Place) (Statement, Rule) {
	p = p.withDefaults()
	return Statement{Sid: "SimulateLanyard", Actions: []string{"iam:SimulatePrincipalPolicy"}, Resources: []string{p.iam("role/*")},
			Why: "what the policies of lanyard's role would answer: without it reads are tried, and nothing is known of writes. It shows what other roles may do: name lanyard's alone if that matters"},
		Rule{Group: "authorization.k8s.io", Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"},
			Why: "what lanyard's ServiceAccount may do, asked by somebody else (--as)"}
}

// DoctorIAM is the policy of [Doctor] as JSON.
func DoctorIAM(p Place) string {
	s, _ := Doctor(p)
	return policy([]Statement{s})
}
