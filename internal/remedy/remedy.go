package remedy

import (
	"context"
	"errors"
)

// Class is what an error asks for.
type Class uint8

// The classes, mildest first.
const (
	None   Class = iota // no error
	Retry               // transient: the same again, later
	Replan              // the world moved: look again, then decide again
	Hold                // a person, Git or another owner must act first
	Halt                // an invariant broke: stop the round
)

var names = [...]string{"none", "retry", "replan", "hold", "halt"}

// String returns the class's name as it stands in logs and labels.
func (c Class) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

type marked struct {
	class Class
	err   error
}

func (m *marked) Error() string { return m.err.Error() }
func (m *marked) Unwrap() error { return m.err }

// Mark gives err a class; a nil err stays nil. The innermost mark wins, because it
// was made where most was known.
func Mark(c Class, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*marked](err); ok {
		return err
	}
	return &marked{class: c, err: err}
}

// Of returns err's class: None for nil, Retry for a context that ended, Halt for an
// error that nobody classed.
func Of(err error) Class {
	if err == nil {
		return None
	}
	if m, ok := errors.AsType[*marked](err); ok {
		return m.class
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Retry
	}
	return Halt
}
