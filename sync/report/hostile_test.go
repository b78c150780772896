package report_test

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// hostile is what an annotation, a tag, an error or a file name may hold.
var hostile = map[string]string{
	"ansi":       "a\x1b[31mred\x1b]0;title\x07b",
	"control":    "a\x00\x08\x0b\x7f\u0085\r\nb",
	"bidi":       "a\u202egpj.exe\u2066\u200f\u061cb",
	"invisible":  "a\u200b\ufeff\u2060\U000e0041b",
	"separators": "a\u2028b\u2029c",
	"not utf-8":  "a\xff\xfe\xc0b",
	"html":       `<img src=x onerror=alert(1)><script>x</script></details><!--`,
	"entities":   "&lt;b&gt; &#64;octocat",
	"table":      "a | b |\n|---|---|\n| c",
	"ticks run":  strings.Repeat("`", 100_000),
	"tick ends":  "`",
	"escapes":    "\\ \\` \\| \\",
	"ticks":      "`x` ``y`` ```z\n```\n# out",
	"markup":     "**b** __i__ [x](https://example.com) ![i](https://example.com/i.png) ~~s~~ $x$",
	"mention":    "@octocat cc @lanyard-io/admins",
	"links":      "https://example.com/x www.example.com a@example.com",
	"references": "#1 lanyard-io/lanyard#2 GH-3",
	"headings":   "\n# one\n\n- two\n\n    three",
	"long":       strings.Repeat("word ", 20_000),
	"long word":  strings.Repeat("x", 100_000),
	"long wide":  strings.Repeat("ß", 5_000),
}

// everywhere is a report with a text in every place that comes from outside.
func everywhere(s string) report.Diff {
	role := identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: s}
	who := subject(s, s)
	return report.Diff{Revision: s, Cluster: s, Mode: desired.Mode(s),
		Findings: []report.Finding{
			{Namespace: s, ServiceAccount: s, Plane: diff.PlanePods, Kind: diff.PodsUninjected, Severity: diff.Warning,
				Message: s, Expected: s, Actual: s, Position: s, Owner: s},
			{Plane: diff.PlaneGit, Kind: diff.ClusterMismatch, Severity: diff.Critical, Message: s},
		},
		Mappings: []report.Mapping{
			{Namespace: s, ServiceAccount: s, Role: s, Class: diff.Held, Position: s},
			{Namespace: s, ServiceAccount: "b", Role: s, Class: diff.Rest, Position: s},
			{Namespace: s, ServiceAccount: "c", Role: s, Class: diff.Blind, Position: s, Unknown: []string{s}},
		},
		Steps: []plan.Step{{Subject: who, Action: plan.CreateAssociation{Role: role}, Because: s}},
		Left: []plan.Hold{{Subject: who, Reason: plan.OwnerMustAct, Message: s,
			Handoff: &plan.Handoff{Owner: s, What: s, JSON: s, HCL: s, Command: s}}},
		Gaps:      []live.Gap{{Source: live.SourceRole, Scope: s, Reason: live.GapFailed, Message: s}},
		Unmanaged: []identity.Subject{who},
	}
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text, table strings.Builder
			if err := errors.Join(everywhere(s).Text(&text, nil), everywhere(s).Table(&table, nil)); err != nil {
				t.Fatal(err)
			}
			for _, out := range []string{text.String(), table.String()} {
				if !utf8.ValidString(out) {
					t.Errorf("%q: the output is not UTF-8", head(s))
				}
				for i, r := range out {
					if r != '\n' && !unicode.IsGraphic(r) {
						t.Fatalf("%q: character %U got through: %q", head(s), r, around(out, i))
					}
				}
			}
			if got := strings.Count(table.String(), "\n"); got != 6 {
				t.Errorf("%q: the table has %d lines, want a head, 2 rows, a blank one, a summary and a gap", head(s), got)
			}
		})
	}
}

var (
	ourTagRE   = regexp.MustCompile(`</?(details|summary|br)>`)
	ourBoldRE  = regexp.MustCompile(`\*\*(warning|critical|[0-9]+ rows? left out here)\*\*`)
	entityRE   = regexp.MustCompile(`&(lt|gt|amp);`)
	linkRE     = regexp.MustCompile(`(?i)[<>&]|://|www\.|gh-[0-9]|[@#][a-z0-9]|[^ -~\n·¦ß\x{200b}\x{fffd}]`)
	ownLineRE  = regexp.MustCompile(`^ *(#|---|===|\+|1\.|>|~~~)`)
	ownLines   = []string{"### lanyard: ", "|---|"}
	backslash  = regexp.MustCompile("\\\\[!-/:-@[-`{-~]")
	specialsRE = regexp.MustCompile("[\\\\`*_{}\\[\\]!|~$]")
)

// withoutCode takes code away from Markdown, by the rules of
// https://spec.commonmark.org/0.31.2/#fenced-code-blocks and #code-spans: a fence ends
// at a line of at least as many backticks, a span at as many in the same paragraph.
func withoutCode(t *testing.T, md string) string {
	t.Helper()
	var b strings.Builder
	fence := ""
	for line := range strings.Lines(md) {
		indented := strings.TrimLeft(line, " ")
		ticks := indented[:len(indented)-len(strings.TrimLeft(indented, "`"))]
		switch {
		case fence != "":
			if len(ticks) >= len(fence) && strings.TrimSpace(indented[len(ticks):]) == "" {
				fence = ""
			} else if len(line)-len(indented) < 2 && line != "\n" {
				t.Fatalf("a line of a fence leaves its list: %s", head(line))
			}
		case len(ticks) >= 3:
			fence = ticks
		default:
			b.WriteString(withoutSpans(t, line))
		}
	}
	if fence != "" {
		t.Fatalf("a fence is not closed")
	}
	return b.String()
}

func withoutSpans(t *testing.T, line string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(line); {
		switch line[i] {
		case '\\':
			b.WriteString(line[i : i+2])
			i += 2
		case '`':
			end := strings.IndexByte(line[i+1:], '`')
			if end < 1 {
				t.Fatalf("a backtick begins no span: %s", head(line[i:]))
			}
			if strings.Contains(line[i:i+1+end], "|") {
				t.Fatalf("a pipe in a span ends a cell: %s", head(line[i:]))
			}
			i += end + 2
		default:
			b.WriteByte(line[i])
			i++
		}
	}
	return b.String()
}

// inert fails unless the Markdown of a report with s in every place has no markup,
// link, mention or line but lanyard's own.
func inert(t *testing.T, s string) {
	t.Helper()
	var b strings.Builder
	if err := everywhere(s).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if len(out) > 60_000 || !utf8.ValidString(out) {
		t.Errorf("%q: %d bytes, valid UTF-8: %t; want at most 60,000, valid", head(s), len(out), utf8.ValidString(out))
	}
	rest := withoutCode(t, out)
	if opened, closed := strings.Count(rest, "<details>"), strings.Count(rest, "</details>"); opened != closed {
		t.Errorf("%q: %d folds are opened, %d closed", head(s), opened, closed)
	}
	rest = ourBoldRE.ReplaceAllString(ourTagRE.ReplaceAllString(rest, ""), "")
	rest = entityRE.ReplaceAllString(backslash.ReplaceAllString(rest, ""), "")
	for line := range strings.SplitSeq(rest, "\n") {
		if strings.HasPrefix(line, ownLines[0]) || strings.HasPrefix(line, ownLines[1]) {
			continue
		}
		if found := linkRE.FindStringIndex(line); found != nil {
			t.Errorf("%q: %q got through: %q", head(s), line[found[0]:found[1]], around(line, found[0]))
		}
		if ownLineRE.MatchString(line) {
			t.Errorf("%q: a line of its own: %s", head(s), head(line))
		}
		pipes := 0
		if strings.HasPrefix(line, "|") {
			pipes = 7
		}
		if got := strings.Count(line, "|"); got != pipes {
			t.Errorf("%q: a line has %d pipes, want %d: %s", head(s), got, pipes, head(line))
		}
		if i := specialsRE.FindStringIndex(strings.ReplaceAll(line, "|", "")); i != nil {
			t.Errorf("%q: markup got through: %q", head(s), around(strings.ReplaceAll(line, "|", ""), i[0]))
		}
	}
}

func TestHostileMarkdown(t *testing.T) {
	t.Parallel()
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inert(t, s)
		})
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, s := range hostile {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	f.Fuzz(inertASCII)
}

// inertASCII looks at ASCII only, so that the fuzzer spends its time on markup.
func inertASCII(t *testing.T, s string) {
	inert(t, strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return 'ß'
		}
		return r
	}, s))
}

// around shortens a text to what is near its i-th byte.
func around(s string, i int) string { return s[max(0, i-20):min(len(s), i+20)] }

// head shortens a text.
func head(s string) string { return s[:min(len(s), 120)] }

// TestMarkdownLimit shows that a report too long for a comment ends between two rows,
// whole, and says what is missing.
func TestMarkdownLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, 100, 1000, 5000} {
		d := inSync(3)
		for i := range n {
			d.Findings = append(d.Findings, report.Finding{Namespace: "demo", ServiceAccount: fmt.Sprintf("broken-%05d", i), Plane: diff.PlaneTrust,
				Kind: diff.TrustSubjectMissing, Severity: diff.Critical, Message: "statement 1 allows another", Expected: "this", Actual: "that", Position: "fleet/a.yaml:1:2"})
			d.Left = append(d.Left, plan.Hold{Subject: subject("demo", fmt.Sprintf("broken-%05d", i)), Reason: plan.OwnerMustAct, Message: "add the statement",
				Handoff: &plan.Handoff{JSON: strings.Repeat("x", 500)}})
		}
		var b strings.Builder
		if err := d.Markdown(&b); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		rows, holds := strings.Count(out, "| `demo/broken-"), strings.Count(out, "- `demo/broken-")
		named := strings.Count(out, "- `demo/sa-")
		left := 2*n + 3 - rows - holds - named
		if len(out) > 60_000 {
			t.Errorf("%d findings: %d bytes, want at most 60,000", n, len(out))
		}
		if strings.Count(out, "<details>") != strings.Count(out, "</details>") {
			t.Errorf("%d findings: a fold is not closed", n)
		}
		said := strings.Contains(out, fmt.Sprintf("**%d rows left out here**", left))
		if said != (left > 0) || strings.Contains(out, "left out here") != (left > 0) {
			t.Errorf("%d findings: %d rows are left out, and the report does not say so:\n%s", n, left, out[max(0, len(out)-200):])
		}
		if rows < n && holds+named > 0 {
			t.Errorf("%d findings: the table stops at %d, and %d rows of later sections are written", n, rows, holds+named)
		}
		if n >= 1000 && len(out) < 55_000 {
			t.Errorf("%d findings: %d bytes, so there was room for more", n, len(out))
		}
	}
}

// broken refuses every write.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	d := everywhere("x")
	for name, write := range map[string]func(io.Writer) error{
		"text":     func(w io.Writer) error { return d.Text(w, nil) },
		"table":    func(w io.Writer) error { return d.Table(w, nil) },
		"markdown": d.Markdown,
		"round":    func(w io.Writer) error { return report.Round{}.Text(w, nil) },
		"brief":    func(w io.Writer) error { return report.Round{}.Brief(w, nil) },
	} {
		if err := write(broken{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: error %v, want %v", name, err, io.ErrClosedPipe)
		}
	}
}
