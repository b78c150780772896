package metrics

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Collect sends one state: everything in it was true at the same moment.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.then.Load()
	send := func(desc *prometheus.Desc, sort prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, sort, value, labels...)
	}
	put := func(desc *prometheus.Desc, value float64, labels ...string) {
		send(desc, prometheus.GaugeValue, value, labels...)
	}
	count := func(desc *prometheus.Desc, value uint64, labels ...string) {
		send(desc, prometheus.CounterValue, float64(value), labels...)
	}
	put(m.is.build, 1, m.opts.Version, m.opts.Commit, m.opts.GoVersion)
	for _, mode := range modes {
		put(m.is.mode, one(s.mode == mode), mode)
	}
	put(m.is.leader, one(s.leader != follows))
	put(m.is.goodRound, seconds(s.goodRound))
	put(m.is.failedRound, seconds(s.failedRound))
	put(m.is.goodFetch, seconds(s.goodFetch))
	ch <- s.duration.metric(m.is.duration)
	count(m.is.rounds, s.good, "good")
	count(m.is.rounds, s.partial, "partial")
	count(m.is.rounds, s.failed, "failed")
	count(m.is.revisions, s.revisions)
	for key, n := range s.failures {
		count(m.is.failures, n, key[:]...)
	}
	for key, n := range s.steps {
		count(m.is.steps, n, key[:]...)
	}
	for _, reason := range heads {
		put(m.is.head, one(s.held == reason), reason)
	}
	put(m.is.removalsLeft, float64(s.removalsLeft))
	put(m.is.removalsLimit, float64(s.removalsLimit))
	put(m.is.reloaded, one(s.reloaded))
	put(m.is.reloadedAt, seconds(s.reloadedAt))
	m.collectMore(s, put, count)
	for desc, counts := range map[*prometheus.Desc]map[string]int{m.is.verdicts: s.migrations.Verdicts, m.is.reasons: s.migrations.Reasons, m.is.phases: s.migrations.Phases} {
		for word, n := range counts {
			put(desc, float64(n), word)
		}
	}
	for _, metrics := range [][]prometheus.Metric{s.standing, s.quotas} {
		for _, metric := range metrics {
			ch <- metric
		}
	}
}

// collectMore sends what has a label with a closed list and is told between rounds.
func (m *Metrics) collectMore(s *state, put func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	count(m.is.terms, s.terms)
	put(m.is.limit, float64(m.opts.MappingLimit))
	put(m.is.acceptedSince, seconds(s.acceptedAt))
	put(m.is.heldSince, seconds(s.heldSince))
	put(m.is.signed, one(s.signed))
	for desc, counts := range map[*prometheus.Desc]map[string]uint64{m.is.gitLooks: s.looks, m.is.verifications: s.verifications, m.is.onsets: s.onsets} {
		for word, n := range counts {
			count(desc, n, word)
		}
	}
	for _, object := range objects {
		put(m.is.seen, float64(s.seen[object]), object)
	}
	for _, service := range limited {
		put(m.is.budgetLeft, s.budgets[service].Left, service)
		put(m.is.budgetLimit, s.budgets[service].Limit, service)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds is a moment as Prometheus writes it; 0 if there was none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// distribution is a histogram distribution that is never changed, only replaced.
type distribution struct {
	count  uint64
	sum    float64
	counts map[float64]uint64 // cumulative, by upper bound
}

// bounds are those of a round: from a few cached reads to a first look at a large
// cluster whose account throttles.
var bounds = []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300}

func newDistribution() distribution {
	h := distribution{counts: map[float64]uint64{}}
	for _, b := range bounds {
		h.counts[b] = 0
	}
	return h
}

// observe returns the distribution with one more duration in it. A clock that was set
// back counts as no time.
func (h distribution) observe(d time.Duration) distribution {
	took := max(0, d.Seconds())
	next := distribution{count: h.count + 1, sum: h.sum + took, counts: maps.Clone(h.counts)}
	for _, b := range bounds {
		if took <= b {
			next.counts[b]++
		}
	}
	return next
}

func (h distribution) metric(desc *prometheus.Desc) prometheus.Metric {
	return prometheus.MustNewConstHistogram(desc, h.count, h.sum, h.counts)
}

// Handler serves what is registered, to a few readers at once, and GET and HEAD only.
// It stands open, so it holds nothing that a stranger in the cluster may not know:
// names of ServiceAccounts and kinds of findings, no role, no message.
func Handler(from prometheus.Gatherer) http.Handler {
	serve := promhttp.HandlerFor(from, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second, EnableOpenMetrics: true})
	allowed := []string{http.MethodGet, http.MethodHead}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(allowed, r.Method) {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "metrics are read with GET", http.StatusMethodNotAllowed)
			return
		}
		serve.ServeHTTP(w, r)
	})
}
