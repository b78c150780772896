package trust

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Access is a way into a role that a document opens to ServiceAccounts. In every
// field an asterisk stands for whatever: "demo" and "*" are the ServiceAccounts of
// namespace demo. A pattern that a document tests stands as written.
type Access struct {
	Mechanism      identity.Mechanism `json:"mechanism"`
	Namespace      string             `json:"namespace"`
	ServiceAccount string             `json:"serviceAccount"`
	Provider       string             `json:"provider,omitempty"`    // IRSA: the OIDC provider's ARN
	Audience       string             `json:"audience,omitempty"`    // IRSA
	Cluster        string             `json:"cluster,omitempty"`     // Pod Identity: the cluster's ARN
	WithoutTags    bool               `json:"withoutTags,omitempty"` // Pod Identity: only with session tags off
}

// String describes the access: "demo/s3-reader by irsa through arn:... as
// sts.amazonaws.com", "demo/* by pod-identity in arn:...".
func (a Access) String() string {
	who := a.Namespace + "/" + a.ServiceAccount
	switch {
	case a.Namespace == "*" && a.ServiceAccount == "*":
		who = "every ServiceAccount"
	case a.ServiceAccount == "*":
		who = "every ServiceAccount of namespace " + a.Namespace
	}
	if a.Mechanism == identity.IRSA {
		through, audience := a.Provider, "audience "+a.Audience
		if through == "*" {
			through = "any OIDC provider"
		}
		if a.Audience == "*" {
			audience = "any audience"
		}
		return who + " by irsa through " + through + " with " + audience
	}
	s := who + " by pod-identity in " + a.Cluster
	if a.WithoutTags {
		s += " with session tags off"
	}
	return s
}

// Difference is what one document allows and another does not.
type Difference struct {
	OnlyA   []Access `json:"onlyA"`
	OnlyB   []Access `json:"onlyB"`
	Unclear []Access `json:"unclear"` // where one of the two answers, or both, hang on what lanyard cannot know
	Partial bool     `json:"partial"` // there were more questions than Compare asks
}

// Empty reports whether no difference was found.
func (d Difference) Empty() bool {
	return len(d.OnlyA)+len(d.OnlyB)+len(d.Unclear) == 0 && !d.Partial
}

// Compare tells, as ServiceAccounts, what one document allows and the other does
// not. It asks both about everybody whom either of them names, and about made-up
// ServiceAccounts, providers, audiences and clusters that stand for everybody
// else, so that documents that say the same by other means do not differ. The
// callers that are no ServiceAccounts (people, other services) are not compared;
// [Equal] sees those. Nor is anybody asked about whom only a policy variable names.
// aws:SourceArn is taken to be the cluster's ARN.
func Compare(a, b *Document) Difference {
	asked, partial := questions(a, b)
	out := Difference{Partial: partial}
	settled := map[Access]bool{}
	for _, q := range asked {
		if tagged := q.access; q.access.WithoutTags {
			if tagged.WithoutTags = false; settled[tagged] {
				continue
			}
		}
		x, y := a.Decide(q.request), b.Decide(q.request)
		if x == y {
			continue
		}
		settled[q.access] = true
		switch {
		case x == Undecidable || y == Undecidable:
			out.Unclear = append(out.Unclear, q.access)
		case x == Allow:
			out.OnlyA = append(out.OnlyA, q.access)
		default:
			out.OnlyB = append(out.OnlyB, q.access)
		}
	}
	for _, list := range []*[]Access{&out.OnlyA, &out.OnlyB, &out.Unclear} {
		*list = widest(*list)
	}
	return out
}

// Allows lists the accesses that a document surely opens, and reports whether
// that is all: false if some answers hang on what lanyard cannot know.
func (d *Document) Allows() ([]Access, bool) {
	diff := Compare(d, nothing)
	return diff.OnlyA, len(diff.Unclear) == 0 && !diff.Partial
}

// nothing is a document that lets nobody in.
var nothing = func() *Document {
	d, _ := Parse(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"*"}}`)
	return d
}()

// widest sorts, and drops what another access covers.
func widest(list []Access) []Access {
	slices.SortFunc(list, Access.compare)
	var wide []Access
	for _, a := range list {
		if strings.Contains(a.Namespace+a.ServiceAccount+a.Provider+a.Audience+a.Cluster, "*") {
			wide = append(wide, a)
		}
	}
	return slices.DeleteFunc(list, func(a Access) bool {
		return slices.ContainsFunc(wide, func(b Access) bool { return a != b && b.covers(a) })
	})
}

func (a Access) compare(b Access) int {
	return cmp.Or(
		cmp.Compare(a.Mechanism, b.Mechanism), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ServiceAccount, b.ServiceAccount),
		cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Audience, b.Audience),
	)
}

func (a Access) covers(b Access) bool {
	whole := func(pattern, s string) bool { return pattern == "*" || pattern == s }
	return a.Mechanism == b.Mechanism && (!a.WithoutTags || b.WithoutTags) &&
		whole(a.Namespace, b.Namespace) && whole(a.ServiceAccount, b.ServiceAccount) &&
		whole(a.Provider, b.Provider) && whole(a.Audience, b.Audience) &&
		(a.Cluster == b.Cluster || like(compileGlob(a.Cluster), b.Cluster))
}
