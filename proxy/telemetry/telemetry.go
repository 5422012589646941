package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// scopeName names the instrumentation in exported data.
const scopeName = "holdfast/proxy"

// Options of New. The zero value serves metrics and exports no traces.
type Options struct {
	// OTLP is the URL of an OTLP/HTTP collector, "http://127.0.0.1:4318"; the path defaults to
	// /v1/traces. Empty: no traces.
	OTLP string
	// Sample is the share of commands that are traced, 0 to 1. It is rounded to one in n.
	Sample float64
	// ServiceName is "holdfast" by default.
	ServiceName string
	// Version of the proxy; "unknown" by default.
	Version string
	// Logger takes warnings; slog's default if nil.
	Logger *slog.Logger
}

// withDefaults validates o and fills in zero fields.
func (o Options) withDefaults() (Options, error) {
	if o.ServiceName == "" {
		o.ServiceName = "holdfast"
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if !(o.Sample >= 0 && o.Sample <= 1) {
		return o, fmt.Errorf("%w: got %v", ErrSample, o.Sample)
	}
	if o.OTLP == "" {
		return o, nil
	}
	u, err := url.Parse(o.OTLP)
	if err != nil { // whose text would show a password in the URL
		return o, fmt.Errorf("%w: got one that does not parse", ErrEndpoint)
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return o, fmt.Errorf("%w: got %q", ErrEndpoint, u.Redacted())
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	o.OTLP = u.String()
	return o, nil
}

// Telemetry serves metrics and health, and exports spans. Safe for concurrent use. Make it by
// New, end it by Shutdown.
type Telemetry struct {
	// Immutable.
	sampleEvery uint64
	ready       Readiness
	log         *slog.Logger
	registry    *prometheus.Registry
	metrics     *metric.MeterProvider
	spans       *spanQueue // nil: no traces
}

// New makes the instruments. src and ready are asked at every scrape. Nothing is sent before the
// first span; an unreachable collector is a warning in the log, not an error.
func New(o Options, src Source, ready Readiness) (*Telemetry, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	res := resource.NewSchemaless(
		attribute.String("service.name", o.ServiceName),
		attribute.String("service.version", o.Version))
	t := &Telemetry{ready: ready, log: o.Logger, registry: prometheus.NewRegistry()}
	if o.OTLP != "" && o.Sample > 0 {
		t.sampleEvery = uint64(math.Round(min(1/o.Sample, 1<<53)))
		if t.spans, err = newOTLPQueue(o, res); err != nil {
			return nil, err
		}
	}
	p := &producer{
		source: src, ready: ready, spans: t.spans, version: o.Version, log: o.Logger,
		start: time.Now(), timeout: snapshotTimeout,
	}
	if err := t.register(p, res); err != nil {
		return nil, errors.Join(err, t.Shutdown(context.Background()))
	}
	return t, nil
}

func newOTLPQueue(o Options, res *resource.Resource) (*spanQueue, error) {
	exp, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(o.OTLP))
	if err != nil {
		return nil, fmt.Errorf("trace exporter: %w", err)
	}
	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	return newSpanQueue(exp, opts, spanQueueSize, o.Logger), nil
}

// register brings together the proxy's own metrics and those of the process and the Go runtime
// under the names that operators' dashboards already have for them.
func (t *Telemetry) register(p *producer, res *resource.Resource) error {
	exp, err := otelprom.New(otelprom.WithRegisterer(t.registry), otelprom.WithProducer(p),
		otelprom.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("prometheus exporter: %w", err)
	}
	t.metrics = metric.NewMeterProvider(metric.WithReader(exp), metric.WithResource(res))
	return errors.Join(
		t.registry.Register(collectors.NewGoCollector()),
		t.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
}

// SampleEvery returns n if one command in n is traced, 0 if none is. It never changes: an event
// loop copies it, and counts down to its next RecordSpan.
func (t *Telemetry) SampleEvery() uint64 { return t.sampleEvery }

// RecordSpan queues one finished command for export. It never blocks; when the queue is full the
// span is dropped and counted. It does nothing when traces are off. Event loops may call it.
func (t *Telemetry) RecordSpan(r SpanRecord) { t.spans.put(r) }

// RecordFailover likewise queues the span of a failover.
func (t *Telemetry) RecordFailover(r FailoverRecord) { t.spans.putMove(r) }

// Spans counts recorded spans by outcome.
func (t *Telemetry) Spans() SpanCount { return t.spans.count() }

// Shutdown exports the queued spans, until ctx ends. Do not use the handler afterwards.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	err := t.spans.shutdown(ctx)
	if t.metrics != nil {
		err = errors.Join(err, t.metrics.Shutdown(ctx))
	}
	return err
}

// Handler answers /metrics, /healthz and /readyz; / lists them.
func (t *Telemetry) Handler() http.Handler { return newHandler(t.registry, t.ready, t.log) }
