package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/lanyard-io/lanyard/sync/plan"
)

// Markdown writes the report for a pull request: a verdict, a table, then what a
// round would write and what it leaves, folded.
func (d Diff) Markdown(w io.Writer) error {
	t := &printer{w: w}
	t.f("### lanyard: %s\n\n", verdict(d))
	t.f("Cluster `%s`, revision `%s`. %s.\n", cell(d.Cluster), cell(d.Revision), d.Summary.line())
	if len(d.Findings) > 0 {
		t.f("\n| ServiceAccount | plane | finding | expected | actual | where |\n|---|---|---|---|---|---|\n")
		for _, f := range d.Findings {
			t.f("| `%s` | %s | **%s** %s: %s | %s | %s | %s |\n", cell(f.Namespace+"/"+f.ServiceAccount), f.Plane, f.Severity, f.Kind,
				escape(f.Message), code(f.Expected), code(f.Actual), code(f.Position))
		}
	}
	t.fold("What a round would write", len(d.Steps), func() {
		for _, s := range d.Steps {
			t.f("- %s `%s`: %s\n", s.Effect, cell(s.Subject.String()), escape(s.Action.String()))
		}
	})
	t.fold("What is left, and to whom", len(d.Left), func() { t.markdownHolds(d.Left) })
	t.fold("What could not be read", len(d.Gaps), func() {
		for _, g := range d.Gaps {
			t.f("- %s\n", escape(g.String()))
		}
	})
	return t.err
}

func (t *printer) markdownHolds(holds []plan.Hold) {
	for _, h := range holds {
		who := ""
		if !h.Subject.IsZero() {
			who = "`" + cell(h.Subject.String()) + "` "
		}
		t.f("- %s%s: %s\n", who, h.Reason, escape(h.Message))
		if h.Handoff == nil {
			continue
		}
		if h.Handoff.HCL != "" {
			t.f("%s", fence("hcl", h.Handoff.HCL))
		}
		if h.Handoff.JSON != "" {
			t.f("%s", fence("json", h.Handoff.JSON))
		}
		if h.Handoff.Command != "" {
			t.f("%s", fence("sh", h.Handoff.Command))
		}
	}
}

func (t *printer) fold(title string, n int, body func()) {
	if n == 0 {
		return
	}
	t.f("\n<details><summary>%s (%d)</summary>\n\n", title, n)
	body()
	t.f("\n</details>\n")
}

func verdict(d Diff) string {
	switch {
	case len(d.Gaps) > 0 && len(d.Findings) == 0:
		return "not everything could be read"
	case d.Summary.Critical > 0:
		return fmt.Sprintf("%d critical differences", d.Summary.Critical)
	case len(d.Findings) > 0:
		return fmt.Sprintf("%d differences", len(d.Findings))
	}
	return "in sync"
}

// escape makes text from outside inert in Markdown: no markup, no mention, no HTML.
func escape(s string) string {
	var b strings.Builder
	for _, r := range Printable(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@':
			b.WriteString("@\u200b") // no mention
		case strings.ContainsRune("\\`*_{}[]()#+!|~$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cell makes text from outside safe inside backticks in a table.
func cell(s string) string {
	return strings.NewReplacer("`", "'", "|", "¦").Replace(Printable(s))
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

// fence writes a code block that its content cannot end.
func fence(language, s string) string {
	ticks := "```"
	for strings.Contains(s, ticks) {
		ticks += "`"
	}
	var b strings.Builder
	b.WriteString("\n  " + ticks + language + "\n")
	for _, line := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("  " + ticks + "\n")
	return b.String()
}
