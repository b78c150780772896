package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// DefaultRoleName is the pattern that role names are held against where nobody names
// another.
const DefaultRoleName = "eks-${cluster}-${namespace}-${serviceAccount}-role"

// Options are what an audit depends on besides Git and the live world.
type Options struct {
	Diff    diff.Options
	Migrate migrate.Options // its Mappings are the state's
	// RoleName is what roles are to be called: * and ? are wildcards, and ${cluster},
	// ${region}, ${accountID}, ${namespace} and ${serviceAccount} stand for their values.
	// Empty: names are not judged.
	RoleName string
	Tags     []string // keys that each role must bear; none: one tag of any key
}

// Report is the whole audit. Its lists are sorted and never nil.
type Report struct {
	Cluster         string     `json:"cluster"`
	TakenAt         time.Time  `json:"takenAt"`
	Summary         Summary    `json:"summary"`
	ServiceAccounts []Wired    `json:"serviceAccounts"`
	Findings        []Finding  `json:"findings"`
	Unknown         []Unknown  `json:"unknown"`
	Waivers         []Waiver   `json:"waivers"`
	Gaps            []live.Gap `json:"gaps"`
}

// Summary counts. The maps have only what occurs.
type Summary struct {
	ServiceAccounts int            `json:"serviceAccounts"`
	Mechanisms      map[string]int `json:"mechanisms"`
	Verdicts        map[string]int `json:"verdicts"`
	Roles           int            `json:"roles"` // that are wired
	Critical        int            `json:"critical"`
	Warning         int            `json:"warning"`
	Info            int            `json:"info"`
	Waived          int            `json:"waived"`  // not counted above
	Unknown         int            `json:"unknown"` // facts without which some checks were not made
}

// Wired is one ServiceAccount that is wired to a role.
type Wired struct {
	Namespace      string             `json:"namespace"`
	ServiceAccount string             `json:"serviceAccount"`
	Mechanism      identity.Mechanism `json:"mechanism"` // what a pod admitted now would get; empty where that is not known
	Role           string             `json:"role"`      // as it stands; empty where it is not known
	Account        string             `json:"account"`
	TargetRole     string             `json:"targetRole"` // that EKS assumes in turn; empty where there is none
	Presence       live.Presence      `json:"rolePresence"`
	Attached       []string           `json:"attachedPolicies"` // managed policies, by name
	Inline         []string           `json:"inlinePolicies"`   // by name
	PoliciesRead   bool               `json:"policiesRead"`     // false: the two lists are not known
	Boundary       string             `json:"permissionsBoundary"`
	Tags           []string           `json:"tags"`           // the role's, as key=value
	LastUsed       string             `json:"lastUsed"`       // a moment, never (in 400 days) or unknown
	LastUsedRegion string             `json:"lastUsedRegion"` // empty where it is not known
	Trust          string             `json:"trust"`          // whether the role lets it in: allow, deny, undecidable or unknown
	Refuses        []Refusal          `json:"refuses"`        // the standing negative tests
	Others         []Other            `json:"others"`         // who else may assume the role
	OthersWhole    bool               `json:"othersWhole"`    // false: there may be more
	Owner          string             `json:"owner"`          // who made the wiring, as far as it shows
	RoleOwner      string             `json:"roleOwner"`      // who made the role, as far as it shows
	Workloads      []string           `json:"workloads"`
	Pods           int                `json:"pods"`
	Addon          string             `json:"addon"` // the EKS add-on that rules it; empty: none does
	Verdict        migrate.Verdict    `json:"verdict"`
	Reasons        []string           `json:"reasons"`  // the verdict's codes
	Declared       string             `json:"declared"` // the mechanism that Git names; empty where it does not name it
	Owned          []string           `json:"owned"`    // what of the wiring bears lanyard's mark
	Checks         []Check            `json:"checks"`   // of its findings that are not waived

	role identity.RoleARN // zero where it is none
}

// Name returns "namespace/serviceAccount".
func (w Wired) Name() string { return w.Namespace + "/" + w.ServiceAccount }

func (w Wired) subject() identity.Subject {
	return identity.Subject{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount}
}

// Refusal is the answer of one standing negative test.
type Refusal struct {
	Test   string `json:"test"`   // other-namespace or other-service-account
	Result string `json:"result"` // refused, admitted, undecidable or unknown
	By     string `json:"by"`     // the mechanism by which it is not refused
	Says   string `json:"says"`   // why not
}

// The negative tests and their results.
const (
	OtherNamespace      = "other-namespace"       // the same name in another namespace
	OtherServiceAccount = "other-service-account" // any other
	Refused             = "refused"
	Admitted            = "admitted"
	Undecidable         = "undecidable"
	NotKnown            = "unknown"
)

// Other is somebody else who may assume the role. ServiceAccounts are judged, others are
// those that the trust policy names.
type Other struct {
	Kind    string `json:"kind"`    // service-account, or a principal's kind: anyone, aws, service, federated, canonical
	Name    string `json:"name"`    // namespace/name, with * for whatever; or the principal as written
	By      string `json:"by"`      // a ServiceAccount's mechanism
	Through string `json:"through"` // IRSA: the OIDC provider; Pod Identity: the cluster
}

// String is the whole of it.
func (o Other) String() string {
	if o.Kind == "service-account" {
		return fmt.Sprintf("%s by %s through %s", o.Name, o.By, o.Through)
	}
	return o.Kind + " " + o.Name
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Check          Check          `json:"check"`
	Severity       trust.Severity `json:"severity"`
	Namespace      string         `json:"namespace"` // empty where it concerns no ServiceAccount
	ServiceAccount string         `json:"serviceAccount"`
	Role           string         `json:"role"` // empty where it concerns none
	Message        string         `json:"message"`
	Evidence       []string       `json:"evidence"`
	Fix            string         `json:"fix"`
	Waived         bool           `json:"waived"`
	WaivedBy       string         `json:"waivedBy,omitempty"` // owner: reason (until)
}

// About says what a finding is about: a ServiceAccount, a role, or the account.
func (f Finding) About() string {
	switch {
	case f.ServiceAccount != "":
		return f.Namespace + "/" + f.ServiceAccount
	case f.Role != "":
		return f.Role
	}
	return "the account"
}

// Unknown is a fact that was not read, or cannot be judged, and the checks that were not
// made for it.
type Unknown struct {
	Namespace      string  `json:"namespace"`
	ServiceAccount string  `json:"serviceAccount"`
	Role           string  `json:"role"`
	Fact           string  `json:"fact"`
	Checks         []Check `json:"checks"`
}

// About says what the fact is about.
func (u Unknown) About() string {
	return Finding{Namespace: u.Namespace, ServiceAccount: u.ServiceAccount, Role: u.Role}.About()
}

func rank(s trust.Severity) int {
	return slices.Index([]trust.Severity{trust.Critical, trust.Warning, trust.Info}, s)
}

func (f Finding) compare(g Finding) int {
	return cmp.Or(cmp.Compare(f.Namespace, g.Namespace), cmp.Compare(f.ServiceAccount, g.ServiceAccount), cmp.Compare(f.Role, g.Role),
		cmp.Compare(rank(f.Severity), rank(g.Severity)), cmp.Compare(f.Check.order(), g.Check.order()), cmp.Compare(f.Message, g.Message))
}

func (u Unknown) compare(v Unknown) int {
	return cmp.Or(cmp.Compare(u.Namespace, v.Namespace), cmp.Compare(u.ServiceAccount, v.ServiceAccount), cmp.Compare(u.Role, v.Role), cmp.Compare(u.Fact, v.Fact))
}

// New audits what a snapshot shows. The state may be empty: of Git only waivers and, for
// the verdict, mappings count.
func New(state desired.State, snap *live.Snapshot, o Options) Report {
	o.Migrate.Mappings, o.Migrate.Brief = state.Mappings, true
	a := &auditor{snap: snap, state: state, o: o, assessor: migrate.NewAssessor(snap, o.Migrate), users: map[identity.RoleARN][]identity.Subject{}, inUse: map[identity.RoleARN]bool{},
		others: map[identity.RoleARN]whoElse{}}
	a.r = Report{Cluster: snap.Cluster().Name, TakenAt: snap.Facts().TakenAt, ServiceAccounts: []Wired{}, Findings: []Finding{}, Unknown: []Unknown{}, Waivers: []Waiver{},
		Gaps: append([]live.Gap{}, snap.Gaps()...)}
	a.all()
	slices.SortFunc(a.r.Findings, Finding.compare)
	slices.SortFunc(a.r.Unknown, Unknown.compare)
	a.r.waive(state.Waivers)
	a.r.count()
	return a.r
}

func (r *Report) count() {
	s := Summary{ServiceAccounts: len(r.ServiceAccounts), Mechanisms: map[string]int{}, Verdicts: map[string]int{}, Unknown: len(r.Unknown)}
	open := map[identity.Subject][]Check{}
	for _, f := range r.Findings {
		switch {
		case f.Waived:
			s.Waived++
			continue
		case f.Severity == trust.Critical:
			s.Critical++
		case f.Severity == trust.Warning:
			s.Warning++
		default:
			s.Info++
		}
		k := identity.Subject{Namespace: f.Namespace, ServiceAccount: f.ServiceAccount}
		if !slices.Contains(open[k], f.Check) {
			open[k] = append(open[k], f.Check)
		}
	}
	roles := map[string]bool{}
	for i := range r.ServiceAccounts {
		w := &r.ServiceAccounts[i]
		s.Mechanisms[cmp.Or(w.Mechanism.String(), NotKnown)]++
		s.Verdicts[w.Verdict.String()]++
		if w.Role != "" {
			roles[w.Role] = true
		}
		w.Checks = append([]Check{}, open[w.subject()]...)
	}
	s.Roles = len(roles)
	r.Summary = s
}

// Fails reports whether an audit is not clean: a finding of that severity or a worse one
// that nobody waived, or something that is not known.
func (r Report) Fails(at trust.Severity) bool {
	return len(r.Unknown)+len(r.Gaps) > 0 || slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.Waived && rank(f.Severity) <= rank(at) })
}

// Only returns the report of one ServiceAccount.
func (r Report) Only(namespace, serviceAccount string) (Report, error) {
	one := r.only(func(w Wired) bool { return w.Namespace == namespace && w.ServiceAccount == serviceAccount })
	if len(one.ServiceAccounts) == 0 {
		return Report{}, fmt.Errorf("%s/%s is wired to no role: name one that `lanyard audit` lists", namespace, serviceAccount)
	}
	return one, nil
}

// OwnedOnly returns the report of what bears lanyard's mark.
func (r Report) OwnedOnly() Report {
	return r.only(func(w Wired) bool { return len(w.Owned) > 0 })
}

// only keeps some ServiceAccounts, and what concerns them. What was not read stays.
func (r Report) only(keep func(Wired) bool) Report {
	one := r
	one.ServiceAccounts = slices.DeleteFunc(slices.Clone(r.ServiceAccounts), func(w Wired) bool { return !keep(w) })
	has := map[identity.Subject]string{}
	for _, w := range one.ServiceAccounts {
		has[w.subject()] = w.Role
	}
	other := func(namespace, name string) bool {
		_, in := has[identity.Subject{Namespace: namespace, ServiceAccount: name}]
		return !in
	}
	one.Findings = slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return other(f.Namespace, f.ServiceAccount) })
	one.Unknown = slices.DeleteFunc(slices.Clone(r.Unknown), func(u Unknown) bool { return other(u.Namespace, u.ServiceAccount) })
	one.Waivers = slices.DeleteFunc(slices.Clone(r.Waivers), func(w Waiver) bool {
		return other(w.Namespace, w.ServiceAccount) && !slices.ContainsFunc(one.ServiceAccounts, func(s Wired) bool { return s.Role != "" && s.Role == w.Role })
	})
	one.count()
	return one
}

// JSON returns the report in its public form, indented, with a last line feed.
func (r Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// YAML returns the report as YAML, with the keys of its JSON form.
func (r Report) YAML() ([]byte, error) {
	b, err := r.JSON()
	if err != nil {
		return nil, err
	}
	return live.ToYAML(b)
}

// variables are what stands in a pattern of role names.
var variables = []string{"cluster", "region", "accountID", "namespace", "serviceAccount"}

// ValidRoleName says what is wrong with a pattern of role names.
func ValidRoleName(pattern string) error {
	rest := pattern
	for _, v := range variables {
		rest = strings.ReplaceAll(rest, "${"+v+"}", "")
	}
	if i := strings.IndexAny(rest, "${}"); i >= 0 {
		return fmt.Errorf("the pattern %q has something that is neither a name's character nor a variable: write ${%s}", pattern, strings.Join(variables, "}, ${"))
	}
	if strings.Contains(pattern, "/") {
		return fmt.Errorf("the pattern %q has a slash: it is for the role's name alone, without its path", pattern)
	}
	return nil
}
