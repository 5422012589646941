package telemetry

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"holdfast/journal/seldom"
)

// SpanRecord is one finished command. It must hold no arguments: they are the users' data.
type SpanRecord struct {
	End      time.Time
	Duration time.Duration // from frame read to reply complete
	Command  string        // "get", "config|set"; "" is an unknown one
	Class    Class
	Outcome  Outcome
	Error    string // the code of the error reply, "WRONGTYPE"; "" when there was none
	Rule     string // the rule that decided; "": none
	DB       int
	Session  uint64

	// Hold is set if the reply was held until the write was proven; the span then ends with the
	// client's reply. The caller of RecordSpan must not touch the record afterwards.
	Hold *HoldRecord
}

// HoldRecord describes the hold of one reply. It becomes a span within the command's, and its
// fences become spans within that.
type HoldRecord struct {
	Start   time.Time // the server's reply; it ends with the command's span
	Route   string
	Demand  string // policy.Demand.String
	Outcome HoldOutcome
	Fences  []FenceRecord
}

// FenceRecord is a fence that a held reply waited for: of each kind the last to end.
type FenceRecord struct {
	Kind       string // "replicas 1"
	Start, End time.Time
	Outcome    FenceOutcome
}

// FailoverRecord is a failover that the proxy has followed. Each has a span, whatever the share of commands that are sampled.
type FailoverRecord struct {
	Start, End time.Time // from the loss of the connection or the first sign until the new primary was in force
	From, To   string
	Reason     string
	Held, Fed  int64 // commands that waited, and that the new primary was given from the journal
}

// SpanCount counts spans since the start.
type SpanCount struct {
	Exported uint64
	Dropped  uint64 // the queue was full: the collector is slower than the sampling
	Failed   uint64 // not accepted by the collector
}

// spanQueueSize bounds the spans that wait for the collector: at 150 bytes each, 600 KB.
const spanQueueSize = 4096

// spanQueue carries finished spans from the event loops to the exporter. The loops' side is one
// send that never waits; making the span itself, which allocates, happens on the queue's own
// goroutine.
type spanQueue struct {
	records  chan SpanRecord
	moves    chan FailoverRecord
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	result   *countingExporter
	dropped  atomic.Uint64

	stop sync.Once
	quit chan struct{}
	done chan struct{}
}

// newSpanQueue starts the queue's goroutine. A full batch processor blocks that goroutine, so spans
// are lost, and counted, in one place only: put.
func newSpanQueue(exp sdktrace.SpanExporter, opts []sdktrace.TracerProviderOption,
	size int, log *slog.Logger) *spanQueue {
	result := &countingExporter{next: exp, log: log}
	opts = append(opts, sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithBatcher(result, sdktrace.WithBlocking()))
	q := &spanQueue{
		records:  make(chan SpanRecord, size),
		moves:    make(chan FailoverRecord, size),
		provider: sdktrace.NewTracerProvider(opts...),
		result:   result,
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	q.tracer = q.provider.Tracer(scopeName)
	go q.run()
	return q
}

// put queues one span, or drops it when the queue is full. A nil queue drops it uncounted.
func (q *spanQueue) put(r SpanRecord) {
	if q != nil {
		offer(q, q.records, r)
	}
}

// putMove likewise queues the span of a failover.
func (q *spanQueue) putMove(r FailoverRecord) {
	if q != nil {
		offer(q, q.moves, r)
	}
}

func offer[T any](q *spanQueue, c chan<- T, r T) {
	select {
	case c <- r:
	default:
		q.dropped.Add(1)
	}
}

func (q *spanQueue) run() {
	defer close(q.done)
	for {
		select {
		case r := <-q.records:
			q.emit(&r)
		case r := <-q.moves:
			q.emitMove(&r)
		case <-q.quit:
			q.drain()
			return
		}
	}
}

// drain takes the queued spans. Spans put later are dropped uncounted: there are no more scrapes.
func (q *spanQueue) drain() {
	for {
		select {
		case r := <-q.records:
			q.emit(&r)
		case r := <-q.moves:
			q.emitMove(&r)
		default:
			return
		}
	}
}

// shutdown exports the queued spans and ends the goroutine; it gives up when ctx ends.
func (q *spanQueue) shutdown(ctx context.Context) error {
	if q == nil {
		return nil
	}
	q.stop.Do(func() { close(q.quit) })
	select {
	case <-q.done:
	case <-ctx.Done():
	}
	// Also unblocks the goroutine, should it wait for room in the batch.
	return q.provider.Shutdown(ctx)
}

// emit makes the span, with names and attributes after OpenTelemetry's conventions for database
// clients: the proxy is a client of the upstream.
func (q *spanQueue) emit(r *SpanRecord) {
	name := strings.ToUpper(strings.ReplaceAll(r.Command, "|", " "))
	if name == "" {
		name = "UNKNOWN"
	}
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs,
		attribute.String("db.system.name", "redis"),
		attribute.String("db.operation.name", name),
		attribute.String("db.namespace", strconv.Itoa(r.DB)),
		attribute.Stringer("holdfast.class", r.Class),
		attribute.Stringer("holdfast.outcome", r.Outcome),
		attribute.Int64("holdfast.session", int64(r.Session)))
	if r.Rule != "" {
		attrs = append(attrs, attribute.String("holdfast.rule", r.Rule))
	}
	if r.Error != "" {
		attrs = append(attrs, attribute.String("db.response.status_code", r.Error))
	}
	ctx, span := q.tracer.Start(context.Background(), name,
		trace.WithTimestamp(r.End.Add(-r.Duration)),
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrs...))
	if r.Error != "" || r.Outcome == OutcomeError || r.Outcome == OutcomeUpstream {
		span.SetStatus(codes.Error, r.Error)
	}
	if r.Hold != nil {
		q.emitHold(ctx, r)
	}
	span.End(trace.WithTimestamp(r.End))
}

// emitHold makes the inner spans of a command whose reply was held.
func (q *spanQueue) emitHold(ctx context.Context, r *SpanRecord) {
	h := r.Hold
	ctx, span := q.tracer.Start(ctx, "held", trace.WithTimestamp(h.Start), trace.WithAttributes(
		attribute.String("holdfast.route", h.Route),
		attribute.String("holdfast.demand", h.Demand),
		attribute.Stringer("holdfast.hold.outcome", h.Outcome)))
	if h.Outcome.Unconfirmed() {
		span.SetStatus(codes.Error, "UNCONFIRMED")
	}
	for i := range h.Fences {
		f := &h.Fences[i]
		_, fence := q.tracer.Start(ctx, "fence "+f.Kind, trace.WithTimestamp(f.Start),
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
				attribute.String("holdfast.fence.kind", f.Kind),
				attribute.Stringer("holdfast.fence.outcome", f.Outcome)))
		if f.Outcome != FenceProven {
			fence.SetStatus(codes.Error, f.Outcome.String())
		}
		fence.End(trace.WithTimestamp(f.End))
	}
	span.End(trace.WithTimestamp(r.End))
}

// emitMove makes the span of a failover.
func (q *spanQueue) emitMove(r *FailoverRecord) {
	_, span := q.tracer.Start(context.Background(), "failover", trace.WithTimestamp(r.Start), trace.WithAttributes(
		attribute.String("db.system.name", "redis"),
		attribute.String("holdfast.failover.from", r.From),
		attribute.String("holdfast.failover.to", r.To),
		attribute.String("holdfast.failover.reason", r.Reason),
		attribute.Int64("holdfast.failover.held", r.Held),
		attribute.Int64("holdfast.failover.fed", r.Fed)))
	span.End(trace.WithTimestamp(r.End))
}

func (q *spanQueue) count() SpanCount {
	if q == nil {
		return SpanCount{}
	}
	return SpanCount{
		Exported: q.result.exported.Load(),
		Dropped:  q.dropped.Load(),
		Failed:   q.result.failed.Load(),
	}
}

// countingExporter counts exported and failed spans, and logs failures through slog: the SDK would
// print them to standard error.
type countingExporter struct {
	next             sdktrace.SpanExporter
	log              *slog.Logger
	again            seldom.Log
	exported, failed atomic.Uint64
}

// ExportSpans implements sdktrace.SpanExporter; it never returns an error.
func (e *countingExporter) ExportSpans(ctx context.Context, s []sdktrace.ReadOnlySpan) error {
	if err := e.next.ExportSpans(ctx, s); err != nil {
		e.failed.Add(uint64(len(s)))
		e.again.Tell(e.log, slog.LevelWarn, spansLost, err, "spans", len(s))
		return nil
	}
	e.again.Over(e.log, spansLost)
	e.exported.Add(uint64(len(s)))
	return nil
}

const spansLost = "trace spans not exported"

// Shutdown implements sdktrace.SpanExporter.
func (e *countingExporter) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) }
