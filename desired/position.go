package desired

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file of the repository. Line and Column count from
// one, columns in characters; zero means that only the file is known.
type Position struct {
	File         string
	Line, Column int
}

// String returns "file:line:column", or the file alone when no line is known.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// IsZero reports whether p is no place at all.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders positions by file, line and column.
func (p Position) Compare(q Position) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// MarshalText writes the position as [Position.String] does.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Worktree is the [Revision] Ref of files that were read from a working tree
// and not from a commit.
const Worktree = "worktree"

// Revision names what was read.
type Revision struct {
	Ref    string // a branch, a tag, or Worktree
	Commit string // full hexadecimal hash; empty where there is no repository
	Dirty  bool   // a working tree that differs from its commit
}

// String returns "main@sha1:<hash>" for a commit, "worktree",
// "worktree@sha1:<hash>" or "worktree@sha1:<hash>+dirty" for a working tree.
func (r Revision) String() string {
	s := r.Ref
	if r.Commit != "" {
		algorithm := "sha1"
		if len(r.Commit) == 64 {
			algorithm = "sha256"
		}
		s += "@" + algorithm + ":" + r.Commit
	}
	if r.Dirty {
		s += "+dirty"
	}
	return s
}

// MarshalText writes the revision as [Revision.String] does.
func (r Revision) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Error is one mistake in a document, its place, and the way out.
type Error struct {
	At            Position
	What, Instead string
}

// Error returns "file:line:column: what: what to write instead".
func (e Error) Error() string {
	s := e.At.String() + ": " + e.What
	if e.Instead != "" {
		s += ": " + e.Instead
	}
	return s
}

// printed bounds how many errors [Errors.Error] prints; kept bounds how many a
// parse collects before it stops reading, so that hostile input cannot fill
// memory with complaints about itself.
const (
	printed = 100
	kept    = 1000
)

// Errors are all mistakes of a revision or a configuration, in the order of
// their places. It is never empty when it is returned as an error.
type Errors []Error

// Error returns one line for each of the first hundred mistakes, and the number
// of those that follow.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == printed {
			fmt.Fprintf(&b, "\nand %d more", len(e)-printed)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap lets errors.As and errors.Is reach each mistake.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// orNil sorts the mistakes, and returns nil when there are none: a nil Errors in
// an error interface would not be nil.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b Error) int { return a.At.Compare(b.At) })
	return e
}
