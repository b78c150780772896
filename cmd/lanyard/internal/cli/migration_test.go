package cli

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/fleet"
	"github.com/lanyard-io/lanyard/sync/report"
)

// asked skips what make check asks for by itself: a whole fleet in virtual time takes the
// race detector minutes, and there is one goroutine that does anything.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("LANYARD_MIGRATION") == "" {
		t.Skip("LANYARD_MIGRATION is not set: make check-migration runs it")
	}
}

// sized is the scenario with a fleet of some size.
func sized(t *testing.T, o fleet.Options) (*migration, *bytes.Buffer) {
	t.Helper()
	debug.SetGCPercent(400)
	var out bytes.Buffer
	world := World{Stdout: &out, Stderr: t.Output(), Getenv: func(string) string { return "" }}
	o.Start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	s, err := stageOf(t.Context(), world, newVoice(world), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	s.output = "json"
	return &migration{stage: s, began: time.Now()}, &out
}

// TestMigration: a small fleet goes to Pod Identity and back; nobody who must not loses
// access, and the workload that cannot use Pod Identity is taken back.
func TestMigration(t *testing.T) {
	asked(t)
	t.Parallel()
	m, out := sized(t, fleet.Options{Small: true})
	if err := m.play(t.Context()); err != nil {
		t.Error(err)
	}
	if err := m.show(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`"workloads":15,`, `"settled":25,`, `"keptOnIRSA":2,`, `"rolledBack":1,`, `"holds":2,`, `"failedCredentialRequests":0,`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if a := m.answer(); a.Requests < 1000 || a.Exposed == 0 || a.Restarts == 0 || a.AWSCalls == 0 || m.fleet.Judge().Admitted < 100 {
		t.Errorf("%+v: nothing was put to the test", a)
	}
	m.output = "table"
	out.Reset()
	if err := m.show(); err != nil || !strings.Contains(out.String(), "held, with both sides wired") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestMigrationPage: while the fleet moves, the page that the scenario names shows what is
// on its way, and the metrics count it.
func TestMigrationPage(t *testing.T) {
	asked(t)
	t.Parallel()
	m, out := sized(t, fleet.Options{Small: true, Still: true, Late: time.Millisecond})
	m.output = "table"
	if err := m.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile(`page +(http://\S+)`).FindStringSubmatch(out.String())
	metrics := regexp.MustCompile(`metrics +(http://\S+)`).FindStringSubmatch(out.String())
	if page == nil || metrics == nil {
		t.Fatalf("no address of both in %q", out)
	}
	get := func(url string) string {
		t.Helper()
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", url, answer.Status, err)
		}
		return string(body)
	}
	ctx, enough := context.WithCancel(t.Context())
	var seen, counted string
	m.killed = func(_ *migration, r report.Round) bool {
		for _, move := range r.Moves {
			if move.Phase == "soaking" && seen == "" {
				seen, counted = get(page[1]), get(metrics[1])
				enough()
			}
		}
		return false
	}
	if err := m.play(ctx); ctx.Err() == nil {
		t.Fatalf("nobody ever soaked: %v", err)
	}
	if !strings.Contains(seen, "are on their way") || !strings.Contains(seen, "soaking") || !strings.Contains(counted, `lanyard_workload_phases{phase="soaking"}`) || !strings.Contains(counted, `lanyard_mode{mode="migrate"} 1`) {
		t.Errorf("the page has %d bytes and the metrics %d, without what moves", len(seen), len(counted))
	}
}

// TestMigrationKilled: the process ends after each kind of step on each way, and another
// one begins. It carries on, and nothing is done twice.
func TestMigrationKilled(t *testing.T) {
	asked(t)
	t.Parallel()
	run := func(killed func(*migration, report.Round) bool) fleet.Tally {
		t.Helper()
		m, _ := sized(t, fleet.Options{Small: true, Still: true, Late: time.Millisecond})
		m.killed = killed
		if err := m.play(t.Context()); err != nil {
			t.Error(err)
		}
		if err := m.show(); err != nil {
			t.Error(err)
		}
		return m.fleet.Judge().Tally
	}
	want := run(nil)
	ended := map[string]bool{}
	got := run(func(m *migration, r report.Round) bool {
		for _, o := range r.Outcomes {
			kind := r.Revision.Commit + " " + o.Step.Action.Kind()
			if o.Wrote() && !ended[kind] {
				ended[kind] = true
				m.world.Clock.Advance(time.Second) // no process begins in no time
				return true
			}
		}
		return false
	})
	if len(ended) < 12 {
		t.Errorf("only %d processes ended: after %v", len(ended), slices.Sorted(maps.Keys(ended)))
	}
	if !maps.Equal(got.Created, want.Created) || !maps.Equal(got.Deleted, want.Deleted) {
		t.Errorf("associations: got %v made and %v deleted, want %v and %v", got.Created, got.Deleted, want.Created, want.Deleted)
	}
	if !maps.Equal(got.Trust, want.Trust) {
		t.Errorf("trust policies: got %v, want %v", got.Trust, want.Trust)
	}
	if !maps.Equal(got.Annotated, want.Annotated) {
		t.Errorf("annotations: got %v, want %v", got.Annotated, want.Annotated)
	}
	if !maps.Equal(got.Rollouts, want.Rollouts) || got.Evictions != want.Evictions {
		t.Errorf("restarts: got %v and %d evictions, want %v and %d", got.Rollouts, got.Evictions, want.Rollouts, want.Evictions)
	}
}
