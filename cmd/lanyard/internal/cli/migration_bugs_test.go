//go:build bugs

package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/sandbox/fleet"
)

// TestMigrationBugs: the scenario sees what a tired person would have got wrong.
func TestMigrationBugs(t *testing.T) { // one after the other: the bug in force is global
	asked(t)
	defer func() { bugs.Name = "" }()
	for bug, want := range map[string]string{
		"settle for nothing": "had not stood for 1m0s",
		"forget Fargate":     "by pod-identity: agent at fault",
		"mark after delete":  "was deleted, though it works and Git wants it",
		"delete under Jobs":  "was deleted under a pod that nobody makes again",
	} {
		bugs.Name = bug
		m, _ := sized(t, fleet.Options{Small: true})
		if err := errors.Join(m.play(t.Context()), m.show()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", bug, err, want)
		}
	}
}
