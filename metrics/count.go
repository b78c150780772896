package metrics

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counted are the metrics that count what happens between rounds, as it happens.
type counted struct {
	calls     *prometheus.CounterVec
	throttles *prometheus.CounterVec
	took      *prometheus.HistogramVec
	waited    *prometheus.CounterVec
	hooks     *prometheus.CounterVec
	events    *prometheus.CounterVec
	probes    *prometheus.CounterVec
	gitTook   *prometheus.HistogramVec
	shown     *prometheus.CounterVec
	hosted    *prometheus.CounterVec
	left      prometheus.Gauge
	limiter   words
}

func newCounted(reg prometheus.Registerer, is *described) *counted {
	c := &counted{
		calls: is.calls.counter(), throttles: is.throttles.counter(), waited: is.waited.counter(), hooks: is.hooks.counter(), events: is.events.counter(),
		probes: is.identities.counter(), shown: is.pullsShown.counter(), hosted: is.pullsCalls.counter(), left: is.pullsLeft.gauge(),
		took:    is.took.histogram(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
		gitTook: is.gitTook.histogram(0.1, 0.5, 1, 5, 10, 30, 60),
	}
	c.gitTook.WithLabelValues()
	for _, service := range limited {
		c.waited.WithLabelValues(service)
	}
	for _, service := range services {
		c.took.WithLabelValues(service)
		c.throttles.WithLabelValues(service)
	}
	for _, provider := range providers {
		for _, result := range deliveries {
			c.hooks.WithLabelValues(provider, result)
		}
	}
	for _, result := range events {
		c.events.WithLabelValues(result)
	}
	for _, result := range identities {
		c.probes.WithLabelValues(result)
	}
	for _, what := range shown {
		for _, result := range shownAs {
			c.shown.WithLabelValues(result, what)
		}
	}
	for _, code := range hostCodes {
		c.hosted.WithLabelValues(code)
	}
	c.left.Set(-1)
	reg.MustRegister(c.shown, c.hosted, c.left)
	reg.MustRegister(c.calls, c.throttles, c.took, c.waited, c.hooks, c.events, c.probes, c.gitTook)
	return c
}

// AWSCall counts one call that went out. The service is the SDK's ID or its endpoint
// prefix, the code that of the error, or empty.
func (m *Metrics) AWSCall(service, operation, code string, d time.Duration) {
	service = serviceLabel(service)
	operation, code = m.counted.limiter.bound(service, operation, code)
	m.counted.calls.WithLabelValues(code, operation, service).Inc()
	m.counted.took.WithLabelValues(service).Observe(max(0, d.Seconds()))
}

// AWSThrottled counts a call that AWS refused because of its rate.
func (m *Metrics) AWSThrottled(service string) {
	m.counted.throttles.WithLabelValues(serviceLabel(service)).Inc()
}

// Waited counts the time that a call waited for lanyard's own rate limit before it
// went out.
func (m *Metrics) Waited(service string, waited time.Duration) {
	m.counted.waited.WithLabelValues(serviceLabel(service)).Add(max(0, waited.Seconds()))
}

// Hook counts a delivery to the hook listener.
func (m *Metrics) Hook(provider, result string) {
	m.counted.hooks.WithLabelValues(known(providers, provider), known(deliveries, result)).Inc()
}

// Event counts a Kubernetes Event, and whether it could be sent.
func (m *Metrics) Event(sent bool) {
	result := "failed"
	if sent {
		result = "sent"
	}
	m.counted.events.WithLabelValues(result).Inc()
}

// Shown counts what was to be shown on a pull request, and what became of it.
func (m *Metrics) Shown(what, result string) {
	m.counted.shown.WithLabelValues(known(shownAs, result), known(shown, what)).Inc()
}

// HostCall counts an answer of the host of pull requests; 0 stands for none.
func (m *Metrics) HostCall(code int) { m.counted.hosted.WithLabelValues(hostCode(code)).Inc() }

// HostLeft tells what is left of that host's rate limit.
func (m *Metrics) HostLeft(n int) { m.counted.left.Set(float64(max(0, n))) }

func hostCode(code int) string {
	switch {
	case code == 0:
		return "none"
	case code == 304:
		return "unchanged"
	case code == 401:
		return "unauthorized"
	case code == 403:
		return "forbidden"
	case code == 404, code == 410:
		return "not-found"
	case code == 422:
		return "invalid"
	case code == 429:
		return "too-many"
	case code >= 500 && code < 600:
		return "error"
	case code >= 200 && code < 300:
		return "ok"
	case code >= 300 && code < 400:
		return "redirected"
	}
	return Other
}

// IdentityProbe counts what an identity probe came to.
func (m *Metrics) IdentityProbe(result string) {
	m.counted.probes.WithLabelValues(known(identities, result)).Inc()
}

func serviceLabel(service string) string {
	return known(services, strings.ReplaceAll(strings.ToLower(service), " ", "-"))
}

// The bounds of what one metric of calls may hold. lanyard calls about thirty
// operations; codes come from outside.
const (
	mostOperations = 64
	mostCodes      = 32
	mostSeries     = 512
	longestWord    = 64
)

// words admits labels that are not on a list of ours, until there are many.
type words struct {
	mu         sync.Mutex
	operations map[string]bool
	codes      map[string]bool
	series     map[[3]string]bool
}

// bound returns the labels of a call, with Other for those that are one too many.
func (w *words) bound(service, operation, code string) (string, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if code == "" {
		code = "ok"
	}
	operation, code = admit(&w.operations, operation, mostOperations), admit(&w.codes, code, mostCodes)
	key := [3]string{service, operation, code}
	if !w.series[key] && len(w.series) >= mostSeries {
		return Other, Other
	}
	if w.series == nil {
		w.series = map[[3]string]bool{}
	}
	w.series[key] = true
	return operation, code
}

func admit(list *map[string]bool, word string, most int) string {
	switch {
	case (*list)[word]:
		return word
	case len(*list) >= most, !plain(word):
		return Other
	case *list == nil:
		*list = map[string]bool{}
	}
	(*list)[word] = true
	return word
}

// plain reports whether a word looks like an operation or an error code.
func plain(word string) bool {
	if word == "" || len(word) > longestWord {
		return false
	}
	for _, c := range []byte(word) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
