// Package dashboard holds the Grafana dashboard of deploy/grafana to what it is made of:
// Grafana's own model of a dashboard, PromQL as Prometheus parses it, and the metrics
// that lanyard exposes. It only has tests, and is a module of its own so that what they
// need stays out of the product's.
//
//	make check-dashboard
package dashboard
