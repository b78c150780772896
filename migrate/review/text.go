package review

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// View says how a review is shown on a terminal.
type View struct {
	Diff  bool         // trust policies line by line, too
	Paint report.Paint // nil: as it is
}

// Table writes one line for each workload that the pull request touches.
func (r Review) Table(w io.Writer, v View) error {
	var b strings.Builder
	rows := [][]string{{"RISK", "SERVICEACCOUNT", "CHANGE", "MERGING", "RESTARTS", "WHY"}}
	for _, one := range r.Workloads {
		row := []string{string(one.Risk), one.Name(), string(one.Change), one.what(), one.restarts(), one.why()}
		for i, c := range row {
			row[i] = cmp.Or(report.Cell(c), "-")
		}
		rows = append(rows, row)
	}
	for _, m := range r.Refused {
		fmt.Fprintf(&b, "%s\n", report.Cell(m.at()+": "+m.What+": "+m.Instead))
	}
	if len(rows) > 1 {
		report.Columns(&b, rows, func(row, column int, text string) string {
			if row == 0 || column > 0 {
				return text
			}
			return v.Paint.On(r.Workloads[row-1].Risk.style(), text)
		})
	}
	fmt.Fprintf(&b, "%s\n", report.Cell(r.Summary.Line))
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Risk) style() report.Style {
	switch r {
	case High:
		return report.StyleCritical
	case Medium:
		return report.StyleWarning
	case Low:
		return report.StyleInfo
	case None:
	}
	return report.StyleGood
}

// Text writes the review as a person reads it on a terminal.
func (r Review) Text(w io.Writer, v View) error {
	p := &page{view: v}
	p.Prose(0, "", r.Summary.Line)
	p.Line("%s", v.Paint.On(report.StyleFaint, report.Cell("cluster "+r.Cluster+" · "+r.mode()+" · "+r.seen())))
	p.Line("%s", v.Paint.On(report.StyleFaint, report.Cell(r.Base+" → "+r.Head)))
	p.list("refused: the head is not followed, the last accepted revision stays in force", len(r.Refused), func(i int) (string, string) {
		m := r.Refused[i]
		return "", m.at() + ": " + m.What + ": " + m.Instead
	})
	p.list("of the whole", len(r.Risks), func(i int) (string, string) {
		return string(r.Risks[i].Risk), string(r.Risks[i].Code) + ": " + r.Risks[i].Message
	})
	p.list("changed together", len(r.Together), func(i int) (string, string) {
		return "", r.Together[i].says() + ": " + some(r.Together[i].Mappings)
	})
	p.list("guard rails", len(r.Rails), func(i int) (string, string) { return r.Rails[i].Rule, r.Rails[i].Message })
	for _, one := range r.Workloads {
		p.workload(one, r.Mode)
	}
	p.findings("caused by this change", r.Caused)
	p.findings("ended by this change", r.Heals)
	p.list("not read, and needed for this change", len(r.NewGaps), func(i int) (string, string) { return r.NewGaps[i].who(), r.NewGaps[i].What })
	p.findings("there before", r.Before)
	p.list("not read, before as after", len(r.Gaps), func(i int) (string, string) { return "", r.Gaps[i].String() })
	if q := r.Quotas.Associations; q.Base != q.Head {
		p.Line("\nassociations of the cluster: %d now, %d after, of %d", q.Now, q.Head, q.Limit)
	}
	_, err := io.WriteString(w, p.String())
	return err
}

// page is a text for a terminal in the making.
type page struct {
	report.Page
	view View
}

func (p *page) title(text string) {
	p.Line("\n%s", p.view.Paint.On(report.StyleStrong, report.Cell(text)))
}

func (p *page) list(title string, n int, row func(i int) (label, text string)) {
	if n == 0 {
		return
	}
	p.title(fmt.Sprintf("%s (%d)", title, n))
	for i := range n {
		label, text := row(i)
		p.Prose(2, label, text)
	}
}

func (p *page) findings(title string, all []Finding) {
	p.list(title, len(all), func(i int) (string, string) {
		f := all[i]
		return string(f.Severity), fmt.Sprintf("%s %s: %s%s", f.who(), f.Kind, f.Message, f.ends())
	})
}

// workload writes one in full.
func (p *page) workload(w Workload, m desired.Mode) {
	p.Line("\n%s  %s  %s", p.view.Paint.On(report.StyleStrong, report.Cell(w.Name())), p.view.Paint.On(w.Risk.style(), string(w.Risk)), report.Cell(w.what()))
	p.Prose(2, "", string(w.Change)+" at "+w.Position+was(w)+" · "+w.stands())
	for _, f := range w.Fields {
		p.Prose(2, f.Name, cmp.Or(f.Before, "nothing")+" → "+cmp.Or(f.After, "nothing")+elsewhere(f, w))
	}
	for _, d := range w.Risks {
		p.Prose(2, string(d.Risk), string(d.Code)+": "+d.Message)
	}
	for i, s := range w.Steps {
		p.step(i+1, s, w, m)
	}
	for _, s := range w.NoLonger {
		p.Prose(2, "no longer", s.Object+": "+s.Do)
	}
	for _, h := range w.Left {
		p.Prose(2, "left", string(h.Reason)+": "+h.Message)
		if h.Handoff != nil {
			p.Prose(6, "", h.Handoff.What)
			for _, text := range []string{h.Handoff.JSON, h.Handoff.Command} {
				if text != "" {
					p.Line("      %s", report.Printable(text)) // whole, to be copied
				}
			}
		}
	}
	for _, s := range w.Stays {
		p.Prose(2, "stays", s)
	}
	if w.asks() {
		for _, r := range w.Reasons {
			p.Prose(2, "why "+w.Verdict.Head, reasoned(r))
		}
	}
	for _, r := range w.Holds {
		p.Prose(2, "holds", reasoned(r))
	}
	for _, r := range w.Warnings {
		p.Prose(2, "mind", reasoned(r))
	}
	for _, g := range w.Gaps {
		p.Prose(2, "not read", g.String())
	}
	p.named(w)
}

// named writes who and what else is concerned.
func (p *page) named(w Workload) {
	label := "restarts"
	if w.migrates() != "" {
		label = "would restart in mode migrate"
	}
	for _, one := range []struct {
		label string
		list  []string
	}{
		{label, w.Restarts}, {"must be restarted by somebody", w.NeedRestart}, {"workloads", w.Owners},
		{"roles in other accounts", w.OtherAccounts}, {"other clusters that its role lets in", w.OtherClusters}, {"mappings with the same role", w.SharedWith},
	} {
		if len(one.list) > 0 {
			p.Prose(2, one.label, some(one.list))
		}
	}
	for _, t := range w.Trust {
		p.Prose(2, "trust policy", t.says())
	}
}

func (t Room) says() string {
	s := fmt.Sprintf("%s has %d characters now, %d at most on the way, %d in the end", t.Role, t.Now, t.Peak, t.After)
	if t.Limit > 0 {
		s += fmt.Sprintf(", of %d", t.Limit)
	}
	return s
}

func (p *page) step(n int, s Step, w Workload, m desired.Mode) {
	label := fmt.Sprintf("%d %s", n, s.Plane)
	if s.Old {
		label += ", not by this change"
	}
	text := s.Do
	if who := s.taker(m); who != "" {
		text += " [" + who + "]"
	}
	if s.subject() != w.subject {
		text = s.Namespace + "/" + s.ServiceAccount + ": " + text
	}
	p.Prose(2, label, text)
	p.Prose(6, "on", s.Object)
	if s.Plane != diff.PlaneTrust {
		p.Prose(6, "", cmp.Or(s.Before, "nothing")+" → "+cmp.Or(s.After, "nothing"))
	}
	for _, l := range s.moved() {
		p.Prose(6, "", l)
	}
	if s.Waits != "" {
		p.Prose(6, "waits", s.Waits)
	}
	if p.view.Diff && s.Diff != "" {
		for line := range strings.Lines(s.Diff) {
			p.Line("      %s", report.Cell(strings.TrimRight(line, "\n")))
		}
	}
}

func was(w Workload) string {
	if w.Was == "" || w.was.File == w.at.File {
		return ""
	}
	return ", was at " + w.Was
}

// elsewhere says where a field is said, if not in the mapping's own file.
func elsewhere(f Field, w Workload) string {
	if f.at.File == w.at.File {
		return ""
	}
	return " (at " + f.Position + ")"
}

// mostNamed bounds how many names a list has for people.
const mostNamed = 10

// some lists names, the first of them.
func some(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}

// ends says how a finding ends, where it does.
func (f Finding) ends() string {
	switch {
	case f.would:
		return " (the steps would mend it)"
	case f.Mended:
		return " (mended by the steps)"
	case f.Dropped:
		return " (nobody looks for it any more: Git names it no more, or a fact is missing)"
	}
	return ""
}

func (f Finding) who() string {
	if f.ServiceAccount == "" {
		return "the cluster"
	}
	return f.Namespace + "/" + f.ServiceAccount
}

// count returns "1 pod", "2 pods".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
