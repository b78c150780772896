// Package virtual is the sandbox's time. A [Clock] moves only when it is told to,
// so that an hour of settling costs no second, and a test that waits cannot be
// slow or flaky. It imports the standard library only, and only the sandbox and
// tests use it.
package virtual

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until [Clock.Advance]. It is safe for use by
// several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows start.
func NewClock(start time.Time) *Clock { return &Clock{now: start.UTC()} }

// Now returns the time shown.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward by d. A negative d panics: time does not go back.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("virtual: Advance by a negative duration")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
