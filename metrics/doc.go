// Package metrics counts rounds for Prometheus: what was found, planned, written and
// left, per kind and, up to a limit, per mapping; when lanyard last looked; and what
// that cost in calls.
//
// It is a view: it is handed a [report.Round] and never looks at the world, decides
// nothing, and nothing that decides may learn what was counted. What belongs to a
// round is published at once, so that no scrape sees half of one. Every label but the
// names of namespaces and ServiceAccounts comes from a closed list, and those two are
// capped. docs/metrics.md has a row for each metric.
//
// Package app imports it; nobody else.
//
//	reg := prometheus.NewRegistry()
//	m := metrics.New(reg, metrics.Options{Version: version})
//	m.Round(round)
//	mux.Handle("/metrics", metrics.Handler(reg))
package metrics
