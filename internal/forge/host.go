package forge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Pull is an open pull request, a merge request where the host says so. What people
// wrote on it, its title and the name of its branch, is not read.
type Pull struct {
	Number int
	Head   string // the commit that it would merge
	Ref    string // the full name under which Git hands that commit out
	Fork   bool   // the head is in another repository, or in one that is gone
}

// Comment is one on a pull request.
type Comment struct {
	ID   int64
	Mine bool // made by whom the host knows this client as
	Body string
}

// State is what a status says of a commit.
type State string

// The states that every host has.
const (
	Success State = "success"
	Failure State = "failure"
)

// Status is what somebody says of a commit; the newest of a name counts.
type Status struct {
	State       State
	Description string // at most [LongestDescription] characters
	Mine        bool   // as for Comment
}

// Limits of what hosts take. GitHub's are the narrowest: 65,536 characters and 140.
// Source: https://docs.github.com/en/rest/issues/comments and
// https://docs.github.com/en/rest/commits/statuses
const (
	LongestBody        = 65_536
	LongestDescription = 140
)

// Host is where pull requests are. Its errors have a class of [remedy]: Retry for what
// may pass, Hold for what a person must mend. One that asks for patience is a
// [WaitError].
type Host interface {
	// Pulls returns the open pull requests into a branch, most recently touched first, at
	// most so many, and whether there are more.
	Pulls(ctx context.Context, base string, most int) (pulls []Pull, more bool, err error)
	// Comments returns those of a pull request, oldest first. [ErrCut] comes beside what
	// could be read of too many.
	Comments(ctx context.Context, number int) ([]Comment, error)
	// Write makes a comment, or with an ID other than 0 changes one.
	Write(ctx context.Context, number int, id int64, body string) error
	// Delete removes a comment.
	Delete(ctx context.Context, number int, id int64) error
	// Status returns the newest status of a commit under a name; false if there is none.
	Status(ctx context.Context, commit, name string) (Status, bool, error)
	// SetStatus says a new one.
	SetStatus(ctx context.Context, commit, name string, s Status) error
}

// ErrCut means that a list was longer than is read.
var ErrCut = errors.New("the list is longer than is read")

// WaitError means that the host asks to be left alone until a time.
type WaitError struct {
	Until time.Time
	Err   error
}

// Error says until when.
func (e *WaitError) Error() string {
	return fmt.Sprintf("the host asks to wait until %s: %v", e.Until.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns what the host said.
func (e *WaitError) Unwrap() error { return e.Err }
