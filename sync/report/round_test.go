package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func subject(namespace, name string) identity.Subject {
	return identity.Subject{Namespace: namespace, ServiceAccount: name}
}

func TestRoundInSync(t *testing.T) {
	t.Parallel()
	of := func(s ...diff.Severity) (r report.Round) {
		for _, one := range s {
			r.Result.Findings = append(r.Result.Findings, diff.Finding{Severity: one})
		}
		return r
	}
	gap := report.Round{Gaps: []live.Gap{{Source: live.SourcePods, Reason: live.GapRefused}}}
	for _, tt := range []struct {
		name  string
		round report.Round
		want  bool
	}{
		{"nothing found", of(), true},
		{"information only", of(diff.Info, diff.Info), false},
		{"a warning", of(diff.Info, diff.Warning), false},
		{"critical", of(diff.Critical), false},
		{"nothing found, something unread", gap, false},
	} {
		if got := tt.round.InSync(); got != tt.want {
			t.Errorf("%s: InSync is %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestRoundAtRest(t *testing.T) {
	t.Parallel()
	held := func(times ...time.Time) (h []plan.Hold) {
		for _, at := range times {
			h = append(h, plan.Hold{Reason: plan.Settling, NotBefore: at})
		}
		return h
	}
	never := time.Time{}
	for _, tt := range []struct {
		name  string
		plan  plan.Plan
		rest  bool
		at    time.Time
		waits bool
	}{
		{"empty plan", plan.Plan{}, true, never, false},
		{"a step", plan.Plan{Steps: []plan.Step{{}}}, false, never, false},
		{"a hold for a person", plan.Plan{Holds: held(never)}, true, never, false},
		{"a hold for time", plan.Plan{Holds: held(noon)}, false, noon, true},
		{"the earliest of several", plan.Plan{Holds: held(noon.Add(time.Hour), never, noon, noon.Add(time.Minute))}, false, noon, true},
		{"a step and a hold for time", plan.Plan{Steps: []plan.Step{{}}, Holds: held(noon)}, false, noon, true},
	} {
		r := report.Round{Plan: tt.plan}
		if got := r.AtRest(); got != tt.rest {
			t.Errorf("%s: AtRest is %t, want %t", tt.name, got, tt.rest)
		}
		if at, waits := r.NotBefore(); !at.Equal(tt.at) || waits != tt.waits {
			t.Errorf("%s: NotBefore is %v, %t, want %v, %t", tt.name, at, waits, tt.at, tt.waits)
		}
	}
}

func TestRoundCounts(t *testing.T) {
	t.Parallel()
	of := func(results ...report.Result) (r report.Round) {
		for _, one := range results {
			r.Outcomes = append(r.Outcomes, report.Outcome{Result: one})
		}
		return r
	}
	for _, tt := range []struct {
		name             string
		round            report.Round
		writes, failures int
	}{
		{"no step", of(), 0, 0},
		{"done", of(report.Done), 1, 0},
		{"written but not yet seen", of(report.Unverified), 1, 0},
		{"guard did not hold", of(report.Skipped), 0, 0},
		{"refused", of(report.Failed), 0, 1},
		{"mode observe", of(report.NotTaken), 0, 0},
		{"all of them", of(report.Done, report.Unverified, report.Skipped, report.Failed, report.NotTaken, report.Failed), 2, 2},
	} {
		if w, f := tt.round.Writes(), tt.round.Failures(); w != tt.writes || f != tt.failures {
			t.Errorf("%s: %d writes, %d failures, want %d, %d", tt.name, w, f, tt.writes, tt.failures)
		}
	}
}

// TestRoundText shows a round with one step of every result.
func TestRoundText(t *testing.T) {
	t.Parallel()
	w := example(t)
	r := report.Round{Number: 3, Started: noon, Ended: noon, Mode: desired.ModeRepair, Revision: w.state.Revision,
		Cluster: w.snap.Cluster(), Mappings: len(w.state.Mappings), Result: w.result, Plan: w.plan, Gaps: w.snap.Gaps()}
	for _, result := range []report.Result{report.Done, report.Unverified, report.Skipped, report.Failed, report.NotTaken} {
		o := report.Outcome{Step: w.plan.Steps[0], Result: result, At: noon}
		if result == report.Failed {
			o.Err = errors.New("update trust policy: AccessDenied:\x1b[2J not authorized")
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	var b strings.Builder
	if err := r.Text(&b, nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "round.text", b.String())
}

// TestRoundTextNothingDone shows that a round that may not write does not say that it did.
func TestRoundTextNothingDone(t *testing.T) {
	t.Parallel()
	w := example(t)
	for _, mode := range []desired.Mode{desired.ModeObserve, ""} {
		r := report.Round{Number: 1, Mode: mode, Revision: w.state.Revision, Cluster: w.snap.Cluster(), Result: w.result, Plan: w.plan}
		for _, s := range w.plan.Steps {
			r.Outcomes = append(r.Outcomes, report.Outcome{Step: s, Result: report.NotTaken})
		}
		why := "mode observe"
		if mode == "" {
			why = "no configuration"
		}
		var b strings.Builder
		if err := r.Text(&b, nil); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"round 1 · cluster irsa-lab · " + why + "  main@", "\n\nwould write (" + why + ": not done)\n  not-taken   widen", "\n0 written\n"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("mode %q: no %q in\n%s", mode, want, b.String())
			}
		}
		if strings.Contains(b.String(), "\nwritten\n") {
			t.Errorf("mode %q: says written", mode)
		}
	}
}

// TestRoundBrief shows rounds that stand between two that are told in full.
func TestRoundBrief(t *testing.T) {
	t.Parallel()
	w := example(t)
	step := w.plan.Steps[0]
	waiting := plan.Plan{Holds: []plan.Hold{
		{Subject: subject("demo", "later"), Reason: plan.Settling, Message: "not this one", NotBefore: noon.Add(time.Hour)},
		{Subject: subject("demo", "never"), Reason: plan.OwnerMustAct, Message: "nor this"},
		{Subject: subject("payments", "api"), Reason: plan.Settling, NotBefore: noon.Add(time.Minute),
			Message: "the role's trust must have been seen to allow for 1m0s; then the association is updated"},
	}}
	tomorrow := plan.Plan{Holds: []plan.Hold{{Reason: plan.Settling, Message: "then\x1b[2J", NotBefore: noon.Add(13 * time.Hour)}}}
	var b strings.Builder
	for i, r := range []report.Round{
		{Plan: waiting, Outcomes: []report.Outcome{{Step: step, Result: report.Done, At: noon}}},
		{Plan: waiting, Outcomes: []report.Outcome{{Step: step, Result: report.Failed, At: noon, Err: errors.New("update trust policy: Throttling")}}},
		{Plan: waiting},
		{Plan: tomorrow},
		{},
	} {
		r.Number, r.Mode = i+2, desired.ModeRepair
		r.Started, r.Ended = noon, noon.Add(2*time.Second+300*time.Millisecond)
		if err := r.Brief(&b, nil); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "rounds.text", b.String())
}

// TestRoundPublic shows what of a round goes out: errors and remedies as words, and
// never null for a list.
func TestRoundPublic(t *testing.T) {
	t.Parallel()
	step := plan.Step{Subject: subject("demo", "s3-reader"), Plane: diff.PlaneAssociation, Effect: plan.Narrow,
		Action: plan.DeleteAssociation{ID: "a-1"}, Because: "it has left Git"}
	for _, tt := range []struct {
		name  string
		round report.Round
		want  string // outcomes
	}{
		{"nothing written", report.Round{}, `[]`},
		{"done", report.Round{Outcomes: []report.Outcome{{Step: step, Result: report.Done, Before: "a-1", At: noon}}},
			`[{"result":"done","before":"a-1","after":"","at":"2026-11-23T12:00:00Z"}]`},
		{"failed", report.Round{Outcomes: []report.Outcome{{Step: step, Result: report.Failed, Err: errors.New("throttled"), Remedy: remedy.Retry, At: noon}}},
			`[{"result":"failed","before":"","after":"","error":"throttled","remedy":"retry","at":"2026-11-23T12:00:00Z"}]`},
	} {
		tt.round.Number, tt.round.Mode, tt.round.Started, tt.round.Ended = 7, desired.ModeRepair, noon, noon.Add(time.Second)
		got, err := json.Marshal(tt.round.Public())
		if err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(step)
		if err != nil {
			t.Fatal(err)
		}
		empty, err := json.Marshal(report.NewDiff(desired.ModeRepair, desired.Revision{}, diff.Result{}, plan.Plan{}, nil))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"round":7,"started":"2026-11-23T12:00:00Z","ended":"2026-11-23T12:00:01Z","mode":"repair","diff":%s,"outcomes":%s}`,
			empty, strings.ReplaceAll(tt.want, `{"result"`, `{"step":`+string(written)+`,"result"`))
		if difference := cmp.Diff(want, string(got)); difference != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, difference)
		}
	}
}
