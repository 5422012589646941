package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// route makes a route for the keys pay:*.
func route(d policy.Demand, change ...func(*policy.RouteSpec)) func(*proxy.Options) {
	r := policy.RouteSpec{Name: "payments", Keys: []string{"pay:*"}, Demand: d, Timeout: 20 * time.Second}
	for _, f := range change {
		f(&r)
	}
	return func(o *proxy.Options) { o.Routes = append(o.Routes, r) }
}

// durable starts a primary whose AOF can be believed.
func durable(t testing.TB, args ...string) *proxytest.Server {
	return proxytest.StartServer(t, append([]string{"--appendonly", "yes", "--appendfsync", "always",
		"--repl-diskless-sync-delay", "0"}, args...)...)
}

// replicaOf starts a replica and waits until it is online.
func replicaOf(t testing.TB, primary *proxytest.Server, args ...string) *proxytest.Server {
	t.Helper()
	replica := proxytest.StartServer(t, append([]string{"--replicaof",
		fmt.Sprintf("127.0.0.1 %d", primary.Port)}, args...)...)
	proxytest.Poll(t, "the replica is online", func() bool {
		return strings.Contains(primary.Info("replication")["slave0"], "state=online") ||
			strings.Contains(primary.Info("replication")["slave1"], "state=online")
	})
	return replica
}

// eventually sends a durable write until it is not refused: what can be proven is known a moment
// after the start.
func eventually(t testing.TB, c *conn) {
	t.Helper()
	proxytest.Poll(t, "the proof can be had", func() bool {
		r := c.do("SET pay:0 x")
		if !strings.HasPrefix(r, "-NODURABLE") && r != "+OK\r\n" {
			t.Fatalf("got %q", r)
		}
		return r == "+OK\r\n"
	})
}

func ackOf(c *conn) string { return c.do("HOLDFAST ACK") }

func TestDurableAcknowledgements(t *testing.T) {
	for name, demand := range map[string]policy.Demand{
		"journal":     {Journal: true},
		"replicas":    {Replicas: 1},
		"aof":         {AOFLocal: true},
		"aofReplicas": {AOFReplicas: 1},
		"all":         {Journal: true, Replicas: 1, AOFLocal: true, AOFReplicas: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := durable(t)
			replicaOf(t, srv, "--appendonly", "yes", "--appendfsync", "always")
			addr := serve(t, srv.Addr, route(demand), withJournal(t.TempDir()))
			c := dial(t, addr)
			eventually(t, c)
			for i := range 50 {
				c.send(fmt.Sprintf("SET pay:%d %d\r\nGET pay:%d\r\nSET plain x\r\n", i, i, i))
			}
			for i := range 50 {
				c.expect(fmt.Sprintf("+OK\r\n$%d\r\n%d\r\n+OK\r\n", len(fmt.Sprint(i)), i))
			}
			c.do("SET pay:1 x")
			if got := ackOf(c); !strings.Contains(got, "confirmed") || !strings.Contains(got, demand.String()) {
				t.Errorf("got %q", got)
			}
			c.do("SET plain x")
			if got := ackOf(c); !strings.Contains(got, "none") {
				t.Errorf("got %q", got)
			}
		})
	}
}
