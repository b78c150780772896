package status_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

// told returns what a board says.
func told(t *testing.T, b *status.Board) status.Status {
	t.Helper()
	var s status.Status
	data := ask(b.Handler(), "GET", "/api/v1/status", token).Body.Bytes()
	validate(t, "status.json", data)
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMoving: what moves is told with its phase, step, holds and exposed pods, those with
// exposed pods first, and no more than there is room for.
func TestMoving(t *testing.T) {
	t.Parallel()
	back := identity.Subject{Namespace: "demo", ServiceAccount: "back"}
	r := report.Round{Started: noon, Ended: noon, Mode: desired.ModeMigrate}
	for i := range 600 {
		s := identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprintf("sa-%03d", i)}
		r.Moves = append(r.Moves, report.Move{Subject: s, Wanted: identity.PodIdentity, Phase: "pending", Since: noon})
	}
	r.Moves = append(r.Moves, report.Move{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "failed"}, Wanted: identity.PodIdentity, Phase: "rolled-back", Since: noon},
		report.Move{Subject: back, Wanted: identity.IRSA, Phase: "crossing", Since: noon.Add(-time.Minute)})
	pod := func(name string, c live.Credential) live.Pod {
		return live.Pod{Name: name, Containers: []live.Container{{Credential: c}}}
	}
	judged := diff.Judged{Mapping: desired.Mapping{Subject: back}, Wanted: identity.IRSA, Pods: []live.Pod{pod("old", live.CredentialPodIdentity), pod("new", live.CredentialIRSA)}}
	unread := judged
	unread.Mapping.Subject.ServiceAccount, unread.Unknown = "unread", []string{"the association"}
	r.Result.Judged = []diff.Judged{judged, unread}
	r.Plan.Holds = []plan.Hold{{Subject: back, Reason: plan.Waiting, NotBefore: noon.Add(5 * time.Second), Message: "a pod is not ready"}}
	r.Outcomes = []report.Outcome{{Step: plan.Step{Subject: back, Plane: diff.PlanePods, Effect: plan.Cross, Action: plan.EvictPod{Pod: "old"}}, Result: report.Done, At: noon}}
	b := newBoard()
	b.Saw(r, nil)
	s := told(t, b)
	if len(s.Moving) != 500 || s.MovingUnlisted != 102 || s.Exposed != 1 {
		t.Errorf("%d listed, %d not, %d exposed", len(s.Moving), s.MovingUnlisted, s.Exposed)
	}
	m := s.Moving[0]
	if m.ServiceAccount != "back" || m.Phase != "crossing" || m.Wanted != "irsa" || !m.Since.Equal(noon.Add(-time.Minute)) || len(m.Exposed) != 1 || m.Exposed[0] != "old" ||
		m.Step == nil || *m.Step != (status.Taken{Text: "evict pod old", Result: "done"}) || len(m.Holds) != 1 || m.Holds[0].Reason != "waiting" || !m.Holds[0].Until.Equal(noon.Add(5*time.Second)) {
		t.Errorf("told first is %+v", m)
	}
	if s.Moving[1].ServiceAccount != "failed" || s.Moving[1].Step != nil {
		t.Errorf("told second is %+v", s.Moving[1])
	}
	b.Again(report.Round{Started: noon, Ended: noon}, nil)
	if s := told(t, b); len(s.Moving) != 0 || s.Exposed != 0 || len(s.Steps) != 1 {
		t.Errorf("after all have settled: %d move, %d are exposed, %d steps", len(s.Moving), s.Exposed, len(s.Steps))
	}
}

// TestSteps: the steps of an hour are told, with both values to the byte; what fails again
// and again is told once, and does not push out what was written; what is older, and what
// there is no room for, goes, and the moment is told since which nothing is missing.
func TestSteps(t *testing.T) {
	t.Parallel()
	now := noon
	b := status.New(status.Options{Authorize: someone, Now: func() time.Time { return now }})
	subject := identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	taken := func(key string, result report.Result, err error) {
		step := plan.Step{Subject: subject, Plane: diff.PlaneServiceAccount, Effect: plan.Narrow, Action: plan.DropAnnotation{Key: key}, Because: "why"}
		b.Again(report.Round{Started: now, Ended: now, Outcomes: []report.Outcome{{Step: step, Result: result, Before: trustBefore, After: "", Err: err, At: now}}}, nil)
	}
	taken("k", report.Done, nil)
	for range 300 {
		now = now.Add(time.Second)
		taken("failing", report.Failed, errors.New("refused"))
	}
	taken("untaken", report.NotTaken, nil)
	s := told(t, b)
	if len(s.Steps) != 2 || s.Steps[0].Attempts != 300 || s.Steps[0].Error != "refused" || !s.Steps[0].At.Equal(now) || s.Steps[1].Before != trustBefore || s.Steps[1].Action != "drop-annotation" {
		t.Errorf("got %+v", s.Steps)
	}
	if !s.StepsSince.Equal(noon) {
		t.Errorf("complete since %v, want the start", s.StepsSince)
	}
	now = noon.Add(time.Hour + time.Minute)
	if s := told(t, b); len(s.Steps) != 1 || !s.StepsSince.Equal(noon.Add(time.Minute)) {
		t.Errorf("after an hour: %d steps, complete since %v", len(s.Steps), s.StepsSince)
	}
	for i := range 250 {
		now = now.Add(time.Second)
		taken(strings.Repeat("x", i), report.Done, nil)
	}
	if s := told(t, b); len(s.Steps) != 200 || !s.StepsSince.Equal(now.Add(-200*time.Second)) {
		t.Errorf("of 250: %d steps, complete since %v", len(s.Steps), s.StepsSince)
	}
}
