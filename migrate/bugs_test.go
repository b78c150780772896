//go:build bugs

package migrate_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/lanyard-io/lanyard/internal/bugs"
)

// TestBugsAreFound turns each deliberate bug on: the schedules must find it, within the
// budget of make check. One that they do not find is a hole in law 1's test.
func TestBugsAreFound(t *testing.T) {
	budget := uint64(10_000)
	if text := os.Getenv("LANYARD_SCHEDULES"); text != "" {
		budget, _ = strconv.ParseUint(text, 10, 64)
	}
	defer func() { bugs.Name = "" }()
	for _, bug := range []string{
		"cross before widen", "settle for nothing", "narrow in the crossing round", "narrow ungated", "unknown is absent", "mark after delete",
		"forget the mark", "forget Fargate", "delete under Jobs", "restart unasked", "no canary", "leave the exposed", "forget the old side",
	} {
		bugs.Name = bug
		found := false
		for seed := uint64(0); seed < budget && !found; seed++ {
			if _, err := runSchedule(seed); err != nil {
				t.Logf("%s: found by seed %d: %v", bug, seed, err)
				found = true
			}
		}
		if !found {
			t.Errorf("%s: not found in %d schedules", bug, budget)
		}
	}
}
