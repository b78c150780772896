package app_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/metrics"
)

var (
	typeRE   = regexp.MustCompile(`(?m)^# TYPE (lanyard_\w+) (\w+)$`)
	sampleRE = regexp.MustCompile(`(?m)^(lanyard_\w+)(?:\{(.*)\})? \S+$`)
	labelRE  = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
)

// exposed returns the type and the labels of each metric in a scrape.
func exposed(text string) map[string]string {
	sorts, labels := map[string]string{}, map[string]map[string]bool{}
	for _, m := range typeRE.FindAllStringSubmatch(text, -1) {
		sorts[m[1]], labels[m[1]] = m[2], map[string]bool{}
	}
	for _, m := range sampleRE.FindAllStringSubmatch(text, -1) {
		name := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); sorts[base] == "histogram" {
				name = base
			}
		}
		for _, l := range labelRE.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" && labels[name] != nil {
				labels[name][l[1]] = true
			}
		}
	}
	out := map[string]string{}
	for name, sort := range sorts {
		out[name] = fmt.Sprint(sort, slices.Sorted(maps.Keys(labels[name])))
	}
	return out
}

// TestExposition: what a running daemon exposes is what docs/metrics.md says, which is
// made of the same table: no metric more, none less, of those types and labels.
func TestExposition(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.until(t, "a good round", func() bool { return strings.HasSuffix(d.metric(t, `lanyard_rounds_total{result="good"}`), " 1") })
	want := map[string]string{}
	for _, m := range metrics.Table() {
		want[m.Name] = fmt.Sprint(m.Type, m.Labels)
	}
	got := map[string]string{}
	for range 2 {
		_, body := d.get(t, "/metrics", "")
		maps.Copy(got, exposed(string(body)))
		r.settled(t, d) // what comes and goes: drift while it lasts
	}
	// Not every fleet flaps, moves or fights; package metrics has those.
	for _, name := range []string{"lanyard_flaps", "lanyard_migration_phase", "lanyard_migration_phase_start_timestamp_seconds", "lanyard_write_conflict"} {
		delete(want, name)
		delete(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-table +exposed)\n%s", diff)
	}
	for sample, value := range map[string]string{
		`lanyard_git_looks_total{result="followed"}`:                                  "[1-9]",
		`lanyard_git_signatures_required`:                                             "0",
		`lanyard_objects_seen{object="pods"}`:                                         "[1-9]",
		`lanyard_terms_total`:                                                         "1",
		`lanyard_aws_budget_limit{service="iam"}`:                                     "50",
		`lanyard_aws_budget_left{service="iam"}`:                                      "[1-9]",
		`lanyard_quota_limit{account="123456789012",quota="trust-policy-characters"}`: "2048",
		`lanyard_quota_used{account="123456789012",quota="trust-policy-characters"}`:  "[1-9]",
		`lanyard_quota_used{account="123456789012",quota="associations"}`:             "[1-9]",
		`lanyard_quota_used{account="123456789012",quota="oidc-providers"}`:           "[1-9]",
		`lanyard_quota_used{account="210987654321",quota="trust-policy-characters"}`:  "[1-9]",
	} {
		if line := d.metric(t, sample+" "); !regexp.MustCompile(" " + value + `[0-9]*$`).MatchString(line) {
			t.Errorf("%s is %q, want %s", sample, line, value)
		}
	}
}

// TestGitMetrics: a head that is not signed counts once as that, and then as what it is.
func TestGitMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	keys := r.file + ".signers"
	r.write(t, keys, "ops@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+ylV66WjtqkzLAYzRp2SOg7npQ/PVI6cRavPXnn1YZ\n")
	r.setConfig(t, "mode: repair\nsource:\n", "mode: repair\nsource:\n  verify: {allowedSignersFile: "+keys+"}\n")
	r.commit(t, map[string]string{"README.md": "words"})
	r.until(t, "held", func() bool { return strings.HasSuffix(d.metric(t, `lanyard_revision_held{reason="unsigned"}`), " 1") })
	r.pass(t, 5*time.Minute)
	for sample, want := range map[string]string{
		`lanyard_git_signatures_required`: "1", `lanyard_git_verifications_total{result="unsigned"}`: "1", `lanyard_git_verifications_total{result="good"}`: "0",
	} {
		if got := d.metric(t, sample+" "); got != sample+" "+want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := d.metric(t, `lanyard_git_looks_total{result="unsigned"}`); strings.HasSuffix(got, " 0") || strings.HasSuffix(got, " 1") {
		t.Errorf("%s, want several", got)
	}
}

// TestThrottles: a call that AWS refuses because of its rate is one, whatever becomes of
// it then.
func TestThrottles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	if got := d.metric(t, `lanyard_aws_throttles_total{service="eks"}`); !strings.HasSuffix(got, " 0") {
		t.Fatalf("%s before anything was throttled", got)
	}
	r.AWS.AddFault(awsd.Fault{Service: "eks", Operation: "DescribeCluster", Kind: awsd.Throttle, Times: 1})
	r.until(t, "throttled", func() bool {
		return !strings.HasSuffix(d.metric(t, `lanyard_aws_throttles_total{service="eks"}`), " 0")
	})
}

// TestMeasureKube: requests of client-go's are counted where a daemon shows them.
func TestMeasureKube(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":403}`)
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Pods("demo").Delete(t.Context(), "x", metav1.DeleteOptions{}); err == nil {
		t.Fatal("deleted")
	}
	reg := prometheus.NewRegistry()
	kubeCalls.Register(reg)
	w := httptest.NewRecorder()
	metrics.Handler(reg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`lanyard_kube_requests_total{code="403",method="DELETE"} 1`, `lanyard_kube_request_duration_seconds_count{method="DELETE"} 1`} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

// kubeCalls are those of all clients of the tests: client-go counts for a process.
var kubeCalls = app.MeasureKube()
