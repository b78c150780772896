package metrics

import (
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/report"
)

// flapping is how long the beginning of a drift is remembered.
const flapping = time.Hour

// spot is a plane of a mapping.
type spot struct {
	subject identity.Subject
	plane   string
}

// past is what is remembered of the rounds of one term: where there was drift in the one
// before, and when it began within the last hour.
type past struct {
	drifts map[spot]bool // nil before the first round
	began  map[spot][]time.Time
}

// saw takes a round in and returns at how many spots of each plane a drift began. What
// the first round finds did not begin there. Of a mapping of which a fact is missing
// nothing is known, so what was known of it stays: a read that fails now and then is no
// drift that comes and goes.
func (p *past) saw(r report.Round, at time.Time) map[string]uint64 {
	now := map[spot]bool{}
	for _, f := range r.Result.Findings {
		if plane, _ := planeOf(string(f.Kind)); f.Severity != "info" && !f.Subject.IsZero() {
			now[spot{f.Subject, plane}] = true
		}
	}
	for i := range r.Result.Judged {
		j := &r.Result.Judged[i]
		for _, plane := range planes {
			if s := (spot{j.Mapping.Subject, plane.plane}); len(j.Unknown) > 0 && p.drifts[s] {
				now[s] = true
			}
		}
	}
	onsets := map[string]uint64{}
	if p.drifts != nil {
		for s := range now {
			if !p.drifts[s] {
				onsets[s.plane]++
				if p.began == nil {
					p.began = map[spot][]time.Time{}
				}
				p.began[s] = append(p.began[s], at)
			}
		}
	}
	for s, times := range p.began {
		if p.began[s] = slices.DeleteFunc(times, func(t time.Time) bool { return at.Sub(t) > flapping }); len(p.began[s]) == 0 {
			delete(p.began, s)
		}
	}
	p.drifts = now
	return onsets
}
