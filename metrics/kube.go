package metrics

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kube counts requests to the Kubernetes API server. Its parts have the methods that
// client-go calls, which are the same for all clients of a process; see
// https://pkg.go.dev/k8s.io/client-go/tools/metrics#RegisterOpts.
type Kube struct {
	requests, retries *prometheus.CounterVec
	took              *prometheus.HistogramVec
	waited            *prometheus.CounterVec
}

// NewKube makes the metrics. They stand in as many registries as there are daemons in
// the process: one.
func NewKube() *Kube {
	is := describe()
	k := &Kube{
		requests: is.requests.counter(), retries: is.requestRetries.counter(), waited: is.requestWaited.counter(),
		took: is.requestTook.histogram(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
	}
	for _, method := range methods {
		k.requests.WithLabelValues("200", method)
		k.took.WithLabelValues(method)
	}
	k.retries.WithLabelValues("429")
	k.waited.WithLabelValues()
	return k
}

// Register registers the metrics.
func (k *Kube) Register(reg prometheus.Registerer) {
	reg.MustRegister(k.requests, k.retries, k.took, k.waited)
}

// Results returns what client-go tells of answers.
func (k *Kube) Results() KubeResults { return KubeResults{k.requests} }

// Retries returns what client-go tells of requests that it makes again.
func (k *Kube) Retries() KubeRetries { return KubeRetries{k.retries} }

// Latency returns what client-go tells of how long answers took.
func (k *Kube) Latency() KubeLatency {
	return KubeLatency{func(method string, d time.Duration) {
		k.took.WithLabelValues(known(methods, method)).Observe(d.Seconds())
	}}
}

// Waits returns what client-go tells of its rate limit.
func (k *Kube) Waits() KubeLatency {
	return KubeLatency{func(_ string, d time.Duration) { k.waited.WithLabelValues().Add(max(0, d.Seconds())) }}
}

// KubeResults counts answers.
type KubeResults struct{ counts *prometheus.CounterVec }

// Increment counts an answer.
func (k KubeResults) Increment(_ context.Context, code, method, _ string) {
	k.counts.WithLabelValues(codeLabel(code), known(methods, method)).Inc()
}

// KubeRetries counts requests that are made again.
type KubeRetries struct{ counts *prometheus.CounterVec }

// IncrementRetry counts one.
func (k KubeRetries) IncrementRetry(_ context.Context, code, _, _ string) {
	k.counts.WithLabelValues(codeLabel(code)).Inc()
}

// KubeLatency takes times in.
type KubeLatency struct {
	observe func(method string, d time.Duration)
}

// Observe takes one in.
func (k KubeLatency) Observe(_ context.Context, method string, _ url.URL, d time.Duration) {
	k.observe(method, d)
}

var (
	methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", Other}
	codes   = []string{"101", "200", "201", "202", "204", "301", "302", "307", "400", "401", "403", "404", "405", "406", "409", "410", "413", "415", "422", "429",
		"500", "501", "502", "503", "504", "error"}
)

// codeLabel bounds codes: client-go writes those of HTTP, and "<error>" for no answer.
func codeLabel(code string) string {
	if code == "<error>" {
		code = "error"
	}
	if !slices.Contains(codes, code) {
		return Other
	}
	return code
}
