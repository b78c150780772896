package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/sync/report"
)

// Report is what a doctor found. Its JSON is docs/schemas/doctor.json and only ever grows.
type Report struct {
	Cluster string  `json:"cluster"`
	Mode    string  `json:"mode"`
	Summary Summary `json:"summary"`
	Checks  []Check `json:"checks"`
}

// Summary counts checks by result.
type Summary struct {
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
	Warning int `json:"warning"`
	OK      int `json:"ok"`
	Skipped int `json:"skipped"`
}

// NewReport puts checks in order and counts them.
func NewReport(cluster, mode string, checks []Check) Report {
	r := Report{Cluster: cluster, Mode: mode, Checks: slices.Clone(checks)}
	slices.SortStableFunc(r.Checks, func(a, b Check) int { return a.ID.order() - b.ID.order() })
	for _, c := range r.Checks {
		switch c.Result {
		case Failed:
			r.Summary.Failed++
		case Unknown:
			r.Summary.Unknown++
		case Warning:
			r.Summary.Warning++
		case OK:
			r.Summary.OK++
		case Skipped:
			r.Summary.Skipped++
		}
	}
	return r
}

// Fails reports whether somebody must act.
func (r Report) Fails() bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Result.Fails() })
}

// View is how the report is shown.
type View struct {
	Paint report.Paint // nil for no colours
}

// JSON is the public form.
func (r Report) JSON() ([]byte, error) {
	if r.Checks == nil {
		r.Checks = []Check{}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

func (s Summary) line() string {
	return fmt.Sprintf("%d failed, %d unknown, %d warning, %d ok, %d skipped", s.Failed, s.Unknown, s.Warning, s.OK, s.Skipped)
}

func styleOf(r Result) report.Style {
	switch r {
	case Failed:
		return report.StyleCritical
	case Unknown, Warning:
		return report.StyleWarning
	case OK:
		return report.StyleGood
	case Skipped:
	}
	return report.StyleFaint
}

// Table writes a line for each check; below one that is not good its evidence in full,
// and the fix. Of a good one the first piece of evidence is enough.
func (r Report) Table(w io.Writer, v View) error {
	var p report.Page
	wide := 0
	for _, c := range r.Checks {
		wide = max(wide, len(c.ID))
	}
	for _, c := range r.Checks {
		pad := strings.Repeat(" ", wide-len(c.ID))
		line := fmt.Sprintf("%s  %s%s  ", v.Paint.On(styleOf(c.Result), fmt.Sprintf("%-7s", c.Result)), c.ID, pad)
		switch {
		case c.Result == OK, c.Result == Skipped, c.blocked:
			p.Line("%s%s", line, report.Cell(first(c.Evidence, c.Title)))
		default:
			p.Line("%s%s%s", line, verdict[c.Result], c.Title)
			for _, e := range c.Evidence {
				p.Prose(9, "", "- "+e)
			}
			if c.Fix != "" { // on one line: it may be a command
				p.Line("         %s %s", v.Paint.On(report.StyleStrong, "fix:"), report.Cell(c.Fix))
			}
		}
	}
	p.Line("")
	p.Line("cluster %s, mode %s: %s", report.Cell(r.Cluster), report.Cell(r.Mode), r.Summary.line())
	_, err := io.WriteString(w, p.String())
	return err
}

// verdict goes before a check's title where it is not good.
var verdict = map[Result]string{Failed: "not so: ", Unknown: "not known whether ", Warning: "not wholly so: "}

func first(list []string, or string) string {
	if len(list) == 0 {
		return or
	}
	return list[0]
}

// Markdown writes a table, and below it what is not good.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### lanyard doctor: cluster %s, mode %s\n\n%s\n\n", report.Prose(r.Cluster), report.Prose(r.Mode), r.Summary.line())
	rows := [][]string{{"CHECK", "RESULT", "SEEN"}}
	for _, c := range r.Checks {
		rows = append(rows, []string{string(c.ID), string(c.Result), first(c.Evidence, c.Title)})
	}
	report.MarkdownTable(&b, rows)
	for _, c := range r.Checks {
		if c.Result == OK || c.Result == Skipped || c.blocked {
			continue
		}
		fmt.Fprintf(&b, "\n**%s**, %s%s\n\n", c.ID, verdict[c.Result], c.Title)
		for _, e := range c.Evidence {
			fmt.Fprintf(&b, "- %s\n", report.Prose(e))
		}
		if c.Fix != "" {
			fmt.Fprintf(&b, "- fix: %s\n", report.Prose(c.Fix))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
