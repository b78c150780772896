// Package explain walks the chain by which a ServiceAccount's pods get a role, from the
// line in Git to the clause of the trust policy, and says of each link whether it is
// good, broken or unknown, with what shows it. It ends with the first broken link and
// what mends it.
//
// What is explained is how pods get their role now. Where Git asks for something else
// that is not there yet, or cannot be, its link says so, and the others are those of what
// stands.
//
// It judges nothing of its own: each link is read off the comparison of package diff, off
// the repair plan's holds and steps, and off package trust. The package is pure.
package explain

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// State says how a link is.
type State string

// The states.
const (
	Good    State = "good"
	Broken  State = "broken"
	Unknown State = "unknown" // a fact is missing, or cannot be judged
)

// Link is one link of the chain.
type Link struct {
	Name     string   `json:"name"`
	State    State    `json:"state"`
	Says     string   `json:"says"`     // in one sentence
	Evidence []string `json:"evidence"` // what shows it
	Fix      []string `json:"fix"`      // what mends it, and where; empty where nothing is to be mended
	Owner    string   `json:"owner"`    // of that place, as far as it shows
}

// Chain is the whole answer.
type Chain struct {
	Namespace      string             `json:"namespace"`
	ServiceAccount string             `json:"serviceAccount"`
	Role           string             `json:"role"`
	Mechanism      identity.Mechanism `json:"mechanism"` // whose chain it is; empty: none is wired, or it was not read
	Links          []Link             `json:"links"`
	First          string             `json:"first"`             // the first broken link, else the first unknown one; empty: all are good
	Pod            string             `json:"pod,omitempty"`     // that was asked about
	Message        *Message           `json:"message,omitempty"` // what the error means that was asked about
}

// The links of the chains, in order.
var (
	irsa        = []string{"git", "service-account", "wiring", "webhook", "pods", "oidc-provider", "role", "trust", "chained-roles"}
	podIdentity = []string{"git", "service-account", "wiring", "webhook", "pods", "agent", "role", "trust", "chained-roles"}
	unwired     = []string{"git", "service-account", "wiring", "webhook"} // there is nothing to walk along further
)

// linkOf says on which link a finding shows.
var linkOf = map[diff.Kind]string{
	diff.MappingInvalid: "git", diff.MappingForbidden: "git", diff.MappingGone: "git", diff.RevisionStale: "git", diff.ClusterMismatch: "git",
	diff.ServiceAccountMissing: "service-account",
	diff.AnnotationMissing:     "wiring", diff.AnnotationMismatch: "wiring", diff.AnnotationTuning: "wiring", diff.AnnotationUnexpected: "wiring",
	diff.AssociationMissing: "wiring", diff.AssociationRole: "wiring", diff.AssociationSettings: "wiring", diff.AssociationUnexpected: "wiring", diff.AssociationForeign: "wiring",
	diff.PodsUninjected: "pods", diff.PodsWrongMechanism: "pods", diff.PodsWrongRole: "pods", diff.PodsStaticKeys: "pods",
	diff.PodsAgentMissing: "agent", diff.PodsUnservable: "agent",
	diff.OIDCProviderMissing: "oidc-provider", diff.OIDCAudienceMissing: "oidc-provider",
	diff.RoleMissing:         "role",
	diff.TrustSubjectMissing: "trust", diff.TrustIssuerStale: "trust", diff.TrustAudienceWrong: "trust", diff.TrustTooWide: "trust",
	diff.TrustPodIdentityMissing: "trust", diff.TrustTagSessionMissing: "trust", diff.TrustUndecidable: "trust",
}

// Options are what a walk depends on besides Git and the live world.
type Options struct {
	Policy  plan.Policy
	Message *Message // of an error that somebody met
	Pod     string   // the one that was asked about; empty: all of them
}

// Subject finds whom a name means: a ServiceAccount, or that of a pod of the name. Pod is
// empty where it is the former.
func Subject(state desired.State, snap *live.Snapshot, namespace, name string) (s identity.Subject, pod string) {
	s = identity.Subject{Namespace: namespace, ServiceAccount: name}
	if _, named := state.Mapping(s); named {
		return s, ""
	}
	if _, presence := snap.ServiceAccount(s); presence == live.Present {
		return s, ""
	}
	for _, p := range snap.Facts().Pods {
		if p.Namespace == namespace && p.Name == name {
			return identity.Subject{Namespace: namespace, ServiceAccount: p.ServiceAccount}, name
		}
	}
	return s, ""
}

// Walk explains one ServiceAccount. One that Git does not name is explained by what
// stands: it is an error if it is not there at all.
func Walk(state desired.State, snap *live.Snapshot, s identity.Subject, o Options) (Chain, error) {
	if o.Pod != "" {
		var err error
		if snap, err = only(snap, s, o.Pod); err != nil {
			return Chain{}, err
		}
	}
	w, err := begin(state, snap, s, o)
	if err != nil {
		return Chain{}, err
	}
	c := Chain{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Role: w.role(), Mechanism: w.mechanism(), Links: []Link{}, Message: o.Message, Pod: o.Pod}
	order := irsa
	switch {
	case w.j == nil:
		order = unwired
	case c.Mechanism == identity.PodIdentity:
		order = podIdentity
	}
	for _, name := range order {
		c.Links = append(c.Links, w.link(name))
	}
	for _, state := range []State{Broken, Unknown} {
		for _, l := range c.Links {
			if c.First == "" && l.State == state {
				c.First = l.Name
			}
		}
	}
	return c, nil
}

// only is the live world with one pod of the subject.
func only(snap *live.Snapshot, s identity.Subject, pod string) (*live.Snapshot, error) {
	f := *snap.Facts()
	f.Pods = slices.DeleteFunc(slices.Clone(f.Pods), func(p live.Pod) bool {
		return p.Namespace == s.Namespace && p.ServiceAccount == s.ServiceAccount && p.Name != pod
	})
	one, err := live.New(f)
	if err != nil {
		return nil, fmt.Errorf("look at pod %s alone: %w", pod, err)
	}
	return one, nil
}

// JSON returns the chain in its public form, indented, with a last line feed.
func (c Chain) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
