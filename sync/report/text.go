package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// Paint colours a word for a terminal; the zero value leaves all as it is.
type Paint func(style Style, text string) string

// Style is what a word is, not how it looks.
type Style uint8

// The styles.
const (
	StyleCritical Style = iota
	StyleWarning
	StyleInfo
	StyleGood
	StyleStrong
	StyleFaint
)

func (p Paint) paint(s Style, text string) string {
	if p == nil {
		return text
	}
	return p(s, text)
}

func styleOf(s diff.Severity) Style {
	switch s {
	case diff.Critical:
		return StyleCritical
	case diff.Warning:
		return StyleWarning
	case diff.Info:
	}
	return StyleInfo
}

// Text writes the report as a person reads it on a terminal.
func (d Diff) Text(w io.Writer, p Paint) error {
	t := &printer{w: w, p: p, short: d.shortNames()}
	t.f("%s  %s\n", p.paint(StyleStrong, Printable("cluster "+d.Cluster)), p.paint(StyleFaint, Printable(d.Revision)))
	t.findings(d)
	t.inSync(d.inSync())
	t.steps(d.Steps)
	t.holds(d.Left)
	t.gaps(d.Gaps)
	t.unmanaged(d.Unmanaged)
	t.f("\n%s\n", d.Summary.line())
	return t.err
}

// printer writes text for a terminal. Whatever comes from outside goes through
// [Printable] on its way.
type printer struct {
	w     io.Writer
	p     Paint
	short func(string) string // shortens ARNs in prose
	err   error
}

func (t *printer) f(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

// block writes prose from column indent on. On the first line a label stands before it.
func (t *printer) block(label string, style Style, indent int, text string) {
	pad := strings.Repeat(" ", indent)
	for i, line := range wrap(clip(Printable(text)), textWidth-indent) {
		lead := pad
		if i == 0 && label != "" {
			body := strings.TrimLeft(label, " ")
			before := label[:len(label)-len(body)]
			lead = before + t.p.paint(style, body) + strings.Repeat(" ", max(1, indent-utf8.RuneCountInString(label)))
		}
		t.f("%s%s\n", lead, line)
	}
}

func (t *printer) findings(d Diff) {
	silent := d.silent()
	if len(d.Findings)+len(silent) == 0 {
		t.f("\n%s\n", t.p.paint(StyleGood, "no differences"))
		return
	}
	states, last := d.states(), ""
	for _, f := range d.Findings {
		if subject := f.subject(); subject != last {
			m, mapped := states[subject]
			t.subject(subject, m, mapped)
			last = subject
		}
		t.finding(f)
	}
	for _, m := range silent {
		t.subject(m.subject(), m, true)
		t.block("", StyleFaint, 11, "a fact is missing, so nothing can be said")
	}
}

func (t *printer) subject(name string, m Mapping, mapped bool) {
	t.f("\n%s", t.p.paint(StyleStrong, Printable(name)))
	if mapped {
		t.f("  %s", t.p.paint(StyleFaint, m.state()))
	}
	t.f("\n")
}

func (t *printer) finding(f Finding) {
	const indent, values = 11, 21
	t.f("  %s %s %s\n", t.p.paint(styleOf(f.Severity), fmt.Sprintf("%-8s", f.Severity)), f.Kind, t.p.paint(StyleFaint, "("+string(f.Plane)+")"))
	t.block("", StyleFaint, indent, t.short(f.Message))
	if f.Expected != "" || f.Actual != "" {
		t.block("           expected", StyleFaint, values, cmp.Or(f.Expected, "-"))
		t.block("           actual", StyleFaint, values, cmp.Or(f.Actual, "-"))
	}
	if f.Owner != "" {
		t.block("           owner", StyleFaint, values, f.Owner)
	}
	if f.Position != "" {
		t.f("           %s\n", t.p.paint(StyleFaint, Printable(f.Position)))
	}
}

// inSync lists what is as Git wants it.
func (t *printer) inSync(all []Mapping) {
	if len(all) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleGood, "in sync"))
	shown := all[:min(len(all), mostNamed)]
	names, mechanisms, pods := 0, 0, 0
	for _, m := range shown {
		names = max(names, utf8.RuneCountInString(Printable(m.subject())))
		mechanisms = max(mechanisms, len(m.mechanism()))
		pods = max(pods, len(count(m.Pods, "pod")))
	}
	for _, m := range shown {
		t.f("  %-*s  %-*s  %-*s  %s\n", names, Printable(m.subject()), mechanisms, m.mechanism(), pods, count(m.Pods, "pod"),
			t.p.paint(StyleFaint, Printable(shortName(m.Role))))
	}
	t.more(len(all) - len(shown))
}

func (t *printer) more(n int) {
	if n > 0 {
		t.f("  and %d more\n", n)
	}
}

func (t *printer) steps(steps []plan.Step) {
	if len(steps) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleStrong, "a round would write"))
	for _, s := range steps {
		t.f("  %-6s  %s\n", s.Effect, Printable(s.Subject.String()))
		t.block("", StyleFaint, 10, s.Action.String())
		t.block("          because", StyleFaint, 18, t.short(s.Because))
	}
}

func (t *printer) holds(holds []plan.Hold) {
	if len(holds) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleStrong, "left, and why"))
	last := ""
	for _, h := range holds {
		if who := about(h); who != last {
			t.f("  %s\n", Printable(who))
			last = who
		}
		lines := wrap(string(h.Reason)+": "+clip(Printable(t.short(h.Message))), textWidth-6)
		t.f("    %s%s\n", t.p.paint(StyleWarning, string(h.Reason)), strings.TrimPrefix(lines[0], string(h.Reason)))
		for _, line := range lines[1:] {
			t.f("      %s\n", line)
		}
		t.handoff(h)
	}
}

// handoff writes what to hand to the owner so that it can be copied: never wrapped,
// never shortened.
func (t *printer) handoff(h plan.Hold) {
	const indent = "      "
	if h.Handoff == nil {
		return
	}
	if what := h.Handoff.What; what != "" && !strings.Contains(h.Message, what) {
		t.block("", StyleFaint, len(indent), t.short(what)+":")
	}
	if h.Handoff.JSON != "" {
		for _, line := range statement(h.Handoff.JSON, textWidth-len(indent)) {
			t.f("%s%s\n", indent, Printable(line))
		}
	}
	if h.Handoff.Command != "" {
		t.f("%s%s\n", indent, Printable(h.Handoff.Command))
	}
}

func (t *printer) gaps(gaps []live.Gap) {
	if len(gaps) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleWarning, "could not be read, so nothing is written about it"))
	for _, g := range gaps {
		t.block("  -", StyleFaint, 4, g.String())
	}
}

func (t *printer) unmanaged(all []identity.Subject) {
	if len(all) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleFaint, "wired, not in Git, never touched"))
	shown := all[:min(len(all), mostNamed)]
	for _, s := range shown {
		t.f("  %s\n", Printable(s.String()))
	}
	t.more(len(all) - len(shown))
}

// Table writes one line for each finding, for people who look for one.
func (d Diff) Table(w io.Writer, p Paint) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SERVICEACCOUNT\tPLANE\tKIND\tSEVERITY\tEXPECTED\tACTUAL\tPOSITION")
	for _, f := range d.Findings {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", Printable(f.subject()), f.Plane, f.Kind, f.Severity,
			clip(Printable(f.Expected)), clip(Printable(f.Actual)), Printable(f.Position))
	}
	return tw.Flush()
}

// Text writes a round: what was found, each step and what it came to, what was left.
func (r Round) Text(w io.Writer, p Paint) error {
	d := NewDiff(r.Revision, r.Result, r.Plan, r.Gaps)
	t := &printer{w: w, p: p, short: d.shortNames()}
	head := fmt.Sprintf("round %d · cluster %s · mode %s", r.Number, r.Cluster.Name, r.Mode)
	t.f("%s  %s\n", p.paint(StyleStrong, Printable(head)), p.paint(StyleFaint, Printable(d.Revision)))
	t.findings(d)
	t.inSync(d.inSync())
	t.outcomes(r.Outcomes)
	t.holds(d.Left)
	t.gaps(d.Gaps)
	t.f("\n%s; %d written\n", d.Summary.line(), r.Writes())
	return t.err
}

func (t *printer) outcomes(all []Outcome) {
	if len(all) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleStrong, "written"))
	for _, o := range all {
		style := StyleGood
		if o.Result != Done {
			style = StyleWarning
		}
		t.f("  %s  %-6s  %s\n", t.p.paint(style, fmt.Sprintf("%-10s", o.Result)), o.Step.Effect, Printable(o.Step.Subject.String()))
		t.block("", StyleFaint, 14, o.Step.Action.String())
		if o.Err != nil {
			t.block("", StyleFaint, 14, o.Err.Error())
		}
	}
}
