package proxy_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A proxy that is started while the promoted server is silent knows from its journal that clients had left the old
// primary, and does not take it.
func TestAStartKnowsTheJournalsPrimary(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, "valkey9")
	dir := t.TempDir()
	mods := []func(*proxy.Options){byCandidates(a.Addr, b.Addr), withJournal(dir), func(o *proxy.Options) {
		o.Hold, o.Upstream.ConnectTimeout = 0, 2*time.Second
	}}
	addr, srv := serveServer(t, "", mods...)
	eventually(t, dial(t, addr))
	recorded(t, srv, a)
	promote(b)
	awaitPrimary(t, srv, b, 1)
	proxytest.Poll(t, "a write in B", func() bool { return dial(t, addr).do("SET n new") == "+OK\r\n" })
	recorded(t, srv, b)
	if err := srv.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the end of the first proxy", func() bool {
		used, err := journal.InUse(nil, dir)
		return !used && err == nil
	})
	b.Pause()
	addr, srv = serveServer(t, "", mods...)
	c := dial(t, addr)
	proxytest.Poll(t, "the readiness has the reason", func() bool {
		expectCode(t, "UPSTREAM", c.do("SET n old"))
		return strings.Contains(strings.Join(srv.NotReady(), "\n"), a.Addr+" says that it is a primary, and is not taken: "+
			"its history is older than the last one of "+b.Addr+", and "+b.Addr+" does not answer")
	})
	asked(t, a)
	if got := a.MustDo("GET", "n"); got != nil {
		t.Errorf("the old primary took %v", got)
	}
	b.Resume()
	proxytest.Poll(t, "B is taken", func() bool { return c.do("SET n newer") == "+OK\r\n" })
	if got := b.MustDo("GET", "n"); got != "newer" || candidatesOf(t, srv).Primary != b.Addr {
		t.Errorf("B has %v", got)
	}
	if n := incidentsOf(t, srv); n > 0 {
		t.Errorf("%d incidents", n)
	}
}
