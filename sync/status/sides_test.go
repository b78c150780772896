package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drawn writes two values side by side as a diff: what differs in a line in brackets.
func drawn(s sides) string {
	var b strings.Builder
	for _, r := range s.Rows {
		if r.Skipped > 0 {
			fmt.Fprintf(&b, "... %d\n", r.Skipped)
			continue
		}
		mark := func(pieces []piece) string {
			out := ""
			for _, p := range pieces {
				if p.Diff {
					p.Text = "[" + p.Text + "]"
				}
				out += p.Text
			}
			return out
		}
		sign := "  "
		if r.LeftDiff || r.RightDiff {
			sign = "! "
		}
		b.WriteString(strings.TrimRight(sign+mark(r.Left)+" | "+mark(r.Right), " ") + "\n")
	}
	return b.String()
}

// TestBeside: equal lines stand beside each other, and what differs is marked by the word
// where the rest of the line is the same.
func TestBeside(t *testing.T) {
	t.Parallel()
	ten := `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9}`
	for _, tt := range []struct{ name, before, after, want string }{
		{"nothing", "", "", ""},
		{"the same", "a", "a", "  a | a\n"},
		{"from nothing", "", "arn:x", "!  | arn:x\n"},
		{"a word", "arn:aws:iam::1:role/reader", "arn:aws:iam::1:role/writer", "! arn:aws:iam::1:role/[reader] | arn:aws:iam::1:role/[writer]\n"},
		{"more words", "role/reader, tags on", "role/reader-2, tags on", "! role/reader, tags on | role/reader[-2], tags on\n"},
		{"nothing in common", "credentials of irsa", "came up without any", "! credentials of irsa | came up without any\n"},
		{"a key more", `{"b":2}`, `{"a":1,"b":2}`, "  { | {\n!  |   \"a\": 1,\n    \"b\": 2 |   \"b\": 2\n  } | }\n"},
		{"one of many", ten, strings.Replace(ten, "9", "0", 1), "... 7\n    \"g\": 7, |   \"g\": 7,\n    \"h\": 8, |   \"h\": 8,\n!   \"i\": [9] |   \"i\": [0]\n  } | }\n"},
		{"no JSON", `{"a":`, `{"b":`, "! {\"[a]\": | {\"[b]\":\n"},
	} {
		if diff := cmp.Diff(tt.want, drawn(beside("", tt.before, tt.after))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

// TestBesideIsWhole: whatever the values, each side shows its lines, all of them and in
// order, but for those that are counted.
func TestBesideIsWhole(t *testing.T) {
	t.Parallel()
	texts := []string{"", "a", "a\nb\nc", "b\nc\nd", "a\nx\nc\ny", strings.Repeat("a\nb\n", 300), strings.Repeat("b\na\n", 300) + "c", strings.Repeat("é ü ß\n", 50), strings.Repeat("x", longestValue+10),
		strings.Repeat("same\n", 50) + "a", strings.Repeat("same\n", 50) + "b\n" + strings.Repeat("same\n", 50)}
	for _, before := range texts {
		for _, after := range texts {
			var left, right []string
			skipped := 0
			for _, r := range beside("", before, after).Rows {
				skipped += r.Skipped
				join := func(pieces []piece) string {
					out := ""
					for _, p := range pieces {
						out += p.Text
					}
					return out
				}
				if r.HasLeft {
					left = append(left, join(r.Left))
				}
				if r.HasRight {
					right = append(right, join(r.Right))
				}
			}
			for _, side := range []struct{ got, want []string }{{left, lines(before)}, {right, lines(after)}} {
				if len(side.got)+skipped != len(side.want) {
					t.Errorf("%.20q beside %.20q: %d lines and %d skipped, want %d", before, after, len(side.got), skipped, len(side.want))
				}
				rest := side.want
				for _, line := range side.got {
					for len(rest) > 0 && rest[0] != line {
						rest = rest[1:]
					}
					if len(rest) == 0 {
						t.Errorf("%.20q beside %.20q: line %.20q is not the value's, or out of order", before, after, line)
						break
					}
					rest = rest[1:]
				}
			}
		}
	}
	if got := lines(strings.Repeat("é", longestValue)); len(got) != 2 || got[1] != fmt.Sprintf("... (%d bytes more)", longestValue) {
		t.Errorf("a value that is too long ends with %q", got[len(got)-1])
	}
}

// TestAge: ages as people say them.
func TestAge(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]string{-5: "0 s", 0: "0 s", 59: "59 s", 60: "1 min", 3599: "59 min", 3660: "1 h 01 min", 172_799: "47 h 59 min", 172_800: "2 days"} {
		if got := age(time.Duration(seconds) * time.Second); got != want {
			t.Errorf("%d s: %q, want %q", seconds, got, want)
		}
	}
	for text, want := range map[string]string{"main@sha1:4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d": "main@4f1c0c5a9a3e", "4f1c0c5a9a3e7b6d2f8e": "4f1c0c5a9a3e",
		"worktree@sha1:4f1c0c5a9a3e7b6d2f8e+dirty": "worktree@4f1c0c5a9a3e+dirty", "worktree": "worktree", "main@x": "main@x", "": ""} {
		if got := shortRevision(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
