package proxy_test

import (
	"net/http/httptest"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// The span of a command names the rule that decided about it, whatever the rule did.
func TestSpanNamesTheRule(t *testing.T) {
	up := proxytest.StartServer(t)
	c := &spanCollector{spans: map[string][]*tracepb.Span{}}
	traces := httptest.NewServer(c)
	t.Cleanup(traces.Close)
	r := serveReloader(t, up.Addr, func(o *proxy.Options) {
		o.Telemetry.OTLP, o.Telemetry.Sample = traces.URL, 1
		o.Rules = []policy.RuleSpec{
			{Name: "no", Action: "deny", Commands: []string{"keys"}},
			{Name: "seen", Action: "allow", Commands: []string{"get"}},
			{Name: "watched", Action: "deny", Enforcement: "observe", Commands: []string{"incr"}},
			{Name: "aside", Action: "trash", Commands: []string{"flushall", "del"}},
			{Name: "gently", Action: "rewrite", Commands: []string{"flushdb"}},
		}
	})
	client := dial(t, r.addr)
	for _, line := range []string{"KEYS *", "GET k", "INCR n", "SET k v", "DEL k", "FLUSHALL",
		"FLUSHDB", "MULTI", "KEYS *", "EXEC"} {
		client.do(line)
	}
	want := map[string]string{"KEYS": "no", "GET": "seen", "INCR": "watched", "SET": "", "DEL": "aside",
		"FLUSHALL": "aside", "FLUSHDB": "gently", "MULTI": ""}
	r.mustReload(func(o *proxy.Options) { o.Telemetry.OTLP = "" }) // what is queued is sent
	proxytest.Poll(t, "the spans", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.spans["KEYS"]) == 2 && len(c.spans["EXEC"]) == 1
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, rule := range want {
		if len(c.spans[name]) == 0 {
			t.Errorf("no span of %s", name)
		}
		for _, span := range c.spans[name] {
			if got := spanAttribute(span, "holdfast.rule"); got != rule {
				t.Errorf("%s: rule %q, want %q", name, got, rule)
			}
		}
	}
}

func spanAttribute(span *tracepb.Span, name string) string {
	for _, a := range span.Attributes {
		if a.Key == name {
			return a.Value.GetStringValue()
		}
	}
	return ""
}
