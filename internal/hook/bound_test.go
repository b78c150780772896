package hook

import (
	"fmt"
	"testing"
	"time"
)

// TestMemory: it is bounded, forgets the oldest first, and everything in time.
func TestMemory(t *testing.T) {
	t.Parallel()
	var m memory
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range 3 * mostSeen {
		if !m.add(now, fmt.Sprint(i), fmt.Sprint("again ", i)) {
			t.Fatalf("%d is not new", i)
		}
		if len(m.at) > mostSeen || len(m.at) != len(m.queue) {
			t.Fatalf("after %d it holds %d names in a queue of %d", i, len(m.at), len(m.queue))
		}
	}
	if !m.add(now, "0") || m.add(now, fmt.Sprint(3*mostSeen-1)) {
		t.Error("it kept the oldest, or lost the youngest")
	}
	if !m.add(now.Add(remembered), "0") || len(m.at) != 1 || cap(m.queue) > 4*mostSeen {
		t.Errorf("after the time it holds %d, in %d places", len(m.at), cap(m.queue))
	}
	for range 2 {
		if !m.add(now) {
			t.Error("a delivery without a name is not new")
		}
	}
	if m.add(now.Add(remembered), "1", "0") || m.add(now.Add(remembered), "1") {
		t.Error("one name of two that is known is enough, and the other is learnt")
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	var b bucket
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		at   time.Time
		want int
	}{{now, burst}, {now, 0}, {now.Add(time.Second), maxPerTime}, {now, 0}, {now.Add(time.Hour), burst}} {
		n := 0
		for b.take(tt.at) {
			n++
		}
		if n != tt.want {
			t.Errorf("at %s: %d, want %d", tt.at.Format(time.TimeOnly), n, tt.want)
		}
	}
}
