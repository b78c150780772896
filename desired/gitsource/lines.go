package gitsource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// maxLines bounds, in bytes, a file that is merged by lines: a larger one is no desired
// file.
const maxLines = 1 << 20

// hunk is a run of lines, from..to of the old text, and what took its place.
type hunk struct {
	from, to int
	lines    []string
}

// hunks are what a text changes of an old one. The two are held together by the lines
// that each has once, much as the histogram that Git merges by does it: whoever looks for
// the fewest changes takes a line that all YAML documents have for that of another
// document. It takes n log n steps, whatever the texts.
// Source: the diff-algorithm of ort in https://git-scm.com/docs/merge-strategies.
func hunks(old, text string) (found []hunk) {
	unified := string(diff.Diff("", []byte(old), "", []byte(text)))
	at, open := 0, false
	for line := range strings.Lines(unified[strings.Index(unified, "\n@@ ")+1:]) {
		if sign := line[0]; (sign == '-' || sign == '+') && !open {
			found, open = append(found, hunk{from: at, to: at}), true
		}
		switch last := len(found) - 1; line[0] {
		case '@':
			_, _ = fmt.Sscanf(line, "@@ -%d", &at)
			at, open = max(at-1, 0), false // it counts from one, and says zero where there are none
		case ' ':
			at, open = at+1, false
		case '-':
			at++
			found[last].to = at
		case '+':
			found[last].lines = append(found[last].lines, line[1:])
		case '\\': // the line before has no line break
			if n := len(found[last].lines); open && n > 0 {
				found[last].lines[n-1] = strings.TrimSuffix(found[last].lines[n-1], "\n")
			}
		}
	}
	return found
}

// mergeLines makes the changes of two texts to an old one, as git merge-file does: ok is
// unset where both touch the same lines, or lines beside each other, and not alike.
func mergeLines(old, ours, theirs string) (merged string, ok bool) {
	if strings.ContainsRune(old+ours+theirs, 0) {
		return "", false
	}
	a, b := hunks(old, ours), hunks(old, theirs)
	lines := slices.Collect(strings.Lines(old))
	var out strings.Builder
	at := 0
	take := func(h hunk) {
		for _, line := range lines[at:h.from] {
			out.WriteString(line)
		}
		for _, line := range h.lines {
			out.WriteString(line)
		}
		at = h.to
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].to < b[0].from:
			take(a[0])
			a = a[1:]
		case len(a) == 0 || b[0].to < a[0].from:
			take(b[0])
			b = b[1:]
		case a[0].from == b[0].from && a[0].to == b[0].to && slices.Equal(a[0].lines, b[0].lines):
			take(a[0])
			a, b = a[1:], b[1:]
		default:
			return "", false
		}
	}
	take(hunk{from: len(lines), to: len(lines)})
	return out.String(), true
}
