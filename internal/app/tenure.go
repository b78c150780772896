package app

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrLeaseLost is the cause of a tenure's end when the Lease could have passed on.
var ErrLeaseLost = errors.New("lanyard's Lease could have passed on to another replica")

// tenure is the context of leading: it ends before the Lease can have passed on to
// another replica, and its deadline says when that is (design.md section 5). Each
// renewal moves the deadline; a context derived from it in between keeps the one that
// stood then.
type tenure struct {
	context.Context
	end context.CancelCauseFunc

	mu    sync.Mutex
	until time.Time
	timer *time.Timer
}

// newTenure returns a tenure that lasts until a time, unless the parent ends before.
func newTenure(parent context.Context, until time.Time) *tenure {
	ctx, end := context.WithCancelCause(parent)
	t := &tenure{Context: ctx, end: end, until: until}
	t.timer = time.AfterFunc(time.Until(until), t.expire)
	return t
}

// Deadline returns when the Lease could pass on if it were not renewed any more.
func (t *tenure) Deadline() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until, true
}

// extend moves the end, never back, and never once it has come.
func (t *tenure) extend(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Err() == nil && until.After(t.until) && time.Now().Before(t.until) {
		t.until = until
		t.timer.Reset(time.Until(until))
	}
}

// expire ends the tenure, unless it was extended at the last moment.
func (t *tenure) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !time.Now().Before(t.until) {
		t.end(ErrLeaseLost)
	}
}

// close gives the timer back.
func (t *tenure) close() {
	t.timer.Stop()
	t.end(context.Canceled)
}
