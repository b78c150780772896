package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// act is what merging does to a workload, in words for one and for many.
type act struct{ one, many string }

func (w Workload) act() act {
	a := w.asked()
	if w.idle() {
		return act{would.Replace(a.one), would.Replace(a.many)}
	}
	return a
}

// would says of an act that it would be done.
var would = strings.NewReplacer("gets ", "would get ", "get ", "would get ", " goes ", " would go ",
	"is let in ", "would be let in ", "are let in ", "would be let in ", "is written ", "would be written ", "are written ", "would be written ")

// taken reports whether the mode lets lanyard take a step.
func (s Step) taken(m desired.Mode) bool {
	return m == desired.ModeMigrate && s.By != ByOwner || m == desired.ModeRepair && s.By == ByRepair
}

// idle reports whether lanyard would take steps because of the pull request, and in this
// mode takes none of them.
func (w Workload) idle() bool {
	some, takes := false, false
	for _, s := range w.Steps {
		if !s.Old && s.By != ByOwner {
			some, takes = true, takes || s.taken(w.mode)
		}
	}
	return some && !takes
}

// migrates begins a sentence about what mode migrate alone does, where that is not the mode.
func (w Workload) migrates() string {
	if w.mode == desired.ModeMigrate {
		return ""
	}
	return "in mode migrate "
}

// asked is the act, as if the mode let it be done.
func (w Workload) asked() act {
	removes := slices.ContainsFunc(w.Steps, func(s Step) bool { return !s.Old && s.After == "" && s.By == ByRepair && s.Plane != diff.PlanePods })
	switch {
	case w.has(Forbidden, Protected):
		return act{"is forbidden, so nothing is done", "are forbidden, so nothing is done"}
	case w.has(CannotBe):
		return act{"cannot be as Git asks, so nothing is done", "cannot be as Git asks, so nothing is done"}
	case w.Change == Deleted && removes:
		return act{"leaves Git, and what lanyard made for it goes once nothing uses it", "leave Git, and what lanyard made for them goes once nothing uses it"}
	case w.Change == Deleted:
		return act{"leaves Git, and stays live as it is", "leave Git, and stay live as they are"}
	case w.Change == Renamed:
		return act{"is the new name of " + w.From, "are renamed"}
	case w.Change == Moved && !w.Does:
		return act{"is in another file, and nothing else", "are in another file, and nothing else"}
	case w.has(Unread):
		return act{"needs a fact that was not read, so nothing is done", "need facts that were not read, so nothing is done"}
	}
	return w.goes()
}

func (w Workload) goes() act {
	crosses := slices.ContainsFunc(w.Steps, func(s Step) bool { return !s.Old && s.By == ByMigrate && s.Plane == diff.PlaneAssociation })
	_, role := w.field("roleARN")
	writes := w.writes()
	switch {
	case crosses && w.mode != desired.ModeMigrate:
		return act{"waits for mode migrate to be moved to " + w.Wanted.Head, "wait for mode migrate to be moved to " + w.Wanted.Head}
	case crosses && w.Wanted.Head == identity.PodIdentity.String():
		return act{"moves to Pod Identity", "move to Pod Identity"}
	case crosses:
		return act{"moves back to IRSA", "move back to IRSA"}
	case w.has(NotServed):
		return act{"asks for Pod Identity, and stays on IRSA", "ask for Pod Identity, and stay on IRSA"}
	case w.has(Blocked):
		return act{"asks for Pod Identity, and is blocked", "ask for Pod Identity, and are blocked"}
	case w.Change == Added && len(w.Steps) > 0:
		return act{"is new, and gets what it lacks", "are new, and get what they lack"}
	case w.Change == Added:
		return act{"is new, and is looked after from now on", "are new, and are looked after from now on"}
	case role && writes > 0 && w.has(WaitsForOwner):
		return act{"gets another role, once an owner has written", "get other roles, once owners have written"}
	case role && writes > 0:
		return act{"gets another role", "get other roles"}
	case role && len(w.Steps) > 0:
		return act{"asks for another role, which its owner must write", "ask for other roles, which owners must write"}
	case writes > 0:
		return w.written()
	case slices.ContainsFunc(w.Steps, func(s Step) bool { return !s.Old }):
		return act{"waits for an owner", "wait for an owner"}
	case len(w.NoLonger) > 0:
		return act{"is left as it is", "are left as they are"}
	case w.Does:
		return act{"is judged otherwise", "are judged otherwise"}
	}
	return act{"has other options, and nothing is done", "have other options, and nothing is done"}
}

// written says on which planes.
func (w Workload) written() act {
	planes := map[diff.Plane]bool{}
	for _, s := range w.Steps {
		if !s.Old && s.By != ByOwner {
			planes[s.Plane] = true
		}
	}
	if len(planes) == 1 {
		switch {
		case planes[diff.PlaneServiceAccount]:
			return act{"gets other annotations", "get other annotations"}
		case planes[diff.PlaneTrust]:
			return act{"is let in by its role otherwise", "are let in by their roles otherwise"}
		case planes[diff.PlaneAssociation]:
			return act{"gets another association", "get other associations"}
		}
	}
	return act{"is written to", "are written to"}
}

// writes counts the steps of lanyard's that the pull request adds.
func (w Workload) writes() (n int) {
	for _, s := range w.Steps {
		if !s.Old && s.By != ByOwner && s.Plane != diff.PlanePods {
			n++
		}
	}
	return n
}

func (w Workload) has(codes ...Code) bool {
	return slices.ContainsFunc(w.Risks, func(d Danger) bool { return slices.Contains(codes, d.Code) })
}

// field returns what the pull request says of a field.
func (w Workload) field(name string) (Field, bool) {
	i := slices.IndexFunc(w.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return w.Fields[i], true
}

// widestLine is what GitHub takes as the description of a commit status.
// Source: https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
const widestLine = 140

// line is the review in one line of at most [widestLine] characters.
func (r Review) line() string {
	if n := len(r.Refused); n > 0 {
		return "refused: " + count(n, "mistake") + " in the files, so nothing of it would be followed"
	}
	parts := r.acts()
	if n := r.Summary.Restarts; n > 0 && r.Mode == desired.ModeMigrate {
		parts = append(parts, count(n, "pod")+" restart")
		if n == 1 {
			parts[len(parts)-1] += "s"
		}
	}
	if n := r.needRestart(); n > 0 {
		parts = append(parts, count(n, "pod")+" for somebody to restart")
	}
	lead := "nothing changes"
	if len(parts) > 0 {
		lead = ""
	}
	if r.Summary.Risk != None {
		lead = string(r.Summary.Risk) + " risk" + r.once() + ": "
	}
	heals := 0
	for _, f := range r.Heals {
		if !f.Dropped {
			heals++
		}
	}
	for i, tail := range []struct {
		n    int
		what string
	}{{len(r.NewGaps), "fact"}, {heals, "finding"}, {len(r.Before), "finding"}} {
		if tail.n > 0 {
			parts = append(parts, count(tail.n, tail.what)+" "+[]string{"not read", "healed", "from before"}[i])
		}
	}
	line := lead
	for i, part := range parts {
		if i > 0 || lead == "nothing changes" {
			part = ", " + part
		}
		if utf8.RuneCountInString(line+part) > widestLine {
			continue
		}
		line += part
	}
	return line
}

// needRestart counts the pods that somebody must restart before the change is with them.
func (r Review) needRestart() (n int) {
	for _, w := range r.Workloads {
		n += len(w.NeedRestart)
	}
	return n
}

// once says what has to be before anything of it is done, where lanyard may not write.
func (r Review) once() string {
	if r.Mode == desired.ModeRepair || r.Mode == desired.ModeMigrate || !slices.ContainsFunc(r.Workloads, func(w Workload) bool { return w.writes() > 0 }) {
		return ""
	}
	return ", once lanyard may write"
}

// acts says what happens to whom, the riskiest first: by name where it is one, else by
// number.
func (r Review) acts() (parts []string) {
	type group struct {
		act   act
		names []string
	}
	var groups []group
	for _, w := range r.Workloads {
		a := w.act()
		i := slices.IndexFunc(groups, func(g group) bool { return g.act == a })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{act: a})
		}
		groups[i].names = append(groups[i].names, w.Name())
	}
	for _, g := range groups {
		if len(g.names) == 1 && len(g.names[0]) <= 60 {
			parts = append(parts, report.Printable(g.names[0])+" "+g.act.one)
			continue
		}
		verb := g.act.many
		if len(g.names) == 1 {
			verb = g.act.one
		}
		parts = append(parts, count(len(g.names), "workload")+" "+verb)
	}
	return parts
}

// why lists the codes of the risks.
func (w Workload) why() string {
	codes := make([]string, len(w.Risks))
	for i, d := range w.Risks {
		codes[i] = string(d.Code)
	}
	return strings.Join(codes, ", ")
}

// what says in a few words what merging does: the act, and in how many steps.
func (w Workload) what() string {
	n := 0
	for _, s := range w.Steps {
		if !s.Old {
			n++
		}
	}
	text := w.act().one
	if n > 0 {
		text += ", " + count(n, "step")
	}
	return text
}

// whose is the title of the list of pods that lanyard restarts.
func (w Workload) whose() string { return "pods that " + w.migrates() + "lanyard restarts" }

// restarts says whose pods restart.
func (w Workload) restarts() string {
	switch {
	case len(w.Restarts) > 0 && w.mode != desired.ModeMigrate:
		return count(len(w.Restarts), "pod") + ", in mode migrate"
	case len(w.Restarts) > 0:
		return count(len(w.Restarts), "pod")
	case len(w.NeedRestart) > 0:
		return count(len(w.NeedRestart), "pod") + ", by somebody"
	}
	return "none"
}

// stands says where a workload stands and would go, and what is thought of it.
func (w Workload) stands() string {
	now := "now on " + w.Now.String()
	if w.Now == identity.None {
		now = "now on nothing"
	}
	parts := []string{now}
	switch was, is := w.Wanted.Base, w.Wanted.Head; {
	case w.Change == Deleted:
		parts = append(parts, "wanted: "+was+" → nothing")
	case was != is || is != w.Now.String():
		parts = append(parts, "wanted: "+arrow(was, is))
	}
	if was, is := w.Verdict.Base, w.Verdict.Head; is != "" && w.asks() {
		parts = append(parts, "Pod Identity: "+arrow(was, is))
	}
	if w.Phase != "" {
		parts = append(parts, "phase "+w.Phase)
	}
	return strings.Join(parts, " · ")
}

func arrow(before, after string) string {
	switch {
	case before == after || before == "":
		return after
	case after == "":
		return before
	}
	return before + " → " + after
}

// mode says what the operator's mode lets be done.
func (r Review) mode() string {
	switch r.Mode {
	case desired.ModeMigrate:
		return "mode migrate: lanyard takes these steps"
	case desired.ModeRepair:
		return "mode repair: lanyard mends what is wrong, and moves nothing"
	case desired.ModeObserve:
		return "mode observe: lanyard writes nothing"
	}
	return "no configuration: what lanyard would do in mode migrate"
}

// seen says of when the live world is. A report that is kept up to date has no moment.
func (r Review) seen() string {
	if r.Snapshot.TakenAt.IsZero() {
		return "kept up to date with the live world"
	}
	at := "live as of " + r.Snapshot.TakenAt.UTC().Format("2006-01-02 15:04:05 UTC")
	if age := time.Duration(r.Snapshot.AgeSeconds) * time.Second; age > 0 {
		at += ", " + report.Age(age) + " old"
	}
	return at
}

// taker says who takes a step, where the mode does not say it.
func (s Step) taker(m desired.Mode) string {
	switch {
	case s.By == ByOwner:
		return "not lanyard's to do"
	case s.taken(m):
		return ""
	case s.By == ByMigrate:
		return "in mode migrate only"
	case s.By == ByRepair:
		return "in mode repair or migrate"
	}
	return ""
}

// asks reports whether it matters if Pod Identity could serve a workload.
func (w Workload) asks() bool {
	irsa := identity.IRSA.String()
	return w.Declared.Head != irsa && w.Declared.Head != "" || w.Declared.Base != irsa && w.Declared.Base != ""
}

// moved says whom a trust policy lets in then, and whom no longer.
func (s Step) moved() (lines []string) {
	for _, g := range s.Gains {
		lines = append(lines, "then lets in "+g)
	}
	for _, l := range s.Loses {
		lines = append(lines, "no longer lets in "+l)
	}
	return lines
}

func (t Together) says() string {
	said := fmt.Sprintf("%s of %d mappings changes at once", t.Field, len(t.Mappings))
	if t.Position != "" {
		said += ", by one line at " + t.Position
	}
	if t.Template {
		return said + ", to another value for each"
	}
	return said + ", from " + cmp.Or(t.Before, "nothing") + " to " + cmp.Or(t.After, "nothing")
}

func (m Mistake) at() string {
	return desired.Position{File: m.File, Line: m.Line, Column: m.Column}.String()
}

func (g Gap) who() string { return g.Namespace + "/" + g.ServiceAccount }

func reasoned(r migrate.Reason) string {
	facts := make([]string, len(r.Facts))
	for i, f := range r.Facts {
		facts[i] = f.String()
	}
	s := string(r.Code) + ": " + r.Message
	if len(facts) > 0 {
		s += " (" + strings.Join(facts, "; ") + ")"
	}
	return s
}
