package proxy_test

import (
	"net/http/httptest"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A failover has a span, from its first sign until the new primary is in force, however few commands are sampled.
func TestSpanOfAFailover(t *testing.T) {
	t.Parallel()
	c := &spanCollector{spans: map[string][]*tracepb.Span{}}
	traces := httptest.NewServer(c)
	t.Cleanup(traces.Close)
	var next proxy.Options
	h := startHandover(t, true, func(o *proxy.Options) {
		o.Telemetry.OTLP, o.Telemetry.Sample = traces.URL, 1e-9
		next = *o
		o.LoadOptions = func() (proxy.Options, error) { return next, nil }
	})
	h.promote(t)
	next.Telemetry.OTLP = "" // which sends the queue
	if _, err := h.srv.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the span", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.spans["failover"]) == 1
	})
	span, move := c.spans["failover"][0], sentinelsOf(t, h.srv).Moves[0]
	if span.StartTimeUnixNano != uint64(move.At.Add(-move.Paused).UnixNano()) || span.EndTimeUnixNano != uint64(move.At.UnixNano()) {
		t.Errorf("it lasts from %d to %d, and the console says %+v", span.StartTimeUnixNano, span.EndTimeUnixNano, move)
	}
	for name, want := range map[string]string{"from": h.old.Addr, "to": h.new.Addr, "reason": move.Why} {
		if got := spanAttribute(span, "holdfast.failover."+name); got != want || want == "" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
