package metrics_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// TestLimit: with 10,000 mappings no metric has more series than the limit; the worst
// are kept, the rest are counted, and the same record shows the same series.
func TestLimit(t *testing.T) {
	t.Parallel()
	const n, limit = 10_000, 1500 // 3,334 with findings, 1,112 of them critical
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{MappingLimit: limit})
	m.Round(large(n))
	text := scrape(t, reg)
	again := large(n)
	slices.Reverse(again.Result.Judged)
	slices.Reverse(again.Result.Findings)
	slices.Reverse(again.Moves)
	m.Round(again)
	for _, name := range []string{"lanyard_mapping_in_sync", "lanyard_finding", "lanyard_write_conflict", "lanyard_migration_phase", "lanyard_migration_phase_start_timestamp_seconds"} {
		got := samples(text, name)
		if len(got) != limit {
			t.Errorf("%s has %d series, want %d", name, len(got), limit)
		}
		if diff := cmp.Diff(got, samples(scrape(t, reg), name)); diff != "" {
			t.Errorf("%s: another choice from the same record (-first +second)\n%.2000s", name, diff)
		}
	}
	critical := 0
	for _, sample := range samples(text, "lanyard_finding") {
		if strings.Contains(sample, `severity="critical"`) {
			critical++
		}
	}
	if critical != 1112 {
		t.Errorf("%d critical findings are listed, want all 1112", critical)
	}
	for sample, want := range map[string]string{
		"lanyard_mappings_unlisted": "8500", "lanyard_findings_unlisted": "5168",
		"lanyard_migrations_unlisted": "1834", `lanyard_migration_phase_oldest_start_timestamp_seconds{phase="crossing"}`: fmt.Sprint(float64(noon.Unix() - 9999)),
		"lanyard_write_conflicts": "3334", "lanyard_write_conflicts_unlisted": "1834",
		`lanyard_findings{kind="annotation-mismatch",plane="service-account",severity="critical"}`: "1112",
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
	whole, err := testutil.GatherAndCount(reg)
	if err != nil || whole > 6*limit+600 {
		t.Errorf("%d series in all, want at most %d: %v", whole, 6*limit+600, err)
	}
}

// TestNoLimit: a negative limit is no series per mapping, and none is lost count of.
func TestNoLimit(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	metrics.New(reg, metrics.Options{MappingLimit: -1}).Round(small())
	text := scrape(t, reg)
	if got := samples(text, "lanyard_mapping_in_sync"); len(got) > 0 || value(t, text, "lanyard_mappings_unlisted") != "3" {
		t.Errorf("listed %v, unlisted %s", got, value(t, text, "lanyard_mappings_unlisted"))
	}
}

// TestHostile: two findings of one series and names that are no text do not fail the
// scrape, which would blind every alert at once.
func TestHostile(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	r := small()
	r.Result.Findings = append(r.Result.Findings, r.Result.Findings...)
	for _, name := range []string{"\xff", "\xfe", "a\nb", strings.Repeat("n", 1<<16)} {
		s := subject(name, name)
		r.Result.Judged = append(r.Result.Judged, judged(s, identity.Auto, diff.Class(200)), judged(s, identity.Mechanism(9), diff.Rest))
		r.Result.Findings = append(r.Result.Findings, diff.Finding{Subject: s, Kind: diff.Kind(name), Severity: diff.Severity(name)})
	}
	r.Outcomes = append(r.Outcomes, report.Outcome{Result: "\xff"})
	m.Round(r)
	m.AWSCall("\xff", "\xff", "\xff", -time.Second)
	m.RoundFailed("\xff", remedy.Class(77), time.Time{})
	m.Mode("\xff")
	if text := scrape(t, reg); !strings.Contains(text, `namespace="?"`) {
		t.Errorf("a name that is no text is not shown as one")
	}
}

// TestCallsAreBounded: no error code and no operation of the outer world can grow the
// scrape for ever.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	m.AWSCall("iam", "GetRole", "", 0)
	for i := range 1000 {
		m.AWSCall(fmt.Sprint("service", i%7), fmt.Sprint("Operation", i), fmt.Sprint("Code", i%333), 0)
		m.AWSCall("eks", fmt.Sprint("Operation", i%60), fmt.Sprint("Code", i%30), 0)
	}
	m.AWSCall("iam", "GetRole", "", 0)
	text := scrape(t, reg)
	if got := len(samples(text, "lanyard_aws_calls_total")); got > 520 {
		t.Errorf("%d series of calls, want at most 520", got)
	}
	sum := 0
	for _, sample := range samples(text, "lanyard_aws_calls_total") {
		var n int
		if _, err := fmt.Sscan(sample[strings.LastIndexByte(sample, ' ')+1:], &n); err != nil {
			t.Fatal(sample, err)
		}
		sum += n
	}
	if got := value(t, text, `lanyard_aws_calls_total{code="ok",operation="GetRole",service="iam"}`); got != "2" || sum != 2002 {
		t.Errorf("GetRole %s of %d calls, want 2 of 2002", got, sum)
	}
}

// TestAtOnce: no scrape sees half a round. Every round has as many findings as
// mappings that are not in sync; a scrape in which they differ saw two rounds.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Options{})
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 200 {
			m.Round(large(i % 40))
		}
	})
	wg.Go(func() {
		for i := range 200 {
			m.Fetched(noon, fmt.Sprint(i))
			m.Held([]string{"", "empty"}[i%2], noon)
			m.AWSCall("iam", fmt.Sprint(i), "", time.Millisecond)
		}
	})
	for range 2 {
		wg.Go(func() {
			for {
				text := scrape(t, reg)
				out := 0
				for _, sample := range samples(text, "lanyard_mapping_in_sync") {
					if strings.HasSuffix(sample, " 0") {
						out++
					}
				}
				if listed := len(samples(text, "lanyard_finding")); listed != 2*out {
					t.Errorf("%d findings beside %d mappings that are not in sync", listed, out)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
	if got := value(t, scrape(t, reg), "lanyard_git_revisions_total"); got != "200" {
		t.Errorf("%s revisions, want 200", got)
	}
}

func BenchmarkRound(b *testing.B) {
	m := metrics.New(prometheus.NewRegistry(), metrics.Options{})
	r := large(5000)
	b.ReportAllocs()
	for b.Loop() {
		m.Round(r)
	}
}

func BenchmarkScrape(b *testing.B) {
	reg := prometheus.NewRegistry()
	metrics.New(reg, metrics.Options{}).Round(large(5000))
	b.ReportAllocs()
	for b.Loop() {
		scrape(b, reg)
	}
}
