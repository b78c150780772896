package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
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

// On colours a word; none leaves it as it is.
func (p Paint) On(s Style, text string) string {
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

// Text writes the report as a person reads it on a terminal. What is worst comes
// first.
func (d Diff) Text(w io.Writer, p Paint) error {
	t := &printer{w: w, p: p, short: d.shortNames()}
	t.row(2, word{StyleStrong, "cluster " + d.Cluster}, word{StyleFaint, d.Revision})
	t.block("", StyleFaint, 0, d.Summary.line())
	t.findings(d)
	t.inSync(d.inSync())
	t.steps(wouldWrite(d.Mode), d.Steps)
	t.holds(d, "-o markdown")
	t.gaps(d.Gaps)
	t.unmanaged(d.Unmanaged)
	t.f("\n")
	t.block("", StyleFaint, 0, d.Summary.line())
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

// title begins a section.
func (t *printer) title(style Style, text string) { t.f("\n%s\n", t.p.On(style, text)) }

// block writes prose from column indent on. On the first line a label stands before it.
func (t *printer) block(label string, style Style, indent int, text string) {
	pad := strings.Repeat(" ", indent)
	for i, line := range Wrap(Clip(Printable(text)), textWidth-indent) {
		lead := pad
		if i == 0 && label != "" {
			body := strings.TrimLeft(label, " ")
			before := label[:len(label)-len(body)]
			lead = before + t.p.On(style, body) + strings.Repeat(" ", max(1, indent-utf8.RuneCountInString(label)))
		}
		t.f("%s%s\n", lead, line)
	}
}

// word is a part of a row, and how it looks.
type word struct {
	style Style
	text  string
}

// plain is the style of what is not painted.
const plain = StyleFaint + 1

// row writes words beside each other; what has no room goes on, hanging, below.
// Spaces around a word align it with those of other rows.
func (t *printer) row(hang int, words ...word) {
	column, padding := 0, 0
	for i, one := range words {
		text := Printable(one.text)
		width := utf8.RuneCountInString(text)
		text = strings.TrimRight(text, " ")
		seen := utf8.RuneCountInString(text)
		switch {
		case i == 0:
		case column+2+seen > textWidth:
			t.f("\n%*s", hang, "")
			column = hang
		default:
			t.f("%*s", padding+2, "")
			column += 2
		}
		column, padding = column+width, width-seen
		if one.style != plain {
			text = t.p.On(one.style, text)
		}
		t.f("%s", text)
	}
	t.f("\n")
}

func (t *printer) findings(d Diff) {
	silent := d.silent()
	if len(d.Findings)+len(silent) == 0 {
		t.title(StyleGood, d.nothing())
		return
	}
	states, subject := d.states(), ""
	for i, f := range d.worstFirst() {
		if i == 0 || f.subject() != subject {
			t.unknown(states[subject])
			subject = f.subject()
			m, mapped := states[subject]
			t.subject(subject, m, mapped)
		}
		t.finding(f)
	}
	t.unknown(states[subject])
	for _, m := range silent {
		t.subject(m.subject(), m, true)
		m.Unknown = m.unknown()
		t.unknown(m)
	}
}

func (t *printer) subject(name string, m Mapping, mapped bool) {
	words := []word{{StyleStrong, name}}
	if mapped {
		words = append(words, word{StyleFaint, m.state()})
	}
	t.f("\n")
	t.row(2, words...)
}

// unknown ends a subject with the facts that are missing.
func (t *printer) unknown(m Mapping) {
	if len(m.Unknown) > 0 {
		t.block("  unknown", StyleWarning, 11, t.short(strings.Join(m.Unknown, ", ")))
	}
}

func (t *printer) finding(f Finding) {
	const indent, values = 11, 21
	t.f("  %s %s %s\n", t.p.On(styleOf(f.Severity), fmt.Sprintf("%-8s", f.Severity)), f.Kind, t.p.On(StyleFaint, "("+string(f.Plane)+")"))
	t.block("", StyleFaint, indent, t.short(f.Message))
	if f.Expected != "" || f.Actual != "" {
		t.block("           expected", StyleFaint, values, cmp.Or(f.Expected, "-"))
		t.block("           actual", StyleFaint, values, cmp.Or(f.Actual, "-"))
	}
	if f.Owner != "" {
		t.block("           owner", StyleFaint, values, f.Owner)
	}
	if f.Position != "" {
		t.f("           %s\n", t.p.On(StyleFaint, Clip(Printable(f.Position))))
	}
}

// inSync lists what is as Git wants it.
func (t *printer) inSync(all []Mapping) {
	if len(all) == 0 {
		return
	}
	t.title(StyleGood, "in sync")
	shown := all[:min(len(all), mostNamed)]
	names, mechanisms, pods := 0, 0, 0
	for _, m := range shown {
		if n := utf8.RuneCountInString(Printable(m.subject())); n <= widestName { // one long name does not move all
			names = max(names, n)
		}
		mechanisms = max(mechanisms, len(m.mechanism()))
		pods = max(pods, len(count(m.Pods, "pod")))
	}
	for _, m := range shown {
		t.row(4, word{plain, fmt.Sprintf("  %-*s", names, Printable(m.subject()))}, word{plain, fmt.Sprintf("%-*s", mechanisms, m.mechanism())},
			word{plain, fmt.Sprintf("%-*s", pods, count(m.Pods, "pod"))}, word{StyleFaint, shortName(m.Role)})
	}
	t.more(len(all) - len(shown))
}

func (t *printer) more(n int) {
	if n > 0 {
		t.f("  and %d more\n", n)
	}
}

func (t *printer) steps(title string, steps []plan.Step) {
	if len(steps) == 0 {
		return
	}
	t.title(StyleStrong, title)
	for _, s := range steps {
		t.f("  %-6s  %s\n", s.Effect, Printable(s.Subject.String()))
		t.block("", StyleFaint, 10, s.Action.String())
		t.block("          because", StyleFaint, 18, t.short(s.Because))
	}
}

// holds lists what is left. A hold that begins as a finding above does goes on from
// there. Where Terraform's form of a statement is to be had is told in terraform.
func (t *printer) holds(d Diff, terraform string) {
	if len(d.Left) == 0 {
		return
	}
	t.title(StyleStrong, "left, and why")
	last := ""
	for _, h := range d.Left {
		if who := about(h); who != last {
			t.f("  %s\n", Printable(who))
			last = who
		}
		lines := Wrap(string(h.Reason)+": "+Clip(Printable(t.short(d.news(h)))), textWidth-6)
		t.f("    %s%s\n", t.p.On(StyleWarning, string(h.Reason)), strings.TrimPrefix(lines[0], string(h.Reason)))
		for _, line := range lines[1:] {
			t.f("      %s\n", line)
		}
		t.handoff(h, terraform)
	}
}

// handoff writes what to hand to the owner so that it can be copied: never wrapped,
// never shortened.
func (t *printer) handoff(h plan.Hold, terraform string) {
	const indent = "      "
	if h.Handoff == nil {
		return
	}
	if what := h.Handoff.What; what != "" && !strings.Contains(h.Message, what) {
		t.block("", StyleFaint, len(indent), t.short(what)+":")
	}
	for _, exact := range []string{h.Handoff.JSON, h.Handoff.Command} {
		if exact != "" {
			t.f("%s%s\n", indent, Printable(exact))
		}
	}
	if h.Handoff.HCL != "" {
		t.f("%s%s\n", indent, t.p.On(StyleFaint, "(as Terraform: "+terraform+")"))
	}
}

func (t *printer) gaps(gaps []live.Gap) {
	if len(gaps) == 0 {
		return
	}
	t.title(StyleWarning, "could not be read, so nothing is written about it")
	for _, g := range gaps {
		t.block("  -", StyleFaint, 4, g.String())
	}
}

func (t *printer) unmanaged(all []identity.Subject) {
	if len(all) == 0 {
		return
	}
	t.title(StyleFaint, "wired, not in Git, never touched")
	shown := all[:min(len(all), mostNamed)]
	for _, s := range shown {
		t.f("  %s\n", Printable(s.String()))
	}
	t.more(len(all) - len(shown))
}
