package proxy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/sentinel"
)

// bySentinels has sentinels name the server.
func bySentinels(addresses ...string) func(*proxy.Options) {
	return func(o *proxy.Options) {
		o.Upstream.Address, o.Upstream.ConnectTimeout = "", time.Minute
		o.Sentinels = &sentinel.Options{Addresses: addresses, Name: proxytest.TrioName,
			Interval: 20 * time.Millisecond, Hurry: 5 * time.Millisecond, MaxBackoff: 20 * time.Millisecond}
	}
}

// fakeTrio is three fake sentinels that name a server.
func fakeTrio(t *testing.T, names string) (all []*proxytest.FakeSentinel, addresses []string) {
	t.Helper()
	for _, id := range []string{"id1", "id2", "id3"} {
		s := proxytest.StartFakeSentinel(t, id, names)
		all, addresses = append(all, s), append(addresses, s.Addr)
	}
	for i, s := range all {
		s.List(all[(i+1)%3], all[(i+2)%3])
	}
	return all, addresses
}

// sentinelsOf is what the console says about the sentinels.
func sentinelsOf(t *testing.T, srv *proxy.Served) *admin.Sentinels {
	t.Helper()
	st, err := srv.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st.Upstream.Sentinels
}

func awaitMoves(t *testing.T, srv *proxy.Served, n uint64) []admin.Move {
	t.Helper()
	proxytest.Poll(t, "the move", func() bool { return sentinelsOf(t, srv).Total == n })
	return sentinelsOf(t, srv).Moves
}

// awaitDoubt waits until the workers know of a doubt.
func awaitDoubt(t *testing.T, srv *proxy.Served, text string) {
	t.Helper()
	proxytest.Poll(t, "the doubt", func() bool { return strings.Contains(sentinelsOf(t, srv).Doubt, text) })
	sentinelsOf(t, srv) // each loop answers behind it
}

// named has sentinels name another server.
func named(address string, all ...*proxytest.FakeSentinel) {
	for _, s := range all {
		s.Name(address)
	}
}

func TestTheProxyFollowsTheSentinels(t *testing.T) {
	t.Parallel()
	a, b := proxytest.StartServer(t), proxytest.StartServer(t)
	a.MustDo("SET", "where", "a")
	b.MustDo("SET", "where", "b")
	all, addresses := fakeTrio(t, a.Addr)
	http := freeAddr(t)
	addr, srv := serveServer(t, "", bySentinels(addresses...), func(o *proxy.Options) {
		o.HTTP, o.Hold = http, time.Minute
	})
	c, tx := dial(t, addr), dial(t, addr)
	if got := c.do("GET where"); got != inA {
		t.Fatalf("got %q", got)
	}
	tx.do("MULTI")
	all[0].Flag("master,failover_in_progress")
	awaitDoubt(t, srv, "leads a failover")
	_, metrics := get(t, http, "/metrics")
	for _, want := range []string{"holdfast_upstream_doubt 1", `holdfast_sentinels{state="heard"} 3`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	c.send("SET where c\r\n")
	if got := dial(t, addr).do("GET where"); got != inA {
		t.Errorf("a reader got %q", got)
	}
	all[0].Promote(b.Addr)
	all[1].Name(b.Addr)
	c.expect("+OK\r\n")
	moves := awaitMoves(t, srv, 1)
	if m := moves[0]; m.From != a.Addr || m.To != b.Addr || m.Paused <= 0 || m.Votes < 2 ||
		!strings.Contains(m.Why, "leads a failover") {
		t.Errorf("got %+v", m)
	}
	if got := a.MustDo("GET", "where"); got != "a" {
		t.Errorf("the old server got the write: %v", got)
	}
	if got := b.MustDo("GET", "where"); got != "c" {
		t.Errorf("the new server has %v", got)
	}
	tx.expectEOF() // it has state on the old server
	named(b.Addr, all...)
	expectLeft(t, a)
}

// A minority moves nothing, and a majority nothing that does not say that it is a primary.
func TestTheProxyFollowsNoMinority(t *testing.T) {
	t.Parallel()
	a, b := proxytest.StartServer(t), proxytest.StartServer(t)
	a.MustDo("SET", "where", "a")
	all, addresses := fakeTrio(t, a.Addr)
	addr, srv := serveServer(t, "", bySentinels(addresses...), func(o *proxy.Options) { o.Hold = 0 })
	c := dial(t, addr)
	c.do("GET where")
	all[2].Name(b.Addr)
	proxytest.Poll(t, "it is outvoted", func() bool {
		return strings.Contains(strings.Join(srv.Degraded(), "\n"), "is outvoted")
	})
	if got := c.do("SET n 1"); got != "+OK\r\n" || a.MustDo("GET", "n") != "1" {
		t.Errorf("got %q", got)
	}
	b.MustDo("REPLICAOF", "127.0.0.1", a.Port)
	all[1].Name(b.Addr)
	awaitDoubt(t, srv, "does not say yet that it is a primary")
	if why := strings.Join(srv.NotReady(), "\n"); !strings.Contains(why, "does not say yet that it is a primary") {
		t.Errorf("not ready: %q", why)
	}
	expectCode(t, "UPSTREAM", c.do("SET n 2"))
	if got := c.do("GET n"); got != "$1\r\n1\r\n" {
		t.Errorf("a reader got %q", got)
	}
	b.MustDo("REPLICAOF", "NO", "ONE")
	awaitMoves(t, srv, 1)
	if got := c.do("SET n 3"); got != "+OK\r\n" || b.MustDo("GET", "n") != "3" || a.MustDo("GET", "n") != "1" {
		t.Errorf("got %q", got)
	}
}

func TestTheProxyStartsBeforeThePrimaryIsKnown(t *testing.T) {
	t.Parallel()
	a := proxytest.StartServer(t, journalArgs...)
	all, addresses := fakeTrio(t, "")
	addr, srv := serveServer(t, "", bySentinels(addresses...), withJournal(t.TempDir()), func(o *proxy.Options) {
		o.Hold, o.Upstream.ConnectTimeout = 0, 50*time.Millisecond
	})
	c := dial(t, addr)
	proxytest.Poll(t, "the refusal has the reason", func() bool {
		got := c.do("SET n 1")
		expectCode(t, "UPSTREAM", got)
		return strings.Contains(got, "(the sentinels name no primary)")
	})
	proxytest.Poll(t, "the readiness has the reason", func() bool {
		return strings.Contains(strings.Join(srv.NotReady(), "\n"), "3 of 3 sentinels answer, and 0 know \"mymaster\"")
	})
	named(a.Addr, all...)
	proxytest.Poll(t, "the primary is found", func() bool { return c.do("SET n 1") == "+OK\r\n" })
	recorded(t, srv, a)
	proxytest.Poll(t, "three votes", func() bool { return sentinelsOf(t, srv).Votes == 3 })
	if s := sentinelsOf(t, srv); s.Total != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestReloadBetweenAddressAndSentinels(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t)
	c := dial(t, r.addr)
	c.do("GET where")
	all, addresses := fakeTrio(t, b.Addr)
	use := bySentinels(addresses...)
	r.mustReload(use)
	if got := c.do("GET where"); got != inB {
		t.Errorf("by the sentinels: %q", got)
	}
	r.mustReload(func(o *proxy.Options) { o.Hold = time.Second }) // of another kind
	if got := c.do("GET where"); got != inB {
		t.Errorf("after another change: %q", got)
	}
	named(a.Addr, all...)
	awaitMoves(t, r.srv, 1)
	if got := c.do("GET where"); got != inA {
		t.Errorf("after the failover: %q", got)
	}
	if _, err := r.reload(func(o *proxy.Options) {
		bySentinels("127.0.0.1:1")(o)
		o.Upstream.ConnectTimeout = 50 * time.Millisecond
	}); err == nil || !strings.Contains(err.Error(), "upstream.sentinels: no primary is known") {
		t.Errorf("sentinels that do not answer: %v", err)
	}
	if got := c.do("GET where"); got != inA {
		t.Errorf("after a refused reload: %q", got)
	}
	r.mustReload(func(o *proxy.Options) {
		o.Sentinels, o.Upstream.Address = nil, b.Addr
	})
	named(a.Addr, all...)
	if got := c.do("GET where"); got != inB || sentinelsOf(t, r.srv) != nil {
		t.Errorf("by the address: %q", got)
	}
}

// A server that was stopped goes on after its failover, and answers OK to what its successor will never
// have: nothing of that reaches a client.
// A server that is made a replica by hand is doubted at once: by a refused write, not only when the watcher
// asks it for its role.
func TestADemotedServerIsDoubtedAtOnce(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	_, addresses := fakeTrio(t, server.Addr)
	addr, srv := serveServer(t, "", bySentinels(addresses...), func(o *proxy.Options) {
		o.Sentinels.Interval, o.Sentinels.Hurry, o.Hold = time.Hour, time.Hour, time.Minute
	})
	c := dial(t, addr)
	eventually(t, c)
	server.MustDo("REPLICAOF", "127.0.0.1", "1")
	c.send("SET k 1\r\n") // refused, or waits
	awaitDoubt(t, srv, "says that it is a replica")
	server.MustDo("REPLICAOF", "NO", "ONE")
	proxytest.Poll(t, "the end of the doubt", func() bool { return sentinelsOf(t, srv).Doubt == "" })
}

func TestAReplacedServerIsNotBelieved(t *testing.T) {
	t.Parallel()
	a, b, clients := replaced(t)
	a.Resume()
	for _, c := range clients[:3] {
		expectDisowned(t, c)
	}
	if got := clients[4].reply(); got != "*-1\r\n" { // on a slow machine it has not been ended in time
		expectCode(t, "UPSTREAM", got)
	}
	for _, c := range clients {
		c.send("SET n 2\r\n")
	}
	clients[0].expect("+OK\r\n")
	if got := b.MustDo("GET", "n"); got != "2" {
		t.Errorf("the new server has %v", got)
	}
	expectLeft(t, a)
}

// Clients do not wait for a server that has been replaced and stays stopped.
func TestAReplacedServerIsNotAwaited(t *testing.T) {
	t.Parallel()
	_, _, clients := replaced(t)
	for _, c := range clients {
		expectDisowned(t, c)
	}
	for _, c := range clients {
		if got := c.do("SET n 2"); got != "+OK\r\n" {
			t.Errorf("afterwards: %q", got)
		}
	}
}

func expectDisowned(t *testing.T, c *conn) {
	t.Helper()
	const want = "-UPSTREAM the link to the server broke (a failover has replaced the server); the command may have " +
		"been executed; check before sending it again; see docs/errors.md#upstream\r\n"
	if got := c.reply(); got != want {
		t.Errorf("got %q", got)
	}
}

// replaced stops a server with commands in flight, and then has another one be the primary. The
// clients wait for their replies to SET, EVAL, EXEC, GET and BLPOP.
func replaced(t *testing.T) (a, b *proxytest.Server, clients []*conn) {
	t.Helper()
	a, b = proxytest.StartServer(t), proxytest.StartServer(t)
	all, addresses := fakeTrio(t, a.Addr)
	addr, srv := serveServer(t, "", bySentinels(addresses...), func(o *proxy.Options) { o.Hold = time.Minute })
	for _, first := range []string{"GET n", "EVAL \"return 1\" 0", "MULTI", "GET n"} {
		c := dial(t, addr)
		c.do(first)
		clients = append(clients, c)
	}
	clients[2].do("INCR n")
	blocked := dial(t, addr)
	blocked.send("BLPOP list 0\r\n")
	proxytest.Poll(t, "a client to block", func() bool { return a.Info("clients")["blocked_clients"] == "1" })
	a.Pause()
	for i, command := range []string{"SET n 1", "EVAL \"return redis.call('INCR', 'n')\" 0", "EXEC", "GET n"} {
		clients[i].send(command + "\r\n")
	}
	clients = append(clients, blocked)
	awaitInFlight(t, srv, len(clients))
	named(b.Addr, all...)
	awaitMoves(t, srv, 1)
	return a, b, clients
}
