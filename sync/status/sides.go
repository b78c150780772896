package status

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/sync/report"
)

// The bounds on what is shown of two values side by side.
const (
	longestValue = 16 << 10 // bytes of one; IAM's largest trust policy has 4,096 characters
	mostAligned  = 400      // lines or words that are compared; more are shown unmarked
	surround     = 2        // equal lines that stand around a difference
)

// sides are two values beside each other, line by line.
type sides struct {
	Caption     string
	Left, Right string // what the columns are
	Wish        bool   // the left is what is wanted, not what was
	Rows        []side
	Same        bool
}

// One reports whether there is one line, so that no sign has to say which lines differ.
func (s sides) One() bool { return len(s.Rows) <= 1 }

// side is one line of both, or a run of equal lines that is left out.
type side struct {
	Left, Right         []piece
	HasLeft, HasRight   bool
	LeftDiff, RightDiff bool
	Skipped             int
}

// piece is a part of a line, and whether the other side has another.
type piece struct {
	Text string
	Diff bool
}

// beside puts two values side by side. JSON is laid out, so that one statement more in a
// trust policy is one block more, and not a line of two thousand characters.
func beside(caption, before, after string) sides {
	s := sides{Caption: caption, Left: "Before", Right: "After", Same: before == after}
	a, b := lines(before), lines(after)
	for _, m := range align(a, b) {
		row := side{HasLeft: m.a >= 0, HasRight: m.b >= 0}
		switch {
		case m.a >= 0 && m.b >= 0 && a[m.a] == b[m.b]:
			row.Left, row.Right = []piece{{Text: a[m.a]}}, []piece{{Text: b[m.b]}}
		case m.a >= 0 && m.b >= 0:
			row.Left, row.Right = words(a[m.a], b[m.b])
			row.LeftDiff, row.RightDiff = true, true
		case m.a >= 0:
			row.Left, row.LeftDiff = []piece{{Text: a[m.a]}}, true
		default:
			row.Right, row.RightDiff = []piece{{Text: b[m.b]}}, true
		}
		s.Rows = append(s.Rows, row)
	}
	s.Rows = fold(s.Rows)
	return s
}

// against puts what is wanted beside what there is.
func against(caption, expected, actual string) sides {
	s := beside(caption, expected, actual)
	s.Left, s.Right, s.Wish = "Expected", "Actual", true
	return s
}

// lines are those of a value as it is shown.
func lines(value string) []string {
	value = scrubText(value)
	cut := 0
	if len(value) > longestValue {
		end := longestValue
		for end > 0 && !utf8.RuneStart(value[end]) {
			end--
		}
		value, cut = value[:end], len(value)-end
	}
	if trimmed := strings.TrimSpace(value); strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		var laid bytes.Buffer
		if json.Indent(&laid, []byte(trimmed), "", "  ") == nil && laid.Len() <= 4*longestValue {
			value = laid.String()
		}
	}
	if value == "" && cut == 0 {
		return nil
	}
	out := strings.Split(strings.TrimRight(value, "\n"), "\n")
	for i := range out {
		out[i] = report.Printable(out[i])
	}
	if cut > 0 {
		out = append(out, "... ("+count(cut, "byte")+" more)")
	}
	return out
}

// words compares two lines by their words. Where they have little in common, marks on
// single words would only be in the way.
func words(left, right string) (a, b []piece) {
	x, y := split(left), split(right)
	aligned, common := align(x, y), 0
	for _, m := range aligned {
		if m.a >= 0 && m.b >= 0 && x[m.a] == y[m.b] {
			common += len(x[m.a])
		}
	}
	if 3*common < max(len(left), len(right)) {
		return []piece{{Text: left}}, []piece{{Text: right}}
	}
	for _, m := range aligned {
		same := m.a >= 0 && m.b >= 0 && x[m.a] == y[m.b]
		if m.a >= 0 {
			a = add(a, x[m.a], !same)
		}
		if m.b >= 0 {
			b = add(b, y[m.b], !same)
		}
	}
	return a, b
}

// add appends a word to the last piece, or begins another.
func add(to []piece, text string, diff bool) []piece {
	if n := len(to); n > 0 && to[n-1].Diff == diff {
		to[n-1].Text += text
		return to
	}
	return append(to, piece{text, diff})
}

// split cuts a line, which is valid UTF-8, into words and what stands between them.
func split(line string) []string {
	var out []string
	begin := 0
	for i, r := range line {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
			if i > begin {
				out = append(out, line[begin:i])
			}
			begin = i + utf8.RuneLen(r)
			out = append(out, line[i:begin])
		}
	}
	if begin < len(line) {
		out = append(out, line[begin:])
	}
	return out
}

// match is one line of an alignment: the places in a and in b; -1 where it has none.
type match struct{ a, b int }

// align puts equal elements beside each other: the longest common subsequence, and what
// differs between two of its members beside what differs on the other side.
func align(a, b []string) []match {
	var out []match
	begin := 0
	for begin < len(a) && begin < len(b) && a[begin] == b[begin] {
		out = append(out, match{begin, begin})
		begin++
	}
	end := 0
	for end < len(a)-begin && end < len(b)-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	x, y := a[begin:len(a)-end], b[begin:len(b)-end]
	if len(x) > mostAligned || len(y) > mostAligned {
		out = append(out, pairs(begin, begin, len(x), len(y))...)
	} else {
		out = append(out, common(x, y, begin)...)
	}
	for i := end; i > 0; i-- {
		out = append(out, match{len(a) - i, len(b) - i})
	}
	return out
}

// common aligns by the longest common subsequence.
func common(x, y []string, offset int) []match {
	longest := make([][]int, len(x)+1)
	for i := range longest {
		longest[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var out []match
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		from, to := i, j
		for i < len(x) && j < len(y) && x[i] != y[j] {
			if longest[i+1][j] >= longest[i][j+1] {
				i++
			} else {
				j++
			}
		}
		if i == len(x) || j == len(y) {
			i, j = len(x), len(y)
		}
		out = append(out, pairs(offset+from, offset+to, i-from, j-to)...)
		if i < len(x) && j < len(y) {
			out = append(out, match{offset + i, offset + j})
			i, j = i+1, j+1
		}
	}
	return out
}

// pairs puts n elements beside m others that they have nothing in common with.
func pairs(a, b, n, m int) []match {
	out := make([]match, 0, max(n, m))
	for i := range max(n, m) {
		p := match{-1, -1}
		if i < n {
			p.a = a + i
		}
		if i < m {
			p.b = b + i
		}
		out = append(out, p)
	}
	return out
}

// fold leaves long runs of equal lines out.
func fold(rows []side) []side {
	var out []side
	for i := 0; i < len(rows); {
		j := i
		for j < len(rows) && !rows[j].LeftDiff && !rows[j].RightDiff {
			j++
		}
		keepBefore, keepAfter := surround, surround
		if i == 0 {
			keepBefore = 0
		}
		if j == len(rows) {
			keepAfter = 0
		}
		if skip := j - i - keepBefore - keepAfter; skip > surround && j-i < len(rows) {
			out = append(out, rows[i:i+keepBefore]...)
			out = append(out, side{Skipped: skip})
			out = append(out, rows[j-keepAfter:j]...)
		} else {
			out = append(out, rows[i:j]...)
		}
		if j < len(rows) {
			out = append(out, rows[j])
			j++
		}
		i = j
	}
	return out
}
