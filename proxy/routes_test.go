package proxy_test

import (
	"log/slog"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// logText is a log that a test reads while it is written.
type logText struct{ proxytest.Log }

func (l *logText) has(parts ...string) bool {
	for line := range strings.Lines(l.String()) {
		found := 0
		for _, part := range parts {
			if strings.Contains(line, part) {
				found++
			}
		}
		if found == len(parts) {
			return true
		}
	}
	return false
}

// TestRoutesAreReported: at the start, after a reload and when the server changes, the log says
// which routes cannot have their proofs.
func TestRoutesAreReported(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var log logText
	route := func(name string, d policy.Demand) policy.RouteSpec {
		return policy.RouteSpec{Name: name, Keys: []string{name + ":*"}, Demand: d}
	}
	r := serveReloader(t, srv.Addr, func(o *proxy.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Routes = []policy.RouteSpec{route("disk", policy.Demand{AOFLocal: true}),
			route("paper", policy.Demand{Journal: true})}
	})
	if !log.has("level=ERROR", "can never be proven like this", "routes=disk", "CONFIG SET appendonly yes") ||
		!log.has("level=ERROR", "routes=paper", "set journal.dir") {
		t.Errorf("at the start: %s", log.String())
	}
	r.mustReload(func(o *proxy.Options) {
		o.Routes = []policy.RouteSpec{route("peer", policy.Demand{Replicas: 1})}
	})
	if !log.has("level=WARN", "routes=peer", "0 of 1 replicas are online", "REPLICAOF") {
		t.Errorf("after a reload: %s", log.String())
	}
	r.mustReload(func(o *proxy.Options) { o.Routes = o.Routes[:1] })
	host, port, _ := strings.Cut(srv.Addr, ":")
	replica := proxytest.StartServer(t)
	replica.MustDo("REPLICAOF", host, port)
	proxytest.Poll(t, "the log says that the replica came", func() bool {
		return log.has("level=INFO", "everything that routes demand can be proven")
	})
	if _, err := r.reload(func(o *proxy.Options) {
		o.Routes = []policy.RouteSpec{route("", policy.Demand{})}
	}); err == nil || !strings.Contains(err.Error(), "route #1: name: must not be empty") {
		t.Errorf("a bad route: %v", err)
	}
}
