// Package virtual is the sandbox's time. A [Clock] moves only when it is told to,
// so that an hour of settling costs no second, and a test that waits cannot be
// slow or flaky. Only where a real API server stands in the world, whose timestamps
// and tokens are of the day, does a clock follow the wall clock ([NewWallClock]).
// It imports the standard library only, and only the sandbox and tests use it.
package virtual

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until [Clock.Advance]. It is safe for use by
// several goroutines.
type Clock struct {
	mu   sync.Mutex
	now  time.Time        // what is shown, if wall is nil
	wall func() time.Time // what is followed
	lead time.Duration    // ahead of wall
}

// NewClock returns a clock that shows start.
func NewClock(start time.Time) *Clock { return &Clock{now: start.UTC()} }

// NewWallClock returns a clock that shows the time of day, and whose Advance puts it
// ahead of that. It is for worlds that share their time with a process that knows no
// virtual one.
func NewWallClock() *Clock { return &Clock{wall: time.Now} }

// Now returns the time shown.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wall != nil {
		return c.wall().UTC().Add(c.lead)
	}
	return c.now
}

// Advance moves the clock forward by d. A negative d panics: time does not go back.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("virtual: Advance by a negative duration")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.lead = c.now.Add(d), c.lead+d
}
