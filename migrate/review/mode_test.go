package review_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate/review"
)

// TestModes: no form says that something happens which the mode does not let happen, and
// the first line says what the mode leaves undone.
func TestModes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pull string
		mode desired.Mode
		line string // the beginning
	}{
		{"flip", desired.ModeMigrate, "low risk: demo/s3-reader moves to Pod Identity, 2 pods restart, "},
		{"flip", desired.ModeRepair, "low risk: demo/s3-reader waits for mode migrate to be moved to pod-identity, 10 findings"},
		{"flip", desired.ModeObserve, "low risk, once lanyard may write: demo/s3-reader waits for mode migrate to be moved to pod-identity, 10 findings"},
		{"flip", "", "low risk, once lanyard may write: demo/s3-reader waits for mode migrate to be moved to pod-identity, 10 findings"},
		{"flip-back", desired.ModeRepair, "high risk: payments/api waits for mode migrate to be moved to irsa, "},
		{"role", desired.ModeRepair, "medium risk: demo/s3-reader gets another role, 2 pods for somebody to restart, "},
		{"role", desired.ModeObserve, "medium risk, once lanyard may write: demo/s3-reader would get another role"},
	} {
		in := pull(t, test.pull)
		in.Mode = test.mode
		r := review.New(in)
		if !strings.HasPrefix(r.Summary.Line, test.line) {
			t.Errorf("%s in mode %q: got %q, want %q…", test.pull, test.mode, r.Summary.Line, test.line)
		}
		for form, write := range forms(r) {
			if form == "json" || form == "sarif" {
				continue // have the steps of mode migrate, and the mode beside them
			}
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			for _, claim := range []string{"moves to Pod Identity", "moves back to IRSA", "low: restarts: lanyard restarts", "(low): lanyard restarts", "- pods that lanyard restarts:", "  restarts: "} {
				if has := strings.Contains(b.String(), claim); has && test.mode != desired.ModeMigrate {
					t.Errorf("%s in mode %q, as %s: says %q", test.pull, test.mode, form, claim)
				}
			}
			if strings.Contains(b.String(), "mended by the steps") && test.pull == "flip" && test.mode != desired.ModeMigrate {
				t.Errorf("%s in mode %q, as %s: says that steps mend which are not taken", test.pull, test.mode, form)
			}
		}
	}
}

// TestAge: the age of the snapshot is said as people do.
func TestAge(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]string{
		time.Second:                    "UTC, 1 second old\n",
		119 * time.Second:              "UTC, 119 seconds old\n",
		3*time.Minute + 59*time.Second: "UTC, 3 minutes old\n",
		47*time.Hour + 59*time.Minute:  "UTC, 47 hours old\n",
		135*time.Hour + 16*time.Minute: "UTC, 5 days old\n",
		0:                              "UTC\n",
	} {
		in := pull(t, "nothing")
		in.Age = age
		var b bytes.Buffer
		if err := review.New(in).Markdown(&b, 10_000); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: want %q in\n%s", age, want, b.String())
		}
	}
}
