package observe

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// rolling remembers descriptions of listed things, and says which to read again.
//
// A list of associations names no role, so each needs a Describe of its own: 5,000
// calls. That is done once. From then on a round describes what is new in the list,
// what was forgotten after a write, and of the rest the share that has each of them
// read again within the interval:
//
//	interval 2 h, a round a minute, 5,000 associations: 42 a round
//
// An age is never more than the interval, even where rounds are rare.
type rolling[K cmp.Ordered, V any] struct {
	entries map[K]described[V]
	last    time.Time // of the latest round
}

type described[V any] struct {
	value V
	at    time.Time
}

func (r *rolling[K, V]) get(key K) (V, bool) {
	e, ok := r.entries[key]
	return e.value, ok
}

func (r *rolling[K, V]) put(key K, value V, at time.Time) {
	if r.entries == nil {
		r.entries = map[K]described[V]{}
	}
	r.entries[key] = described[V]{value, at}
}

func (r *rolling[K, V]) forget(key K) { delete(r.entries, key) }

// keep drops what is no longer listed.
func (r *rolling[K, V]) keep(listed []K) {
	still := make(map[K]bool, len(listed))
	for _, k := range listed {
		still[k] = true
	}
	maps.DeleteFunc(r.entries, func(k K, _ described[V]) bool { return !still[k] })
}

// due returns which of the listed to describe in a round at this time, the unknown
// ones first.
func (r *rolling[K, V]) due(listed []K, now time.Time, interval time.Duration) []K {
	var unknown, known []K
	for _, k := range listed {
		if _, ok := r.entries[k]; ok {
			known = append(known, k)
		} else {
			unknown = append(unknown, k)
		}
	}
	share := 1.0
	if interval > 0 {
		share = min(1, now.Sub(r.last).Seconds()/interval.Seconds())
	}
	r.last = now
	slices.SortFunc(known, func(a, b K) int {
		return cmp.Or(r.entries[a].at.Compare(r.entries[b].at), cmp.Compare(a, b))
	})
	again := max(0, int(math.Ceil(share*float64(len(known)))))
	for again < len(known) && now.Sub(r.entries[known[again]].at) >= interval {
		again++
	}
	return append(unknown, known[:again]...)
}
