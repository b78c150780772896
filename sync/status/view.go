package status

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// How many entries of a section one page shows.
const (
	mostDrift    = 20 // ServiceAccounts
	mostWaiting  = 25
	mostIRSA     = 25
	mostMappings = 50
	mostMoved    = 50
	mostProbed   = 25
	mostWrites   = 20
	mostGaps     = 25
	mostUnnamed  = 200
)

// old is how long ago the last good round may have been.
const old = 10 * time.Minute

// record is what a page is made of. Nothing in it is changed any more.
type record struct {
	Status
	diff      *report.Diff
	snapshot  *live.Snapshot
	standings []Standing
	room      int
}

// view is a page, ready to be written.
type view struct {
	Level    string // good, busy, warn, bad, blind: how the headline looks
	Headline string
	Title    string
	Facts    []string // below the headline
	Alerts   []alert
	Tiles    []tile
	Filter   filter
	Every    int // seconds between two looks; 0 for none

	Namespaces, Planes, Phases, Reasons []string

	Status    Status
	Drift     shown[subject]
	Expected  int // further ones that differ, as is to be expected of what is on its way
	Moving    shown[move]
	Probes    shown[probe]
	Waiting   shown[wait]
	IRSA      shown[standing]
	Mappings  shown[mapping]
	Writes    shown[write]
	Gaps      shown[live.Gap]
	Unmanaged []string
	Unnamed   int // of them, those that are not listed
	Rounds    []pass
	Quotas    []quota
}

// shown is the part of a section that is shown.
type shown[T any] struct {
	Part
	List []T
}

// standing is a [Standing] on the page.
type standing struct {
	Standing
	ID, Link string
	Reasons  []why
}

// why is a [Reason] on the page. A way out that is long is folded.
type why struct {
	Reason
	ID   string
	Long bool
}

const longestFix = 200

// alert is what is not well with the daemon itself.
type alert struct {
	Level, What, Text string
}

// tile is a count, and the way to what is counted.
type tile struct {
	Level, Label, Section string
	N                     int
}

// subject is a ServiceAccount with what differs.
type subject struct {
	ID, Name, Link string
	State, Role    string
	Findings       []finding
}

type finding struct {
	report.Finding
	Level string
	Since string
	Sides *sides
}

type wait struct {
	ID      string
	Names   []named // of the ServiceAccounts that it is said of
	More    int     // that are not named
	Plane   string
	Reason  string
	Message string
	Whom    string
	Person  bool // whether that is one
	For     string
	Handoff *plan.Handoff
}

// named is a ServiceAccount, and the way to all about it.
type named struct {
	ID, Name, Link string
}

type mapping struct {
	report.Mapping
	ID, Link, State, Level string
}

type write struct {
	Step
	ID, Link string
	Level    string
	Ago      string
	Sides    sides
}

type pass struct {
	Pass
	Level, Ago, Took string
}

// look makes the page.
func look(r record, f filter) view {
	v := view{Filter: f, Status: r.Status}
	d := r.diff
	if d == nil {
		d = &report.Diff{}
	}
	phases := map[string]string{}
	for _, m := range r.Moving {
		phases[m.Namespace+"/"+m.ServiceAccount] = m.Phase
	}
	v.head(r, d, phases)
	v.drift(r, d, phases)
	v.moving(r)
	v.probes(r, phases)
	v.waiting(r, d, phases)
	v.irsa(r, phases)
	v.mappings(d, phases)
	v.writes(r, phases)
	v.gaps(d)
	v.form(r, d)
	v.tiles(r, d)
	for _, s := range d.Unmanaged[:min(len(d.Unmanaged), mostUnnamed)] {
		v.Unmanaged = append(v.Unmanaged, cell(s.String()))
	}
	v.Unnamed = len(d.Unmanaged) - len(v.Unmanaged)
	for _, p := range r.Rounds {
		level := "good"
		switch {
		case !p.Good || p.Failures > 0:
			level = "bad"
		case p.Summary != nil && p.Summary.Gaps > 0:
			level = "blind"
		case p.Summary != nil && p.Summary.InSync < p.Summary.Mappings:
			level = "warn"
		}
		v.Rounds = append(v.Rounds, pass{p, level, ago(r.Now, p.Ended), p.Ended.Sub(p.Started).Round(100 * time.Millisecond).String()})
	}
	v.Quotas = quotas(r)
	return v
}

// standsAs says in a word where a mapping stands, in a few more what that means, and how
// good it is.
func standsAs(m report.Mapping, phase string) (word, words, level string) {
	switch {
	case phase == "rolled-back":
		return phase, "its move to " + m.Wanted.String() + " was rolled back", "bad"
	case phase != "":
		return phase, "on its way to " + m.Wanted.String() + ": " + phase, "busy"
	}
	switch m.Class.String() {
	case "rest":
		return "in sync", "in sync", "good"
	case "drift":
		return "drifts", "drifts", "warn"
	case "transition":
		return "to move", "is to move to " + m.Wanted.String(), "busy"
	case "held":
		return "held", "held: Git asks for what may not or cannot be", "warn"
	}
	return "unknown", "cannot be judged: a fact is missing", "blind"
}

// levels are how severities look, in the order of their ranks.
var levels = []string{"critical", "warning", "info", "info"}

// rank orders severities, the worst first.
func rank(severity string) int {
	if i := slices.Index([]string{"critical", "warning", "info"}, severity); i >= 0 {
		return i
	}
	return 3
}

func (v *view) drift(r record, d *report.Diff, phases map[string]string) {
	standing := make(map[string]report.Mapping, len(d.Mappings))
	for _, m := range d.Mappings {
		standing[m.Namespace+"/"+m.ServiceAccount] = m
	}
	type group struct {
		name     string
		worst    int
		findings []report.Finding
	}
	var groups []*group
	at, all := map[string]*group{}, map[string]bool{}
	for _, f := range d.Findings {
		name := f.Namespace + "/" + f.ServiceAccount
		all[name] = true
		if !v.Filter.passes(line{f.Namespace, f.ServiceAccount, string(f.Plane), phases[name], []string{string(f.Kind)}, []string{f.Message, f.Expected, f.Actual, f.Owner, f.Position, string(f.Severity)}}) {
			continue
		}
		g := at[name]
		if g == nil {
			g = &group{name: name, worst: rank(string(f.Severity))}
			at[name] = g
			groups = append(groups, g)
		}
		g.worst = min(g.worst, rank(string(f.Severity)))
		g.findings = append(g.findings, f)
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Or(cmp.Compare(a.worst, b.worst), strings.Compare(a.name, b.name)) })
	if !v.Filter.Active() { // that it is not yet where Git wants it is no news of what moves
		n := len(groups)
		groups = slices.DeleteFunc(groups, func(g *group) bool { return phases[g.name] != "" && g.worst > 0 })
		v.Expected = n - len(groups)
	}
	shown, p := cutOut(v.Filter, "drift", "differences", groups, len(all)-v.Expected, mostDrift)
	v.Drift.Part = p
	for _, g := range shown {
		first := g.findings[0]
		s := subject{ID: id("drift", first.Namespace, first.ServiceAccount), Name: cell(name(first.Namespace, first.ServiceAccount)), Link: v.Filter.Only(first.Namespace, first.ServiceAccount)}
		if m, is := standing[g.name]; is {
			_, s.State, _ = standsAs(m, phases[g.name])
			s.Role = cell(m.Role)
		}
		slices.SortStableFunc(g.findings, func(a, b report.Finding) int {
			return cmp.Compare(rank(string(a.Severity)), rank(string(b.Severity)))
		})
		for _, f := range g.findings {
			shown := finding{Finding: f, Level: levels[rank(string(f.Severity))]}
			if !f.FirstSeen.IsZero() {
				shown.Since = age(r.Now.Sub(f.FirstSeen))
			}
			shown.Message, shown.Owner, shown.Position = cell(f.Message), cell(f.Owner), cell(f.Position)
			if f.Expected != "" || f.Actual != "" {
				both := against(cell(fmt.Sprintf("%s of %s: what Git expects, and what is live", f.Kind, name(f.Namespace, f.ServiceAccount))), f.Expected, f.Actual)
				shown.Sides = &both
			}
			s.Findings = append(s.Findings, shown)
		}
		v.Drift.List = append(v.Drift.List, s)
	}
}

// laid is a value as it is shown for copying.
func laid(value string) string { return strings.Join(lines(value), "\n") }

func (v *view) irsa(r record, phases map[string]string) {
	var list []Standing
	for _, s := range r.standings {
		reasons, texts := []string{s.Verdict}, []string{}
		for _, w := range s.Reasons {
			reasons, texts = append(reasons, w.Code), append(texts, w.Message, w.Fix)
		}
		if v.Filter.passes(line{s.Namespace, s.ServiceAccount, "", phases[s.Namespace+"/"+s.ServiceAccount], reasons, texts}) {
			list = append(list, s)
		}
	}
	shown, p := cutOut(v.Filter, "irsa", "what stays on IRSA", list, len(r.standings), mostIRSA)
	v.IRSA.Part = p
	for _, s := range shown {
		one := standing{Standing: s, ID: id("irsa", s.Namespace, s.ServiceAccount), Link: v.Filter.Only(s.Namespace, s.ServiceAccount)}
		for _, w := range s.Reasons[:min(len(s.Reasons), mostReasons)] {
			one.Reasons = append(one.Reasons, why{Reason{w.Code, cell(w.Message), laid(w.Fix)}, id("why", s.Namespace, s.ServiceAccount, w.Code, w.Message), len(w.Fix) > longestFix})
		}
		v.IRSA.List = append(v.IRSA.List, one)
	}
}

func (v *view) mappings(d *report.Diff, phases map[string]string) {
	var list []report.Mapping
	for _, m := range d.Mappings {
		phase := phases[m.Namespace+"/"+m.ServiceAccount]
		if v.Filter.passes(line{m.Namespace, m.ServiceAccount, "", phase, []string{m.Class.String()}, []string{m.Role, m.Position, m.On.String(), m.Wanted.String()}}) {
			list = append(list, m)
		}
	}
	shown, p := cutOut(v.Filter, "mappings", "mappings", list, len(d.Mappings), mostMappings)
	v.Mappings.Part = p
	for _, m := range shown {
		one := mapping{Mapping: m, ID: id("mapping", m.Namespace, m.ServiceAccount), Link: v.Filter.Only(m.Namespace, m.ServiceAccount)}
		one.State, _, one.Level = standsAs(m, phases[m.Namespace+"/"+m.ServiceAccount])
		one.Role, one.Position = cell(m.Role), cell(m.Position)
		v.Mappings.List = append(v.Mappings.List, one)
	}
}

func (v *view) writes(r record, phases map[string]string) {
	var list []Step
	for _, s := range r.Steps {
		if v.Filter.passes(line{s.Namespace, s.ServiceAccount, s.Plane, phases[s.Namespace+"/"+s.ServiceAccount], []string{s.Result, s.Action}, []string{s.Text, s.Because, s.Error}}) {
			list = append(list, s)
		}
	}
	shown, p := cutOut(v.Filter, "writes", "writes", list, len(r.Steps), mostWrites)
	v.Writes.Part = p
	for _, s := range shown {
		w := write{Step: s, ID: id("write", s.At.Format(time.RFC3339Nano), s.Namespace, s.ServiceAccount, s.Action), Link: v.Filter.Only(s.Namespace, s.ServiceAccount),
			Ago: ago(r.Now, s.At), Level: "warn", Sides: beside(cell(s.Namespace+"/"+s.ServiceAccount+": before and after"), s.Before, s.After)}
		switch s.Result {
		case "done":
			w.Level = "good"
		case "failed":
			w.Level = "bad"
		}
		w.Text, w.Because, w.Error = cell(s.Text), cell(s.Because), cell(s.Error)
		v.Writes.List = append(v.Writes.List, w)
	}
}

func (v *view) gaps(d *report.Diff) {
	var list []live.Gap
	for _, g := range d.Gaps {
		if v.Filter.passes(line{reasons: []string{string(g.Reason), string(g.Source)}, texts: []string{g.Scope, g.Message}}) {
			list = append(list, live.Gap{Source: g.Source, Scope: cell(g.Scope), Reason: g.Reason, Message: cell(g.Message)})
		}
	}
	v.Gaps.List, v.Gaps.Part = cutOut(v.Filter, "gaps", "gaps", list, len(d.Gaps), mostGaps)
}

// form fills in what the fields of the filter offer: planes and phases are closed lists,
// of the others what occurs.
func (v *view) form(r record, d *report.Diff) {
	namespaces, reasons := map[string]bool{}, map[string]bool{}
	for _, m := range d.Mappings {
		namespaces[m.Namespace] = true
	}
	for _, f := range d.Findings {
		namespaces[f.Namespace], reasons[string(f.Kind)] = true, true
	}
	for _, h := range d.Left {
		namespaces[h.Subject.Namespace], reasons[string(h.Reason)] = true, true
	}
	for _, s := range r.standings {
		namespaces[s.Namespace], reasons[s.Verdict] = true, true
		for _, w := range s.Reasons {
			reasons[w.Code] = true
		}
	}
	for _, p := range r.IdentityProbes {
		namespaces[p.Namespace], reasons[p.Result] = true, true
	}
	for _, g := range d.Gaps {
		reasons[string(g.Reason)] = true
	}
	v.Namespaces, v.Reasons = choices(namespaces, v.Filter.Namespace), choices(reasons, v.Filter.Reason)
	v.Planes = []string{"git", "service-account", "trust", "association", "pods"}
	v.Phases = append(slices.Clone(course[:len(course)-1]), "rolled-back")
	for _, add := range []struct {
		list   *[]string
		chosen string
	}{{&v.Planes, v.Filter.Plane}, {&v.Phases, v.Filter.Phase}} {
		if add.chosen != "" && !slices.Contains(*add.list, add.chosen) {
			*add.list = append(*add.list, add.chosen)
		}
	}
}

func (v *view) tiles(r record, d *report.Diff) {
	level := func(n int, otherwise string) string {
		if n == 0 {
			return "none"
		}
		return otherwise
	}
	person := 0
	for _, h := range d.Left {
		if _, is := whom(h.Reason); is {
			person++
		}
	}
	drift := "warn"
	if d.Summary.Critical > 0 {
		drift = "bad"
	}
	v.Tiles = []tile{
		{"good", "in sync", "mappings", d.Summary.InSync},
		{level(v.Drift.Whole, drift), "differ", "drift", v.Drift.Whole},
		{level(v.Moving.Whole, "busy"), "on their way", "moving", v.Moving.Whole},
		{level(person, "warn"), "wait for a person", "waiting", person},
		{level(v.IRSA.Whole, "calm"), "cannot leave IRSA", "irsa", v.IRSA.Whole},
		{level(v.Writes.Whole, "calm"), "writes this hour", "writes", v.Writes.Whole},
		{level(len(d.Gaps), "blind"), "gaps", "gaps", len(d.Gaps)},
	}
	if d.Summary.InSync == 0 {
		v.Tiles[0].Level = "none"
	}
}

// cell makes text from outside fit for the page: short enough for a person, without what a
// browser would obey, and without the passwords of URLs.
func cell(s string) string { return report.Cell(scrubText(s)) }

// id names an element of the page after what it shows, so that it is found again when the
// page has been refreshed.
func id(what string, about ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(about, "\x00")))
	return what + "-" + hex.EncodeToString(sum[:6])
}

// name is what something is about.
func name(namespace, account string) string {
	if account == "" && namespace == "" {
		return "the cluster"
	}
	return namespace + "/" + account
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// age is a duration as people say it.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// ago says how long ago a moment was.
func ago(now, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return age(now.Sub(at)) + " ago"
}

// left says how long it is until a moment; nothing for no moment.
func left(now, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	if !at.After(now) {
		return "due now"
	}
	return "in " + age(at.Sub(now))
}

// shortRevision cuts the commit of a revision to twelve digits; "main@sha1:..." reads
// "main@...".
func shortRevision(text string) string {
	ref, rest, found := strings.Cut(text, "@")
	if !found {
		return shortCommit(text)
	}
	_, hash, found := strings.Cut(rest, ":")
	if !found {
		return text
	}
	return ref + "@" + shortCommit(hash)
}

func shortCommit(hash string) string {
	if digits, dirty, _ := strings.Cut(hash, "+"); len(digits) > 12 {
		if dirty != "" {
			dirty = "+" + dirty
		}
		return digits[:12] + dirty
	}
	return hash
}
