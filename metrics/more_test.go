package metrics_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

// TestTable: what is exposed, with which type and labels, is what the table says.
func TestTable(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := lived(reg, metrics.Options{})
	r := troubled()
	m.Round(r)
	for i := range 4 { // the mapping flaps
		r.Result.Findings = nil
		if i%2 == 1 {
			r.Result.Findings = small().Result.Findings
		}
		m.Round(r)
	}
	r.Plan = small().Plan
	m.Round(r)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	for _, f := range families {
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		got[f.GetName()] = fmt.Sprint(strings.ToLower(f.GetType().String()), slices.Sorted(maps.Keys(labels)))
	}
	for _, m := range metrics.Table() {
		want[m.Name] = fmt.Sprint(m.Type, m.Labels)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-table +exposed)\n%s", diff)
	}
}

// TestDriftAge: the oldest finding of a plane and severity says since when.
func TestDriftAge(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	r, wrong := small(), subject("demo", "wrong")
	r.Result.Findings = []diff.Finding{
		{Subject: wrong, Kind: diff.TrustTooWide, Severity: diff.Warning, FirstSeen: noon.Add(-time.Minute)},
		{Subject: wrong, Kind: diff.RoleMissing, Severity: diff.Warning, FirstSeen: noon.Add(-time.Hour)},
		{Subject: wrong, Kind: diff.RoleMissing, Severity: diff.Critical, FirstSeen: noon.Add(-time.Second)},
		{Subject: subject("demo", "other"), Kind: diff.RoleMissing, Severity: diff.Warning, FirstSeen: noon.Add(-2 * time.Hour)},
	}
	m.Round(r)
	text := scrape(t, reg)
	for sample, want := range map[string]time.Time{
		`lanyard_drift_start_timestamp_seconds{namespace="demo",plane="trust",service_account="wrong",severity="warning"}`:  noon.Add(-time.Hour),
		`lanyard_drift_start_timestamp_seconds{namespace="demo",plane="trust",service_account="wrong",severity="critical"}`: noon.Add(-time.Second),
		`lanyard_drift_oldest_start_timestamp_seconds{plane="trust",severity="warning"}`:                                    noon.Add(-2 * time.Hour),
		`lanyard_drift_oldest_start_timestamp_seconds{plane="git",severity="warning"}`:                                      time.Unix(0, 0),
	} {
		if got, want := value(t, text, sample), fmt.Sprint(float64(want.Unix())); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
}

// TestFlapping: what begins twice within an hour flaps; what a new leader finds, what is
// only known and what nobody could read does not.
func TestFlapping(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	s := subject("demo", "wrong")
	at := noon
	round := func(severity diff.Severity, unknown ...string) {
		at = at.Add(time.Minute)
		r := report.Round{Started: at, Ended: at}
		j := judged(s, identity.IRSA, diff.Rest)
		j.Unknown = unknown
		r.Result.Judged = []diff.Judged{j}
		if severity != "" {
			r.Result.Findings = []diff.Finding{{Subject: s, Kind: diff.RoleMissing, Severity: severity}}
		}
		m.Round(r)
	}
	const series = `lanyard_flaps{namespace="demo",plane="trust",service_account="wrong"}`
	check := func(what, flaps, onsets string) {
		t.Helper()
		text := scrape(t, reg)
		got := [2]string{value(t, text, series), value(t, text, `lanyard_drift_onsets_total{plane="trust"}`)}
		if want := [2]string{flaps, onsets}; got != want {
			t.Errorf("%s: flaps and onsets %v, want %v", what, got, want)
		}
	}
	round(diff.Critical)
	check("found at once", "absent", "0")
	round("")
	round(diff.Warning)
	check("once", "absent", "1")
	round("", "pods")
	round(diff.Warning)
	check("not read in between", "absent", "1")
	round(diff.Info)
	round("")
	round(diff.Info)
	check("only information", "absent", "1")
	round("")
	round(diff.Warning)
	check("twice", "2", "2")
	m.Again(report.Round{Ended: at, Partial: true})
	m.Again(report.Round{Ended: at, Partial: true, Result: diff.Result{Findings: []diff.Finding{{Subject: s, Kind: diff.RoleMissing, Severity: diff.Warning}}}})
	check("between two whole rounds", "3", "3")
	at = at.Add(2 * time.Hour)
	round(diff.Warning)
	check("hours later", "absent", "3")
	m.Leader(false)
	m.Leader(true)
	round(diff.Critical)
	check("found by a new leader", "absent", "3")
	if got := value(t, scrape(t, reg), "lanyard_terms_total"); got != "1" {
		t.Errorf("%s terms, want 1", got)
	}
}

// troubled is a round with pods in each kind of trouble.
func troubled() report.Round {
	r := small()
	pod := func(name string, owner live.WorkloadRef, c live.Credential) live.Pod {
		return live.Pod{Namespace: "demo", Name: name, Owner: owner, Containers: []live.Container{{Name: "side", Skipped: true, Credential: live.CredentialNone}, {Name: "app", Credential: c}}}
	}
	web, none := live.WorkloadRef{Kind: "Deployment", Name: "web"}, live.WorkloadRef{}
	wired := judged(subject("demo", "wired"), identity.IRSA, diff.Drift)
	wired.On = identity.IRSA
	wired.Pods = []live.Pod{pod("web-1", web, live.CredentialNone), pod("web-2", web, live.CredentialBroken), pod("web-3", web, live.CredentialIRSA), pod("a", none, live.CredentialNone), pod("b", none, live.CredentialNone)}
	bare := judged(subject("demo", "bare"), identity.IRSA, diff.Drift)
	bare.Pods = []live.Pod{pod("web-4", web, live.CredentialNone), pod("web-5", web, live.CredentialPodIdentity)}
	unread := judged(subject("demo", "unread"), identity.IRSA, diff.Blind)
	unread.On, unread.Unknown, unread.Pods = identity.IRSA, []string{"role"}, wired.Pods
	r.Result.Judged = append(r.Result.Judged, wired, bare, unread)
	return r
}

// TestTroubledPods counts pods without what they should have, by workload; of mappings
// of which a fact is missing nothing is said.
func TestTroubledPods(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	metrics.New(reg, metrics.Options{MappingLimit: 4}).Round(troubled())
	text := scrape(t, reg)
	want := []string{
		`lanyard_troubled_pods{namespace="demo",owner="",owner_kind="Pod",service_account="wired",trouble="uninjected"} 2`,
		`lanyard_troubled_pods{namespace="demo",owner="web",owner_kind="Deployment",service_account="bare",trouble="exposed"} 1`,
		`lanyard_troubled_pods{namespace="demo",owner="web",owner_kind="Deployment",service_account="bare",trouble="node-role"} 1`,
		`lanyard_troubled_pods{namespace="demo",owner="web",owner_kind="Deployment",service_account="wired",trouble="uninjected"} 2`,
	}
	if diff := cmp.Diff(want, samples(text, "lanyard_troubled_pods")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for sample, want := range map[string]string{"lanyard_pods_uninjected": "4", "lanyard_pods_on_node_role": "4", "lanyard_pods_exposed": "1", "lanyard_troubled_pods_unlisted": "2"} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
}

// TestQuotas: the fullest trust policies are shown, a limit that is not known is not,
// and no number of accounts makes more than the bound.
func TestQuotas(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	q := metrics.Quotas{List: []metrics.Quota{{Name: "associations", Account: "000000000000", Used: 4900, Limit: 5000}, {Name: "oidc-providers", Account: "000000000000", Used: 3}, {Name: "beards", Account: "000000000000", Used: 1}, {Name: "moustaches", Account: "000000000000", Used: 1}}}
	for i := range 200 {
		q.List = append(q.List, metrics.Quota{Name: "trust-policy-characters", Account: fmt.Sprintf("%012d", i), Used: 2000, Limit: 2048})
		q.Trust = append(q.Trust, metrics.TrustPolicy{Subject: subject("demo", fmt.Sprint(i)), Characters: 1000 + i, Limit: []int{2048, 4096}[i%2]})
	}
	m.Quotas(q)
	text := scrape(t, reg)
	for sample, want := range map[string]string{
		`lanyard_quota_used{account="000000000000",quota="associations"}`: "4900", `lanyard_quota_limit{account="000000000000",quota="associations"}`: "5000",
		`lanyard_quota_used{account="000000000000",quota="oidc-providers"}`: "3", `lanyard_quota_limit{account="000000000000",quota="oidc-providers"}`: "absent",
		`lanyard_quota_used{account="000000000000",quota="other"}`:                        "1",
		`lanyard_mapping_trust_policy_characters{namespace="demo",service_account="198"}`: "1198", `lanyard_mapping_trust_policy_characters{namespace="demo",service_account="199"}`: "absent",
		"lanyard_quotas_unlisted": "150",
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
	if used, trust := len(samples(text, "lanyard_quota_used")), len(samples(text, "lanyard_mapping_trust_policy_characters")); used != 53 || trust != 20 {
		t.Errorf("%d quotas and %d trust policies, want 53 and 20", used, trust)
	}
	m.Leader(false)
	m.Quotas(q)
	if used := samples(scrape(t, reg), "lanyard_quota_used"); len(used) > 0 {
		t.Errorf("a follower shows %v", used)
	}
}

// TestGit: looks and signatures are counted by words of a list, a signature once for
// each head.
func TestGit(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	for range 3 {
		m.Looked("unsigned", time.Second)
		m.Verified("a", "expired")
	}
	m.Looked("", -time.Second)
	m.Looked("because", 0)
	m.Verified("a", "")
	m.Verified("b", "")
	m.Verified("c", "\xff")
	m.SignaturesRequired(true)
	text := scrape(t, reg)
	for sample, want := range map[string]string{
		`lanyard_git_looks_total{result="unsigned"}`: "3", `lanyard_git_looks_total{result="followed"}`: "1", `lanyard_git_looks_total{result="other"}`: "1",
		`lanyard_git_verifications_total{result="expired"}`: "1", `lanyard_git_verifications_total{result="good"}`: "2", `lanyard_git_verifications_total{result="other"}`: "1",
		"lanyard_git_look_duration_seconds_sum": "3", "lanyard_git_signatures_required": "1",
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
}

// TestBudgets: of several the least is shown, and what is overdrawn is 0.
func TestBudgets(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	m.Budgets(map[string]metrics.Budget{"IAM": {Left: 3, Limit: 50}, "iam": {Left: 2, Limit: 50}, "eks": {Left: -1, Limit: 40}, "s3": {Left: 1, Limit: 1}})
	m.AWSThrottled("EKS")
	text := scrape(t, reg)
	for sample, want := range map[string]string{
		`lanyard_aws_budget_left{service="iam"}`: "2", `lanyard_aws_budget_left{service="eks"}`: "0", `lanyard_aws_budget_limit{service="eks"}`: "40",
		`lanyard_aws_budget_left{service="s3"}`: "absent", `lanyard_aws_throttles_total{service="eks"}`: "1", `lanyard_aws_throttles_total{service="iam"}`: "0",
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
}

// TestKube: no code and no method of the outer world grows the scrape.
func TestKube(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	k := metrics.NewKube()
	k.Register(reg)
	ctx := context.Background()
	for i := range 1000 {
		k.Results().Increment(ctx, fmt.Sprint(i), fmt.Sprint("M", i), "host")
		k.Retries().IncrementRetry(ctx, fmt.Sprint(i), "GET", "host")
	}
	k.Results().Increment(ctx, "<error>", "GET", "host")
	k.Latency().Observe(ctx, "PATCH", url.URL{}, time.Second)
	k.Waits().Observe(ctx, "PATCH", url.URL{}, 2*time.Second)
	text := scrape(t, reg)
	for sample, want := range map[string]string{
		`lanyard_kube_requests_total{code="error",method="GET"}`: "1", `lanyard_kube_requests_total{code="403",method="other"}`: "1",
		`lanyard_kube_request_duration_seconds_sum{method="PATCH"}`: "1", "lanyard_kube_wait_seconds_total": "2", `lanyard_kube_retries_total{code="429"}`: "1",
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
	if n := len(samples(text, "lanyard_kube_requests_total")); n > 40 {
		t.Errorf("%d series of requests", n)
	}
}
