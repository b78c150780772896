package plan

import (
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// shell writes a command for a person to paste into a POSIX shell. Its words come
// from Git, from Kubernetes and from AWS, so each one that is not plainly a word is
// quoted, and control characters are left out.
func shell(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		w = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, w)
		if !plainWord.MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}
