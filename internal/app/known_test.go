package app

import (
	"strconv"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
)

// TestKnownIsBounded: however often a pull request is pushed to, and whatever its heads
// hold, what is kept of it is bounded, and the newest is kept.
func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Change{
		"heads that are refused":     {refused: make(desired.Errors, 1001)},
		"heads that have no mapping": {},
	} {
		p := &pulls{}
		for i := range 20_000 {
			p.keep(&known{head: strconv.Itoa(i), change: &c})
		}
		mistakes := len(p.changes) * len(c.refused)
		if n := len(p.changes); n == 0 || n > mostKnown || mistakes > mostKnown || p.changes[n-1].head != "19999" {
			t.Errorf("%s: %d are kept, with %d mistakes", name, n, mistakes)
		}
	}
}
