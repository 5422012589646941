package proxy_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// pairScene is proxies with journals in front of a primary and a replica, which scripted sentinels watch.
type pairScene struct {
	*testing.T
	primary, replica *proxytest.Server
	sentinels        []*proxytest.FakeSentinel
	proxies          []*pairProxy
}

// pairProxy is one of the proxies.
type pairProxy struct {
	addr, dir string
	srv       *proxy.Served
}

func startPair(t *testing.T, proxies int, change ...func(*proxy.Options)) *pairScene {
	t.Helper()
	args := append([]string{"--enable-debug-command", "yes"}, journalArgs...)
	s := &pairScene{T: t, primary: proxytest.StartServer(t, args...), replica: proxytest.StartServer(t, args...)}
	host, port, _ := net.SplitHostPort(s.primary.Addr)
	s.replica.MustDo("REPLICAOF", host, port)
	proxytest.Poll(t, "the replica to follow", func() bool {
		return s.replica.Info("replication")["master_link_status"] == "up"
	})
	all, addresses := fakeTrio(t, s.primary.Addr)
	s.sentinels = all
	for _, one := range all {
		one.Replicas(s.replica.Addr)
	}
	for range proxies {
		p := &pairProxy{dir: t.TempDir()}
		p.addr, p.srv = serveServer(t, "", append([]func(*proxy.Options){bySentinels(addresses...), withJournal(p.dir),
			route(journaled), func(o *proxy.Options) { o.Hold, o.Feed, o.FeedPromoted = time.Minute, true, true }}, change...)...)
		eventually(t, dial(t, p.addr))
		s.proxies = append(s.proxies, p)
	}
	return s
}

// cutOff ends the replica's connection, and has the next ones fail until it is mended.
func (s *pairScene) cutOff() {
	s.Helper()
	s.replica.MustDo("CONFIG", "SET", "masterauth", "wrong")
	s.replica.MustDo("CLIENT", "KILL", "TYPE", "master")
	proxytest.Poll(s, "the link to be down", func() bool {
		return s.replica.Info("replication")["master_link_status"] == "down"
	})
}

// pay has each proxy acknowledge n durable writes.
func (s *pairScene) pay(what string, n int) {
	s.Helper()
	for i, p := range s.proxies {
		c := dial(s, p.addr)
		for k := range n {
			if got := c.do(fmt.Sprintf("SET pay:%s:%d:%d %d", what, i, k, k)); got != "+OK\r\n" {
				s.Fatalf("proxy %d: got %q", i, got)
			}
		}
	}
}

// lacks counts the writes of pay that a server lacks.
func (s *pairScene) lacks(what string, n int, srv *proxytest.Server) (out int) {
	s.Helper()
	for i := range s.proxies {
		for k := range n {
			if srv.MustDo("GET", fmt.Sprintf("pay:%s:%d:%d", what, i, k)) != strconv.Itoa(k) {
				out++
			}
		}
	}
	return out
}

// promote makes the replica the primary, by the sentinels and by itself, and waits for every proxy.
func (s *pairScene) promote() {
	s.Helper()
	s.replica.MustDo("CONFIG", "SET", "masterauth", "")
	s.replica.MustDo("REPLICAOF", "NO", "ONE")
	named(s.replica.Addr, s.sentinels...)
	for _, p := range s.proxies {
		awaitMoves(s.T, p.srv, 1)
	}
}

func incidentsOf(t *testing.T, srv *proxy.Served) int {
	t.Helper()
	list, err := srv.Incidents(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// expectRestorable requires that the end of a proxy's journal is the state of a server.
func (p *pairProxy) expectRestorable(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	ctx := context.Background()
	target := proxytest.StartServer(t, "--enable-debug-command", "yes")
	proxytest.Poll(t, "the journal's end to be the server's state", func() bool {
		view, err := journal.OpenView(nil, p.dir)
		if err != nil {
			t.Fatal(err)
		}
		point, err := replay.Locate(ctx, view, replay.Selector{Current: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := replay.NewPlan(ctx, view, point, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = replay.Restore(ctx, replay.RestoreOptions{View: view, Plan: plan, Target: target.Addr, Force: true})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(target.MustDo("DEBUG", "DIGEST")) == fmt.Sprint(srv.MustDo("DEBUG", "DIGEST"))
	})
}

// What only the journal has is fed to the replica before it is promoted, by one proxy or by two.
func TestReplicasOfALostPrimaryAreFed(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := startPair(t, n)
			s.pay("both", 5)
			s.cutOff()
			s.pay("tail", 50)
			if got := s.lacks("tail", 50, s.replica); got != n*50 {
				t.Fatalf("the replica lacks %d, want %d", got, n*50)
			}
			s.primary.Kill()
			proxytest.Poll(t, "the feed", func() bool { return s.lacks("tail", 50, s.replica) == 0 })
			proxytest.Poll(t, "the replica to be given back", func() bool {
				return s.replica.Info("replication")["master_port"] == strconv.Itoa(s.primary.Port)
			})
			s.promote()
			s.pay("after", 5)
			for i, p := range s.proxies {
				if n := incidentsOf(t, p.srv); n > 0 {
					t.Errorf("proxy %d has %d incidents", i, n)
				}
			}
			if got := s.lacks("tail", 50, s.replica); got > 0 {
				t.Errorf("%d acknowledged writes are missing", got)
			}
			s.proxies[0].expectRestorable(t, s.replica)
		})
	}
}

// A replica that follows another server when the feeder looks at it, as while another proxy feeds it, is looked at again.
func TestAReplicaThatIsElsewhereIsFedLater(t *testing.T) {
	t.Parallel()
	s := startPair(t, 1)
	s.cutOff()
	s.pay("tail", 50)
	s.replica.MustDo("REPLICAOF", "127.0.0.1", "1")
	calls := infoCalls(s.replica)
	s.primary.Kill()
	proxytest.Poll(t, "a look at the replica", func() bool {
		calls++ // its own
		return infoCalls(s.replica) > calls
	})
	host, port, _ := net.SplitHostPort(s.primary.Addr)
	s.replica.MustDo("REPLICAOF", host, port)
	proxytest.Poll(t, "the feed", func() bool { return s.lacks("tail", 50, s.replica) == 0 })
}

// Most sentinels hold the primary to be down, which is wrong: the replica is fed, and goes on with it.
func TestAFalseAlarmIsHarmless(t *testing.T) {
	t.Parallel()
	s := startPair(t, 1)
	s.cutOff()
	s.pay("tail", 50)
	full := s.primary.Info("stats")["sync_full"]
	s.sentinels[0].Flag("master,s_down")
	s.sentinels[1].Flag("master,s_down")
	proxytest.Poll(t, "the feed", func() bool { return s.lacks("tail", 50, s.replica) == 0 })
	for _, one := range s.sentinels {
		one.Flag("master")
	}
	s.replica.MustDo("CONFIG", "SET", "masterauth", "")
	s.pay("after", 5)
	proxytest.Poll(t, "the replica to follow", func() bool { return s.lacks("after", 5, s.replica) == 0 })
	if got := s.primary.Info("stats")["sync_full"]; got != full {
		t.Errorf("%s full resynchronizations, want %s", got, full)
	}
	if n := incidentsOf(t, s.proxies[0].srv); n > 0 {
		t.Errorf("%d incidents", n)
	}
}

// Where neither most sentinels nor a replica is heard, another server may be the primary: durable routes take no writes,
// and plain ones do.
func TestACutOffServerProvesNothing(t *testing.T) {
	t.Parallel()
	s := startPair(t, 1, func(o *proxy.Options) { o.Routes[0].Timeout = time.Second })
	p := s.proxies[0]
	c := dial(t, p.addr)
	s.cutOff()
	eventually(t, c) // the sentinels are heard
	s.sentinels[1].Close()
	s.sentinels[2].Close()
	var refusal string
	proxytest.Poll(t, "a refusal", func() bool {
		refusal = c.do("SET pay:1 x")
		return strings.HasPrefix(refusal, "-NODURABLE")
	})
	if !strings.Contains(refusal, "may be cut off: 1 of 3 sentinels answer, and no replica acknowledges") {
		t.Errorf("got %q", refusal)
	}
	if got := c.do("SET plain x"); got != "+OK\r\n" {
		t.Errorf("a plain write got %q", got)
	}
	s.replica.MustDo("CONFIG", "SET", "masterauth", "")
	eventually(t, c) // the replica is heard
}

// A replica that is promoted before it could be fed gets what only the journal has, before clients go on. With
// two proxies, one feeds, and nothing is executed twice.
func TestAPromotedReplicaIsFed(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := startPair(t, n)
			s.cutOff()
			s.pay("tail", 50)
			for range 10 {
				if got := dial(t, s.proxies[0].addr).do("INCR pay:count"); !strings.HasPrefix(got, ":") {
					t.Fatal(got)
				}
			}
			for _, p := range s.proxies {
				recorded(t, p.srv, s.primary)
			}
			s.promoteAtOnce()
			fed := 0
			for i, p := range s.proxies {
				list, err := p.srv.Incidents(context.Background())
				if err != nil || len(list) != 1 {
					t.Errorf("proxy %d: %+v, %v", i, list, err)
				} else if strings.Contains(list[0].How, "fed the ") {
					fed++
				}
			}
			if fed == 0 || n == 1 && dial(t, s.proxies[0].addr).do("SET pay:after 1") != "+OK\r\n" {
				t.Errorf("%d proxies fed it", fed)
			}
			if got := s.lacks("tail", 50, s.replica); got > 0 || s.replica.MustDo("GET", "pay:count") != "10" {
				t.Errorf("%d acknowledged writes are missing, the count is %v", got, s.replica.MustDo("GET", "pay:count"))
			}
			if role := s.replica.Info("replication")["role"]; role != "master" {
				t.Errorf("the new primary is a %s", role)
			}
			s.proxies[0].expectRestorable(t, s.replica)
		})
	}
}

// One of two proxies has fed the new primary. On the other, a repair of its incident finds each key as it should
// be, except counters and those that clients have changed since: --conflicts skip keeps them.
func TestRepairAfterAnotherProxyHasFed(t *testing.T) {
	s := startPair(t, 2)
	t.Setenv("PATH", filepath.Dir(s.primary.Binary.Path)+":"+os.Getenv("PATH"))
	s.cutOff()
	s.pay("tail", 5)
	if got := dial(t, s.proxies[0].addr).do("INCR pay:count"); got != ":1\r\n" {
		t.Fatal(got)
	}
	for _, p := range s.proxies {
		recorded(t, p.srv, s.primary)
	}
	s.promoteAtOnce()
	if got := s.lacks("tail", 5, s.replica); got > 0 {
		t.Fatalf("%d acknowledged writes are missing", got)
	}
	s.replica.MustDo("SET", "pay:tail:0:0", "since")
	for i, p := range s.proxies {
		incident := theIncident(t, p.srv)
		if !incident.Closed.IsZero() { // it was its turn, or it has seen its own commands in the other's feed
			continue
		}
		if incident.Hold { // not without a mark and a count of the keys from before
			expectCode(t, "NODURABLE", dial(t, p.addr).do("SET pay:more 1"))
		}
		recorded(t, p.srv, s.replica)
		state := p.repair(t, "list")
		if text := fmt.Sprint(state.Items, state.Lines); state.Done || !strings.Contains(text, " 0 put back, 0 removed") ||
			!strings.Contains(text, `"pay:tail:0:0": written on the live server since`) {
			t.Errorf("proxy %d: %+v", i, state)
		}
		if state := p.repair(t, "skip"); !state.Done {
			t.Errorf("proxy %d: %+v", i, state)
		}
		eventually(t, dial(t, p.addr))
	}
	if got := s.replica.MustDo("MGET", "pay:tail:0:0", "pay:count"); fmt.Sprint(got) != "[since 1]" {
		t.Errorf("a later write and a count became %v", got)
	}
}

// repair repairs a proxy's only incident by the console.
func (p *pairProxy) repair(t *testing.T, conflicts string) (state *admin.Repair) {
	t.Helper()
	ctx := context.Background()
	if err := p.srv.Repair(ctx, admin.RepairRequest{Incident: 1, Conflicts: conflicts}); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the repair to end", func() bool {
		var err error
		state, err = p.srv.RepairState(ctx)
		return err == nil && state != nil && !state.Running
	})
	return state
}

// promoteAtOnce promotes the replica while it is cut off, with the primary still there.
func (s *pairScene) promoteAtOnce(before ...func()) {
	s.Helper()
	s.replica.MustDo("REPLICAOF", "NO", "ONE")
	for _, fn := range before {
		fn()
	}
	named(s.replica.Addr, s.sentinels...)
	for _, p := range s.proxies {
		awaitMoves(s.T, p.srv, 1)
	}
}

// A client wrote to the new primary by another way: it is not fed, and the incident stays.
func TestAPromotedReplicaWithWritesOfItsOwn(t *testing.T) {
	t.Parallel()
	s := startPair(t, 1)
	s.cutOff()
	s.pay("tail", 50)
	s.promoteAtOnce(func() { s.replica.MustDo("SET", "by another way", 1) })
	list, err := s.proxies[0].srv.Incidents(context.Background())
	if err != nil || len(list) != 1 || !list[0].Closed.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	if got := s.lacks("tail", 50, s.replica); got != 50 {
		t.Errorf("%d writes are missing, want 50", got)
	}
	if role := s.replica.Info("replication")["role"]; role != "master" {
		t.Errorf("the new primary is a %s", role)
	}
	expectCode(t, "NODURABLE", dial(t, s.proxies[0].addr).do("SET pay:more 1"))
}

// Writes that only the journal has are an incident with failover.feed: off, and where a server was promoted
// before it was fed, with auto.
func TestReplicasAreNotFedWithoutFeed(t *testing.T) {
	t.Parallel()
	for _, feed := range []bool{false, true} {
		s := startPair(t, 1, func(o *proxy.Options) { o.Feed, o.FeedPromoted = feed, false })
		s.cutOff()
		s.pay("tail", 50)
		if feed {
			s.promote()
		}
		s.primary.Kill()
		if !feed {
			s.promote()
		}
		proxytest.Poll(t, "the incident", func() bool { return incidentsOf(t, s.proxies[0].srv) == 1 })
		if got := s.lacks("tail", 50, s.replica); got != 50 {
			t.Errorf("feed %t: %d writes are missing, want 50", feed, got)
		}
	}
}

// cutOff ends the replicas' connections to their primary, and has the next ones fail until mended.
func (s *failoverScene) cutOff() (mend func()) {
	s.Helper()
	for _, r := range s.trio.Replicas {
		r.MustDo("CONFIG", "SET", "masterauth", "wrong")
		r.MustDo("CLIENT", "KILL", "TYPE", "master")
		proxytest.Poll(s, "the link to be down", func() bool {
			return r.Info("replication")["master_link_status"] == "down"
		})
	}
	return func() {
		for _, r := range s.trio.Replicas {
			r.MustDo("CONFIG", "SET", "masterauth", "")
		}
	}
}

// lackingOf returns the keys that a durable route acknowledged and a server lacks.
func lackingOf(srv *proxytest.Server, all []*writer) (out []string) {
	for _, w := range all {
		if strings.HasPrefix(w.prefix, "pay") {
			out = append(out, lacking(srv, w)...)
		}
	}
	return out
}

// expectNothingLost requires every write that a durable route acknowledged on a server, and no incident.
func (s *failoverScene) expectNothingLost(primary *proxytest.Server, all []*writer) {
	s.Helper()
	if lost := lackingOf(primary, all); len(lost) > 0 {
		s.Errorf("%d acknowledged writes are missing: %.200q", len(lost), lost)
	}
	if list, err := s.srv.Incidents(context.Background()); err != nil || len(list) > 0 {
		s.Errorf("incidents %+v, %v", list, err)
	}
}

// A crash of a primary whose replicas had been cut off: what only the journal has is fed to them before one is
// promoted.
func TestCrashOfACutOffPrimary(t *testing.T) {
	for _, kind := range []string{"valkey", "valkey9", "redis", "redis8new"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := startFailover(t, kind)
			all, stop := s.load(8)
			s.trio.Calm() // this test says when they fail over
			mend := s.cutOff()
			s.goOn("with replicas cut off", all, 50)
			before := s.trio.Replicas[0].Info("replication")["slave_repl_offset"]
			s.trio.Primary.Kill()
			mend()
			proxytest.Poll(t, "the feed", func() bool {
				a, b := s.trio.Replicas[0].Info("replication"), s.trio.Replicas[1].Info("replication")
				port := strconv.Itoa(s.trio.Primary.Port)
				return a["slave_repl_offset"] == b["slave_repl_offset"] && a["slave_repl_offset"] != before &&
					a["master_port"] == port && b["master_port"] == port
			})
			s.trio.Sentinels[0].MustDo("SENTINEL", "FAILOVER", proxytest.TrioName)
			primary := s.newPrimary(1)
			s.goOn("after", all, 20)
			stop()
			for _, w := range all {
				s.expectOwnErrors(w)
			}
			s.expectNothingLost(primary, all)
		})
	}
}
