package app_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/sync/report"
)

// TestMigrateIsSeen: the record of each round says in which phase a workload is and since
// when, which pods are exposed on the way back, and what each step wrote.
func TestMigrateIsSeen(t *testing.T) {
	t.Parallel()
	s := mover(t, "pod-identity")
	exposed := 0
	watch := func() (phases []string) {
		var since time.Time
		r, err := s.syncer(t).Rest(t.Context(), 24*time.Hour, func(r report.Round) {
			for _, m := range r.Moves {
				switch {
				case len(phases) == 0 || phases[len(phases)-1] != m.Phase:
					phases = append(phases, m.Phase)
				case !m.Since.Equal(since) && m.Since.Sub(since) > time.Second:
					t.Errorf("in %s since %v, and a round later since %v", m.Phase, since, m.Since)
				}
				if since = m.Since; since.After(r.Ended) || since.IsZero() || m.Subject.String() != "demo/s3-reader" {
					t.Errorf("%+v, in a round that ended %v", m, r.Ended)
				}
			}
			for _, e := range r.Exposed() {
				exposed += len(e.Pods)
			}
			for _, o := range r.Outcomes {
				if o.Wrote() && o.Before == o.After && o.Step.Action.Kind() != "evict-pod" {
					t.Errorf("%s: before and after are both %q", o.Step.Action, o.Before)
				}
			}
		})
		if err != nil || len(r.Moves) > 0 {
			t.Fatalf("at rest %+v move: %v", r.Moves, err)
		}
		return phases
	}
	if got, want := watch(), []string{"pending", "widened", "crossing", "soaking", "narrowing"}; !slices.Equal(got, want) || exposed > 0 {
		t.Errorf("there: %q, want %q; %d exposed", got, want, exposed)
	}
	s.declare(t, "irsa")
	if got, want := watch(), []string{"pending", "widened", "crossing", "soaking", "narrowing"}; !slices.Equal(got, want) || exposed == 0 {
		t.Errorf("back: %q, want %q; %d exposed", got, want, exposed)
	}
}
