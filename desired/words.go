package desired

import (
	"strconv"
	"strings"
)

// choice lists words as prose does: "a, b or c".
func choice(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// quote returns s in quotes, cut where it is too long to read, with nothing in
// it that a terminal would obey.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "..."
	}
	return strconv.Quote(s)
}

// printable is quote without the quotes.
func printable(s string) string { return strings.ReplaceAll(quote(s), `"`, "") }

// nearest returns the word that s was most likely meant to be, or "".
func nearest(s string, words []string) string {
	if len(s) > 40 {
		return ""
	}
	best, closest := "", max(2, len(s)/3)+1
	s = strings.ToLower(s)
	for _, w := range words {
		low := strings.ToLower(w)
		d := distance(s, low)
		if len(s) > 2 && (strings.HasPrefix(s, low) || strings.HasPrefix(low, s)) {
			d = 1
		}
		if d < closest && d < len(w) {
			best, closest = w, d
		}
	}
	return best
}

// distance counts the characters to insert, delete or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
