package forge

import (
	"strings"
	"unicode/utf8"
)

// mark is the first line of each comment: a comment in Markdown, which no host shows.
// The name is of letters, digits and a few marks, so that nothing in it ends the mark.
func mark(name string) string { return "<!-- lanyard: report of " + name + " -->" }

// compose makes a comment's whole text. A body that is too long for the host is cut, and
// says so; it is better cut by who knows what it says.
func compose(name, body string) string {
	const cut = "\n\n*The rest does not fit into a comment.*\n"
	whole := mark(name) + "\n" + strings.TrimSpace(strings.ToValidUTF8(body, "\uFFFD")) + "\n"
	if utf8.RuneCountInString(whole) <= LongestBody {
		return whole
	}
	runes := []rune(whole)
	return string(runes[:LongestBody-len(cut)]) + cut
}

// Room is how long a [Answer.Body] may be under a name, in bytes, to be shown whole.
func Room(name string) int { return LongestBody - len(mark(name)) - len("\n\n") }

// ours returns the comment that is kept, and those beside it which two replicas made at
// once, or an answer that got lost. What somebody else wrote is never ours, whatever mark
// it bears.
func ours(name string, comments []Comment) (kept Comment, found bool, others []Comment) {
	for _, c := range comments {
		if !c.Mine || !strings.HasPrefix(strings.TrimSpace(c.Body), mark(name)) {
			continue
		}
		switch {
		case !found:
			kept, found = c, true
		case c.ID < kept.ID:
			kept, others = c, append(others, kept)
		default:
			others = append(others, c)
		}
	}
	return kept, found, others
}

// same compares two bodies as a reader would: a host may change line ends and what
// stands around the text.
func same(a, b string) bool {
	plain := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	return plain(a) == plain(b)
}

// describe makes a status's description: one line, not too long.
func describe(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if runes := []rune(s); len(runes) > LongestDescription {
		return string(runes[:LongestDescription-3]) + "..."
	}
	return s
}
