package audit

import (
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/sync/report"
)

// HTML writes one page that needs nothing else: no script, no font, no network.
func (r Report) HTML(w io.Writer, v View) error {
	type row struct {
		Wired
		Cells    []string
		Facts    [][2]string
		Findings []Finding
	}
	rows := []row{}
	for _, one := range r.ServiceAccounts {
		n := row{Wired: one, Cells: v.cells(one), Facts: one.facts()}
		for _, f := range r.Findings {
			if f.Namespace == one.Namespace && f.ServiceAccount == one.ServiceAccount {
				n.Findings = append(n.Findings, f)
			}
		}
		rows = append(rows, n)
	}
	waivers := make([]string, len(r.Waivers))
	for i, one := range r.Waivers {
		waivers[i] = one.says()
	}
	var b strings.Builder
	err := sheet.Execute(&b, struct {
		Report
		At, Line  string
		Head      []string
		Rows      []row
		Elsewhere []Finding
		Told      []string
	}{r, r.TakenAt.UTC().Format(time.RFC3339), r.Summary.line(), v.columns(), rows, r.elsewhere(), waivers})
	if err != nil {
		return err
	}
	return report.HTML(w, b.String())
}

var sheet = template.Must(template.New("audit").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>lanyard audit: {{.Cluster}}</title>
<style>
:root{color-scheme:light dark;--fg:#1c1c1c;--bg:#fff;--line:#ddd;--bad:#a1121b;--warn:#8a5300;--soft:#5a5a5a}
@media (prefers-color-scheme:dark){:root{--fg:#e8e8e8;--bg:#161616;--line:#3a3a3a;--bad:#ff8a8a;--warn:#f0b65a;--soft:#b0b0b0}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:2rem auto;max-width:80rem;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{font-size:.8rem;letter-spacing:.03em}a{color:inherit}details{border-bottom:1px solid var(--line);padding:.5rem 0}summary{cursor:pointer}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:var(--soft)}dd,p,li{overflow-wrap:anywhere}dd{margin:0}[id]{scroll-margin-top:4rem}
.critical{color:var(--bad)}.warning{color:var(--warn)}.info,.waived{color:var(--soft)}
</style></head><body>
<h1>Audit of cluster {{.Cluster}}</h1>
<p>As it was at {{.At}}. {{.Line}}</p>
<div class="wide"><table><thead><tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}{{$n := .Name}}<tr>{{range .Cells}}<td>{{if eq . $n}}<a href="#{{$n}}">{{.}}</a>{{else}}{{.}}{{end}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
{{range .Rows}}<details><summary><strong>{{.Namespace}}/{{.ServiceAccount}}</strong> {{range .Checks}}{{.}} {{end}}</summary>
<dl id="{{.Name}}">{{range .Facts}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl>
{{range .Findings}}{{template "finding" .}}{{end}}
</details>
{{end}}{{range .Elsewhere}}<h2>{{.About}}</h2>{{template "finding" .}}
{{end}}{{if .Told}}<h2>Waivers</h2><ul>{{range .Told}}<li>{{.}}</li>{{end}}</ul>
{{end}}{{if .Unknown}}<h2>Not known</h2><ul>{{range .Unknown}}<li>{{.About}}: {{.Fact}}</li>{{end}}</ul>
{{end}}{{range .Gaps}}<p>not read: {{.}}</p>
{{end}}</body></html>
{{define "finding"}}<p><strong class="{{if .Waived}}waived{{else}}{{.Severity}}{{end}}">{{if .Waived}}waived{{else}}{{.Severity}}{{end}} {{.Check}}</strong>: {{.Message}}</p>{{if .Evidence}}<ul>{{range .Evidence}}<li>{{.}}</li>{{end}}</ul>{{end}}
<p>{{if .Waived}}waived by {{.WaivedBy}}{{else}}{{.Fix}}{{end}}</p>
{{end}}`))
