package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/report"
)

// latest is how many steps are shown, and old how long ago the last good round may have
// been.
const (
	latest = 5
	old    = 10 * time.Minute
)

// away is the error of a replica that does not lead: it does not look.
func away(s app.Status) error {
	d := s.Daemon
	if d.Leader || d.LeaderIdentity == "" || d.LeaderIdentity == d.Identity {
		return nil
	}
	return fmt.Errorf("replica %s stands by, and %s leads: ask that one (kubectl --namespace lanyard port-forward pod/NAME 8080)", d.Identity, d.LeaderIdentity)
}

// busy reports whether anything moves or differs, is unread, or waits for a person.
func busy(s app.Status) bool {
	n := s.Summary
	return n == nil || n.InSync < n.Mappings || n.Findings+n.Gaps+n.Steps > 0 || len(s.Moving) > 0 || s.Exposed > 0 || len(warnings(s)) > 0
}

// about says which daemon that is, and what its last good round found.
func about(s app.Status) []string {
	d := s.Daemon
	lines := []string{strings.Join([]string{cmp.Or(d.Cluster, "no cluster yet"), "mode " + cmp.Or(d.Mode, "unknown"), shortRevision(cmp.Or(d.Source.Accepted, "no revision yet"))}, "  ")}
	if n := s.Summary; n != nil && s.Last != nil {
		lines = append(lines, fmt.Sprintf("last good round %s ago: %d of %d mappings in sync, findings %d, steps %d, left %d, gaps %d",
			age(s.Now.Sub(s.Last.Ended)), n.InSync, n.Mappings, n.Findings, n.Steps, n.Left, n.Gaps))
	}
	return lines
}

// warnings are what is not well with the daemon.
func warnings(s app.Status) []string {
	var lines []string
	if !s.Ready {
		lines = append(lines, "no good round yet")
	} else if s.Last != nil && s.Now.Sub(s.Last.Ended) > old {
		lines = append(lines, "it has not looked for over "+age(old))
	}
	if !s.Daemon.Leader && s.Daemon.LeaderIdentity == "" {
		lines = append(lines, "no replica is known to lead: what is shown may be old")
	}
	if f := s.Failed; f != nil && (s.Last == nil || f.Ended.After(s.Last.Ended)) {
		lines = append(lines, fmt.Sprintf("the last round failed at %s: %s", f.Stage, f.Error))
	}
	if h := s.Daemon.Source.Held; h != nil {
		lines = append(lines, fmt.Sprintf("the head of Git is not followed (%s): %s", h.Reason, h.Message))
	}
	if e := s.Daemon.Configuration.Error; e != "" {
		lines = append(lines, "a newer configuration was refused: "+e)
	}
	if s.Exposed > 0 {
		lines = append(lines, count(s.Exposed, "pod")+" may be without credentials until made again")
	}
	for _, p := range s.IdentityProbes {
		if p.Wrong() {
			lines = append(lines, fmt.Sprintf("identity probe of %s/%s: %s: %s", p.Namespace, p.ServiceAccount, p.Result, p.Message))
		}
	}
	return lines
}

// probes says in one line what identity probes came to; nothing where none are made.
func probes(s app.Status) string {
	n := map[string]int{}
	var results []string
	for _, p := range s.IdentityProbes {
		if n[p.Result]++; n[p.Result] == 1 {
			results = append(results, p.Result)
		}
	}
	for i, r := range results {
		results[i] = fmt.Sprintf("%d %s", n[r], r)
	}
	return suffix("identity probes: ", strings.Join(results, ", "))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// next says what was just done about a workload, or why nothing is. What somebody must do
// comes before what time will.
func next(m app.Moving) string {
	if m.Step != nil && m.Step.Result != "not-taken" {
		return m.Step.Result + ": " + m.Step.Text
	}
	if len(m.Holds) == 0 {
		return ""
	}
	first := m.Holds[0]
	for _, h := range m.Holds {
		if h.Until.IsZero() {
			first = h
			break
		}
	}
	text := first.Reason + ": " + first.Message
	if n := len(m.Holds) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// told is a step in one line.
func told(s app.Step) string {
	text := fmt.Sprintf("%s/%s  %s: %s", s.Namespace, s.ServiceAccount, s.Result, s.Text)
	if s.Attempts > 1 {
		text += fmt.Sprintf(" (%d times)", s.Attempts)
	}
	return text + suffix(": ", s.Error)
}

func suffix(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// frame is the whole answer for a person: at most so many lines of so many columns; of
// any size where that is 0.
func frame(s app.Status, width, height int, paint report.Paint) []string {
	if paint == nil {
		paint = func(_ report.Style, text string) string { return text }
	}
	styled := func(style report.Style, text string) string { return paint(style, cut(report.Printable(text), width)) }
	var lines []string
	for i, text := range about(s) {
		lines = append(lines, styled([]report.Style{report.StyleStrong, report.StyleFaint}[min(i, 1)], text))
	}
	if text := probes(s); text != "" {
		lines = append(lines, styled(report.StyleFaint, text))
	}
	amiss := warnings(s)
	if most := max(height/4, 2); height > 0 && len(amiss) > most {
		amiss = append(amiss[:most-1], fmt.Sprintf("... and %d more: without --watch all are shown", len(amiss)-most+1))
	}
	for _, text := range amiss {
		lines = append(lines, styled(report.StyleWarning, text))
	}
	lines = append(lines, "")
	foot := steps(s, styled)
	if height > 0 && height-len(lines)-len(foot) < 4 {
		foot = nil
	}
	rows := table(s, width, paint)
	switch room := height - len(lines) - len(foot); {
	case len(s.Moving) == 0:
		rows = []string{styled(report.StyleGood, "nothing moves")}
	case height > 0 && len(rows) > max(room, 2):
		room = max(room, 2)
		rows = append(rows[:room-1], styled(report.StyleFaint, fmt.Sprintf("... and %d more: without --watch all are shown", len(rows)-room+1+s.MovingUnlisted)))
	case s.MovingUnlisted > 0:
		rows = append(rows, styled(report.StyleFaint, fmt.Sprintf("... and %d more", s.MovingUnlisted)))
	}
	return append(append(lines, rows...), foot...)
}

// steps are the latest ones.
func steps(s app.Status, styled func(report.Style, string) string) []string {
	if len(s.Steps) == 0 {
		return nil
	}
	lines := []string{"", styled(report.StyleFaint, fmt.Sprintf("steps since %s: %d; -o json has them with the values before and after", s.StepsSince.UTC().Format(time.TimeOnly), len(s.Steps)))}
	for _, step := range s.Steps[:min(len(s.Steps), latest)] {
		style := report.StyleInfo
		if step.Result != "done" {
			style = report.StyleWarning
		}
		lines = append(lines, styled(style, step.At.UTC().Format(time.TimeOnly)+"  "+told(step)))
	}
	return lines
}

// styles are those of the phases in which something is not at rest.
var styles = map[string]report.Style{"crossing": report.StyleInfo, "narrowing": report.StyleInfo, "rolled-back": report.StyleCritical}

// table has a line for each workload that moves.
func table(s app.Status, width int, paint report.Paint) []string {
	rows := [][]string{{"SERVICEACCOUNT", "TO", "PHASE", "FOR", "EXPOSED", "STEP, OR WHY NONE"}}
	for _, m := range s.Moving {
		exposed := "-"
		if len(m.Exposed) > 0 {
			exposed = fmt.Sprint(len(m.Exposed))
		}
		rows = append(rows, []string{m.Namespace + "/" + m.ServiceAccount, m.Wanted, m.Phase, age(s.Now.Sub(m.Since)), exposed, cmp.Or(next(m), "-")})
	}
	widths := make([]int, len(rows[0])-1)
	for _, row := range rows {
		for i := range widths {
			row[i] = report.Printable(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		left := width
		for i, cell := range row {
			if i < len(widths) {
				cell += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			} else {
				cell = report.Clip(report.Printable(cell))
			}
			if width > 0 {
				if left <= 0 {
					break
				}
				cell = cut(cell, left)
				left -= utf8.RuneCountInString(cell)
			}
			style, is := styles[strings.TrimSpace(cell)]
			switch {
			case n == 0:
				cell = paint(report.StyleStrong, cell)
			case i == 2 && is:
				cell = paint(style, cell)
			case i == 4 && strings.TrimSpace(cell) != "-":
				cell = paint(report.StyleCritical, cell)
			}
			b.WriteString(cell)
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// age is a duration as people say it.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// cut shortens a line to a width; 0 is any.
func cut(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}

// shortRevision cuts a commit to twelve digits.
func shortRevision(text string) string {
	if at := strings.LastIndexByte(text, ':'); at >= 0 && len(text) > at+13 {
		return text[:at+13]
	}
	return text
}

func joined(lines []string) string { return strings.Join(lines, "\n") + "\n" }
