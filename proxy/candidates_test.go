package proxy_test

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/candidates"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// byCandidates has several addresses, of which one is the primary's.
func byCandidates(addresses ...string) func(*proxy.Options) {
	return func(o *proxy.Options) {
		o.Upstream.Address, o.Upstream.ConnectTimeout = "", time.Minute
		o.Candidates = &candidates.Options{Addresses: addresses, Interval: 20 * time.Millisecond,
			Hurry: 5 * time.Millisecond}
	}
}

// follow makes a server a replica of another one, and waits until it has its data.
func follow(t *testing.T, replica, primary *proxytest.Server) {
	t.Helper()
	replicate(replica, primary)
	proxytest.Poll(t, "the replica to follow", func() bool {
		return replica.Info("replication")["master_link_status"] == "up"
	})
}

func replicate(replica, primary *proxytest.Server) {
	host, port, _ := net.SplitHostPort(primary.Addr)
	replica.MustDo("REPLICAOF", host, port)
}

func promote(srv *proxytest.Server) { srv.MustDo("REPLICAOF", "NO", "ONE") }

// pairOf is a primary and its replica, without sentinels.
func pairOf(t *testing.T, kind string) (a, b *proxytest.Server) {
	t.Helper()
	spec := proxytest.Spec{Kind: kind, Args: journalArgs}
	a, b = spec.Start(t), spec.Start(t)
	follow(t, b, a)
	return a, b
}

// candidatesOf is the candidates on the console.
func candidatesOf(t *testing.T, srv *proxy.Served) *admin.Candidates {
	t.Helper()
	st, err := srv.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st.Upstream.Candidates
}

// awaitPrimary waits until a server is in force by the n-th move.
func awaitPrimary(t *testing.T, srv *proxy.Served, to *proxytest.Server, n uint64) admin.Move {
	t.Helper()
	proxytest.Poll(t, "the move", func() bool { return candidatesOf(t, srv).Total == n })
	moves := candidatesOf(t, srv).Moves
	m := moves[len(moves)-1]
	if m.To != to.Addr {
		t.Fatalf("moved to %s, want %s: %+v", m.To, to.Addr, m)
	}
	return m
}

// asked waits until servers have been asked several times since now, by four questions each time. The
// test's own calls do not count.
func asked(t *testing.T, servers ...*proxytest.Server) {
	t.Helper()
	for _, s := range servers {
		until := infoCalls(s) + 20
		proxytest.Poll(t, "the candidates to be asked", func() bool {
			until++
			return infoCalls(s) > until
		})
	}
}

func infoCalls(s *proxytest.Server) int {
	line := s.Info("commandstats")["cmdstat_info"]
	_, line, _ = strings.Cut(line, "calls=")
	line, _, _ = strings.Cut(line, ",")
	n, _ := strconv.Atoi(line)
	return n
}

// A failover by hand, in both orders, while clients write. The operator pauses the writes first: nothing
// that was acknowledged is missing.
func TestManualFailover(t *testing.T) {
	for _, kind := range []string{"valkey9", "redis"} {
		for order, steps := range map[string]func(t *testing.T, srv *proxy.Served, a, b *proxytest.Server){
			"promoted first": func(t *testing.T, srv *proxy.Served, a, b *proxytest.Server) {
				promote(b)
				awaitPrimary(t, srv, b, 1)
				asked(t, a, b)
				if got := a.Info("replication")["role"]; got != "master" {
					t.Errorf("the proxy made the old primary a %s", got)
				}
				replicate(a, b)
			},
			"demoted first": func(t *testing.T, srv *proxy.Served, a, b *proxytest.Server) {
				replicate(a, b)
				proxytest.Poll(t, "the doubt", func() bool { return candidatesOf(t, srv).Certain })
				promote(b)
				awaitPrimary(t, srv, b, 1)
			},
		} {
			t.Run(kind+" "+order, func(t *testing.T) {
				t.Parallel()
				a, b := pairOf(t, kind)
				addr, srv := serveServer(t, "", byCandidates(a.Addr, b.Addr), func(o *proxy.Options) {
					o.Hold, o.Fence = time.Minute, true
				})
				eventually(t, dial(t, addr))
				s := &failoverScene{T: t, addr: addr, srv: srv}
				all, stop := s.load(8)
				s.goOn("before", all, 100)
				a.MustDo("CLIENT", "PAUSE", "3600000", "WRITE")
				end := a.Info("replication")["master_repl_offset"]
				proxytest.Poll(t, "the replica has everything", func() bool {
					return b.Info("replication")["slave_repl_offset"] >= end && len(end) ==
						len(b.Info("replication")["slave_repl_offset"])
				})
				steps(t, srv, a, b)
				a.MustDo("CLIENT", "UNPAUSE")
				s.goOn("after", all, 100)
				stop()
				for _, w := range all {
					s.expectOwnErrors(w)
					if lost := lacking(b, w); len(lost) > 0 {
						t.Errorf("%s: %d of %d acknowledged writes are missing, from %s on", w.prefix, len(lost),
							len(w.acked), lost[0])
					}
				}
			})
		}
	}
}

// gate lets candidates be asked while it is open.
type gate struct{ sync.RWMutex }

type gated struct {
	candidates.Conn
	g *gate
}

func (g *gate) open(ctx context.Context, address string) (candidates.Conn, error) {
	c, err := proxy.OpenCandidate(upstream.Options{})(ctx, address)
	if err != nil {
		return nil, err
	}
	return &gated{c, g}, nil
}

func (c *gated) Info(sections ...string) (map[string]string, error) {
	c.g.RLock()
	defer c.g.RUnlock()
	return c.Conn.Info(sections...)
}

// Without a pause, writes that the old primary acknowledges after the promotion are lost, and an incident names them.
func TestManualFailoverWithoutAPause(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, "valkey9")
	g := &gate{}
	addr, srv := serveServer(t, "", byCandidates(a.Addr, b.Addr), withJournal(t.TempDir()), route(journaled),
		func(o *proxy.Options) {
			o.Hold, o.Candidates.Open = time.Minute, g.open
			o.Fence, o.Feed, o.FeedPromoted = true, true, true // which need sentinels
		})
	c := dial(t, addr)
	eventually(t, c)
	if got := c.do("SET pay:1 kept"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	recorded(t, srv, a)
	proxytest.Poll(t, "the replica has it", func() bool { return b.MustDo("GET", "pay:1") == "kept" })
	g.Lock() // the promotion is not noticed yet
	promote(b)
	if got := c.do("SET pay:2 lost"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	replicate(a, b)
	g.Unlock()
	proxytest.Poll(t, "a write in B", func() bool { return dial(t, addr).do("SET n 1") == "+OK\r\n" })
	if m := awaitPrimary(t, srv, b, 1); m.Fed != 0 || m.Old != "" {
		t.Errorf("got %+v", m)
	}
	if got := b.MustDo("GET", "n"); got != "1" {
		t.Errorf("the new server has %v", got)
	}
	proxytest.Poll(t, "the incident", func() bool { return incidentsOf(t, srv) == 1 })
	if got := b.MustDo("GET", "pay:2"); got != nil {
		t.Errorf("without sentinels it was fed: %v", got)
	}
}

// The primary dies, the replica is promoted, and the old primary comes back as one: the proxy stays.
func TestAnOldPrimaryThatComesBackIsNotTaken(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, "valkey9")
	addr, srv := serveServer(t, "", byCandidates(a.Addr, b.Addr), func(o *proxy.Options) {
		o.Hold, o.Fence = time.Minute, true
	})
	c := dial(t, addr)
	if got := c.do("SET n 1"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	proxytest.Poll(t, "the replica has it", func() bool { return b.MustDo("GET", "n") == "1" })
	a.Kill()
	c.send("INCR n\r\n") // waits
	asked(t, b)
	if got := candidatesOf(t, srv); got.Total != 0 || got.Primary != a.Addr {
		t.Fatalf("a replica was taken: %+v", got)
	}
	promote(b)
	awaitPrimary(t, srv, b, 1)
	if got := c.reply(); got != ":2\r\n" {
		expectCode(t, "UPSTREAM", got) // it was sent before the connection was seen to break
		if got := c.do("SET n 2"); got != "+OK\r\n" {
			t.Errorf("got %q", got)
		}
	}
	a.Restart()
	proxytest.Poll(t, "the second primary", func() bool { return len(candidatesOf(t, srv).Against) == 1 })
	asked(t, a, b)
	st := candidatesOf(t, srv)
	if st.Primary != b.Addr || st.Doubt != "" || st.Total != 1 {
		t.Errorf("got %+v", st)
	}
	if why := strings.Join(srv.Degraded(), "\n"); !strings.Contains(why, a.Addr+" says that it is a primary, too") ||
		len(srv.NotReady()) > 0 {
		t.Errorf("degraded: %q, not ready: %q", why, srv.NotReady())
	}
	if got := c.do("INCR n"); got != ":3\r\n" || b.MustDo("GET", "n") != "3" {
		t.Errorf("got %q", got)
	}
	if got := a.Info("replication")["role"]; got != "master" {
		t.Errorf("without sentinels, the old primary was made a %s", got)
	}
	if _, err := srv.Failover(t.Context()); err == nil || !strings.Contains(err.Error(), "promote one of them yourself") {
		t.Errorf("FAILOVER: %v", err)
	}
	replicate(a, b)
	proxytest.Poll(t, "all is well", func() bool { return len(candidatesOf(t, srv).Against) == 0 })
}

// A replica that is started again comes up as a primary, with old data and the primary's id as its second
// one: it is not taken, also while the primary does not answer.
func TestAReplicaThatIsStartedAgainIsNotTaken(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, "valkey9")
	addr, srv := serveServer(t, "", byCandidates(a.Addr, b.Addr), func(o *proxy.Options) { o.Hold = time.Minute })
	c := dial(t, addr)
	if got := c.do("SET n 1"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	asked(t, a, b)
	id := a.Info("replication")["master_replid"]
	proxytest.Poll(t, "the replica has it", func() bool { return b.MustDo("GET", "n") == "1" })
	b.MustDo("SAVE")
	b.Restart()
	if got := b.Info("replication"); got["role"] != "master" || got["master_replid2"] != id {
		t.Fatalf("it is no danger: %v", got)
	}
	proxytest.Poll(t, "the second primary", func() bool { return len(candidatesOf(t, srv).Against) == 1 })
	if got := c.do("INCR n"); got != ":2\r\n" || a.MustDo("GET", "n") != "2" {
		t.Errorf("got %q", got)
	}
	a.Pause()
	proxytest.Poll(t, "the primary is silent", func() bool {
		return strings.Contains(strings.Join(srv.Degraded(), "\n"), a.Addr+" does not answer")
	})
	asked(t, b)
	if got := candidatesOf(t, srv); got.Primary != a.Addr || got.Total != 0 {
		t.Errorf("got %+v", got)
	}
	a.Resume()
	if got := c.do("INCR n"); got != ":3\r\n" {
		t.Errorf("got %q", got)
	}
}

// A proxy that starts has no primary while none of the candidates is one, and says why.
func TestTheProxyStartsWithoutAPrimary(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, "valkey9")
	replicate(a, b)
	addr, srv := serveServer(t, "", byCandidates(a.Addr, b.Addr), func(o *proxy.Options) {
		o.Hold, o.Upstream.ConnectTimeout = 0, 2*time.Second
	})
	c := dial(t, addr)
	proxytest.Poll(t, "the refusal has the reason", func() bool {
		got := c.do("SET n 1")
		expectCode(t, "UPSTREAM", got)
		return strings.Contains(got, "(no candidate of upstream.address is the primary)")
	})
	proxytest.Poll(t, "the readiness has the reason", func() bool {
		return strings.Contains(strings.Join(srv.NotReady(), "\n"), "no candidate says that it is a primary ("+a.Addr+
			": a replica of "+b.Addr)
	})
	promote(b)
	proxytest.Poll(t, "the primary is found", func() bool { return c.do("SET n 1") == "+OK\r\n" })
	if got := candidatesOf(t, srv); got.Total != 0 || got.Primary != b.Addr || b.MustDo("GET", "n") != "1" {
		t.Errorf("got %+v", got)
	}
}

// A candidate may be a unix socket. The others know that server by another address, so the history tells that
// it is the one that they follow.
func TestUnixCandidate(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	a := proxytest.StartServer(t, journalArgs...)
	b := proxytest.StartServer(t, append([]string{"--unixsocket", socket}, journalArgs...)...)
	follow(t, b, a)
	addr, srv := serveServer(t, "", byCandidates(a.Addr, "unix:"+socket), func(o *proxy.Options) { o.Hold = time.Minute })
	c := dial(t, addr)
	if got := c.do("SET n 1"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	proxytest.Poll(t, "the replica has it", func() bool { return b.MustDo("GET", "n") == "1" })
	replicate(a, b)
	proxytest.Poll(t, "the doubt", func() bool {
		return strings.Contains(candidatesOf(t, srv).Doubt, "a replica of "+b.Addr+", which is none of the candidates")
	})
	c.send("INCR n\r\n")
	promote(b)
	c.expect(":2\r\n")
	proxytest.Poll(t, "the move", func() bool { return candidatesOf(t, srv).Primary == "unix:"+socket })
	if got := b.MustDo("GET", "n"); got != "2" {
		t.Errorf("the new server has %v", got)
	}
}

// A RELOAD with another list, while the primary is silent, does not take an old primary.
func TestAReloadKnowsThePrimary(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, "valkey9")
	r := serveReloader(t, "", byCandidates(a.Addr, b.Addr))
	c := dial(t, r.addr)
	if got := c.do("SET n 1"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	promote(b)
	awaitPrimary(t, r.srv, b, 1)
	b.Pause()
	r.mustReload(byCandidates(b.Addr, a.Addr))
	proxytest.Poll(t, "both are judged", func() bool {
		st := candidatesOf(t, r.srv)
		return strings.Contains(st.List[0].Says, "does not answer") && st.List[1].Heard
	})
	asked(t, a)
	if st := candidatesOf(t, r.srv); st.Primary != b.Addr || st.Total != 1 {
		t.Errorf("got %+v", st)
	}
	b.Resume()
	eventually(t, dial(t, r.addr))
	replicate(a, b)
	proxytest.Poll(t, "A follows", func() bool { return a.Info("replication")["master_link_status"] == "up" })
	asked(t, a, b)
	promote(a)
	awaitPrimary(t, r.srv, a, 2)
}

func TestReloadBetweenAddressAndCandidates(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t)
	c := dial(t, r.addr)
	c.do("GET where")
	_, err := r.reload(func(o *proxy.Options) {
		byCandidates(a.Addr, b.Addr)(o)
		o.Upstream.ConnectTimeout = 5 * time.Second
	})
	if err == nil || !strings.Contains(err.Error(), "upstream.address: no primary is known: ") ||
		!strings.Contains(err.Error(), "the histories do not tell") {
		t.Errorf("two primaries: %v", err)
	}
	if got := c.do("GET where"); got != inA {
		t.Errorf("after a refused reload: %q", got)
	}
	follow(t, a, b)
	r.mustReload(byCandidates(a.Addr, b.Addr))
	if got := c.do("GET where"); got != inB {
		t.Errorf("by the candidates: %q", got)
	}
	r.mustReload(func(o *proxy.Options) { o.Hold = time.Minute }) // of another kind
	promote(a)
	awaitPrimary(t, r.srv, a, 1)
	if got := c.do("SET where a"); got != "+OK\r\n" || a.MustDo("GET", "where") != "a" {
		t.Errorf("after the failover: %q", got)
	}
	r.mustReload(func(o *proxy.Options) { o.Candidates, o.Upstream.Address = nil, b.Addr })
	if got := c.do("GET where"); got != inB || candidatesOf(t, r.srv) != nil {
		t.Errorf("by the address: %q", got)
	}
}
