package telemetry

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// fakeCollector keeps the spans that are posted to /v1/traces.
type fakeCollector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*tracepb.Span
	err   error
}

func newCollector(t *testing.T) *fakeCollector {
	c := &fakeCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.export))
	t.Cleanup(c.Close)
	return c
}

func (c *fakeCollector) export(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var req collector.ExportTraceServiceRequest
	body, err := readBody(r)
	if err == nil {
		err = proto.Unmarshal(body, &req)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.err = errors.Join(err, errors.New(r.URL.Path))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	zr, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zr)
}

func TestSpansReachTheCollector(t *testing.T) {
	c := newCollector(t)
	f := &fakeProxy{snap: fullSnapshot()}
	tel, err := New(Options{OTLP: c.URL, Sample: 0.01, Logger: quiet()}, f, f)
	if err != nil {
		t.Fatal(err)
	}
	if got := tel.SampleEvery(); got != 100 {
		t.Errorf("SampleEvery = %d, want 100", got)
	}
	end := time.Unix(1_700_000_000, 5000)
	tel.RecordSpan(SpanRecord{
		End: end, Duration: 3 * time.Microsecond, Command: "config|set", Class: ClassAdmin,
		Outcome: OutcomeDenied, Error: "DENIED", Rule: "default", DB: 3, Session: 9,
	})
	tel.RecordSpan(SpanRecord{End: end, Command: "get", Class: ClassRead})
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c.err != nil || len(c.spans) != 2 {
		t.Fatalf("collector: %v, %d spans, want 2", c.err, len(c.spans))
	}
	if got := tel.Spans(); got != (SpanCount{Exported: 2}) {
		t.Errorf("counted %+v", got)
	}
	s := c.spans[0]
	if s.Name != "CONFIG SET" || s.Kind != tracepb.Span_SPAN_KIND_CLIENT ||
		s.EndTimeUnixNano != uint64(end.UnixNano()) ||
		s.StartTimeUnixNano != uint64(end.UnixNano())-3000 ||
		s.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("span: %v", s)
	}
	want := map[string]string{
		"db.system.name": "redis", "db.operation.name": "CONFIG SET", "db.namespace": "3",
		"holdfast.class": "admin", "holdfast.outcome": "denied", "holdfast.rule": "default",
		"db.response.status_code": "DENIED", "holdfast.session": "",
	}
	for _, kv := range s.Attributes {
		if v, ok := want[kv.Key]; !ok || v != kv.Value.GetStringValue() {
			t.Errorf("attribute %s = %v, want %q", kv.Key, kv.Value, v)
		}
		delete(want, kv.Key)
	}
	if len(want) > 0 {
		t.Errorf("attributes missing: %v", want)
	}
	if code := c.spans[1].Status.GetCode(); code != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("status of a good command: %v", code)
	}
}

// A held write is three spans deep: the command, how long its reply was held, the fences.
func TestSpanOfAHeldWrite(t *testing.T) {
	c := newCollector(t)
	f := &fakeProxy{snap: fullSnapshot()}
	tel, err := New(Options{OTLP: c.URL, Sample: 1, Logger: quiet()}, f, f)
	if err != nil {
		t.Fatal(err)
	}
	at := func(us int) time.Time { return time.Unix(1_700_000_000, int64(us)*1000) }
	tel.RecordSpan(SpanRecord{
		End: at(100), Duration: 100 * time.Microsecond, Command: "set", Class: ClassWrite,
		Hold: &HoldRecord{
			Start: at(30), Route: "pay", Demand: "journal, replicas 1", Outcome: HoldTimeout,
			Fences: []FenceRecord{
				{Kind: "journal", Start: at(40), End: at(60), Outcome: FenceProven},
				{Kind: "replicas 1", Start: at(40), End: at(90), Outcome: FenceShort},
			},
		},
	})
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	spans := map[string]*tracepb.Span{}
	for _, s := range c.spans {
		spans[s.Name] = s
	}
	set, held := spans["SET"], spans["held"]
	journal, replicas := spans["fence journal"], spans["fence replicas 1"]
	if c.err != nil || len(c.spans) != 4 || len(spans) != 4 {
		t.Fatalf("collector: %v, spans %v", c.err, c.spans)
	}
	for _, pair := range [][2]*tracepb.Span{{set, held}, {held, journal}, {held, replicas}} {
		parent, child := pair[0], pair[1]
		if string(child.ParentSpanId) != string(parent.SpanId) ||
			string(child.TraceId) != string(parent.TraceId) ||
			child.StartTimeUnixNano < parent.StartTimeUnixNano ||
			child.EndTimeUnixNano > parent.EndTimeUnixNano {
			t.Errorf("%s is not within %s: %v, %v", child.Name, parent.Name, child, parent)
		}
	}
	attrs := map[string]string{}
	for _, kv := range append(held.Attributes, replicas.Attributes...) {
		attrs[kv.Key] = kv.Value.GetStringValue()
	}
	for key, want := range map[string]string{
		"holdfast.route": "pay", "holdfast.demand": "journal, replicas 1",
		"holdfast.hold.outcome": "timeout", "holdfast.fence.kind": "replicas 1",
		"holdfast.fence.outcome": "short",
	} {
		if attrs[key] != want {
			t.Errorf("attribute %s = %q, want %q", key, attrs[key], want)
		}
	}
	if held.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR ||
		journal.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET ||
		replicas.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("statuses: %v, %v, %v", held.Status, journal.Status, replicas.Status)
	}
}

// hangingExporter waits until its context ends or it is released.
type hangingExporter struct {
	release chan struct{}
	err     error
}

func (e *hangingExporter) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.release:
		return e.err
	}
}

func (e *hangingExporter) Shutdown(context.Context) error { return nil }

// A collector that hangs must cost spans, counted, and never a loop's time: put is called more
// often than all queues together can hold, and returns each time.
func TestSlowCollectorDropsSpans(t *testing.T) {
	exp := &hangingExporter{release: make(chan struct{}), err: errors.New("no such collector")}
	q := newSpanQueue(exp, nil, 8, quiet())
	const all = 10_000
	for range all {
		q.put(SpanRecord{Command: "get"})
	}
	if q.count().Dropped == 0 {
		t.Error("nothing was dropped")
	}
	close(exp.release)
	if err := q.shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if got := q.count(); got.Dropped+got.Failed != all || got.Exported != 0 {
		t.Errorf("%+v do not add up to %d", got, all)
	}
}

func TestShutdownDoesNotWaitForAHangingCollector(t *testing.T) {
	exp := &hangingExporter{release: make(chan struct{})}
	defer close(exp.release)
	q := newSpanQueue(exp, nil, 8, quiet())
	for range 10_000 {
		q.put(SpanRecord{Command: "get"})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := q.shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v, want the context's error", err)
	}
}

func TestNoTraces(t *testing.T) {
	for _, o := range []Options{{}, {Sample: 1}, {OTLP: "http://127.0.0.1:1", Sample: 0}} {
		tel := newTelemetry(t, o, &fakeProxy{snap: fullSnapshot()})
		tel.RecordSpan(SpanRecord{Command: "get"})
		tel.RecordFailover(FailoverRecord{From: "a"})
		if tel.SampleEvery() != 0 || tel.Spans() != (SpanCount{}) {
			t.Errorf("%+v: SampleEvery %d, spans %+v", o, tel.SampleEvery(), tel.Spans())
		}
	}
}

func TestRecordSpanDoesNotAllocate(t *testing.T) {
	q := &spanQueue{records: make(chan SpanRecord, 1)}
	r := SpanRecord{Command: "get", End: time.Now()}
	if n := testing.AllocsPerRun(100, func() { q.put(r) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestOptionErrors(t *testing.T) {
	for _, row := range []struct {
		o    Options
		want error
	}{
		{Options{Sample: -0.1}, ErrSample},
		{Options{Sample: 1.1}, ErrSample},
		{Options{OTLP: "127.0.0.1:4318"}, ErrEndpoint},
		{Options{OTLP: "ftp://h"}, ErrEndpoint},
		{Options{OTLP: "http://"}, ErrEndpoint},
		{Options{OTLP: "http://h:port\x00"}, ErrEndpoint},
	} {
		if _, err := New(row.o, nil, nil); !errors.Is(err, row.want) {
			t.Errorf("%+v: %v, want %v", row.o, err, row.want)
		}
	}
	for sample, want := range map[float64]uint64{1: 1, 0.7: 1, 0.001: 1000, 5e-324: 1 << 53} {
		f := &fakeProxy{}
		o := Options{OTLP: "http://127.0.0.1:1", Sample: sample}
		if got := newTelemetry(t, o, f).SampleEvery(); got != want {
			t.Errorf("Sample %v: one in %d, want %d", sample, got, want)
		}
	}
}
