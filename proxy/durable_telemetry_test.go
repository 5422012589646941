package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// spanCollector keeps the spans that it is sent, by name.
type spanCollector struct {
	mu    sync.Mutex
	spans map[string][]*tracepb.Span
}

func (c *spanCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || proto.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans[s.Name] = append(c.spans[s.Name], s)
			}
		}
	}
}

// What a held write leaves behind: counters of its route, of its demand and of its fences, on the
// console and as metrics, and spans.
func TestHeldWriteIsSeen(t *testing.T) {
	t.Parallel()
	up := durable(t)
	c := &spanCollector{spans: map[string][]*tracepb.Span{}}
	traces := httptest.NewServer(c)
	t.Cleanup(traces.Close)
	httpAddr := freeAddr(t)
	var next proxy.Options
	addr, srv := serveServer(t, up.Addr, route(policy.Demand{AOFLocal: true}),
		func(o *proxy.Options) {
			o.HTTP, o.Telemetry.OTLP, o.Telemetry.Sample = httpAddr, traces.URL, 1
			next = *o
			o.LoadOptions = func() (proxy.Options, error) { return next, nil }
		})
	client := dial(t, addr)
	proxytest.Poll(t, "it can be proven", func() bool {
		return routeState(t, srv, "payments").Available
	})
	before := routeState(t, srv, "payments")
	for range 3 {
		if got := client.do("SET pay:1 x"); got != "+OK\r\n" {
			t.Fatal(got)
		}
	}
	client.do("SET other x")
	r := routeState(t, srv, "payments")
	if r.Confirmed != before.Confirmed+3 || r.Held != 0 || r.Unconfirmed != 0 || r.HoldP50 <= 0 {
		t.Errorf("SHOW ROUTES: %+v", r)
	}
	list, err := srv.Fences(t.Context())
	if err != nil || len(list) != 1 || list[0].Kind != "aof local" || list[0].Proven < 3 ||
		list[0].Outcomes["proven"] == 0 || list[0].Waiting != 0 || !list[0].Available {
		t.Errorf("SHOW GATE: %v, %+v", err, list)
	}
	_, body := get(t, httpAddr, "/metrics")
	for _, want := range []string{
		`holdfast_route_commands_total\{outcome="confirmed",route="payments"\} 3`,
		`holdfast_route_held\{route="payments"\} 0`,
		`holdfast_hold_duration_seconds_count\{demand="aof local"\} 3`,
		`holdfast_fences_total\{kind="aof local",outcome="proven"\} [123]`,
		`holdfast_fence_proven_total\{kind="aof local"\} 3`,
		`holdfast_proof_available\{kind="aof local"\} 1`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(body) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	next.Telemetry.OTLP = "" // what is queued is sent
	if _, err := srv.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the spans", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.spans["fence aof local"]) == 3 && len(c.spans["SET"]) == 4
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.spans["held"]; len(held) != 3 {
		t.Fatalf("%d spans of held replies", len(held))
	}
	parents := map[string]*tracepb.Span{}
	for _, name := range []string{"SET", "held"} {
		for _, s := range c.spans[name] {
			parents[string(s.SpanId)] = s
		}
	}
	for name, parent := range map[string]string{"held": "SET", "fence aof local": "held"} {
		for _, s := range c.spans[name] {
			p := parents[string(s.ParentSpanId)]
			if p == nil || p.Name != parent || s.StartTimeUnixNano < p.StartTimeUnixNano ||
				s.EndTimeUnixNano > p.EndTimeUnixNano {
				t.Errorf("span %s within %v: %v", name, p, s)
			}
		}
	}
}

// Readiness and SHOW STATS tell of a route that refuses writes; traffic still comes.
func TestReadinessTellsOfRoutes(t *testing.T) {
	t.Parallel()
	up := proxytest.StartServer(t)
	httpAddr := freeAddr(t)
	_, srv := serveServer(t, up.Addr, route(policy.Demand{Replicas: 1}),
		func(o *proxy.Options) { o.HTTP = httpAddr })
	const want = "route payments: writes are refused: 0 of 1 replicas are online"
	proxytest.Poll(t, "it is known", func() bool {
		status, body := get(t, httpAddr, "/readyz")
		return status == http.StatusOK && strings.Contains(body, "degraded: "+want+"\n")
	})
	st, err := srv.Stats(t.Context())
	if err != nil || len(st.Degraded) != 1 || st.Degraded[0] != want || len(st.NotReady) != 0 {
		t.Errorf("SHOW STATS: %v, %q, %q", err, st.Degraded, st.NotReady)
	}
}
