package outline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/report"
)

// View says how a report is shown.
type View struct {
	Wide  bool         // role, declaration, warnings and holds too
	Waves bool         // only those that wait to move, in the order of their waves
	Paint report.Paint // nil: as it is
}

// columns of a workload, in order; a wide view has all.
func (v View) columns() []string {
	head := []string{"SERVICEACCOUNT", "NOW", "WANTED", "VERDICT", "PHASE", "REASONS", "NEXT"}
	if v.Waves {
		head = append([]string{"WAVE"}, head...)
	}
	if v.Wide {
		head = append(head, "DECLARED", "ROLE", "WARNINGS", "HOLDS")
	}
	return head
}

func (v View) cells(w Workload) []string {
	cells := []string{w.Name(), w.Mechanism.String(), w.Wanted.String(), w.Verdict.String(), w.Phase, named(w.Reasons), w.next()}
	if v.Waves {
		cells = append([]string{strconv.Itoa(w.Wave)}, cells...)
	}
	if v.Wide {
		cells = append(cells, w.Declared, w.Role, named(w.Warnings), named(w.Holds))
	}
	for i, c := range cells {
		cells[i] = cmp.Or(report.Cell(c), "-") // a role may be whatever an annotation says
	}
	return cells
}

// shown are the workloads of a view.
func (v View) shown(o Outline) []Workload {
	if !v.Waves {
		return o.Workloads
	}
	out := slices.DeleteFunc(slices.Clone(o.Workloads), func(w Workload) bool { return w.Wave == 0 })
	slices.SortStableFunc(out, func(a, b Workload) int { return a.Wave - b.Wave })
	return out
}

// named lists codes.
func named(list []migrate.Reason) string {
	codes := make([]string, len(list))
	for i, r := range list {
		codes[i] = string(r.Code)
	}
	return strings.Join(codes, ",")
}

// next is the next step, in a few words.
func (w Workload) next() string {
	switch {
	case len(w.Steps) > 0:
		return w.Steps[0].Phase.String() + ": " + string(w.Steps[0].Plane)
	case w.Declared == "":
		return "name it in Git"
	case len(w.Would) > 0:
		return "may move"
	}
	return ""
}

func styleOf(v migrate.Verdict) report.Style {
	switch v {
	case migrate.Eligible:
		return report.StyleGood
	case migrate.Blocked, migrate.Unclear:
		return report.StyleWarning
	case migrate.KeepIRSA:
	}
	return report.StyleFaint
}

// line says what the summary says, in one line or two.
func (s Summary) line() string {
	var parts []string
	for _, v := range []migrate.Verdict{migrate.Eligible, migrate.KeepIRSA, migrate.Blocked, migrate.Unclear} {
		if n := s.Verdicts[v.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	return fmt.Sprintf("%d workloads, %d of them in Git: %s; %d not yet where Git wants them\nassociations: %d of %d, and %d once all that can have moved",
		s.Workloads, s.Declared, cmp.Or(strings.Join(parts, ", "), "none"), s.Waiting, s.Associations.Now, s.Associations.Limit, s.Associations.After)
}

// Table writes a line for each workload, and the summary.
func (o Outline) Table(w io.Writer, v View) error {
	rows, shown := v.rows(o), v.shown(o)
	verdict := slices.Index(rows[0], "VERDICT")
	var b strings.Builder
	report.Columns(&b, rows, func(row, column int, text string) string {
		if row == 0 || column != verdict {
			return text
		}
		return v.Paint.On(styleOf(shown[row-1].Verdict), text)
	})
	if len(shown) == 0 {
		b.Reset()
		b.WriteString("nothing to show\n")
	}
	fmt.Fprintf(&b, "\n%s\n", o.Summary.line())
	for _, g := range o.Gaps {
		fmt.Fprintf(&b, "%s %s\n", v.Paint.On(report.StyleWarning, "not read:"), report.Printable(g.String()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Text writes every workload in full.
func (o Outline) Text(w io.Writer, v View) error {
	t := &page{View: v}
	for i, one := range v.shown(o) {
		if i > 0 {
			t.Line("")
		}
		t.workload(one)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// page is a text in the making.
type page struct {
	View
	report.Page
}

func (p *page) workload(w Workload) {
	p.Line("%s  %s", p.Paint.On(report.StyleStrong, report.Printable(w.Name())), p.Paint.On(styleOf(w.Verdict), w.Verdict.String()))
	now := "now on " + cmp.Or(w.Mechanism.String(), "nothing")
	switch {
	case w.Declared == "":
		now += "; Git does not name it: `lanyard import` writes its mapping"
	case w.Declared != w.Wanted.String():
		now += fmt.Sprintf("; Git says %s (%s), which means %s", w.Declared, w.Position, cmp.Or(w.Wanted.String(), "nothing while a fact is missing"))
	default:
		now += fmt.Sprintf("; Git wants %s (%s)", w.Wanted, w.Position)
	}
	if w.Phase != "" {
		now += "; phase " + w.Phase
	}
	p.Prose(2, "", now)
	p.Prose(2, "", "role "+cmp.Or(w.Role, "unknown"))
	p.reasons("why", w.Reasons)
	p.reasons("held", w.Holds)
	p.reasons("to know", w.Warnings)
	for _, g := range w.Gaps {
		p.Prose(2, "not read", g.String())
	}
	for _, r := range w.Trust {
		if r.After == r.Before {
			continue // it lets Pod Identity in already
		}
		p.Prose(2, "", fmt.Sprintf("trust policy with width %s: %d characters, now %d, limit %s%s", r.Width, r.After, r.Before, limit(r.Limit), map[bool]string{false: ": does not fit"}[r.Fits]))
	}
	p.legs("what will be done", w.Steps)
	p.legs("what would be done, if Git asked for pod-identity", w.Would)
}

func limit(n int) string {
	if n == 0 {
		return "unknown"
	}
	return strconv.Itoa(n)
}

func (p *page) reasons(label string, list []migrate.Reason) {
	for _, r := range list {
		p.Line("  %s %s", p.Paint.On(report.StyleStrong, label), string(r.Code))
		p.Prose(4, "", r.Message)
		for _, f := range r.Facts {
			p.Prose(6, "", "- "+f.String())
		}
		for i, l := range strings.Split(r.Fix, "\n") { // a statement is copied as it is
			if i == 0 {
				p.Prose(4, "way out", l)
			} else {
				p.Line("%s", strings.TrimRight("      "+report.Printable(l), " "))
			}
		}
	}
}

func (p *page) legs(title string, legs []migrate.Leg) {
	if len(legs) == 0 {
		return
	}
	p.Line("  %s", p.Paint.On(report.StyleStrong, title))
	for i, l := range legs {
		p.Prose(4, "", fmt.Sprintf("%d. %s: %s", i+1, l.Phase, l.Do))
		object := l.Object
		if l.Owner != "" {
			object += " (made by " + l.Owner + ")"
		}
		p.Prose(7, "on", object)
		if l.Waits != "" {
			p.Prose(7, "waits", l.Waits)
		}
		p.change(l.Before, l.After)
		if len(l.Restarts) > 0 {
			p.Prose(7, "restarts", strings.Join(l.Restarts, ", "))
		}
		p.Prose(7, "undo", fmt.Sprintf("%s; %d calls", l.Undo, l.Calls))
	}
}

// change shows what is there and what is there then: whole, line by line, with what goes
// and what comes marked. JSON is spread out for it; -o json has both as they are.
func (p *page) change(before, after string) {
	old, young := spread(before), spread(after)
	for _, l := range lines(old, young) {
		text := report.Printable(l)
		switch l[0] {
		case '-':
			text = p.Paint.On(report.StyleWarning, text)
		case '+':
			text = p.Paint.On(report.StyleGood, text)
		}
		p.Line("       %s", text)
	}
}

// spread breaks a text into lines.
func spread(text string) []string {
	if text == "" {
		return nil
	}
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") == nil {
		text = b.String()
	}
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

// mostLines bounds what is compared line by line: IAM's documents have far fewer.
const mostLines = 2000

// lines compares two texts by their longest common subsequence.
func lines(a, b []string) []string {
	if len(a) > mostLines || len(b) > mostLines {
		return []string{"  (too long to show: see -o json)"}
	}
	common := make([][]int, len(a)+1) // of what is left of both
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i++
			j++
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}

// CSV writes a line for each workload with all columns, for spreadsheets.
func (o Outline) CSV(w io.Writer, v View) error {
	v.Wide = true
	return report.CSV(w, v.rows(o))
}

// rows are the table of a view, its head first.
func (v View) rows(o Outline) [][]string {
	rows := [][]string{v.columns()}
	for _, one := range v.shown(o) {
		rows = append(rows, v.cells(one))
	}
	return rows
}

// Markdown writes a table for a pull request, and what each workload that is not
// eligible needs, in at most [report.CommentLimit] bytes. Where there is no room for all,
// what waits comes before what does not, and each row and fold is whole or left out.
func (o Outline) Markdown(w io.Writer, v View) error {
	c := report.NewComment(report.CommentLimit, fmt.Sprintf("### lanyard plan: cluster %s\n\n%s\n\n", report.Prose(o.Cluster), strings.ReplaceAll(o.Summary.line(), "\n", "  \n")))
	shown := v.shown(o)
	order := report.InOrder(len(shown), func(i int) int {
		if shown[i].Waits() {
			return 0
		}
		return 1
	})
	below := slices.DeleteFunc(slices.Clone(order), func(i int) bool { return len(shown[i].Reasons) == 0 })
	c.Table(v.rows(o), order, below, func(i int) string { return shown[i].folded() }, "folded workload")
	_, err := io.WriteString(w, c.End("`lanyard plan` with `-o table`, `text` or `html` prints all of it, `-o json` for a program; `lanyard plan NAMESPACE/NAME` one workload."))
	return err
}

// folded is why a workload is not eligible, and the ways out.
func (w Workload) folded() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s: %s</summary>\n\n", report.Prose(w.Name()), w.Verdict)
	for _, r := range w.Reasons {
		fmt.Fprintf(&b, "- **%s**: %s\n", r.Code, report.Prose(r.Message))
		for _, f := range r.Facts {
			fmt.Fprintf(&b, "  - %s\n", report.Prose(f.String()))
		}
		way, text, statement := strings.Cut(r.Fix, "\n")
		fmt.Fprintf(&b, "  - way out: %s\n", report.Inert(way))
		if statement { // to be copied, so as it is
			b.WriteString(code(text))
		}
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// code is a block under an item of a list. It is indented, and has no fence: nothing in
// the text can end it.
func code(text string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight("        "+report.Printable(strings.TrimSuffix(line, "\n")), " ") + "\n")
	}
	return b.String()
}

// HTML writes one page that needs nothing else: no script, no font, no network.
func (o Outline) HTML(w io.Writer, v View) error {
	type row struct {
		Workload
		Cells []string
	}
	rows := []row{}
	for _, one := range v.shown(o) {
		rows = append(rows, row{one, v.cells(one)})
	}
	var b strings.Builder
	err := sheet.Execute(&b, struct {
		Outline
		Line []string
		Head []string
		Rows []row
	}{o, strings.Split(o.Summary.line(), "\n"), v.columns(), rows})
	if err != nil {
		return err
	}
	return report.HTML(w, b.String())
}

var sheet = template.Must(template.New("plan").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>lanyard plan: {{.Cluster}}</title>
<style>
:root{color-scheme:light dark;--fg:#1c1c1c;--bg:#fff;--line:#ddd;--soft:#f5f5f5}
@media (prefers-color-scheme:dark){:root{--fg:#e8e8e8;--bg:#161616;--line:#3a3a3a;--soft:#222}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:2rem auto;max-width:80rem;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-size:.8rem;letter-spacing:.03em}code,pre{font:13px/1.45 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);padding:.6rem;margin:.3rem 0}
.wide{overflow-x:auto}p,li,code{overflow-wrap:anywhere}[id]{scroll-margin-top:4rem}
a{color:inherit}details{border-bottom:1px solid var(--line);padding:.5rem 0}summary{cursor:pointer}
td.eligible,td.blocked,td.unclear,td.keep-irsa{white-space:nowrap}.eligible{color:#12722f}.blocked,.unclear{color:#8a5300}.keep-irsa{color:#5a5a5a}
@media (prefers-color-scheme:dark){.eligible{color:#6fd08c}.blocked,.unclear{color:#f0b65a}.keep-irsa{color:#b0b0b0}}
</style></head><body>
<h1>Plan for cluster {{.Cluster}}</h1>
{{range .Line}}<p>{{.}}</p>{{end}}
<div class="wide"><table><thead><tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}{{$v := .Verdict.String}}{{$n := .Name}}<tr>{{range .Cells}}<td{{if eq . $v}} class="{{$v}}"{{end}}>{{if eq . $n}}<a href="#{{$n}}">{{.}}</a>{{else}}{{.}}{{end}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
{{range .Rows}}<details><summary><strong>{{.Namespace}}/{{.ServiceAccount}}</strong> <span class="{{.Verdict}}">{{.Verdict}}</span></summary>
<p id="{{.Name}}"><code>{{.Role}}</code></p>
{{range .Reasons}}{{template "reason" .}}{{end}}{{range .Holds}}{{template "reason" .}}{{end}}{{range .Warnings}}{{template "reason" .}}{{end}}
{{range .Gaps}}<p>not read: {{.}}</p>{{end}}
{{if .Steps}}<h3>What will be done</h3><ol>{{range .Steps}}{{template "leg" .}}{{end}}</ol>{{end}}
{{if .Would}}<h3>What would be done, if Git asked for pod-identity</h3><ol>{{range .Would}}{{template "leg" .}}{{end}}</ol>{{end}}
</details>
{{end}}{{range .Gaps}}<p>not read: {{.}}</p>{{end}}
</body></html>
{{define "reason"}}<p><strong>{{.Code}}</strong>: {{.Message}}</p><ul>{{range .Facts}}<li>{{.}}</li>{{end}}</ul><pre>{{.Fix}}</pre>{{end}}
{{define "leg"}}<li>{{.Phase}}: {{.Do}}<br>on {{.Object}}{{if .Owner}} (made by {{.Owner}}){{end}}{{if .Waits}}<br>waits {{.Waits}}{{end}}
<pre>before: {{if .Before}}{{.Before}}{{else}}nothing{{end}}
after:  {{if .After}}{{.After}}{{else}}nothing{{end}}</pre>{{if .Restarts}}restarts {{range $i, $p := .Restarts}}{{if $i}}, {{end}}{{$p}}{{end}}<br>{{end}}undo: {{.Undo}}; {{.Calls}} calls</li>{{end}}
`))
