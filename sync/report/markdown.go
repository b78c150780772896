package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// Markdown writes the report for a pull request: a verdict, a table with the worst
// first, then what a round would write, what is in sync and what is left to whom,
// folded. A report that would be too long for a comment ends between two rows, and
// says how many it leaves out.
func (d Diff) Markdown(w io.Writer) error {
	p, short, states, findings := &page{}, d.shortNames(), d.states(), d.worstFirst()
	p.write("### lanyard: %s\n\n", verdict(d))
	p.write("Cluster %s, revision %s. %s.\n", Code(d.Cluster), Code(d.Revision), d.Summary.line())
	p.section("\n| ServiceAccount | plane | finding | expected | actual | where |\n|---|---|---|---|---|---|\n", "", len(findings), func(i int) string {
		f := findings[i]
		m, mapped := states[f.subject()]
		state := ""
		if mapped {
			state = "<br>" + m.state()
		}
		return findingRow(f, state, short)
	})
	title := wouldWrite(d.Mode)
	p.folded(strings.ToUpper(title[:1])+title[1:], len(d.Steps), func(i int) string {
		s := d.Steps[i]
		return fmt.Sprintf("- %s %s: %s\n", s.Effect, Code(s.Subject.String()), Prose(s.Action.String()))
	})
	p.folded("What could not be read", len(d.Gaps), func(i int) string { return "- " + Prose(d.Gaps[i].String()) + "\n" })
	blind := d.blind()
	p.folded("Mappings with a missing fact", len(blind), func(i int) string {
		m := blind[i]
		return fmt.Sprintf("- %s %s: %s\n", Code(m.subject()), m.state(), Prose(short(strings.Join(m.unknown(), ", "))))
	})
	p.named("In sync", d.inSync())
	unmanaged := d.Unmanaged[:min(len(d.Unmanaged), mostNamed)]
	p.section(summaryTag("Wired, not in Git, never touched", len(d.Unmanaged)), more(len(d.Unmanaged)-len(unmanaged))+"\n</details>\n",
		len(unmanaged), func(i int) string { return "- " + Code(unmanaged[i].String()) + "\n" })
	// Last, because what is to be handed to an owner is long: it must not push out
	// where a mapping stands.
	p.folded("What is left, and to whom", len(d.Left), func(i int) string { return holdRow(d.Left[i], short) })
	p.leftOut()
	_, err := io.WriteString(w, p.String())
	return err
}

func findingRow(f Finding, state string, short func(string) string) string {
	who := Code(f.subject()) + state
	where := Code(f.Position)
	if f.Owner != "" {
		where += "<br>owner: " + Prose(f.Owner)
	}
	return fmt.Sprintf("| %s | %s | **%s** %s: %s | %s | %s | %s |\n", who, f.Plane, f.Severity, f.Kind,
		Prose(short(f.Message)), Code(f.Expected), Code(f.Actual), strings.TrimPrefix(where, "<br>"))
}

func holdRow(h plan.Hold, short func(string) string) string {
	who := about(h)
	if !h.Subject.IsZero() {
		who = Code(who)
	}
	row := fmt.Sprintf("- %s %s: %s\n", who, h.Reason, Prose(short(h.Message)))
	if h.Handoff == nil {
		return row
	}
	return row + Fence("hcl", h.Handoff.HCL) + Fence("json", h.Handoff.JSON) + Fence("sh", h.Handoff.Command)
}

// verdict counts the findings by severity, and what could not be read.
func verdict(d Diff) string {
	counts := map[diff.Severity]int{}
	for _, f := range d.Findings {
		counts[f.Severity]++
	}
	var parts []string
	for _, s := range []diff.Severity{diff.Critical, diff.Warning, diff.Info} {
		switch n := counts[s]; {
		case n == 0:
		case s == diff.Warning:
			parts = append(parts, count(n, string(s)))
		default: // no plural
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	switch {
	case len(parts) > 0 && len(d.Gaps) > 0:
		parts = append(parts, count(len(d.Gaps), "gap"))
	case len(parts) == 0 && len(d.Gaps)+len(d.blind()) > 0:
		return "not everything could be read"
	case len(parts) == 0:
		return "in sync"
	}
	return strings.Join(parts, ", ")
}

// page is a Markdown text that stops at [CommentLimit]: from the first row that does
// not fit on, rows are counted and not written.
type page struct {
	strings.Builder
	full bool
	left int
}

// closing is room for the end of a section and the line about what is left out.
const closing = 300

func (p *page) write(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// section writes a head, n rows and a tail, as far as they fit.
func (p *page) section(head, tail string, n int, row func(i int) string) {
	opened := false
	for i := range n {
		if p.full {
			p.left += n - i
			break
		}
		r := row(i)
		if p.Len()+len(head)+len(r)+len(tail)+closing > CommentLimit {
			p.full = true
			p.left += n - i
			break
		}
		if !opened {
			p.WriteString(head)
			opened = true
		}
		p.WriteString(r)
	}
	if opened {
		p.WriteString(tail)
	}
}

func (p *page) folded(title string, n int, row func(i int) string) {
	p.section(summaryTag(title, n), "\n</details>\n", n, row)
}

func summaryTag(title string, n int) string {
	return fmt.Sprintf("\n<details><summary>%s (%d)</summary>\n\n", title, n)
}

// named folds the mappings of a section, the first of them by name.
func (p *page) named(title string, all []Mapping) {
	shown := all[:min(len(all), mostNamed)]
	p.section(summaryTag(title, len(all)), more(len(all)-len(shown))+"\n</details>\n", len(shown), func(i int) string {
		m := shown[i]
		return fmt.Sprintf("- %s %s, %s, role %s\n", Code(m.subject()), m.mechanism(), count(m.Pods, "pod"), Code(shortName(m.Role)))
	})
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("\nand %d more\n", n)
}

func (p *page) leftOut() {
	if p.left > 0 {
		p.write("\n**%s left out here**, because a comment has room for no more: `lanyard diff` prints them all, `-o json` for a program.\n", count(p.left, "row"))
	}
}

// Inert makes text from outside inert in Markdown: no markup, no mention, no link, no
// HTML, and no row of a table but its own.
func Inert(s string) string {
	var b strings.Builder
	for _, r := range Printable(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]()!|~$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case strings.ContainsRune("@#", r):
			b.WriteRune(r)
			b.WriteString(hidden) // no mention, no issue
		default:
			b.WriteRune(r)
		}
	}
	return linkRE.ReplaceAllStringFunc(b.String(), func(link string) string { return link[:1] + hidden + link[1:] })
}

// hidden is a zero-width space, which keeps GitHub from making a link.
const hidden = "\u200b"

// linkRE finds the beginnings of what GitHub would make a link of by itself.
// Sources: https://github.github.com/gfm/#autolinks-extension-,
// https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
var linkRE = regexp.MustCompile(`(?i)://|www\.|gh-[0-9]`)

// Code makes text from outside a code span, in which nothing is markup; a table
// would still end at a pipe.
func Code(s string) string {
	if s = strings.TrimSpace(Printable(s)); s == "" {
		return ""
	}
	return "`" + strings.NewReplacer("`", "'", "|", "¦").Replace(Clip(s)) + "`"
}

// Fence writes a code block that its content cannot end; none for an empty text.
func Fence(language, s string) string {
	if s == "" {
		return ""
	}
	ticks := "```"
	for _, run := range ticksRE.FindAllString(s, -1) {
		ticks = max(ticks, run+"`") // of two runs the longer one is the greater string
	}
	var b strings.Builder
	b.WriteString("\n  " + ticks + language + "\n")
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		b.WriteString(strings.TrimRight("  "+Printable(line), " ") + "\n")
	}
	b.WriteString("  " + ticks + "\n")
	return b.String()
}

var ticksRE = regexp.MustCompile("`{3,}")
