package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// messageWidth is how much of a message a table shows.
const messageWidth = 100

// Table writes one line for each finding, the worst first, then the summary and what
// could not be read.
func (d Diff) Table(w io.Writer, p Paint) error {
	t := &printer{w: w, p: p}
	if len(d.Findings) == 0 {
		t.f("%s\n", p.On(StyleGood, d.nothing()))
	} else {
		t.table(d.rows())
	}
	t.f("\n%s\n", d.Summary.line())
	for _, g := range d.Gaps {
		t.f("%s %s\n", p.On(StyleWarning, "not read:"), Clip(Printable(g.String())))
	}
	return t.err
}

// row is a line of the table, and how its first cell looks.
type row struct {
	style Style
	cells [6]string
}

func (d Diff) rows() []row {
	short := d.shortNames()
	findings := slices.Clone(d.Findings)
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), a.compareSubject(b))
	})
	rows := []row{{plain, [6]string{"SEVERITY", "SERVICEACCOUNT", "KIND", "POSITION", "OWNER", "MESSAGE"}}}
	for _, f := range findings {
		r := row{styleOf(f.Severity), [6]string{string(f.Severity), f.subject(), string(f.Kind), f.Position, f.Owner, short(f.Message)}}
		for i, c := range r.cells {
			r.cells[i] = cmp.Or(Clip(Printable(c)), "-")
		}
		r.cells[5] = shorten(Printable(short(f.Message)), messageWidth)
		rows = append(rows, r)
	}
	return rows
}

// table aligns the columns by what is seen: escape codes take no room.
func (t *printer) table(rows []row) {
	var widths [6]int
	for _, r := range rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r.cells {
			if i > 0 {
				line.WriteString("  ")
			}
			seen := utf8.RuneCountInString(c)
			if i == 0 && r.style != plain {
				c = t.p.On(r.style, c)
			}
			line.WriteString(c)
			if i < len(r.cells)-1 {
				fmt.Fprintf(&line, "%*s", widths[i]-seen, "")
			}
		}
		t.f("%s\n", line.String())
	}
}

// shorten cuts a text to at most n characters, and shows that it did.
func shorten(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
