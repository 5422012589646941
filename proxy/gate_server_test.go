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

var aReplica = policy.Demand{Replicas: 1}

func expectCode(t *testing.T, code, reply string) {
	t.Helper()
	if !strings.HasPrefix(reply, "-"+code+" ") {
		t.Errorf("got %q, want %s", reply, code)
	}
}

// A replica that does not answer proves nothing, though a journal that does is attached, too.
func TestHeldWhileTheReplicaIsStopped(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(aReplica), withJournal(t.TempDir()))
	c, d := dial(t, addr), dial(t, addr)
	eventually(t, c)
	proxytest.Poll(t, "the journal is attached", func() bool {
		return srv.Info("replication")["connected_slaves"] == "2"
	})
	replica.Pause()
	c.send("SET pay:1 a\r\nGET pay:1\r\n")
	proxytest.Poll(t, "the write was executed", func() bool { return d.do("GET pay:1") == "$1\r\na\r\n" })
	c.quiet(300 * time.Millisecond)
	replica.Resume()
	c.expect("+OK\r\n$1\r\na\r\n")
}

func TestPrimaryKilledWhileReplyIsHeld(t *testing.T) {
	t.Parallel()
	srv := durable(t, "--repl-ping-replica-period", "1")
	replica := replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(aReplica))
	c, d := dial(t, addr), dial(t, addr)
	eventually(t, c)
	replica.Pause()
	c.send("SET pay:1 a\r\n")
	proxytest.Poll(t, "the write was executed", func() bool { return d.do("GET pay:1") == "$1\r\na\r\n" })
	srv.Kill()
	expectCode(t, "UNCONFIRMED", c.reply())
	replica.Resume()
	srv.Restart()
	again := dial(t, addr)
	proxytest.Poll(t, "durable writes go on", func() bool { return again.do("SET pay:2 b") == "+OK\r\n" })
}

func TestPrimaryDemotedWhileReplyIsHeld(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(aReplica))
	c, d := dial(t, addr), dial(t, addr)
	eventually(t, c)
	replica.Pause()
	c.send("SET pay:1 a\r\n")
	proxytest.Poll(t, "the write was executed", func() bool { return d.do("GET pay:1") == "$1\r\na\r\n" })
	srv.MustDo("REPLICAOF", "127.0.0.1", "1")
	expectCode(t, "UNCONFIRMED", c.reply())
	srv.MustDo("REPLICAOF", "NO", "ONE")
	replica.Resume()
	proxytest.Poll(t, "durable writes go on", func() bool { return d.do("SET pay:2 b") == "+OK\r\n" })
}

// A promotion while nothing waits for a proof, as at the end of a restore, costs no reply: the new
// history is known before the next write.
func TestPromotedWhileNothingIsHeld(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replicaOf(t, srv)
	log := &logBuffer{}
	addr := serve(t, srv.Addr, route(aReplica), log.into)
	eventually(t, dial(t, addr))
	srv.MustDo("REPLICAOF", "127.0.0.1", "1")
	srv.MustDo("REPLICAOF", "NO", "ONE")
	proxytest.Poll(t, "the new history is known", func() bool {
		return strings.Contains(log.String(), "the primary has another history")
	})
	proxytest.Poll(t, "the replica follows", func() bool {
		return strings.Contains(srv.Info("replication")["slave0"], "state=online")
	})
	c := dial(t, addr)
	proxytest.Poll(t, "OK, and no other answer but that nothing was executed", func() bool {
		got := c.do("SET pay:2 b")
		if !strings.HasPrefix(got, "-NODURABLE") && got != "+OK\r\n" {
			t.Fatalf("the first write is answered %q", got)
		}
		return got == "+OK\r\n"
	})
}

func TestNoReplicaNoDurability(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	addr := serve(t, srv.Addr, route(aReplica), withJournal(t.TempDir()))
	c := dial(t, addr)
	expectCode(t, "NODURABLE", c.do("SET pay:1 a"))
	if got := c.do("EXISTS pay:1"); got != ":0\r\n" {
		t.Errorf("it was executed: %q", got)
	}
	if got := c.do("MULTI"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	expectCode(t, "NODURABLE", c.do("SET pay:1 a"))
	expectCode(t, "EXECABORT", c.do("EXEC"))
	replicaOf(t, srv)
	eventually(t, c)
}

func TestAOFThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--appendonly", "yes", "--appendfsync", "everysec")
	addr := serve(t, srv.Addr, route(policy.Demand{AOFLocal: true}))
	c := dial(t, addr)
	expectCode(t, "NODURABLE", c.do("SET pay:1 a"))
	srv.MustDo("CONFIG", "SET", "appendfsync", "always")
	eventually(t, c)
}

// What the proxy carries out itself for a rule is held like what the client sent.
func TestTrashOnADurableRoute(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	keys := policy.RuleSpec{Name: "keys", Commands: []string{"del", "getdel"}, Action: "trash", Keep: time.Hour}
	addr := serve(t, srv.Addr, route(aReplica), func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{trashRule, keys}
	})
	c, d := dial(t, addr), dial(t, addr)
	eventually(t, c)
	for _, line := range []string{"DEL pay:1", "GETDEL pay:1", "FLUSHDB", "FLUSHALL"} {
		want := map[byte]string{'D': ":1\r\n", 'G': "$1\r\na\r\n", 'F': "+OK\r\n"}[line[0]]
		c.do("SET pay:1 a")
		replica.Pause()
		c.send(line + "\r\n")
		proxytest.Poll(t, "it was executed", func() bool { return d.do("EXISTS pay:1") == ":0\r\n" })
		c.quiet(100 * time.Millisecond)
		replica.Resume()
		c.expect(want)
	}
	c.send("DEL other\r\nDEL pay:none\r\n")
	c.expect(":0\r\n:0\r\n")
}

// Where a proof is out of reach nothing goes to the trash.
func TestTrashWithoutAProof(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	keys := policy.RuleSpec{Name: "keys", Commands: []string{"del"}, Action: "trash", Keep: time.Hour}
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
		route(aReplica, func(r *policy.RouteSpec) { r.Timeout = 100 * time.Millisecond })(o)
		o.Rules = []policy.RuleSpec{trashRule, keys}
	})
	c := dial(t, addr)
	c.do("SET x y")
	replica.Kill()
	proxytest.Poll(t, "the replica is missed", func() bool {
		routes, err := p.Routes(t.Context())
		return err == nil && !routes[0].Available
	})
	expectCode(t, "NODURABLE", c.do("DEL pay:1"))
	expectCode(t, "NODURABLE", c.do("FLUSHALL"))
	if got := c.do("EXISTS x"); got != ":1\r\n" {
		t.Error("it was flushed")
	}
}

func TestBlockingAndScriptsAreHeld(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(aReplica))
	c, d := dial(t, addr), dial(t, addr)
	eventually(t, c)
	c.send("BLPOP pay:list 0\r\n")
	srv.MustDo("SET", "x", "y")
	proxytest.Poll(t, "it blocks", func() bool {
		list, _ := srv.MustDo("INFO", "clients").(string)
		return strings.Contains(list, "blocked_clients:1")
	})
	replica.Pause()
	srv.MustDo("RPUSH", "pay:list", "a")
	proxytest.Poll(t, "it was executed", func() bool { return d.do("EXISTS pay:list") == ":0\r\n" })
	c.quiet(100 * time.Millisecond)
	replica.Resume()
	c.expect("*2\r\n$8\r\npay:list\r\n$1\r\na\r\n")
	replica.Pause()
	c.send("EVAL \"redis.call('set',KEYS[1],'b'); return redis.error_reply('ERR half')\" 1 pay:s\r\n")
	proxytest.Poll(t, "it was executed", func() bool { return d.do("EXISTS pay:s") == ":1\r\n" })
	c.quiet(100 * time.Millisecond)
	replica.Resume()
	c.expect("-ERR half\r\n")
}

func TestWaitOfClientsBesideDurableRoutes(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replicaOf(t, srv, "--appendonly", "yes", "--appendfsync", "always")
	addr := serve(t, srv.Addr, route(aReplica))
	c := dial(t, addr)
	eventually(t, c)
	c.send("SET pay:1 a\r\nWAIT 1 0\r\nWAITAOF 1 1 0\r\nSET pay:2 a\r\nWAIT 1 0\r\n")
	c.expect("+OK\r\n:1\r\n*2\r\n:1\r\n:1\r\n+OK\r\n:1\r\n")
}

func TestReloadOfRoutes(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	r := serveReloader(t, srv.Addr)
	c, d := dial(t, r.addr), dial(t, r.addr)
	if got := c.do("SET pay:1 a"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	r.mustReload(route(aReplica))
	eventually(t, c) // by a link from before the first route
	replica.Pause()
	c.send("SET pay:1 b\r\n")
	proxytest.Poll(t, "it was executed", func() bool { return d.do("GET pay:1") == "$1\r\nb\r\n" })
	r.mustReload(func(o *proxy.Options) { o.Routes = nil })
	c.quiet(50 * time.Millisecond) // it keeps what it was sent under
	if got := d.do("SET pay:2 a"); got != "+OK\r\n" {
		t.Error(got)
	}
	replica.Resume()
	c.expect("+OK\r\n")
}

// A reload does not open a journal. Were its routes in force all the same, they would refuse
// everything until somebody restarts the proxy; so it is refused as a whole.
func TestReloadOfAJournalThatIsDemanded(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	r := serveReloader(t, srv.Addr)
	c := dial(t, r.addr)
	journal := route(policy.Demand{Journal: true})
	_, err := r.reload(func(o *proxy.Options) { withJournal(t.TempDir())(o); journal(o) })
	if err == nil || !strings.Contains(err.Error(), `route "payments" demands the journal: this proxy `+
		`was started without a journal`) {
		t.Errorf("got %v", err)
	}
	if got := c.do("SET pay:1 a"); got != "+OK\r\n" {
		t.Errorf("the routes are in force: %q", got)
	}
	warnings, err := r.reload(withJournal(t.TempDir())) // nobody demands it
	if err != nil || len(warnings) != 1 {
		t.Errorf("got %q, %v", warnings, err)
	}
}

// The journal that is there stays, and proves what a route demands from a reload on.
func TestReloadOfARouteForTheJournal(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	r := serveReloader(t, srv.Addr, withJournal(t.TempDir()))
	r.mustReload(route(policy.Demand{Journal: true}))
	c := dial(t, r.addr)
	eventually(t, c)
	if got := ackOf(c); !strings.Contains(got, "journal") {
		t.Errorf("got %q", got)
	}
}

func TestMovedWhileReplyIsHeld(t *testing.T) {
	t.Parallel()
	a, b := durable(t), durable(t)
	replica := replicaOf(t, a)
	replicaOf(t, b)
	r := serveReloader(t, a.Addr, route(aReplica))
	c, d := dial(t, r.addr), dial(t, r.addr)
	eventually(t, c)
	replica.Pause()
	c.send("SET pay:1 b\r\n")
	proxytest.Poll(t, "it was executed", func() bool { return d.do("GET pay:1") == "$1\r\nb\r\n" })
	r.move(b)
	expectCode(t, "UNCONFIRMED", c.reply())
	eventually(t, c)
}

// The watermark is in a database that clients do not see.
func TestWatermarkIsHidden(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(aReplica))
	c := dial(t, addr)
	eventually(t, c)
	if got := c.do("SELECT 15"); !strings.HasPrefix(got, "-ERR DB index is out of range: the proxy reserves database 15") {
		t.Errorf("got %q", got)
	}
	if got := c.do("INFO keyspace"); strings.Contains(got, "db15") {
		t.Errorf("got %q", got)
	}
	if got := srv.MustDo("INFO", "keyspace").(string); !strings.Contains(got, "db15:keys=1") {
		t.Errorf("on the server: %q", got)
	}
	if got := c.do("KEYS holdfast*"); got != "*0\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestJournalDetachedMeansNoDurability(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	addr := serve(t, srv.Addr, route(policy.Demand{Journal: true}), withJournal(t.TempDir()))
	c := dial(t, addr)
	eventually(t, c)
	srv.MustDo("CLIENT", "KILL", "TYPE", "replica")
	proxytest.Poll(t, "it goes on", func() bool { return c.do("SET pay:1 a") == "+OK\r\n" })
}

// Under appendfsync always a write waits for its own fsync alone: a proof that wrote would be
// another one. All that the server executes is counted.
func TestProofsOfTheAOFDoNotWrite(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	addr := serve(t, srv.Addr, route(policy.Demand{AOFLocal: true}))
	c := dial(t, addr)
	eventually(t, c)
	sets := func() (n int) {
		fmt.Sscanf(srv.Info("commandstats")["cmdstat_set"], "calls=%d", &n)
		return n
	}
	before := sets()
	for range 50 {
		if got := c.do("SET pay:1 a"); got != "+OK\r\n" {
			t.Fatal(got)
		}
	}
	if got := c.do("HOLDFAST ACK"); !strings.Contains(got, "confirmed") {
		t.Errorf("got %q", got)
	}
	// A few more for connections that are opened meanwhile, each of which writes once.
	if n := sets() - before; n < 50 || n > 50+4 {
		t.Errorf("%d SETs for 50", n)
	}
}

// An append-only file that was switched on is worth something from when its first rewrite is
// complete. Nothing is proven before, by whichever form of the proof.
func TestAOFThatIsNotCompleteYet(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	addr := serve(t, srv.Addr, route(policy.Demand{AOFLocal: true}))
	c := dial(t, addr)
	eventually(t, c)
	for i := range 30 {
		c.do(fmt.Sprintf("SET plain:%d a", i))
	}
	for round := range 3 { // with a connection of the proofs that has written, and one that has not
		srv.MustDo("CONFIG", "SET", "rdb-key-save-delay", "50000") // microseconds
		srv.MustDo("CONFIG", "SET", "appendonly", "no")
		srv.MustDo("CONFIG", "SET", "appendonly", "yes")
		if round == 1 {
			srv.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			c = dial(t, addr)
		}
		var got string
		proxytest.Poll(t, "it is not refused", func() bool {
			got = c.do("SET pay:1 a")
			return !strings.HasPrefix(got, "-NODURABLE") && !strings.HasPrefix(got, "-UPSTREAM")
		})
		state := srv.Info("persistence")
		if got != "+OK\r\n" || state["aof_rewrite_in_progress"] != "0" {
			t.Fatalf("round %d: %q while aof_rewrite_in_progress is %s", round, got,
				state["aof_rewrite_in_progress"])
		}
	}
}
