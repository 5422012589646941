package proxy_test

import (
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// The journal and the replicas come back within the time that their routes have.
func TestDurableWritesOutlastALostReplicationLink(t *testing.T) {
	srv := durable(t)
	replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(policy.Demand{Journal: true, Replicas: 1}),
		withJournal(t.TempDir()))
	c := dial(t, addr)
	for range 5 {
		// The first of them comes while the journal still waits for its first snapshot.
		if got := c.do("SET pay:1 x"); got != "+OK\r\n" {
			t.Fatalf("got %q", got)
		}
		srv.MustDo("CLIENT", "KILL", "TYPE", "replica")
	}
}

// A journal that has no snapshot yet is no more ready than one that is away.
func TestAStartingJournalIsNotReady(t *testing.T) {
	for _, required := range []bool{false, true} {
		srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "3600")
		_, p := serveServer(t, srv.Addr, withJournal(t.TempDir()), func(o *proxy.Options) {
			o.Journal.Required = required
		})
		says := map[bool]func() []string{false: p.Degraded, true: p.NotReady}[required]
		if got := strings.Join(says(), "\n"); !strings.Contains(got, "journal: ") {
			t.Errorf("required %v: got %q", required, got)
		}
		if !required && len(p.NotReady()) > 0 {
			t.Errorf("not ready: %q", p.NotReady())
		}
	}
}
