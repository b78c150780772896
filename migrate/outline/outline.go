package outline

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
)

// Outline is the whole report. Its lists are sorted and never nil.
type Outline struct {
	Cluster   string     `json:"cluster"`
	Revision  string     `json:"revision"`
	Summary   Summary    `json:"summary"`
	Workloads []Workload `json:"workloads"`
	Gaps      []live.Gap `json:"gaps"`
}

// Summary counts. The maps have only what occurs.
type Summary struct {
	Workloads    int            `json:"workloads"`
	Declared     int            `json:"declared"` // of them, those that Git names
	Waiting      int            `json:"waiting"`  // declared, and not where Git wants them
	Verdicts     map[string]int `json:"verdicts"`
	Reasons      map[string]int `json:"reasons"`
	Phases       map[string]int `json:"phases"`
	Associations Quota          `json:"associations"`
}

// Quota is how much there is of something, how much there will be once every eligible
// workload has moved, and how much there may be.
type Quota struct {
	Now   int `json:"now"`
	After int `json:"after"`
	Limit int `json:"limit"`
}

// Workload is one ServiceAccount that Git names, or that uses IRSA or Pod Identity.
type Workload struct {
	Namespace      string             `json:"namespace"`
	ServiceAccount string             `json:"serviceAccount"`
	Role           string             `json:"role"`
	Mechanism      identity.Mechanism `json:"mechanism"` // what a pod admitted now would get; empty for nothing
	Wanted         identity.Mechanism `json:"wanted"`    // resolved; empty where Git does not name it, or it cannot be
	Declared       string             `json:"declared"`  // as written; empty where Git does not name it
	Position       string             `json:"position"`  // of the mapping
	Verdict        migrate.Verdict    `json:"verdict"`
	Phase          string             `json:"phase"` // empty where it has none: Git does not name it, or a fact is missing
	Wave           int                `json:"wave"`  // in which it would move; 0 where it does not
	Reasons        []migrate.Reason   `json:"reasons"`
	Warnings       []migrate.Reason   `json:"warnings"`
	Holds          []migrate.Reason   `json:"holds"`
	Gaps           []live.Gap         `json:"gaps"`  // why the verdict is unclear
	Trust          []migrate.Room     `json:"trust"` // sizes of the trust policy with lanyard's statement
	Steps          []migrate.Leg      `json:"steps"` // that wait to be taken, the next one first
	Would          []migrate.Leg      `json:"would"` // and those if Git asked for Pod Identity, of an eligible one on IRSA

	IdentityProbe *IdentityProbe `json:"identityProbe,omitempty"` // what a daemon with that feature knows

	risk int
}

// IdentityProbe is what AWS took a new pod of a ServiceAccount for that had moved. A check:
// nothing depends on it.
type IdentityProbe struct {
	Wanted  identity.Mechanism `json:"wanted"`
	Role    string             `json:"role"`   // that it should be
	Result  string             `json:"result"` // pending, or what it came to
	Session string             `json:"session,omitempty"`
	Message string             `json:"message"`
	At      time.Time          `json:"at,omitzero"` // of the answer
}

// Name returns "namespace/serviceAccount".
func (w Workload) Name() string { return w.Namespace + "/" + w.ServiceAccount }

// Options are what a report depends on besides Git and the live world.
type Options struct {
	Migrate  migrate.Options // its Mappings are the state's
	Diff     diff.Options
	Evidence migrate.Evidence
	Pace     desired.Pace // 0 means one at a time
	// IdentityProbe is what is known of a subject; nil knows of none.
	IdentityProbe func(identity.Subject) (IdentityProbe, bool)
	Brief         bool // without steps: for those who count only
}

// New reports on every mapping and on every ServiceAccount that is wired and not named.
func New(state desired.State, snap *live.Snapshot, o Options) Outline {
	o.Migrate.Mappings, o.Migrate.Brief = state.Mappings, o.Brief
	a := migrate.NewAssessor(snap, o.Migrate)
	declared := state.Mappings
	resolved, moved := state, state
	resolved.Mappings, moved.Mappings = nil, nil
	for _, m := range declared {
		resolved.Mappings = append(resolved.Mappings, a.Resolve(m))
	}
	others, unread := undeclared(state, snap)
	for _, m := range append(slices.Clone(declared), others...) {
		if m.Mechanism = identity.PodIdentity; !o.Brief {
			moved.Mappings = append(moved.Mappings, m)
		}
	}
	now, then := diff.Compare(resolved, snap, o.Diff), diff.Compare(moved, snap, o.Diff)
	out := Outline{Cluster: snap.Cluster().Name, Revision: state.Revision.String(), Workloads: []Workload{}, Gaps: append([]live.Gap{}, snap.Gaps()...)}
	for i, m := range declared {
		w := Trace(a, out.Cluster, &now.Judged[i], m, o)
		if o.IdentityProbe != nil {
			if p, known := o.IdentityProbe(m.Subject); known {
				w.IdentityProbe = &p
			}
		}
		w.risk = a.Risk(m.Subject)
		out.Workloads = append(out.Workloads, w)
	}
	for _, m := range others {
		w := assessed(a.Assess(m), m)
		w.Mechanism = m.Mechanism // as it stands
		out.Workloads = append(out.Workloads, w)
	}
	for i := range then.Judged {
		w, j := &out.Workloads[i], &then.Judged[i]
		if s, _, ok := a.Stand(j, j.Mapping, migrate.Evidence{}); ok && w.Verdict == migrate.Eligible && j.On != identity.PodIdentity && len(w.Steps) == 0 {
			w.Would = route(a, j, s, o)
		}
	}
	out.Workloads = append(out.Workloads, unread...)
	slices.SortFunc(out.Workloads, func(x, y Workload) int { return strings.Compare(x.Name(), y.Name()) })
	out.waves(o.Pace)
	out.count(snap)
	return out
}

// Trace follows one mapping from where it stands to where Git wants it: its verdict, phase,
// holds and steps. Declared is the mapping as Git has it, and the judgement is of the one
// that the assessor resolved; the cluster is named in what the operator pauses.
func Trace(a *migrate.Assessor, cluster string, j *diff.Judged, declared desired.Mapping, o Options) Workload {
	w := assessed(a.Assess(declared), declared)
	w.Declared, w.Wanted, w.Position, w.Mechanism = declared.Mechanism.String(), j.Wanted, declared.At.String(), j.On
	s, holds, ok := a.Stand(j, declared, o.Evidence)
	if !ok {
		return w
	}
	w.Phase = s.Phase().String()
	w.hold(append(holds, a.Waits(j, s)...)...)
	if s.Armed == s.Wanted || w.Verdict == migrate.Eligible || s.Wanted == identity.IRSA {
		w.Steps = route(a, j, s, o)
	}
	if o.Pace.Pause && w.Verdict == migrate.Eligible && len(w.Steps) > 0 {
		w.hold(migrate.Reason{Code: migrate.Paused, Message: "the operator's configuration pauses all migrations",
			Facts: []migrate.Fact{{Kind: migrate.OfCluster, Name: cluster, Detail: "migration.pause: true"}}, Fix: "take migration.pause out of the configuration"})
	}
	return w
}

func route(a *migrate.Assessor, j *diff.Judged, s migrate.Standing, o Options) []migrate.Leg {
	if o.Brief {
		return []migrate.Leg{}
	}
	return a.Route(j, s)
}

// assessed starts a workload with its verdict.
func assessed(a migrate.Assessment, m desired.Mapping) Workload {
	return Workload{Namespace: m.Subject.Namespace, ServiceAccount: m.Subject.ServiceAccount, Role: m.Role.String(), Verdict: a.Verdict,
		Reasons: a.Reasons, Warnings: a.Warnings, Holds: a.Holds, Gaps: a.Gaps, Trust: a.Trust, Steps: []migrate.Leg{}, Would: []migrate.Leg{}}
}

// undeclared are mappings for what is wired and not named by Git, sorted; and workloads
// for what is wired in a way that cannot be read.
func undeclared(state desired.State, snap *live.Snapshot) (all []desired.Mapping, unread []Workload) {
	for _, s := range snap.Subjects() {
		if _, named := state.Mapping(s); named {
			continue
		}
		account, _ := snap.ServiceAccount(s)
		association, presence := snap.Association(s)
		text, m := account.Annotations[diff.AnnotationRole], identity.IRSA
		if presence == live.Present {
			text, m = association.Role.String(), identity.PodIdentity
		}
		role, err := identity.ParseRoleARN(text)
		switch {
		case text == "" && presence != live.Present:
		case err != nil:
			unread = append(unread, Workload{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Mechanism: m, Verdict: migrate.Unclear, Role: text,
				Reasons: []migrate.Reason{}, Warnings: []migrate.Reason{}, Holds: []migrate.Reason{}, Trust: []migrate.Room{}, Steps: []migrate.Leg{}, Would: []migrate.Leg{},
				Gaps: []live.Gap{{Source: live.SourceServiceAccounts, Scope: s.String(), Reason: live.GapFailed, Message: "its role is not one: " + err.Error()}}})
		default:
			all = append(all, desired.Undeclared(s, role, m))
		}
	}
	return all, unread
}

// waves puts those that wait to move, or are moving, into waves: never more at a time,
// nor of one namespace, than the operator lets. Those under way come first, those whose
// window is shut last, and of each the least risky. What waits for a person, for an
// owner's next run or for proof keeps nobody else from moving, and is in no wave.
func (o *Outline) waves(p desired.Pace) {
	most, perNamespace := max(p.MaxConcurrent, 1), max(p.PerNamespace, 1)
	var waiting []*Workload
	for i := range o.Workloads {
		if w := &o.Workloads[i]; len(w.Steps) > 0 && !w.held(migrate.Held, migrate.Paused, migrate.OwnerMustAct, migrate.NotHitless, migrate.NoRunYet, migrate.NoProof) {
			waiting = append(waiting, w)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *Workload) int { return cmp.Or(a.turn()-b.turn(), a.risk-b.risk) })
	var first []migrate.Fact
	for wave := 1; len(waiting) > 0; wave++ {
		taken, by := 0, map[string]int{}
		waiting = slices.DeleteFunc(waiting, func(w *Workload) bool {
			if taken == most || by[w.Namespace] == perNamespace {
				return false
			}
			taken++
			by[w.Namespace]++
			w.Wave = wave
			if wave == 1 {
				first = append(first, migrate.Fact{Kind: migrate.OfServiceAccount, Name: w.Name(), Detail: "comes first"})
			} else if w.turn() > 0 {
				w.hold(migrate.Reason{Code: migrate.Concurrency, Message: fmt.Sprintf("others come first: its turn is wave %d, with %d at a time and %d of a namespace", wave, most, perNamespace),
					Facts: first[:min(len(first), mostFirst)], Fix: "wait, or raise migration.maxConcurrent or migration.perNamespace in the configuration"})
			}
			return true
		})
		if wave == 1 {
			slices.SortFunc(first, func(a, b migrate.Fact) int { return strings.Compare(a.Name, b.Name) })
		}
	}
}

// mostFirst bounds how many of the first wave are named to those that come later.
const mostFirst = 20

// turn is 0 for a workload that is under way, 2 for one whose window is shut, else 1.
func (w *Workload) turn() int {
	switch {
	case slices.Contains([]string{migrate.PhaseCrossing.String(), migrate.PhaseSoaking.String(), migrate.PhaseNarrowing.String()}, w.Phase):
		return 0
	case w.held(migrate.OutsideWindow):
		return 2
	}
	return 1
}

func (w *Workload) held(codes ...migrate.Code) bool {
	return slices.ContainsFunc(w.Holds, func(r migrate.Reason) bool { return slices.Contains(codes, r.Code) })
}

func (w *Workload) hold(r ...migrate.Reason) {
	w.Holds = append(w.Holds, r...)
	migrate.SortReasons(w.Holds)
}

// Waits reports whether a workload has steps to take, or is not where Git wants it.
func (w Workload) Waits() bool {
	return len(w.Steps) > 0 || w.Declared != "" && w.Phase != migrate.PhaseSettled.String()
}

// Waits reports whether there is work: a workload that Git names is not where Git wants
// it, or something was not read.
func (o Outline) Waits() bool { return o.Summary.Waiting > 0 || len(o.Gaps) > 0 }

func (o *Outline) count(snap *live.Snapshot) {
	s := &o.Summary
	*s = Summary{Workloads: len(o.Workloads), Verdicts: map[string]int{}, Reasons: map[string]int{}, Phases: map[string]int{},
		Associations: Quota{Now: len(snap.Facts().Associations), Limit: migrate.AssociationQuota}}
	s.Associations.After = s.Associations.Now
	for _, w := range o.Workloads {
		s.Verdicts[w.Verdict.String()]++
		for i, r := range w.Reasons { // those of one code stand together, and count once
			if i == 0 || r.Code != w.Reasons[i-1].Code {
				s.Reasons[string(r.Code)]++
			}
		}
		if w.Verdict == migrate.Eligible && w.Mechanism != identity.PodIdentity {
			s.Associations.After++
		}
		if w.Declared == "" {
			continue
		}
		s.Declared++
		if w.Phase != "" {
			s.Phases[w.Phase]++
		}
		if w.Phase != migrate.PhaseSettled.String() {
			s.Waiting++
		}
	}
}

// Only returns the report of one workload.
func (o Outline) Only(namespace, serviceAccount string) (Outline, error) {
	for _, w := range o.Workloads {
		if w.Namespace == namespace && w.ServiceAccount == serviceAccount {
			one := o
			one.Workloads = []Workload{w}
			return one, nil
		}
	}
	return Outline{}, fmt.Errorf("%s/%s is neither named by Git nor wired to a role: name one that `lanyard plan` lists", namespace, serviceAccount)
}

// JSON returns the report in its public form, indented, with a last line feed.
func (o Outline) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// YAML returns the report as YAML, with the keys of its JSON form.
func (o Outline) YAML() ([]byte, error) {
	b, err := o.JSON()
	if err != nil {
		return nil, err
	}
	return live.ToYAML(b)
}
