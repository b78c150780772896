package review

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// Markdown writes the review for a comment of at most limit bytes, which are never fewer
// than characters: what it comes to first, then a table of the workloads, each in full
// and folded, then what was there before. What finds no room is left out whole, and the
// last line says what and how much. A limit below a few thousand leaves the first lines.
//
// GitHub takes 65,536 characters in a comment.
func (r Review) Markdown(w io.Writer, limit int) error {
	c := report.NewComment(limit, r.head())
	rows := func(room int, head, one string, n int, row func(int) string) {
		text, left := report.Rows(room, head, n, row)
		c.Add(text)
		c.Lose(left, one)
	}
	rows(c.Room()/3, "\n", "mistake", len(r.Refused), func(i int) string {
		m := r.Refused[i]
		return "- " + report.Code(m.at()) + " " + report.Prose(m.What) + ": " + report.Prose(m.Instead) + "\n"
	})
	rows(c.Room()/6, "\n", "remark", len(r.Risks)+len(r.Together)+len(r.Rails), r.wholeRows())
	rows(c.Room()/3, "\n| risk | ServiceAccount | in Git | merging it | pods that restart | why |\n|---|---|---|---|---|---|\n", "table row", len(r.Workloads), func(i int) string { return r.Workloads[i].row() })
	rest, gone := r.rest(c.Room() / 2)
	c.Last(rest)
	details, left := report.Pick(c.Room(), "", report.InOrder(len(r.Workloads), nil), func(i int) string { return r.Workloads[i].details(r.Mode) })
	c.Add(details)
	c.Lose(left, "folded workload")
	for _, l := range gone {
		c.Lose(l.n, l.one)
	}
	_, err := io.WriteString(w, c.End("`lanyard diff --base` prints all of it, `-o json` for a program."))
	return err
}

func (r Review) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### lanyard: %s\n\n", report.Prose(r.Summary.Line))
	fmt.Fprintf(&b, "Cluster %s · %s · %s\n", report.Code(r.Cluster), r.mode(), r.seen())
	if len(r.Refused) > 0 {
		b.WriteString("\n**These files would be refused as a whole**: the last accepted revision would stay in force, and nothing of this pull request would be done.\n")
	}
	return b.String()
}

// wholeRows are what is said of the pull request as such.
func (r Review) wholeRows() func(i int) string {
	ofAll, ofOne := map[string]bool{}, map[string]bool{}
	for _, d := range r.Risks {
		ofAll[d.Message] = true
	}
	for _, w := range r.Workloads {
		for _, d := range w.Risks {
			ofOne[d.Message] = true
		}
	}
	return func(i int) string { return r.wholeRow(i, ofAll, ofOne) }
}

func (r Review) wholeRow(i int, ofAll, ofOne map[string]bool) string {
	if i < len(r.Risks) {
		d := r.Risks[i]
		if d.Code == Refused || d.Code == ManyMappings {
			return "" // the head, or a row below, says it
		}
		return fmt.Sprintf("- **%s** %s: %s\n", d.Risk, d.Code, report.Prose(r.short.prose(d.Message)))
	}
	if i -= len(r.Risks); i < len(r.Together) {
		t := r.Together[i]
		danger := ""
		if len(t.Mappings) >= many {
			danger = fmt.Sprintf("**%s** %s: ", ManyMappings.Risk(), ManyMappings)
		}
		return fmt.Sprintf("- %s%s: %s\n", danger, report.Prose(t.says()), report.Prose(some(t.Mappings)))
	}
	rail := r.Rails[i-len(r.Together)]
	if ofAll[rail.Message] || len(rail.Mappings) == 1 && ofOne[rail.Message] {
		return "" // said above, or of the only one that it is about
	}
	return fmt.Sprintf("- guard rail %s: %s: %s\n", report.Code(rail.Rule), report.Prose(r.short.prose(rail.Message)), report.Prose(some(rail.Mappings)))
}

// row is a workload's line of the table.
func (w Workload) row() string {
	risk := string(w.Risk)
	if w.Risk.AtLeast(Medium) {
		risk = "**" + risk + "**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", risk, report.Code(w.Name()), w.Change, report.Prose(w.what()), w.restarts(), cmp.Or(w.why(), "-"))
}

// details is a workload in full, folded.
func (w Workload) details(m desired.Mode) string {
	var b strings.Builder
	item := func(format string, args ...any) { fmt.Fprintf(&b, "- "+format+"\n", args...) }
	fmt.Fprintf(&b, "\n<details><summary><b>%s</b>: %s</summary>\n\n", report.Prose(w.Name()), report.Prose(w.what()))
	fmt.Fprintf(&b, "%s %s%s", w.Change, "at "+report.Code(w.Position), mdWas(w))
	fmt.Fprintf(&b, " · %s\n", w.stands())
	if len(w.Fields) > 0 {
		b.WriteString("\n| in Git | before | after |\n|---|---|---|\n")
		for _, f := range w.Fields {
			name := f.Name
			if f.at.File != w.at.File {
				name += "<br>" + report.Code(f.Position)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, cmp.Or(report.Code(f.Before), "-"), cmp.Or(report.Code(f.After), "-"))
		}
	}
	if len(w.Risks) > 0 {
		fmt.Fprintf(&b, "\n**Risk: %s**\n\n", w.Risk)
	}
	for _, d := range w.Risks {
		item("%s (%s): %s", d.Code, d.Risk, w.say(d.Message))
	}
	w.steps(&b, m)
	w.notes(item, &b)
	b.WriteString("\n</details>\n")
	return b.String()
}

func mdWas(w Workload) string {
	if w.Was == "" || w.was.File == w.at.File {
		return ""
	}
	return ", was at " + report.Code(w.Was)
}

// steps writes the whole way.
func (w Workload) steps(b *strings.Builder, m desired.Mode) {
	if len(w.Steps) > 0 {
		title := "What is done, in this order"
		if w.idle() {
			title = "What would be done, in this order"
		}
		fmt.Fprintf(b, "\n**%s**\n\n", title)
	}
	for i, s := range w.Steps {
		who := s.taker(m)
		if s.Old {
			who = strings.TrimPrefix(who+", without this pull request too", ", ")
		}
		if who != "" {
			who = " (" + who + ")"
		}
		text := w.say(s.Do)
		if s.subject() != w.subject {
			text = report.Code(s.Namespace+"/"+s.ServiceAccount) + ": " + text
		}
		fmt.Fprintf(b, "%d. **%s** %s%s\n", i+1, s.Plane, text, who)
		if s.Plane == diff.PlaneTrust {
			for _, l := range s.moved() {
				fmt.Fprintf(b, "   - %s\n", w.say(l))
			}
		} else {
			fmt.Fprintf(b, "   - %s → %s\n", cmp.Or(report.Code(s.Before), "nothing"), cmp.Or(report.Code(s.After), "nothing"))
		}
		if s.Waits != "" {
			fmt.Fprintf(b, "   - waits: %s\n", w.say(s.Waits))
		}
		if s.Undo != "" {
			fmt.Fprintf(b, "   - undone by: %s\n", report.Prose(s.Undo))
		}
	}
	for _, s := range w.Steps {
		if s.Diff != "" {
			fmt.Fprintf(b, "\n<details><summary>%s, line by line</summary>\n\n%s\n</details>\n", w.say(s.Object), block("diff", s.Diff))
		}
	}
}

// say is prose of a workload, shortened.
func (w Workload) say(text string) string { return report.Prose(w.short.prose(text)) }

// block is a code block that its content cannot end.
func block(language, text string) string {
	var b strings.Builder
	for line := range strings.Lines(report.Fence(language, text)) { // which is indented, for a list
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// notes writes what else is to know of a workload.
func (w Workload) notes(item func(string, ...any), b *strings.Builder) {
	title := func(text string) { fmt.Fprintf(b, "\n**%s**\n\n", text) }
	if len(w.NoLonger) > 0 {
		title("What is no longer done")
	}
	for _, s := range w.NoLonger {
		item("%s: %s", w.say(s.Object), w.say(s.Do))
	}
	if len(w.Left) > 0 {
		title("What is left to others")
	}
	for _, h := range w.Left {
		item("%s: %s", h.Reason, w.say(h.Message))
		if h.Handoff != nil {
			b.WriteString(report.Fence("json", h.Handoff.JSON) + report.Fence("hcl", h.Handoff.HCL) + report.Fence("sh", h.Handoff.Command))
		}
	}
	if len(w.Stays) > 0 {
		title("What stays live")
	}
	for _, s := range w.Stays {
		item("%s", w.say(s))
	}
	for _, list := range []struct {
		title string
		all   []migrate.Reason
	}{{"Why " + w.Verdict.Head, w.Reasons}, {"What it waits for", w.Holds}, {"To mind", w.Warnings}} {
		if len(list.all) == 0 || !w.asks() && list.title == "Why "+w.Verdict.Head {
			continue
		}
		title(list.title)
		for _, r := range list.all {
			item("%s", w.say(reasoned(r)))
			if r.Code == migrate.OwnerMustAct && len(w.Left) > 0 {
				continue // the text for the owner is above
			}
			if way, text, _ := strings.Cut(r.Fix, "\n"); way != "" {
				fmt.Fprintf(b, "  - way out: %s\n%s", w.say(way), report.Fence("", text))
			}
		}
	}
	if len(w.Gaps) > 0 {
		title("Not read")
	}
	for _, g := range w.Gaps {
		item("%s", report.Prose(g.String()))
	}
	w.reach(item, title)
}

// reach writes whom and what a workload concerns.
func (w Workload) reach(item func(string, ...any), title func(string)) {
	lists := []struct {
		label string
		names []string
	}{
		{w.whose(), w.Restarts},
		{"pods that somebody must restart", w.NeedRestart},
		{"workloads", w.Owners},
		{"roles in other accounts", w.OtherAccounts},
		{"other clusters that its role lets in", w.OtherClusters},
		{"mappings with the same role", w.SharedWith},
	}
	any := len(w.Trust) > 0
	for _, l := range lists {
		any = any || len(l.names) > 0
	}
	if any {
		title("Whom it concerns")
	}
	for _, l := range lists {
		if len(l.names) > 0 {
			item("%s: %s", l.label, report.Prose(some(l.names)))
		}
	}
	for _, t := range w.Trust {
		item("trust policy: %s", w.say(t.says()))
	}
}

// lostRows are rows that have no room.
type lostRows struct {
	n   int
	one string
}

// rest is what comes after the workloads, and what of it is left out.
func (r Review) rest(limit int) (text string, gone []lostRows) {
	section := func(title, one string, n int, row func(int) string) {
		body, left := report.Rows(limit/3, fmt.Sprintf("\n<details><summary>%s (%d)</summary>\n\n", title, n), n, row)
		if body != "" {
			body += "\n</details>\n"
		}
		gone = append(gone, lostRows{left, one})
		text += body
	}
	finding := func(all []Finding) func(int) string {
		return func(i int) string {
			f := all[i]
			return fmt.Sprintf("- **%s** %s %s: %s%s\n", f.Severity, report.Code(f.who()), f.Kind, report.Prose(r.short.prose(f.Message)), f.ends())
		}
	}
	section("Findings that this change causes", "caused finding", len(r.Caused), finding(r.Caused))
	section("Findings that this change ends", "ended finding", len(r.Heals), finding(r.Heals))
	section("Not read, and needed for this change", "gap", len(r.NewGaps), func(i int) string {
		return fmt.Sprintf("- %s: %s\n", report.Code(r.NewGaps[i].who()), report.Prose(r.short.prose(r.NewGaps[i].What)))
	})
	section("Drift that was there before", "earlier finding", len(r.Before), finding(r.Before))
	section("Not read, before as after", "earlier gap", len(r.Gaps), func(i int) string { return "- " + report.Prose(r.Gaps[i].String()) + "\n" })
	if q := r.Quotas.Associations; q.Base != q.Head {
		text += fmt.Sprintf("\nAssociations of the cluster: %d now, %d after, of %d.\n", q.Now, q.Head, q.Limit)
	}
	text += fmt.Sprintf("\n<sub>From %s to %s.</sub>\n", report.Code(r.Base), report.Code(r.Head))
	return text, gone
}
