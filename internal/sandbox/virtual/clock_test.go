package virtual_test

import (
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

func TestClockStandsStill(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	c := virtual.NewClock(start)
	c.Advance(time.Hour)
	if got, want := c.Now(), start.Add(time.Hour); !got.Equal(want) {
		t.Errorf("after an hour: got %s, want %s", got, want)
	}
}

func TestWallClockRuns(t *testing.T) {
	t.Parallel()
	c := virtual.NewWallClock()
	before := time.Now()
	first := c.Now()
	if after := time.Now(); first.Before(before.Round(0)) || first.After(after) {
		t.Errorf("got %s, want between %s and %s", first, before, after)
	}
	c.Advance(time.Hour)
	if got := c.Now().Sub(first); got < time.Hour || got > time.Hour+time.Minute {
		t.Errorf("advanced by an hour: moved by %s", got)
	}
}
