package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/testkit"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

func TestExposition(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"new", "lived"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := prometheus.NewPedanticRegistry()
			if name == "new" {
				metrics.New(reg, metrics.Options{Version: "v1.2.3"})
			} else {
				lived(reg, metrics.Options{})
			}
			problems, err := testutil.GatherAndLint(reg)
			if err != nil || len(problems) > 0 {
				t.Errorf("promlint: %v %v", err, problems)
			}
			testkit.Golden(t, name+".prom", scrape(t, reg))
		})
	}
}

// value returns a sample of a scrape, by its text up to the value.
func value(t *testing.T, text, sample string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if v, is := strings.CutPrefix(line, sample+" "); is {
			return strings.TrimSpace(v)
		}
	}
	return "absent"
}

// samples returns those that begin with a metric's name and its brace.
func samples(text, name string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// TestVanished: what is not in the next record is not in the next scrape, and totals
// fall back to 0 and stay.
func TestVanished(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := lived(reg, metrics.Options{})
	const gone = `lanyard_finding{kind="annotation-mismatch",namespace="demo",plane="service-account",service_account="wrong",severity="critical"}`
	const conflict = `lanyard_write_conflict{namespace="demo",service_account="wrong"}`
	const total = `lanyard_findings{kind="annotation-mismatch",plane="service-account",severity="critical"}`
	before := scrape(t, reg)
	m.Round(report.Round{Started: noon, Ended: noon.Add(time.Hour), Result: diff.Result{Judged: small().Result.Judged[:1]}})
	after := scrape(t, reg)
	for sample, want := range map[string][2]string{
		gone: {"1", "absent"}, conflict: {"1", "absent"}, total: {"1", "0"},
		`lanyard_mapping_in_sync{namespace="demo",service_account="wrong"}`: {"0", "absent"},
		`lanyard_mapping_in_sync{namespace="demo",service_account="well"}`:  {"1", "1"},
		"lanyard_write_conflicts":                                                   {"1", "0"},
		`lanyard_gaps{source="iam:GetRole"}`:                                        {"2", "0"},
		`lanyard_holds{reason="prune-off"}`:                                         {"1", "0"},
		`lanyard_rounds_total{result="good"}`:                                       {"1", "2"},
		"lanyard_round_duration_seconds_count":                                      {"1", "2"},
		"lanyard_last_good_round_timestamp_seconds":                                 {"1.7955216015e+09", "1.7955252e+09"},
		`lanyard_steps_planned{effect="cross"}`:                                     {"1", "0"},
		"lanyard_unmanaged_service_accounts":                                        {"1", "0"},
		`lanyard_revision_held{reason="unsigned"}`:                                  {"1", "1"},
		`lanyard_steps_total{action="set-annotation",effect="cross",result="done"}`: {"1", "1"},
	} {
		if got := [2]string{value(t, before, sample), value(t, after, sample)}; got != want {
			t.Errorf("%s is %v, want %v", sample, got, want)
		}
	}
}

// TestFollower: a replica that no longer leads shows nothing of what it saw, but goes
// on saying when it last looked; and a round that ends after the loss changes nothing.
func TestFollower(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := lived(reg, metrics.Options{})
	m.Leader(false)
	m.Round(small())
	text := scrape(t, reg)
	for _, name := range []string{"lanyard_finding", "lanyard_mapping_in_sync", "lanyard_write_conflict"} {
		if got := samples(text, name); len(got) > 0 {
			t.Errorf("a follower shows %v", got)
		}
	}
	for sample, want := range map[string]string{
		"lanyard_leader": "0", `lanyard_findings{kind="cluster-mismatch",plane="git",severity="critical"}`: "0",
		"lanyard_last_good_round_timestamp_seconds": "1.7955216015e+09", `lanyard_rounds_total{result="good"}`: "2",
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
	m.Leader(true)
	m.Round(small())
	if got := samples(scrape(t, reg), "lanyard_finding"); len(got) != 4 {
		t.Errorf("a leader again shows %v", got)
	}
}

// TestStates walks through what is told between rounds.
func TestStates(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{Now: func() time.Time { return noon.Add(time.Hour) }})
	check := func(what, sample, want string) {
		t.Helper()
		if got := value(t, scrape(t, reg), sample); got != want {
			t.Errorf("%s: %s is %s, want %s", what, sample, got, want)
		}
	}
	check("alone", "lanyard_leader", "1")
	m.Held("rewound", noon)
	check("held", `lanyard_revision_held{reason="rewound"}`, "1")
	m.Held("empty", noon.Add(time.Minute))
	check("held for another reason", "lanyard_revision_held_start_timestamp_seconds", "1.7955216e+09")
	check("held for another reason", `lanyard_revision_held{reason="rewound"}`, "0")
	m.Held("because \xff", noon)
	check("held for a word of no list", `lanyard_revision_held{reason="other"}`, "1")
	m.Held("", noon)
	check("held no longer", "lanyard_revision_held_start_timestamp_seconds", "0")
	check("held no longer", `lanyard_revision_held{reason="other"}`, "0")
	m.Fetched(noon, "a")
	m.Fetched(noon, "a")
	check("the same revision", "lanyard_git_revisions_total", "1")
	m.Fetched(noon, "b")
	check("a new revision", "lanyard_git_revisions_total", "2")
	m.Reloaded(true, noon)
	m.Reloaded(false, noon.Add(time.Hour))
	check("a bad reload", "lanyard_config_last_reload_successful", "0")
	check("a bad reload", "lanyard_config_last_reload_success_timestamp_seconds", "1.7955216e+09")
	m.RoundFailed("nowhere", remedy.Halt, noon)
	check("a failure at no stage", `lanyard_round_failures_total{remedy="halt",stage="other"}`, "1")
	m.Mode("repair")
	check("mode", `lanyard_mode{mode="repair"}`, "1")
	m.Removals(-1, 5)
	check("an overdrawn budget", "lanyard_removals_left", "0")
	m.Hook("bitbucket", "accepted")
	m.Hook("github", "eaten")
	check("a provider of no list", `lanyard_hooks_total{provider="other",result="accepted"}`, "1")
	check("a result of no list", `lanyard_hooks_total{provider="github",result="other"}`, "1")
	m.Again(small())
	check("a partial round", `lanyard_rounds_total{result="partial"}`, "1")
	check("a partial round", `lanyard_findings{kind="cluster-mismatch",plane="git",severity="critical"}`, "1")
	check("a partial round", `lanyard_steps_total{action="set-annotation",effect="cross",result="done"}`, "1")
	check("a partial round", "lanyard_last_good_round_timestamp_seconds", "0")
	check("a partial round", "lanyard_round_duration_seconds_count", "0")
	m.Fetched(time.Time{}, "b")
	check("a fetch without a moment", "lanyard_last_good_fetch_timestamp_seconds", "1.7955252e+09")
	m.Round(report.Round{Started: noon, Ended: noon.Add(-time.Hour)})
	check("a clock set back", `lanyard_round_duration_seconds_bucket{le="0.5"}`, "1")
}

func TestHandlerMethods(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	lived(reg, metrics.Options{})
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
		w := httptest.NewRecorder()
		metrics.Handler(reg).ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
}

// TestFollowerHoldsNothing: a replica that leads no more does not go on alerting about
// a head that it held back.
func TestFollowerHoldsNothing(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, metrics.Options{})
	held := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, f := range families {
			if f.GetName() == "lanyard_revision_held" {
				for _, metric := range f.GetMetric() {
					sum += metric.GetGauge().GetValue()
				}
			}
		}
		return sum
	}
	m.Leader(true)
	m.Held("rewound", noon)
	if held() != 1 {
		t.Fatalf("held %v while it leads; want 1", held())
	}
	m.Leader(false)
	if held() != 0 {
		t.Errorf("held %v after it led; want 0", held())
	}
}
