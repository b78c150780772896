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
// another replica (design.md section 5). Each renewal moves the end. It has no deadline
// of its own: one that moves would swallow every longer time limit under it, because a
// context whose parent's deadline comes sooner goes by the parent. Who must end within
// what is left now asks [leaseUntil].
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

// tenureKey is how a context under a tenure finds it.
type tenureKey struct{}

// Value finds the tenure itself, and otherwise what the parent has.
func (t *tenure) Value(key any) any {
	if key == (tenureKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// leaseUntil returns what says when the Lease could pass on if it were not renewed any
// more; nil where the context is not one of leading.
func leaseUntil(ctx context.Context) func() time.Time {
	t, leads := ctx.Value(tenureKey{}).(*tenure)
	if !leads {
		return nil
	}
	return func() time.Time {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.until
	}
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
