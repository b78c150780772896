package migrate_test

import (
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/migrate"
)

// TestUseProves: only a use that was seen proves, and a use of the other side holds.
func TestUseProves(t *testing.T) {
	t.Parallel()
	crossed := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	moved := crossed.Add(5 * time.Minute)
	looked := crossed.Add(10 * time.Hour)
	for _, tt := range []struct {
		name string
		use  migrate.Use
		want bool
	}{
		{"nobody looked", migrate.Use{Why: "off"}, false},
		{"silence, however long", migrate.Use{Looked: looked}, false},
		{"a use before the crossing", migrate.Use{New: crossed.Add(-time.Second), Looked: looked}, false},
		{"a use in the moment of the crossing", migrate.Use{New: crossed, Looked: looked}, true},
		{"a use", migrate.Use{New: crossed.Add(time.Minute), Looked: looked}, true},
		{"a use, and the old pods' before they were gone", migrate.Use{New: crossed.Add(time.Minute), Old: moved, Looked: looked}, true},
		{"a use, and the other side's after that", migrate.Use{New: crossed.Add(time.Minute), Old: moved.Add(time.Second), Looked: looked}, false},
		{"the other side's alone", migrate.Use{Old: moved.Add(time.Second), Looked: looked}, false},
	} {
		if got := tt.use.Proves(crossed, moved); got != tt.want {
			t.Errorf("%s: %+v proves %t, want %t", tt.name, tt.use, got, tt.want)
		}
	}
}
