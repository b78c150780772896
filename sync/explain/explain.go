// Package explain walks the chain by which a ServiceAccount's pods get a role, from the
// line in Git to the clause of the trust policy, and says of each link whether it is
// good, broken or unknown, with what shows it. It ends with the first broken link and
// what mends it.
//
// It judges nothing of its own: each link is read off the comparison of package diff and
// off the repair plan's holds and steps. The package is pure.
package explain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
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
	Mechanism      identity.Mechanism `json:"mechanism"` // whose chain it is
	Links          []Link             `json:"links"`
	First          string             `json:"first"`             // the first broken link, else the first unknown one; empty: all are good
	Pod            string             `json:"pod,omitempty"`     // that was asked about
	Message        *Message           `json:"message,omitempty"` // what the error means that was asked about
}

// names are the links of the two chains, in order.
var (
	irsa        = []string{"git", "service-account", "wiring", "webhook", "pods", "oidc-provider", "role", "trust"}
	podIdentity = []string{"git", "service-account", "wiring", "webhook", "pods", "agent", "role", "trust"}
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

// readBy says which missing facts leave a link unknown: the beginnings of what
// [diff.Judged].Unknown has.
var readBy = map[string][]string{
	"service-account": {"ServiceAccount", "namespace"},
	"wiring":          {"ServiceAccount", "Pod Identity association"},
	"pods":            {"pods"},
	"role":            {"role ", "target role "},
	"trust":           {"role ", "target role "},
}

// sourcesOf are the reads behind a link besides.
var sourcesOf = map[string][]live.Source{
	"webhook":       {live.SourceWebhook},
	"agent":         {live.SourceNodes, live.SourcePods},
	"oidc-provider": {live.SourceListProviders},
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
// stands: it is an error if that is nothing.
func Walk(state desired.State, snap *live.Snapshot, s identity.Subject, o Options) (Chain, error) {
	m, named := state.Mapping(s)
	if !named {
		var err error
		if m, err = standing(snap, s); err != nil {
			return Chain{}, err
		}
		state.Mappings = []desired.Mapping{m}
	}
	o.Policy.Settle = 0 // what lanyard would do is asked, not when
	result := diff.Compare(state, snap, o.Policy.Diff)
	i := slices.IndexFunc(result.Judged, func(j diff.Judged) bool { return j.Mapping.Subject == s })
	j := &result.Judged[i]
	repair, _ := plan.Repair(plan.Input{Revision: state.Revision, Result: result, Snapshot: snap, Policy: o.Policy})
	w := walk{snap: snap, j: j, result: result, repair: repair, named: named, pod: o.Pod}
	c := Chain{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Role: m.Role.String(), Mechanism: j.Wanted, Links: []Link{}, Message: o.Message, Pod: o.Pod}
	order := irsa
	if j.Wanted == identity.PodIdentity {
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

// standing is the mapping of what stands.
func standing(snap *live.Snapshot, s identity.Subject) (desired.Mapping, error) {
	account, presence := snap.ServiceAccount(s)
	a, associated := snap.Association(s)
	text, m := account.Annotations[diff.AnnotationRole], identity.IRSA
	if associated == live.Present {
		text, m = a.Role.String(), identity.PodIdentity
	}
	if text == "" {
		if presence == live.Absent {
			return desired.Mapping{}, fmt.Errorf("there is no ServiceAccount %s, and Git does not name one: correct the name, or name its cluster with --cluster", s)
		}
		return desired.Mapping{}, fmt.Errorf("ServiceAccount %s is wired to no role, and Git does not name it: its pods get what their node gets; declare a mapping, or annotate it with %s", s, diff.AnnotationRole)
	}
	role, err := identity.ParseRoleARN(text)
	if err != nil {
		return desired.Mapping{}, fmt.Errorf("ServiceAccount %s is wired to %q, which is no role: %w", s, text, err)
	}
	out := desired.Undeclared(s, role, m)
	out.Adopt = desired.Adopt{}
	if m == identity.PodIdentity {
		p := &out.PodIdentity
		p.SessionTags, p.TargetRole, p.SessionPolicy, p.Trust = !a.SessionTagsOff, a.TargetRole, a.SessionPolicy, identity.WidthBare
	}
	return out, nil
}

// walk is one walk.
type walk struct {
	snap   *live.Snapshot
	j      *diff.Judged
	result diff.Result
	repair plan.Plan
	named  bool
	pod    string
}

// link says how one link is.
func (w *walk) link(name string) Link {
	l := Link{Name: name, State: Good, Evidence: []string{}, Fix: []string{}}
	var says []string
	for _, f := range w.result.Findings {
		if linkOf[f.Kind] != name || f.Subject != w.j.Mapping.Subject && !f.Subject.IsZero() {
			continue
		}
		if f.Kind == diff.RevisionStale || f.Severity == diff.Info || f.Kind == diff.TrustTooWide || !w.named && f.Kind == diff.MappingInvalid {
			l.Evidence = append(l.Evidence, "to know: "+f.Message)
			continue
		}
		if l.State = Broken; f.Kind == diff.TrustUndecidable {
			l.State = Unknown
		}
		says = append(says, f.Message)
		l.Evidence = append(l.Evidence, fmt.Sprintf("%s: expected %s; there is %s", f.Kind, f.Expected, f.Actual))
		if f.Position.File != "" {
			l.Evidence = append(l.Evidence, "Git says so at "+f.Position.String())
		}
		l.Owner = cmp.Or(l.Owner, f.Owner)
		l.Fix = append(l.Fix, w.fixes(f)...)
	}
	if name == "webhook" && w.snap.Whole(live.SourceWebhook) && !w.snap.Facts().Webhook.Present {
		l.State = Broken
		says = append(says, "EKS's webhook pod-identity-webhook is not there, so no new pod is given credentials")
		l.Fix = append(l.Fix, "ask AWS Support to restore MutatingWebhookConfiguration pod-identity-webhook: EKS manages that object")
	}
	if l.State == Good {
		if missing := w.missing(name); missing != "" {
			l.State, l.Says = Unknown, "not read: "+missing
			l.Fix = append(l.Fix, "grant what `lanyard policy` prints, and look again")
			return l
		}
		says = []string{w.good(name)}
	}
	l.Fix = slices.Compact(l.Fix)
	l.Says = strings.Join(says, "; ")
	return l
}

// missing names what was not read of a link; empty where all was.
func (w *walk) missing(name string) string {
	for _, u := range w.j.Unknown {
		for _, begins := range readBy[name] {
			if strings.HasPrefix(u, begins) {
				return u
			}
		}
	}
	for _, source := range sourcesOf[name] {
		if w.snap.Unread(source) {
			return string(source)
		}
	}
	return ""
}

// good says what a link that is good is.
func (w *walk) good(name string) string {
	m, c := w.j.Mapping, w.snap.Cluster()
	switch name {
	case "git":
		if !w.named {
			return "Git does not name it, so what stands is explained"
		}
		return fmt.Sprintf("%s asks for %s with role %s", m.At, w.j.Wanted, m.Role.Name)
	case "service-account":
		return "ServiceAccount " + m.Subject.String() + " is there"
	case "wiring":
		if w.j.Wanted == identity.PodIdentity {
			return "association " + w.j.Association.ID + " gives it role " + w.j.Association.Role.String()
		}
		return "its annotation names role " + w.j.ServiceAccount.Annotations[diff.AnnotationRole]
	case "webhook":
		return "EKS's webhook is there"
	case "pods":
		if len(w.j.Pods) == 0 {
			return "no pod of it runs"
		}
		if w.pod != "" {
			return "pod " + w.pod + " was given what is wired" + w.given()
		}
		return fmt.Sprintf("its pods were given what is wired: %d", len(w.j.Pods))
	case "agent":
		return "an agent is ready on each node that its pods run on"
	case "oidc-provider":
		return fmt.Sprintf("account %s has the provider of %s, with audience %s", m.Role.Account, c.Issuer, strings.Join(w.j.Audiences(), ", "))
	case "role":
		return "role " + m.Role.String() + " exists"
	}
	if w.j.Trust.Decision != trust.Allow {
		return "its trust policy was not judged"
	}
	return w.j.Trust.Reason
}

// given says what the pod that was asked about has, container by container.
func (w *walk) given() string {
	for _, p := range w.j.Pods {
		if p.Name != w.pod {
			continue
		}
		var all []string
		for _, c := range p.Containers {
			all = append(all, c.Name+" "+string(c.Credential))
		}
		return ": " + strings.Join(all, ", ")
	}
	return ""
}

// fixes are what mends a finding: the plan's holds with what to hand to whom, else the
// step that lanyard would take, else what Git would have to say.
func (w *walk) fixes(f diff.Finding) []string {
	var out []string
	for _, h := range w.repair.Holds {
		if h.Subject == w.j.Mapping.Subject && h.Plane == f.Plane && (h.Reason == plan.OwnerMustAct || h.Reason == plan.RestartNeeded || h.Reason == plan.TrustFull || h.Reason == plan.Undecidable || h.Reason == plan.GuardRail || h.Reason == plan.CannotBe) {
			out = append(out, h.Message)
			if h.Handoff != nil {
				out = append(out, handoff(*h.Handoff)...)
			}
		}
	}
	for _, s := range w.repair.Steps {
		if w.named && s.Subject == w.j.Mapping.Subject && s.Plane == f.Plane {
			out = append(out, "lanyard would do it in mode repair: "+s.Action.String())
		}
	}
	if len(out) == 0 {
		out = append(out, "make it so: "+f.Expected)
	}
	return out
}

func handoff(h plan.Handoff) []string {
	out := []string{h.What}
	if h.Owner != "" {
		out[0] += " (made by " + h.Owner + ")"
	}
	for _, text := range []string{h.JSON, h.Command} {
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

// JSON returns the chain in its public form, indented, with a last line feed.
func (c Chain) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// width is that of prose.
const width = 100

// Text writes the chain as a person reads it, and what mends its first broken link.
func (c Chain) Text(w io.Writer, paint report.Paint) error {
	if paint == nil {
		paint = func(_ report.Style, text string) string { return text }
	}
	var b strings.Builder
	prose := func(indent int, text string) {
		for i, line := range report.Wrap(report.Printable(text), width-indent) {
			if i == 1 {
				indent += 2
			}
			fmt.Fprintf(&b, "%s%s\n", strings.Repeat(" ", indent), line)
		}
	}
	if c.Message != nil {
		for _, line := range c.Message.lines() {
			prose(0, line)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s  by %s\n", paint(report.StyleStrong, report.Printable(c.Namespace+"/"+c.ServiceAccount)), cmp.Or(c.Mechanism.String(), "nothing"))
	for _, l := range c.Links {
		style := map[State]report.Style{Good: report.StyleGood, Broken: report.StyleCritical, Unknown: report.StyleWarning}[l.State]
		fmt.Fprintf(&b, "  %s  %s\n", paint(style, fmt.Sprintf("%-7s", l.State)), l.Name)
		prose(11, l.Says)
		for _, e := range l.Evidence {
			prose(11, "- "+e)
		}
	}
	b.WriteByte('\n')
	i := slices.IndexFunc(c.Links, func(l Link) bool { return l.Name == c.First })
	if i < 0 {
		b.WriteString(paint(report.StyleGood, "every link is good") + "\n")
	} else {
		l := c.Links[i]
		fmt.Fprintf(&b, "%s\n", paint(report.StyleStrong, "the first "+string(l.State)+" link is "+l.Name))
		if l.Owner != "" {
			prose(2, "owned by "+l.Owner)
		}
		for _, f := range l.Fix {
			if strings.HasPrefix(f, "{") { // a statement is copied as it is
				fmt.Fprintf(&b, "  %s\n", report.Printable(f))
				continue
			}
			prose(2, f)
		}
	}
	if c.Message != nil {
		prose(0, c.held())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// held holds an error that somebody met against the chain as it is now.
func (c Chain) held() string {
	i := slices.IndexFunc(c.Links, func(l Link) bool { return l.Name == c.Message.Link })
	switch {
	case i < 0 || c.Message.Mechanism != identity.None && c.Message.Mechanism != c.Mechanism:
		return fmt.Sprintf("the error comes by %s, and this ServiceAccount is on %s: its pods are older than that, or the error is another's", c.Message.Mechanism, c.Mechanism)
	case c.Links[i].State == Good:
		return "the link of the error, " + c.Message.Link + ", is good now: it was mended since, or the error is another pod's, or IAM has not caught up yet; look whether it comes again"
	}
	return "the link of the error is " + c.Message.Link + ", which is " + string(c.Links[i].State)
}
