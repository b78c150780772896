package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func subject(namespace, name string) identity.Subject {
	return identity.Subject{Namespace: namespace, ServiceAccount: name}
}

func judged(s identity.Subject, wanted identity.Mechanism, class diff.Class) diff.Judged {
	return diff.Judged{Mapping: desired.Mapping{Subject: s}, Wanted: wanted, Class: class}
}

// small is a round with one of everything: a mapping in sync, one that drifts, one
// with a missing fact, a conflict, a gap, two steps.
func small() report.Round {
	well, wrong, unread, left := subject("demo", "well"), subject("demo", "wrong"), subject("other", "unread"), subject("demo", "left")
	step := plan.Step{Subject: wrong, Effect: plan.Cross, Action: plan.SetAnnotation{Key: "k"}}
	drop := plan.Step{Subject: left, Effect: plan.Narrow, Action: plan.DropTrustStatement{Sid: "s"}}
	return report.Round{
		Number: 1, Started: noon, Ended: noon.Add(1500 * time.Millisecond), Mode: desired.ModeRepair,
		Mappings: 3,
		Result: diff.Result{
			Judged: []diff.Judged{judged(well, identity.IRSA, diff.Rest), judged(wrong, identity.PodIdentity, diff.Drift), judged(unread, identity.None, diff.Blind)},
			Findings: []diff.Finding{
				{Kind: diff.ClusterMismatch, Severity: diff.Critical},
				{Subject: left, Kind: diff.MappingGone, Severity: diff.Warning},
				{Subject: wrong, Kind: diff.AnnotationMismatch, Severity: diff.Critical},
				{Subject: wrong, Kind: diff.AnnotationTuning, Severity: diff.Info},
			},
			Unmanaged: []identity.Subject{subject("kube-system", "x")},
		},
		Plan: plan.Plan{Steps: []plan.Step{step, drop}, Holds: []plan.Hold{
			{Subject: wrong, Reason: plan.WriteConflict}, {Subject: left, Reason: plan.PruneOff}}},
		Outcomes: []report.Outcome{{Step: step, Result: report.Done}, {Step: drop, Result: report.Failed}},
		Moves: []report.Move{{Subject: wrong, Wanted: identity.PodIdentity, Phase: "soaking", Since: noon.Add(-time.Hour)},
			{Subject: left, Wanted: identity.IRSA, Phase: "crossing", Since: noon.Add(-time.Minute)}},
		Gaps: []live.Gap{{Source: live.SourceRole, Scope: "a", Reason: live.GapRefused}, {Source: live.SourceRole, Scope: "b", Reason: live.GapRefused}},
	}
}

// large is a round of n mappings: every third has a finding, every ninth a critical
// one, and two findings each.
func large(n int) report.Round {
	r := report.Round{Started: noon, Ended: noon.Add(time.Second), Mode: desired.ModeObserve, Mappings: n}
	for i := range n {
		s := subject(fmt.Sprintf("team-%02d", i%50), fmt.Sprintf("sa-%05d", i))
		class := diff.Rest
		if i%3 == 0 {
			class = diff.Drift
			severity := diff.Warning
			if i%9 == 0 {
				severity = diff.Critical
			}
			r.Result.Findings = append(r.Result.Findings,
				diff.Finding{Subject: s, Kind: diff.AnnotationMismatch, Severity: severity},
				diff.Finding{Subject: s, Kind: diff.TrustSubjectMissing, Severity: diff.Info})
			r.Plan.Holds = append(r.Plan.Holds, plan.Hold{Subject: s, Reason: plan.WriteConflict})
			r.Moves = append(r.Moves, report.Move{Subject: s, Wanted: identity.PodIdentity, Phase: []string{"pending", "crossing"}[i%2], Since: noon.Add(-time.Duration(i) * time.Second)})
		}
		r.Result.Judged = append(r.Result.Judged, judged(s, identity.IRSA, class))
	}
	return r
}

// lived is metrics after a life in which everything happened at least once.
func lived(reg prometheus.Registerer, opts metrics.Options) *metrics.Metrics {
	metrics.NewKube().Register(reg)
	opts.Version, opts.Commit, opts.GoVersion = "v1.2.3", "4f1c0c5a9a3e", "go1.26"
	m := metrics.New(reg, opts)
	m.Mode("observe")
	m.Leader(true)
	m.Fetched(noon, "main@sha1:a")
	m.Fetched(noon.Add(time.Minute), "main@sha1:b")
	m.Round(small())
	m.RoundFailed("git", remedy.Retry, noon.Add(2*time.Minute))
	m.Held("unsigned", noon)
	m.Removals(3, 5)
	m.Migrations(metrics.Migrations{Verdicts: map[string]int{"eligible": 2, "blocked": 0}, Reasons: map[string]int{"fargate": 1}, Phases: map[string]int{"settled": 3}})
	m.Reloaded(true, noon)
	m.AWSCall("IAM", "GetRole", "", 30*time.Millisecond)
	m.AWSCall("EKS Auth", "AssumeRoleForPodIdentity", "AccessDeniedException", time.Second)
	m.AWSThrottled("IAM")
	m.Waited("IAM", 2*time.Second)
	m.Budgets(map[string]metrics.Budget{"IAM": {Left: 3, Limit: 50}})
	m.Looked("unsigned", time.Second)
	m.SignaturesRequired(true)
	m.Verified("b", "unknown-key")
	m.Seen(map[string]int{"pods": 7})
	m.Quotas(metrics.Quotas{List: []metrics.Quota{{Name: "associations", Account: "123456789012", Used: 7, Limit: 5000}},
		Trust: []metrics.TrustPolicy{{Subject: subject("demo", "well"), Characters: 2000, Limit: 2048}}})
	m.Hook("github", "accepted")
	m.Event(true)
	m.Shown("comment", "edited")
	m.HostCall(304)
	m.HostLeft(4321)
	m.IdentityProbe("no-identity")
	return m
}

// scrape reads what a Prometheus server would.
func scrape(t testing.TB, from prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler(from).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("scrape: %d %v\n%.2000s", w.Code, err, body)
	}
	return string(body)
}
