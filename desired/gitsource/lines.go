package gitsource

import (
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/utils/diff"
)

// maxLines bounds, in bytes, a file that is merged by lines: a larger one is no desired
// file.
const maxLines = 1 << 20

// hunk is a run of lines, from..to of the old text, and what took its place.
type hunk struct {
	from, to int
	lines    []string
}

// hunks are what a text changes of an old one. ok is unset if the comparison cannot be
// relied upon. One that takes longer than patience is cut short: what was not compared is
// one large hunk then, and whoever asks must not take that for a conflict.
func hunks(old, text string, patience time.Duration) (found []hunk, ok bool) {
	diffs := diff.DoWithTimeout(old, text, max(patience, 1)) // none would be no bound
	if diff.Src(diffs) != old || diff.Dst(diffs) != text {
		return nil, false
	}
	at, open := 0, false
	for _, d := range diffs {
		lines := slices.Collect(strings.Lines(d.Text))
		if d.Type == 0 { // in both; below zero is what was deleted, above what was added
			at, open = at+len(lines), false
			continue
		}
		if !open {
			found, open = append(found, hunk{from: at, to: at}), true
		}
		last := &found[len(found)-1]
		if d.Type < 0 {
			at += len(lines)
			last.to = at
		} else {
			last.lines = append(last.lines, lines...)
		}
	}
	return found, true
}

// mergeLines makes the changes of two texts to an old one, as git merge-file does: ok is
// unset where both touch the same lines, or lines beside each other, and not alike. What it
// says after patience has run out counts for nothing.
func mergeLines(old, ours, theirs string, patience time.Duration) (merged string, ok bool) {
	if strings.ContainsRune(old+ours+theirs, 0) {
		return "", false
	}
	until := time.Now().Add(patience)
	a, known := hunks(old, ours, patience)
	b, knownToo := hunks(old, theirs, time.Until(until))
	if !known || !knownToo {
		return "", false
	}
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
