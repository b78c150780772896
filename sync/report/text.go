package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

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
	}
	return StyleInfo
}

// Printable makes text from outside (Git, AWS, Kubernetes) safe for a terminal: a
// control character could move the cursor or recolour what follows.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Text writes the report as a person reads it on a terminal.
func (d Diff) Text(w io.Writer, p Paint) error {
	t := &printer{w: w, p: p}
	t.f("%s  %s\n", p.paint(StyleStrong, "cluster "+d.Cluster), p.paint(StyleFaint, d.Revision))
	t.findings(d.Findings)
	t.steps("a round would write", d.Steps)
	t.holds(d.Left)
	t.gaps(d.Gaps)
	if n := len(d.Unmanaged); n > 0 {
		t.f("\n%s %s\n", p.paint(StyleFaint, "wired, not in Git, never touched:"), subjects(d.Unmanaged))
	}
	t.f("\n%s\n", d.Summary.line())
	return t.err
}

func (s Summary) line() string {
	return fmt.Sprintf("%d mappings, %d in sync; %d findings (%d critical, %d warning, %d info); %d to write, %d left; %d gaps",
		s.Mappings, s.InSync, s.Findings, s.Critical, s.Warning, s.Info, s.Steps, s.Left, s.Gaps)
}

type printer struct {
	w   io.Writer
	p   Paint
	err error
}

func (t *printer) f(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *printer) findings(all []Finding) {
	if len(all) == 0 {
		t.f("\n%s\n", t.p.paint(StyleGood, "no differences"))
		return
	}
	last := ""
	for _, f := range all {
		subject := f.Namespace + "/" + f.ServiceAccount
		if f.ServiceAccount == "" {
			subject = "the cluster"
		}
		if subject != last {
			t.f("\n%s\n", t.p.paint(StyleStrong, Printable(subject)))
			last = subject
		}
		t.f("  %s %s\n", t.p.paint(styleOf(f.Severity), fmt.Sprintf("%-8s", f.Severity)), fmt.Sprintf("%s (%s)", f.Kind, f.Plane))
		t.f("           %s\n", Printable(f.Message))
		if f.Expected != "" || f.Actual != "" {
			t.f("           %s %s\n", t.p.paint(StyleFaint, "expected"), Printable(f.Expected))
			t.f("           %s %s\n", t.p.paint(StyleFaint, "actual  "), Printable(f.Actual))
		}
		if at := strings.TrimSpace(join(" · ", f.Position, owned(f.Owner))); at != "" {
			t.f("           %s\n", t.p.paint(StyleFaint, Printable(at)))
		}
	}
}

func owned(owner string) string {
	if owner == "" {
		return ""
	}
	return "owner: " + owner
}

func join(sep string, parts ...string) string {
	var full []string
	for _, p := range parts {
		if p != "" {
			full = append(full, p)
		}
	}
	return strings.Join(full, sep)
}

func (t *printer) steps(title string, steps []plan.Step) {
	if len(steps) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleStrong, title))
	for _, s := range steps {
		t.f("  %-6s  %s  %s\n", s.Effect, Printable(s.Subject.String()), Printable(s.Action.String()))
		t.f("          %s\n", t.p.paint(StyleFaint, Printable(s.Because)))
	}
}

func (t *printer) holds(holds []plan.Hold) {
	if len(holds) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleStrong, "left, and why"))
	for _, h := range holds {
		who := "the cluster"
		if !h.Subject.IsZero() {
			who = h.Subject.String()
		}
		t.f("  %s  %s: %s\n", Printable(who), h.Reason, Printable(h.Message))
		t.handoff(h.Handoff)
	}
}

func (t *printer) handoff(h *plan.Handoff) {
	if h == nil {
		return
	}
	switch {
	case h.JSON != "":
		t.f("      %s %s\n", t.p.paint(StyleFaint, "statement:"), Printable(h.JSON))
	case h.Command != "":
		t.f("      %s %s\n", t.p.paint(StyleFaint, "for example:"), Printable(h.Command))
	}
}

func (t *printer) gaps(gaps []live.Gap) {
	if len(gaps) == 0 {
		return
	}
	t.f("\n%s\n", t.p.paint(StyleWarning, "could not be read, so nothing is written about it"))
	for _, g := range gaps {
		t.f("  %s\n", Printable(g.String()))
	}
}

func subjects(all []identity.Subject) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = Printable(s.String())
	}
	return strings.Join(names, ", ")
}

// Table writes one line for each finding, for people who look for one.
func (d Diff) Table(w io.Writer, p Paint) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SERVICEACCOUNT\tPLANE\tKIND\tSEVERITY\tEXPECTED\tACTUAL\tPOSITION")
	for _, f := range d.Findings {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", Printable(f.Namespace+"/"+f.ServiceAccount), f.Plane, f.Kind, f.Severity,
			Printable(f.Expected), Printable(f.Actual), Printable(f.Position))
	}
	return tw.Flush()
}

// Text writes a round: what was found, each step and what it came to, what was left.
func (r Round) Text(w io.Writer, p Paint) error {
	t := &printer{w: w, p: p}
	t.f("%s  %s\n", p.paint(StyleStrong, fmt.Sprintf("round %d · cluster %s · mode %s", r.Number, r.Cluster.Name, r.Mode)), p.paint(StyleFaint, r.Revision.String()))
	d := NewDiff(r.Revision, r.Result, r.Plan, r.Gaps)
	t.findings(d.Findings)
	if len(r.Outcomes) > 0 {
		t.f("\n%s\n", p.paint(StyleStrong, "written"))
	}
	for _, o := range r.Outcomes {
		style := StyleGood
		if o.Result != Done {
			style = StyleWarning
		}
		t.f("  %s  %-6s  %s  %s\n", p.paint(style, fmt.Sprintf("%-10s", o.Result)), o.Step.Effect, Printable(o.Step.Subject.String()), Printable(o.Step.Action.String()))
		if o.Err != nil {
			t.f("              %s\n", Printable(o.Err.Error()))
		}
	}
	t.holds(d.Left)
	t.gaps(d.Gaps)
	t.f("\n%s; %d written\n", d.Summary.line(), r.Writes())
	return t.err
}
