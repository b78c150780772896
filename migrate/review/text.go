package review

import (
	"fmt"
	"io"
	"strings"

	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// View says how a review is shown on a terminal.
type View struct {
	Diff  bool         // trust policies line by line, too
	Paint report.Paint // nil: as it is
}

// Text writes the review as a person reads it on a terminal.
func (r Review) Text(w io.Writer, v View) error {
	var p report.Page
	p.Line("%s", v.Paint.On(report.StyleStrong, report.Cell(r.Summary.Line)))
	p.Line("cluster %s, from %s to %s", report.Cell(r.Cluster), report.Cell(r.Base), report.Cell(r.Head))
	for _, m := range r.Refused {
		p.Prose(2, "", fmt.Sprintf("%s:%d:%d: %s: %s", m.File, m.Line, m.Column, m.What, m.Instead))
	}
	findings(&p, v, "caused by this change", r.Caused)
	findings(&p, v, "healed by this change", r.Heals)
	findings(&p, v, "there before", r.Before)
	_, err := io.WriteString(w, p.String())
	return err
}

func findings(p *report.Page, v View, title string, all []Finding) {
	if len(all) == 0 {
		return
	}
	p.Line("\n%s (%d)", v.Paint.On(report.StyleStrong, title), len(all))
	for _, f := range all {
		p.Prose(2, "", fmt.Sprintf("%s %s %s: %s", f.Severity, f.who(), f.Kind, f.Message))
	}
}

func (f Finding) who() string {
	if f.ServiceAccount == "" {
		return "the cluster"
	}
	return f.Namespace + "/" + f.ServiceAccount
}

// Summary returns the review in one line of at most 140 characters, without line feeds.
func (r Review) line() string {
	if n := len(r.Refused); n > 0 {
		return "refused: " + count(n, "mistake") + " in the files, so nothing of it is followed"
	}
	var parts []string
	if n := len(r.Caused); n > 0 {
		parts = append(parts, count(n, "finding")+" caused")
	}
	if n := len(r.Heals); n > 0 {
		parts = append(parts, count(n, "finding")+" healed")
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing changes")
	}
	if n := len(r.Before); n > 0 {
		parts = append(parts, fmt.Sprintf("%d from before", n))
	}
	return strings.Join(parts, ", ")
}

// count returns "1 pod", "2 pods".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func styleOf(s diff.Severity) report.Style {
	switch s {
	case diff.Critical:
		return report.StyleCritical
	case diff.Warning:
		return report.StyleWarning
	case diff.Info:
	}
	return report.StyleInfo
}
