package report_test

import (
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/sync/report"
)

// TestAge: an age is in the largest unit of which there are two, rounded down.
func TestAge(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]string{
		0:                              "0 seconds",
		time.Second:                    "1 second",
		119 * time.Second:              "119 seconds",
		3*time.Minute - time.Second:    "2 minutes",
		119 * time.Minute:              "119 minutes",
		48*time.Hour - time.Second:     "47 hours",
		135*time.Hour + 16*time.Minute: "5 days",
	} {
		if got := report.Age(age); got != want {
			t.Errorf("%s: got %q, want %q", age, got, want)
		}
	}
}
