package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// Verdict says whether a workload can be served by Pod Identity. The zero Verdict is
// [Unclear].
type Verdict uint8

// The verdicts, in the order of precedence from the last to the first.
const (
	Unclear  Verdict = iota // a required read has no answer
	Eligible                // nothing stands in the way
	Blocked                 // a person can clear what does
	KeepIRSA                // Pod Identity cannot serve it
)

var verdicts = [...]string{"unclear", "eligible", "blocked", "keep-irsa"}

// String returns unclear, eligible, blocked or keep-irsa.
func (v Verdict) String() string { return verdicts[min(int(v), len(verdicts)-1)] }

// MarshalText writes the word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, word := range verdicts {
		if word == string(b) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("verdict %q is none of unclear, eligible, blocked, keep-irsa", b)
}

// FactKind says what a [Fact] is about.
type FactKind string

// The kinds of facts.
const (
	OfPod            FactKind = "pod"
	OfNode           FactKind = "node"
	OfNodeGroup      FactKind = "node-group"
	OfWorkload       FactKind = "workload"
	OfContainer      FactKind = "container"
	OfProfile        FactKind = "fargate-profile"
	OfServiceAccount FactKind = "service-account"
	OfRole           FactKind = "role"
	OfPolicy         FactKind = "policy"    // of a role, as role/policy
	OfStatement      FactKind = "statement" // of a trust policy
	OfAssociation    FactKind = "association"
	OfAddon          FactKind = "add-on"
	OfReader         FactKind = "annotation-reader"
	OfBudget         FactKind = "pod-disruption-budget"
	OfNetworkPolicy  FactKind = "network-policy"
	OfSDK            FactKind = "sdk"
	OfCluster        FactKind = "cluster"
	OfRead           FactKind = "read"
	OfMore           FactKind = "more" // how many more there are
)

// Fact is one thing of the snapshot that a reason rests on.
type Fact struct {
	Kind   FactKind `json:"kind"`
	Name   string   `json:"name"`             // namespace/name where there is a namespace
	Detail string   `json:"detail,omitempty"` // what of it
}

// String returns "kind name: detail".
func (f Fact) String() string {
	s := string(f.Kind) + " " + f.Name
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	return s
}

func (f Fact) compare(g Fact) int {
	if f.Kind != g.Kind && (f.Kind == OfMore || g.Kind == OfMore) {
		return map[bool]int{true: 1, false: -1}[f.Kind == OfMore] // the last
	}
	return cmp.Or(cmp.Compare(f.Kind, g.Kind), cmp.Compare(f.Name, g.Name), cmp.Compare(f.Detail, g.Detail))
}

// Reason is one reason, warning or hold: what it is, in one sentence; the facts that it
// rests on, sorted; and the way out.
type Reason struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Facts   []Fact `json:"facts"`
	Fix     string `json:"fix"`
}

// Room says how large the role's trust policy would be with lanyard's Pod Identity
// statement in one width.
type Room struct {
	Width  identity.Width `json:"width"`
	Before int            `json:"before"` // characters
	After  int            `json:"after"`
	Limit  int            `json:"limit"` // IAM's quota; 0 where it is not known
	Fits   bool           `json:"fits"`
}

// Assessment is what is known about one workload's move to Pod Identity. Its lists are
// sorted and never nil.
type Assessment struct {
	Subject  identity.Subject `json:"subject"`
	Verdict  Verdict          `json:"verdict"`
	Reasons  []Reason         `json:"reasons"`  // every one that applies: those that keep before those that block
	Warnings []Reason         `json:"warnings"` // ride along
	Holds    []Reason         `json:"holds"`    // that the snapshot shows, of an eligible workload
	Gaps     []live.Gap       `json:"gaps"`     // required reads without an answer
	Trust    []Room           `json:"trust"`    // narrowest width first; empty where the trust policy cannot be edited
}

// Has reports whether a reason has the code.
func (a Assessment) Has(c Code) bool {
	return slices.ContainsFunc(a.Reasons, func(r Reason) bool { return r.Code == c })
}

// Options are what an assessment depends on besides the mapping and the snapshot.
type Options struct {
	Mappings       []desired.Mapping  // all that Git names: who else uses a role
	OrganizationID string             // the value of aws:SourceOrgId; empty means unknown
	StartupTaint   string             // nodes bear it until their agent is ready; empty means none is declared
	Self           []identity.Subject // lanyard's own ServiceAccount and whatever else is never touched, besides the agent's
	AllowSelf      bool               // feature self: they are judged as all others are
	Brief          bool               // without [Assessment].Trust, which takes longest: for those who count only
}

// Assess assesses one mapping. It is [Assessor.Assess] for those who ask once.
func Assess(m desired.Mapping, snap *live.Snapshot, opts Options) Assessment {
	return NewAssessor(snap, opts).Assess(m)
}

// Assessor assesses mappings against one snapshot. It is safe for use by several
// goroutines.
type Assessor struct {
	snap *live.Snapshot
	opts Options

	users           map[identity.RoleARN][]user     // who uses a role, sorted
	completed       map[identity.Subject][]live.Pod // pods that succeeded
	agent           []Fact                          // what shows that there is a Pod Identity agent
	agentSeen       bool                            // which nodes have a ready one was read, so that no other has
	scaler          []Fact                          // what shows that nodes come and go
	nodeRoles       map[string]*Fact                // of a node group: why its role does not let the agent serve; nil if it does
	unreadNodeRoles map[string]Fact                 // of a node group whose role, or its policies, were not read
	nodes           []*live.Node                    // sorted
	reading         reading
}

// user is one who uses a role, and what says so.
type user struct {
	subject identity.Subject
	by      string
}

// NewAssessor indexes what assessments of several mappings share.
func NewAssessor(snap *live.Snapshot, opts Options) *Assessor {
	a := &Assessor{snap: snap, opts: opts, users: map[identity.RoleARN][]user{}, completed: map[identity.Subject][]live.Pod{},
		nodeRoles: map[string]*Fact{}, unreadNodeRoles: map[string]Fact{}}
	f := snap.Facts()
	a.findUsers()
	for _, p := range f.Pods {
		if p.Phase == "Succeeded" {
			a.completed[p.Subject()] = append(a.completed[p.Subject()], p)
		}
	}
	for i := range f.Nodes {
		a.nodes = append(a.nodes, &f.Nodes[i])
	}
	slices.SortFunc(a.nodes, func(x, y *live.Node) int { return cmp.Compare(x.Name, y.Name) })
	a.reading = readingOf(f.Readers)
	a.findAgent()
	a.findScaler()
	a.judgeNodeRoles()
	return a
}

// findUsers notes who uses a role, each once, by the first thing that says so. Whoever may
// make ServiceAccounts may let any number of them name one role.
func (a *Assessor) findUsers() {
	type use struct {
		role    identity.RoleARN
		subject identity.Subject
	}
	noted := map[use]bool{}
	uses := func(role string, s identity.Subject, by string) {
		arn, err := identity.ParseRoleARN(role)
		if err != nil || noted[use{arn, s}] {
			return
		}
		noted[use{arn, s}] = true
		a.users[arn] = append(a.users[arn], user{s, by})
	}
	for _, m := range a.opts.Mappings {
		uses(m.Role.String(), m.Subject, "its mapping")
	}
	for _, sa := range a.snap.Facts().ServiceAccounts {
		uses(sa.Annotations[annotationRole], sa.Subject(), "its annotation")
	}
	for _, s := range a.snap.Facts().Associations {
		if s.Described {
			uses(s.Role.String(), s.Subject(), "its association")
		}
	}
	for _, users := range a.users {
		slices.SortFunc(users, func(x, y user) int { return cmp.Compare(x.subject.String(), y.subject.String()) })
	}
}

// look is one assessment in the making: the subject's facts, and what was found.
type look struct {
	*Assessor
	m   desired.Mapping
	out Assessment

	account     live.ServiceAccount
	association live.Association
	associated  bool
	pods        []live.Pod      // live ones that stay
	ending      []live.Pod      // and those that do not
	workloads   []live.Workload // that may still make pods
	places      []place         // where its pods may run, by workload
}

// Assess gives the verdict on one mapping. Whether Git asks for Pod Identity does not
// matter: the verdict says whether it could.
func (a *Assessor) Assess(m desired.Mapping) Assessment {
	l := &look{Assessor: a, m: m, out: Assessment{Subject: m.Subject,
		Reasons: []Reason{}, Warnings: []Reason{}, Holds: []Reason{}, Gaps: []live.Gap{}, Trust: []Room{}}}
	l.gather()
	for _, judge := range []func(){
		l.compute, l.crossAccount, l.outsideEKS, l.chained, l.sessions, l.self,
		l.agents, l.startupRace, l.nodeRole, l.trust, l.quota, l.foreign, l.addon, l.readers,
		l.credentials, l.tokens, l.proxies, l.networkPolicies, l.sdk, l.restarts, l.webhook,
		l.shared, l.optional,
	} {
		judge()
	}
	l.gaps()
	l.out.Verdict = l.verdict()
	if l.out.Verdict == Eligible {
		l.holds()
	}
	for _, list := range [][]Reason{l.out.Reasons, l.out.Warnings, l.out.Holds} {
		SortReasons(list)
	}
	return l.out
}

// SortReasons puts reasons, warnings or holds into the order of reports.
func SortReasons(list []Reason) {
	slices.SortStableFunc(list, func(x, y Reason) int { return cmp.Compare(x.Code.order(), y.Code.order()) })
}

// verdict applies the precedence of design.md section 6: what keeps, then what blocks,
// then what was not read.
func (l *look) verdict() Verdict {
	switch {
	case slices.ContainsFunc(l.out.Reasons, func(r Reason) bool { return r.Code.Keeps() }):
		return KeepIRSA
	case len(l.out.Reasons) > 0:
		return Blocked
	case len(l.out.Gaps) > 0:
		return Unclear
	}
	return Eligible
}

// gather collects the subject's facts.
func (l *look) gather() {
	s := l.m.Subject
	l.account, _ = l.snap.ServiceAccount(s)
	var presence live.Presence
	l.association, presence = l.snap.Association(s)
	l.associated = presence == live.Present
	pods, _ := l.snap.Pods(s)
	for _, p := range pods {
		if p.Terminating {
			l.ending = append(l.ending, p)
		} else {
			l.pods = append(l.pods, p)
		}
	}
	workloads, _ := l.snap.Workloads(s)
	l.workloads = slices.DeleteFunc(slices.Clone(workloads), func(w live.Workload) bool { return w.Done })
	for _, w := range l.workloads {
		l.places = append(l.places, l.placesOf(w))
	}
}

// reason records a reason over some facts; without facts there is none.
func (l *look) reason(code Code, facts []Fact, message, fix string) {
	if len(facts) > 0 {
		l.out.Reasons = append(l.out.Reasons, Reason{code, message, tidy(facts), fix})
	}
}

func (l *look) warn(code Code, facts []Fact, message, fix string) {
	if len(facts) > 0 {
		l.out.Warnings = append(l.out.Warnings, Reason{code, message, tidy(facts), fix})
	}
}

// maxFacts bounds the facts of one reason: a workload of 500 pods on Fargate needs no
// list of 500.
const maxFacts = 20

// tidy sorts facts, drops doubles and cuts a long list.
func tidy(facts []Fact) []Fact {
	facts = slices.Clone(facts)
	slices.SortFunc(facts, Fact.compare)
	facts = slices.Compact(facts)
	if n := len(facts) - maxFacts; n > 0 {
		return append(facts[:maxFacts:maxFacts], Fact{Kind: OfMore, Name: fmt.Sprintf("and %d more", n)})
	}
	return facts
}

// podFact is a fact about a pod.
func podFact(p live.Pod, detail string) Fact {
	return Fact{OfPod, p.Namespace + "/" + p.Name, detail}
}

// workloadFact is a fact about a workload.
func workloadFact(w live.Workload, detail string) Fact {
	return Fact{OfWorkload, w.Kind + " " + w.Namespace + "/" + w.Name, detail}
}

// containerFact is a fact about a container of a workload's template.
func containerFact(w live.Workload, t live.Template, detail string) Fact {
	return Fact{OfContainer, w.Kind + " " + w.Namespace + "/" + w.Name + ": " + t.Name, detail}
}

// several joins words as a sentence does.
func several(words []string) string { return strings.Join(words, ", ") }
