package desired_test

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
)

func TestRevisionString(t *testing.T) {
	t.Parallel()
	const hash = "abcdef0123abcdef0123abcdef0123abcdef0123"
	for _, tt := range []struct {
		revision desired.Revision
		want     string
	}{
		{desired.Revision{Ref: "main", Commit: hash}, "main@sha1:" + hash},
		{desired.Revision{Ref: "main", Commit: strings.Repeat("ab", 32)}, "main@sha256:" + strings.Repeat("ab", 32)},
		{desired.Revision{Ref: desired.Worktree}, "worktree"},
		{desired.Revision{Ref: desired.Worktree, Commit: hash}, "worktree@sha1:" + hash},
		{desired.Revision{Ref: desired.Worktree, Commit: hash, Dirty: true}, "worktree@sha1:" + hash + "+dirty"},
	} {
		if got := tt.revision.String(); got != tt.want {
			t.Errorf("%#v: got %q, want %q", tt.revision, got, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	one := desired.Error{At: desired.Position{File: "a.yaml", Line: 3, Column: 9}, What: "what", Instead: "write this"}
	if got, want := one.Error(), "a.yaml:3:9: what: write this"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	many := make(desired.Errors, 130)
	for i := range many {
		many[i] = one
	}
	lines := strings.Split(many.Error(), "\n")
	if len(lines) != 101 || lines[100] != "and 30 more" {
		t.Errorf("130 mistakes print as %d lines, the last %q; want 101 and the count of the rest", len(lines), lines[len(lines)-1])
	}
}
