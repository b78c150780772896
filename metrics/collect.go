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
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		send(desc, prometheus.GaugeValue, value, labels...)
	}
	count := func(desc *prometheus.Desc, value uint64, labels ...string) {
		send(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(m.is.build, 1, m.opts.Version, m.opts.Commit, m.opts.GoVersion)
	for _, mode := range modes {
		gauge(m.is.mode, one(s.mode == mode), mode)
	}
	gauge(m.is.leader, one(s.leader != follows))
	gauge(m.is.goodRound, seconds(s.goodRound))
	gauge(m.is.failedRound, seconds(s.failedRound))
	gauge(m.is.goodFetch, seconds(s.goodFetch))
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
		gauge(m.is.head, one(s.held == reason), reason)
	}
	gauge(m.is.removalsLeft, float64(s.removalsLeft))
	gauge(m.is.removalsLimit, float64(s.removalsLimit))
	gauge(m.is.reloaded, one(s.reloaded))
	gauge(m.is.reloadedAt, seconds(s.reloadedAt))
	for desc, counts := range map[*prometheus.Desc]map[string]int{m.is.verdicts: s.migrations.Verdicts, m.is.reasons: s.migrations.Reasons, m.is.phases: s.migrations.Phases} {
		for word, n := range counts {
			gauge(desc, float64(n), word)
		}
	}
	for _, metric := range s.standing {
		ch <- metric
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

// histogram is a distribution that is never changed, only replaced.
type histogram struct {
	count  uint64
	sum    float64
	counts map[float64]uint64 // cumulative, by upper bound
}

// bounds are those of a round: from a few cached reads to a first look at a large
// cluster whose account throttles.
var bounds = []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300}

func newHistogram() histogram {
	h := histogram{counts: map[float64]uint64{}}
	for _, b := range bounds {
		h.counts[b] = 0
	}
	return h
}

// observe returns the distribution with one more duration in it. A clock that was set
// back counts as no time.
func (h histogram) observe(d time.Duration) histogram {
	took := max(0, d.Seconds())
	next := histogram{count: h.count + 1, sum: h.sum + took, counts: maps.Clone(h.counts)}
	for _, b := range bounds {
		if took <= b {
			next.counts[b]++
		}
	}
	return next
}

func (h histogram) metric(desc *prometheus.Desc) prometheus.Metric {
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
