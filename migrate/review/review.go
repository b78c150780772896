package review

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Input is everything that a review depends on.
type Input struct {
	Base desired.State // what the pull request is to be merged into, for the cluster
	Head desired.State // what Git will be after the merge; of a head that is refused, the revision alone
	// Refused are the head's document errors. With any, Head is not followed: the last
	// accepted revision, which is taken to be Base, stays in force.
	Refused desired.Errors

	Snapshot *live.Snapshot
	Mode     desired.Mode // empty without a configuration: then it is not known what may be done
	Policy   plan.Policy
	Outline  outline.Options
	Age      time.Duration // of the snapshot; 0 where it is not known
}

// Review is the whole report. Its lists are sorted and never nil. Its JSON form is
// described by the schema docs/schemas/review.json and only ever grows.
type Review struct {
	Cluster   string       `json:"cluster"`
	Base      string       `json:"base"`
	Head      string       `json:"head"`
	Mode      desired.Mode `json:"mode"`
	Snapshot  Look         `json:"snapshot"`
	Summary   Summary      `json:"summary"`
	Refused   []Mistake    `json:"refused"`   // document errors of the head: it is not followed
	Risks     []Danger     `json:"risks"`     // of the whole, besides those of the workloads; the worst first
	Workloads []Workload   `json:"workloads"` // that the pull request touches, the riskiest first
	Together  []Together   `json:"together"`  // lines that change several mappings at once
	Rails     []Rail       `json:"rails"`     // the operator's guard rails that it meets
	Quotas    Quotas       `json:"quotas"`
	Caused    []Finding    `json:"caused"` // head has them, and base has not
	Before    []Finding    `json:"before"` // both have them
	Heals     []Finding    `json:"heals"`  // base has them, and head has not
	NewGaps   []Gap        `json:"newGaps"`
	Gaps      []live.Gap   `json:"gaps"` // of the snapshot: they were there before

	short shortener
}

// Look is the look at the live world that both revisions are held against.
type Look struct {
	TakenAt    time.Time `json:"takenAt"`
	AgeSeconds int       `json:"ageSeconds"` // 0 where it is not known
}

// Summary counts.
type Summary struct {
	Line      string         `json:"line"` // one line for a commit status
	Risk      Risk           `json:"risk"` // the highest
	Workloads int            `json:"workloads"`
	Changes   map[string]int `json:"changes"` // workloads by change; only what occurs
	Steps     int            `json:"steps"`   // that the pull request adds
	Restarts  int            `json:"restarts"`
	Refused   int            `json:"refused"`
	Caused    int            `json:"caused"`
	Before    int            `json:"before"`
	Heals     int            `json:"heals"`
	NewGaps   int            `json:"newGaps"`
	Gaps      int            `json:"gaps"`
}

// Mistake is a document error of the head, with its place.
type Mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	What    string `json:"what"`
	Instead string `json:"instead"`
}

// Finding is a finding in its public form.
type Finding struct {
	report.Finding
	Mended  bool `json:"mended"`  // by a step of lanyard's, or by the restart of pods that it asks for
	Dropped bool `json:"dropped"` // healed only in that nobody looks for it: Git names it no more, or a fact is missing

	at    desired.Position
	would bool // mended only where the mode let the steps be taken, which it does not
}

// Gap is a fact about one workload that the head needs, the base does not, and the
// snapshot has not.
type Gap struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	What           string `json:"what"`
}

// Change says what a pull request does to a mapping in Git.
type Change string

// The changes.
const (
	Added    Change = "added"
	Deleted  Change = "deleted"
	Renamed  Change = "renamed"  // another name or namespace
	Changed  Change = "changed"  // by its own document, defaults or template
	Moved    Change = "moved"    // to another file, and nothing else
	Affected Change = "affected" // not itself: by what was changed beside it
)

// Changes returns the closed list.
func Changes() []Change { return []Change{Added, Deleted, Renamed, Changed, Moved, Affected} }

// Workload is one ServiceAccount that the pull request touches.
type Workload struct {
	Namespace      string  `json:"namespace"`
	ServiceAccount string  `json:"serviceAccount"`
	Change         Change  `json:"change"`
	Does           bool    `json:"does"` // it does something to the live world, or to what lanyard looks after
	From           string  `json:"from"` // of a renamed one: namespace/name of before
	Position       string  `json:"position"`
	Was            string  `json:"was"` // the position in the base
	Fields         []Field `json:"fields"`

	Role     string             `json:"role"`
	Now      identity.Mechanism `json:"now"`      // what a pod admitted now gets; empty for nothing
	Declared Pair               `json:"declared"` // the mechanism as written, in base and head
	Wanted   Pair               `json:"wanted"`   // the resolved mechanism, in base and head
	Verdict  Pair               `json:"verdict"`  // whether Pod Identity can serve it, in base and head
	Phase    string             `json:"phase"`
	Class    Pair               `json:"class"`

	Risk     Risk             `json:"risk"`
	Risks    []Danger         `json:"risks"`    // why, the worst first
	Steps    []Step           `json:"steps"`    // the whole way, the next one first
	NoLonger []Step           `json:"noLonger"` // the base leads to them, and the head does not
	Left     []plan.Hold      `json:"left"`     // to whom something is left that the base would not leave, with the exact text
	Stays    []string         `json:"stays"`    // of what left Git: what stays live
	Reasons  []migrate.Reason `json:"reasons"`  // of the verdict
	Warnings []migrate.Reason `json:"warnings"`
	Holds    []migrate.Reason `json:"holds"` // why steps wait
	Gaps     []live.Gap       `json:"gaps"`  // why the verdict is unclear

	Restarts      []string `json:"restarts"`      // pods that lanyard restarts
	NeedRestart   []string `json:"needRestart"`   // pods that somebody must restart, before they have what Git asks for
	Owners        []string `json:"owners"`        // workloads that make the pods
	OtherAccounts []string `json:"otherAccounts"` // roles in other accounts that it gets to
	OtherClusters []string `json:"otherClusters"` // clusters that its roles let in too
	SharedWith    []string `json:"sharedWith"`    // mappings that have its role too
	Trust         []Room   `json:"trust"`         // sizes of the trust policies that the steps edit

	mode          desired.Mode
	short         shortener
	subject, from identity.Subject
	at, was       desired.Position
}

// Name returns "namespace/serviceAccount".
func (w Workload) Name() string { return w.Namespace + "/" + w.ServiceAccount }

// Pair is something in the base and in the head; empty where it is not there.
type Pair struct {
	Base string `json:"base"`
	Head string `json:"head"`
}

// Field is what the pull request says of one field of a mapping.
type Field struct {
	Name     string `json:"name"`
	Before   string `json:"before"` // empty: not set
	After    string `json:"after"`
	Position string `json:"position"` // where it is said; a default's is in another file

	at desired.Position
}

// Together is one line, or one change, that many mappings have in common.
type Together struct {
	Field    string   `json:"field"`
	Position string   `json:"position"` // empty where it cannot be told
	Template bool     `json:"template"` // it comes out differently for each
	Before   string   `json:"before"`   // empty where they differ
	After    string   `json:"after"`
	Mappings []string `json:"mappings"`

	at desired.Position // of the first
}

// Step is one step of a way, and whose it is.
type Step struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	migrate.Leg
	By    By       `json:"by"`
	Old   bool     `json:"old"`   // the base leads to it too
	Gains []string `json:"gains"` // whom a trust policy lets in then, and did not
	Loses []string `json:"loses"` // and whom no longer
	Diff  string   `json:"diff"`  // of a trust policy, line by line

	role         identity.RoleARN // whose trust policy
	gains, loses []trust.Access
	now, then    int // sizes of the trust policy
}

// By says who takes a step.
type By string

// The takers.
const (
	ByRepair  By = "repair"  // lanyard, in mode repair or migrate
	ByMigrate By = "migrate" // lanyard, in mode migrate only
	ByOwner   By = "owner"   // somebody else: lanyard may not
)

// Room is how large a trust policy is.
type Room struct {
	Role  string `json:"role"`
	Now   int    `json:"now"`   // characters
	Peak  int    `json:"peak"`  // on the way, with both sides in it
	After int    `json:"after"` // at the end
	Limit int    `json:"limit"` // IAM's quota; 0 where it is not known
}

// Quotas is what the cluster will hold after the merge.
type Quotas struct {
	Associations Quota `json:"associations"`
}

// Quota is how much there is of something, how much the base and the head lead to, and
// how much there may be.
type Quota struct {
	Now   int `json:"now"`
	Base  int `json:"base"`
	Head  int `json:"head"`
	Limit int `json:"limit"`
}

// Rail is a guard rail of the operator's that the pull request meets.
type Rail struct {
	Rule     string   `json:"rule"`
	Message  string   `json:"message"`
	Mappings []string `json:"mappings"`
}

// New reviews a pull request.
func New(in Input) Review {
	if len(in.Refused) > 0 {
		revision := in.Head.Revision
		in.Head = in.Base
		in.Head.Revision = revision
	}
	facts := in.Snapshot.Facts()
	r := Review{
		Cluster: in.Snapshot.Cluster().Name, Base: in.Base.Revision.String(), Head: in.Head.Revision.String(), Mode: in.Mode,
		Snapshot: Look{TakenAt: facts.TakenAt, AgeSeconds: int(in.Age.Seconds())},
		Refused:  []Mistake{}, Risks: []Danger{}, Workloads: []Workload{}, Together: []Together{}, Rails: []Rail{},
		NewGaps: []Gap{}, Gaps: append([]live.Gap{}, in.Snapshot.Gaps()...), short: shorten(in.Snapshot.Cluster()),
	}
	for _, e := range in.Refused {
		r.Refused = append(r.Refused, Mistake{File: e.At.File, Line: e.At.Line, Column: e.At.Column, What: e.What, Instead: e.Instead})
	}
	base, head := lookAt(in, in.Base), lookAt(in, in.Head)
	r.Caused, r.Before, r.Heals = subtract(base, head)
	all := pairs(in.Base, in.Head)
	v := &reviewer{in: in, base: base, head: head, snap: in.Snapshot, caused: bySubject(r.Caused), heals: bySubject(r.Heals), users: map[identity.RoleARN][]identity.Subject{}}
	for _, m := range in.Head.Mappings {
		for _, role := range []identity.RoleARN{m.Role, m.PodIdentity.TargetRole} {
			if !role.IsZero() {
				v.users[role] = append(v.users[role], m.Subject)
			}
		}
	}
	for _, p := range all {
		r.NewGaps = append(r.NewGaps, v.gaps(p)...)
	}
	r.Workloads = v.workloads(all)
	slices.SortStableFunc(r.Workloads, func(a, b Workload) int { return b.Risk.rank() - a.Risk.rank() })
	by := map[string]*Workload{}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		by[w.Name()], by[w.From] = w, w
	}
	for i := range r.Heals {
		f := &r.Heals[i]
		f.Dropped = head.blindTo(*f)
	}
	for i := range r.Caused {
		f := &r.Caused[i]
		if w := by[f.who()]; w != nil {
			f.Mended = w.mends(*f)
			f.would = f.Mended && !w.mendsNow(*f)
		}
	}
	r.Together = together(all)
	r.Rails = v.rails(r.Caused, r.Workloads)
	r.Quotas.Associations = Quota{Now: len(facts.Associations), Base: base.associations(), Head: head.associations(), Limit: migrate.AssociationQuota}
	r.whole()
	r.summarise()
	return r
}

// blindTo reports whether a finding is not there only because nobody can look for it: Git
// names the ServiceAccount no more, a fact about it is missing, or what Git asks for
// cannot be, and is not compared.
func (s *side) blindTo(f Finding) bool {
	if f.ServiceAccount == "" || f.Kind == diff.MappingGone {
		return false
	}
	j := s.judged(identity.Subject{Namespace: f.Namespace, ServiceAccount: f.ServiceAccount})
	return j == nil || len(j.Unknown) > 0 || j.Lacks(diff.MappingInvalid)
}

func bySubject(all []Finding) map[identity.Subject][]Finding {
	out := map[identity.Subject][]Finding{}
	for _, f := range all {
		s := identity.Subject{Namespace: f.Namespace, ServiceAccount: f.ServiceAccount}
		out[s] = append(out[s], f)
	}
	return out
}

// associations is how many the cluster has once all is as Git asks, as far as it can be.
func (s *side) associations() int {
	n := len(s.snap.Facts().Associations)
	for i := range s.result.Judged {
		switch j := &s.result.Judged[i]; {
		case j.Class == diff.Held || j.Class == diff.Blind:
		case j.Wanted == identity.PodIdentity && !j.HasAssociation:
			n++
		case j.Wanted == identity.IRSA && j.HasAssociation:
			n--
		}
	}
	for _, o := range s.result.Orphans {
		if o.Gone && o.Association != nil && s.in.Policy.Prune == desired.PruneOwned {
			n--
		}
	}
	return n
}

func (r *Review) summarise() {
	s := &r.Summary
	*s = Summary{Risk: None, Workloads: len(r.Workloads), Changes: map[string]int{}, Refused: len(r.Refused), Caused: len(r.Caused), Before: len(r.Before),
		Heals: len(r.Heals), NewGaps: len(r.NewGaps), Gaps: len(r.Gaps)}
	worst := func(risk Risk) {
		if risk.AtLeast(s.Risk) {
			s.Risk = risk
		}
	}
	for _, d := range r.Risks {
		worst(d.Risk)
	}
	for _, w := range r.Workloads {
		s.Changes[string(w.Change)]++
		s.Restarts += len(w.Restarts)
		worst(w.Risk)
		for _, step := range w.Steps {
			if !step.Old {
				s.Steps++
			}
		}
	}
	s.Line = r.line()
}

// Changes reports whether the pull request does something, or adds a gap. What only moves
// a mapping to another file, or changes an option that nothing waits for, does not.
func (r Review) Changes() bool {
	return len(r.Refused)+len(r.Caused)+len(r.Heals)+len(r.NewGaps) > 0 || slices.ContainsFunc(r.Workloads, func(w Workload) bool { return w.Does })
}

// JSON returns the report as indented JSON.
func (r Review) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// YAML returns the report as YAML, with the keys of its JSON form.
func (r Review) YAML() ([]byte, error) {
	b, err := r.JSON()
	if err != nil {
		return nil, err
	}
	return live.ToYAML(b)
}
