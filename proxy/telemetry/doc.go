// Package telemetry declares every metric and span of the proxy, once, and serves them: /metrics
// in the Prometheus format, /healthz and /readyz, and traces over OTLP/HTTP.
//
// The data path must pay nearly nothing for it. So an event loop counts in plain memory of its
// own (Counters), and only when someone scrapes is a copy taken on the loop and turned into
// OpenTelemetry data beside it.
package telemetry
