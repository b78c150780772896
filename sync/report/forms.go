package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// What the forms of all reports share, so that each keeps text from outside as harmless
// as the others do.

// Prose makes text from outside inert in Markdown, and cuts it where it is too long.
func Prose(s string) string { return Inert(Clip(s)) }

// Cell makes text from outside a cell of a table: safe for a terminal, and no longer than
// a person reads.
func Cell(s string) string { return Clip(Printable(s)) }

// Columns writes rows with their columns aligned. Paint may colour a cell: it takes the
// row, the column and the text.
func Columns(b *strings.Builder, rows [][]string, paint func(row, column int, text string) string) {
	if len(rows) == 0 {
		return
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for n, row := range rows {
		for i, c := range row {
			b.WriteString(paint(n, i, c))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)) + "  ")
			}
		}
		b.WriteByte('\n')
	}
}

// MarkdownTable writes rows as a table; the first is the head, whose words are the
// report's own.
func MarkdownTable(b *strings.Builder, rows [][]string) {
	b.WriteString(markdownHead(rows[0]))
	for _, row := range rows[1:] {
		b.WriteString(markdownRow(row))
	}
}

func markdownHead(row []string) string {
	return "| " + strings.ToLower(strings.Join(row, " | ")) + " |\n|" + strings.Repeat("---|", len(row)) + "\n"
}

func markdownRow(row []string) string {
	cells := make([]string, len(row))
	for i, c := range row {
		cells[i] = Prose(c)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// formula reports whether a spreadsheet may take a cell for a formula: by its first sign,
// in the width of East Asian keyboards too, and behind spaces, which some of them trim.
func formula(cell string) bool {
	return strings.IndexAny(strings.TrimSpace(cell), "=+-@＝＋－＠") == 0
}

// CSV writes rows for spreadsheets; the first is the head. A cell that a spreadsheet
// would take for a formula begins with an apostrophe, and the dash that says "nothing" to
// a person is empty.
// Source: https://owasp.org/www-community/attacks/CSV_Injection
func CSV(w io.Writer, rows [][]string) error {
	c := csv.NewWriter(w)
	for n, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			switch {
			case n == 0:
				cells[i] = strings.ToLower(cell)
			case cell == "-":
			case formula(cell):
				cells[i] = "'" + Cell(cell)
			default:
				cells[i] = Cell(cell)
			}
		}
		if err := c.Write(cells); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// HTML writes a page that a template has made: markup is escaped there, control characters
// are not.
func HTML(w io.Writer, page string) error {
	for line := range strings.Lines(page) {
		if _, err := io.WriteString(w, Printable(strings.TrimSuffix(line, "\n"))+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Page is a text for a terminal in the making.
type Page struct{ strings.Builder }

// Line writes one line.
func (p *Page) Line(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

// Prose writes text from outside under a label, wrapped and indented.
func (p *Page) Prose(indent int, label, text string) {
	pad := strings.Repeat(" ", indent)
	if label != "" {
		label += ": "
	}
	for i, l := range Wrap(Cell(label+text), textWidth-indent) {
		if i == 1 {
			pad += "  "
		}
		p.Line("%s%s", pad, l)
	}
}
