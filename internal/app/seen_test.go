package app_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/sync/report"
)

// TestMigrateIsSeen: the record of each round says in which phase a workload is and since
// when, which pods are exposed on the way back, and what each step wrote.
func TestMigrateIsSeen(t *testing.T) {
	t.Parallel()
	s := mover(t, "pod-identity")
	exposed := 0
	watch := func() (phases []string) {
		var since time.Time
		r, err := s.syncer(t).Rest(t.Context(), 24*time.Hour, func(r report.Round) {
			for _, m := range r.Moves {
				switch {
				case len(phases) == 0 || phases[len(phases)-1] != m.Phase:
					phases = append(phases, m.Phase)
				case !m.Since.Equal(since) && m.Since.Sub(since) > time.Second:
					t.Errorf("in %s since %v, and a round later since %v", m.Phase, since, m.Since)
				}
				if since = m.Since; since.After(r.Ended) || since.IsZero() || m.Subject.String() != "demo/s3-reader" {
					t.Errorf("%+v, in a round that ended %v", m, r.Ended)
				}
			}
			for _, e := range r.Exposed() {
				exposed += len(e.Pods)
			}
			for _, o := range r.Outcomes {
				if o.Wrote() && o.Before == o.After && o.Step.Action.Kind() != "evict-pod" {
					t.Errorf("%s: before and after are both %q", o.Step.Action, o.Before)
				}
			}
		})
		if err != nil || len(r.Moves) > 0 {
			t.Fatalf("at rest %+v move: %v", r.Moves, err)
		}
		return phases
	}
	if got, want := watch(), []string{"pending", "widened", "crossing", "soaking", "narrowing"}; !slices.Equal(got, want) || exposed > 0 {
		t.Errorf("there: %q, want %q; %d exposed", got, want, exposed)
	}
	s.declare(t, "irsa")
	if got, want := watch(), []string{"pending", "widened", "crossing", "soaking", "narrowing"}; !slices.Equal(got, want) || exposed == 0 {
		t.Errorf("back: %q, want %q; %d exposed", got, want, exposed)
	}
}

// TestDaemonShowsMoves: a daemon in mode migrate tells of a move on all its surfaces: its
// status has the phase and the steps with both values, its metrics the phase, and the
// ServiceAccount an Event of each step.
func TestDaemonShowsMoves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.World.Kube.SeedManifests(rights.Place{Namespace: "lanyard", ServiceAccount: "lanyard"}.Admission()); err != nil {
		t.Fatal(err)
	}
	r.setConfig(t, "mode: repair", "mode: migrate")
	r.commit(t, map[string]string{"demo/s3-reader.yaml": mapping("pod-identity")})
	d := r.start(t, func(o *app.DaemonOptions) { o.Kube = r.Client("system:serviceaccount:lanyard:lanyard") })
	var s app.Status
	r.until(t, "soaking", func() bool {
		var err error
		if s, _, err = app.RemoteStatus(t.Context(), "http://"+d.Addr().String(), app.Access{Token: apiToken}); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(s.Moving, func(m app.Moving) bool {
			return m.Namespace+"/"+m.ServiceAccount == "demo/s3-reader" && m.Phase == "soaking" && m.Wanted == "pod-identity" && len(m.Holds) > 0
		})
	})
	steps := map[string]app.Step{}
	for _, step := range s.Steps {
		if step.Namespace+"/"+step.ServiceAccount == "demo/s3-reader" && step.Result == "done" {
			steps[step.Action] = step
		}
	}
	put, created := steps["put-trust-statement"], steps["create-association"]
	if !json.Valid([]byte(put.Before)) || !strings.Contains(put.After, "pods.eks.amazonaws.com") || strings.Contains(put.Before, "pods.eks.amazonaws.com") {
		t.Errorf("the trust policy before is %q, after %q", put.Before, put.After)
	}
	if created.Before != "" || !strings.Contains(created.After, `"lanyard.io/mapping":"demo/s3-reader"`) || steps["evict-pod"].Because == "" {
		t.Errorf("steps %+v", steps)
	}
	if d.metric(t, `lanyard_migration_phase{namespace="demo",phase="soaking",service_account="s3-reader"} 1`) == "" || d.metric(t, "lanyard_pods_exposed 0") == "" {
		t.Errorf("metrics say %s", d.metric(t, "lanyard_migration"))
	}
	if n := len(r.events()); n < len(steps) {
		t.Errorf("%d Events of %d steps", n, len(steps))
	}
}

// TestPauseStopsMoves: migration.pause stops a daemon's steps forward without a restart,
// its status says so, and the move goes on when the pause is taken away.
func TestPauseStopsMoves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.World.Kube.SeedManifests(rights.Place{Namespace: "lanyard", ServiceAccount: "lanyard"}.Admission()); err != nil {
		t.Fatal(err)
	}
	r.setConfig(t, "mode: repair", "mode: migrate\nmigration: {pause: true}")
	r.commit(t, map[string]string{"demo/s3-reader.yaml": mapping("pod-identity")})
	d := r.start(t, func(o *app.DaemonOptions) { o.Kube = r.Client("system:serviceaccount:lanyard:lanyard") })
	look := func() (m app.Moving, moves bool) {
		s, _, err := app.RemoteStatus(t.Context(), "http://"+d.Addr().String(), app.Access{Token: apiToken})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Moving, func(m app.Moving) bool { return m.Namespace+"/"+m.ServiceAccount == "demo/s3-reader" })
		if i < 0 {
			return m, false
		}
		return s.Moving[i], true
	}
	r.settled(t, d)
	m, moves := look()
	if !moves || m.Phase != "pending" || len(m.Holds) != 1 || m.Holds[0].Reason != "paused" || slices.Contains(r.identityWrites(), "eks:CreatePodIdentityAssociation") {
		t.Errorf("paused: %+v, wrote %v", m, r.identityWrites())
	}
	r.setConfig(t, "migration: {pause: true}", "")
	r.until(t, "crossed", func() bool { m, moves := look(); return moves && m.Phase == "crossing" })
}
