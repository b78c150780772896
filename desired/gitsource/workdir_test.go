package gitsource

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSweep removes what nobody uses, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	if !canLock {
		t.Skip("no locks on this system, so nothing is swept")
	}
	dir := t.TempDir()
	used, err := newStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	crashed, err := newStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := crashed.lock.Close(); err != nil { // as the end of a process does
		t.Fatal(err)
	}
	for _, name := range []string{storePrefix + "without-lock", "someone-elses", "revision-1"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "objects"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	for _, tt := range []struct {
		at      time.Time
		without bool
	}{{time.Now(), true}, {time.Now().Add(2 * young), false}} {
		if err := sweep(dir, tt.at); err != nil {
			t.Fatal(err)
		}
		if !exists(filepath.Base(used.dir)) || exists(filepath.Base(crashed.dir)) || !exists("someone-elses") || !exists("revision-1") || exists(storePrefix+"without-lock") != tt.without {
			entries, _ := os.ReadDir(dir)
			t.Errorf("after the sweep as of %s: %v", tt.at, entries)
		}
	}
	if err := used.drop(); err != nil || exists(filepath.Base(used.dir)) {
		t.Errorf("drop: %v", err)
	}
}
