package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// CommentLimit keeps a report in Markdown, in bytes, below what GitHub takes for one
// comment (65,536 characters, which are never more than bytes), with room for what a bot
// puts around it.
const CommentLimit = 60_000

// Comment is a Markdown text of bounded size in the making. What finds no room is left out
// whole, a row or a fold, and the last line says what and how much.
type Comment struct {
	text strings.Builder
	last string
	room int
	lost []string
}

// commentEnding is room for the line about what is left out.
const commentEnding = 500

// NewComment begins a comment of at most limit bytes with its first lines, which are not
// cut: they are the report's own, and short.
func NewComment(limit int, head string) *Comment {
	c := &Comment{room: limit - commentEnding}
	c.Add(head)
	return c
}

// Room is how many bytes are left.
func (c *Comment) Room() int { return c.room }

// Add writes a text that was made for the room that there is.
func (c *Comment) Add(text string) {
	c.text.WriteString(text)
	c.room -= len(text)
}

// Last keeps room for a text that comes after all others.
func (c *Comment) Last(text string) {
	c.last += text
	c.room -= len(text)
}

// Lose counts what was left out.
func (c *Comment) Lose(n int, one string) {
	if n > 0 {
		c.lost = append(c.lost, count(n, one))
	}
}

// End ends the comment and returns it. Whole says how to have all of it.
func (c *Comment) End(whole string) string {
	c.text.WriteString(c.last)
	if len(c.lost) > 0 {
		c.text.WriteString("\n**Left out here**, because a comment has room for no more: " + strings.Join(c.lost, ", ") + ". " + whole + "\n")
	}
	return c.text.String()
}

// Rows writes a head and rows as far as they have room, and counts those that have none.
func Rows(room int, head string, n int, row func(int) string) (text string, left int) {
	var b strings.Builder
	for i := range n {
		one := row(i)
		if b.Len()+len(one)+len(head) > room {
			return b.String(), n - i
		}
		if i == 0 {
			b.WriteString(head)
			room += len(head)
		}
		b.WriteString(one)
	}
	return b.String(), 0
}

// Pick writes a head and pieces, rows or folds, in their order, as far as they have room,
// and counts those that have none. They are tried in the order that is given, so what
// matters most comes first to its room; after a long one a short one may have some.
func Pick(room int, head string, order []int, piece func(int) string) (text string, left int) {
	room -= len(head)
	picked := map[int]string{}
	for n, i := range order {
		if left == mostMissed { // the others are no smaller
			left += len(order) - n
			break
		}
		one := piece(i)
		if len(one) > room {
			left++
			continue
		}
		room -= len(one)
		picked[i] = one
	}
	if len(picked) == 0 {
		return "", left
	}
	var b strings.Builder
	b.WriteString(head)
	for _, i := range slices.Sorted(maps.Keys(picked)) {
		b.WriteString(picked[i])
	}
	return b.String(), left
}

// mostMissed bounds how many pieces are tried that have no room, before no more are.
const mostMissed = 20

// InOrder is the order of n pieces as they are; with an urgency those of the least first.
func InOrder(n int, urgency func(int) int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if urgency != nil {
		slices.SortStableFunc(order, func(i, j int) int { return urgency(i) - urgency(j) })
	}
	return order
}

// Table writes rows as [MarkdownTable] does, and below it folds, of which each has half of
// the room, or what the other leaves of it. The orders are those of [Pick].
func (c *Comment) Table(rows [][]string, order []int, below []int, fold func(int) string, what string) {
	head := markdownHead(rows[0])
	row := func(i int) string { return markdownRow(rows[i+1]) }
	folds, _ := Pick(c.room/2, "", below, fold)
	table, left := Pick(c.room-len(folds), head, order, row)
	c.Add(cmp.Or(table, head))
	c.Lose(left, "table row")
	folds, left = Pick(c.room, "", below, fold)
	c.Add(folds)
	c.Lose(left, what)
}
