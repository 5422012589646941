package proxy_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// Each script is sent to a server of its own and through a proxy to another one: every reply must be
// the same, byte for byte, and so must the data that is left.
func TestTrashAnswersAsTheServer(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]string{
		"plain":   {"SET k v", "FLUSHALL", "GET k", "FLUSHALL", "DBSIZE"},
		"syntax":  {"SET k v", "FLUSHALL NOW", "FLUSHDB a b", "flushdb async sync", "GET k"},
		"RESP3":   {"HELLO 3", "SET k v", "FLUSHALL", "GET k", "MULTI", "FLUSHALL", "EXEC"},
		"MULTI":   {"MULTI", "SET k v", "FLUSHALL", "SET l w", "EXEC", "KEYS *"},
		"queued":  {"MULTI", "FLUSHALL NOW", "SET a b", "EXEC", "GET a"},
		"DISCARD": {"SET k v", "MULTI", "FLUSHALL", "DISCARD", "GET k"},
		"SELECT in MULTI": {"SET k v", "SELECT 2", "SET k w", "SELECT 0", "MULTI", "SELECT 2",
			"FLUSHDB", "EXEC", "DBSIZE", "SELECT 0", "GET k"},
		"after SELECT in MULTI": {"SET k v", "SELECT 2", "SET k w", "SELECT 0", "MULTI", "SELECT 2",
			"EXEC", "FLUSHDB", "DBSIZE", "SELECT 0", "GET k"},
		"WATCH":   {"SET k v", "WATCH k", "FLUSHDB", "MULTI", "SET k w", "EXEC", "GET k"},
		"aborted": {"SET k v", "MULTI", "FLUSHALL", "NOSUCH", "EXEC", "GET k"},
		"subscriber": {"SET k v", "SUBSCRIBE c", "FLUSHALL", "UNSUBSCRIBE c", "GET k", "FLUSHALL",
			"GET k"},
		"hidden": {"SELECT 8", "SELECT 15", "SELECT 16", "SELECT 09", "SELECT 8x", "SET k v",
			"MOVE k 9", "MOVE k 99", "COPY k l DB 9", "COPY k l DB 9 REPLACE", "COPY k l DB 3",
			"SWAPDB 0 9", "SWAPDB 9 0", "SWAPDB 9 99", "SWAPDB x 9", "MULTI", "SELECT 12",
			"MOVE k 9", "COPY k l DB 15", "SWAPDB 1 8", "EXEC", "GET k", "MOVE k 7", "DBSIZE"},
	} {
		t.Run(name, func(t *testing.T) {
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				// With eight databases, the direct server has what clients of the other one see.
				direct := dial(t, proxytest.Spec{Kind: srv.Binary.Kind,
					Args: []string{"--databases", "8"}}.Start(t).Addr)
				through := dial(t, serve(t, srv.Addr, withTrash))
				for _, line := range script {
					want, got := direct.do(line), through.do(line)
					got = reservedFor.ReplaceAllString(got, "")
					if !strings.HasPrefix(line, "HELLO") && got != want {
						t.Errorf("%s: got %q, want %q", line, got, want)
					}
				}
			})
		})
	}
}

// reservedFor is what the server's own words about a database are followed by where it is hidden.
var reservedFor = regexp.MustCompile(`: the proxy reserves database \d+ for the trash`)

// CLIENT REPLY OFF leaves commands without an answer; the flush must still come behind them.
func TestTrashBehindUnansweredCommands(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withTrash)
	c := dial(t, addr)
	c.send("CLIENT REPLY OFF\r\n")
	for i := range 100 {
		c.send(fmt.Sprintf("SET k%d v\r\n", i))
	}
	c.send("FLUSHALL\r\nSET after v\r\nCLIENT REPLY ON\r\n")
	if r := c.reply(); r != "+OK\r\n" {
		t.Fatalf("got %q", r)
	}
	if n := srv.MustDo("DBSIZE"); n != int64(1) {
		t.Errorf("%v keys are left, want 1", n)
	}
	if list := theTrash(t, p); len(list) != 1 || list[0].Keys != 100 {
		t.Errorf("the trash has %+v", list)
	}
}

func TestTrashInMultiIsUndone(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		fill(t, srv)
		db0, db3 := digest(t, srv, 0), digest(t, srv, 3)
		addr, p := serveServer(t, srv.Addr, withTrash)
		c := dial(t, addr)
		c.send("MULTI\r\nFLUSHALL\r\nSET new v\r\nEXEC\r\n")
		c.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n")
		u, err := p.Undo(context.Background(), 1, "REPLACE")
		if err != nil || u.Keys != int64(len(db0)+len(db3)) {
			t.Fatalf("UNDO: %+v, %v", u, err)
		}
		sameDigest(t, srv, 0, db0)
		sameDigest(t, srv, 3, db3)
	})
}

// The client's own user decides whether a flush may be, and the control user does it.
func TestTrashAsksForTheUser(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("ACL", "SETUSER", "no", "on", ">pw", "~*", "&*", "+@all", "-flushall")
		srv.MustDo("ACL", "SETUSER", "yes", "on", ">pw", "~*", "&*", "+flushall", "+multi", "+exec")
		srv.MustDo("ACL", "SETUSER", "default", ">admin")
		control := func(o *proxy.Options) {
			withTrash(o)
			o.Upstream = upstream.Options{Address: srv.Addr, Password: "admin"}
		}
		addr, p := serveServer(t, srv.Addr, control)
		admin := dial(t, srv.Addr)
		admin.do("AUTH admin")
		admin.do("SET k v")
		anon, direct := dial(t, addr), dial(t, srv.Addr)
		if got, want := anon.do("FLUSHALL"), direct.do("FLUSHALL"); got != want {
			t.Errorf("anonymous: got %q, want %q", got, want)
		}
		anon.do("AUTH no pw")
		direct.do("AUTH no pw")
		if got, want := anon.do("FLUSHALL"), direct.do("FLUSHALL"); got != want {
			t.Errorf("without permission: got %q, want %q", got, want)
		}
		for _, line := range []string{"MULTI", "FLUSHALL", "EXEC"} {
			got, want := anon.do(line), direct.do(line)
			if got != want {
				t.Errorf("in MULTI, %s: got %q, want %q", line, got, want)
			}
		}
		if got := admin.do("GET k"); got != "$1\r\nv\r\n" {
			t.Fatalf("the key is gone: %q", got)
		}
		yes := dial(t, addr)
		yes.do("AUTH yes pw")
		yes.do("MULTI")
		if got := yes.do("FLUSHALL"); !strings.HasPrefix(got, "-NOPERM") {
			t.Errorf("in MULTI, without EVAL: %q", got)
		}
		if got := yes.do("EXEC"); !strings.HasPrefix(got, "-EXECABORT") {
			t.Errorf("EXEC: %q", got)
		}
		if got := yes.do("FLUSHALL"); got != "+OK\r\n" {
			t.Errorf("with permission: %q", got)
		}
		if list := theTrash(t, p); len(list) != 1 || list[0].User != "yes" {
			t.Errorf("the trash has %+v", list)
		}
	})
}

// Who has not logged in gets nothing done by the control user, whatever link his session has.
func TestTrashAsksForALogin(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("SET", "secret", "v")
		srv.MustDo("CONFIG", "SET", "requirepass", "pw")
		addr, _ := serveServer(t, srv.Addr, withKeyTrash, func(o *proxy.Options) {
			o.Upstream.Password = "pw"
		})
		for _, before := range [][]string{
			{}, {"WATCH x"}, {"CLIENT REPLY ON"}, {"CLIENT TRACKING ON"},
			{"BLPOP x 1"}, {"CLIENT NO-EVICT ON"}, {"HELLO 3"}, {"MULTI"}, {"AUTH wrong"}, {"SYNC"},
			{"WATCH x", "UNWATCH"}, {"AUTH pw", "RESET", "WATCH x"}, {"AUTH pw", "WATCH x", "RESET"},
			{"AUTH pw", "CLIENT TRACKING ON", "RESET"}, {"READONLY"}, {"WAIT 0 1"}, {"DEBUG SLEEP 0"},
		} {
			c := dial(t, addr)
			for _, line := range before {
				c.do(line)
			}
			for _, line := range []string{"GETDEL secret", "DEL secret", "FLUSHALL", "COPY secret x REPLACE"} {
				if got := c.do(line); !strings.HasPrefix(got, "-NOAUTH") {
					t.Errorf("%q, %s: %q", before, line, got)
				}
			}
		}
		for _, before := range []string{"SUBSCRIBE x", "MONITOR", "CLIENT REPLY OFF", "CLIENT REPLY SKIP"} {
			c := dial(t, addr)
			c.send(before + "\r\nDEL secret\r\nFLUSHALL\r\n") // by the session's own link
			c.finish()
		}
		c := dial(t, addr)
		c.do("AUTH pw")
		if got := c.do("GET secret"); got != "$1\r\nv\r\n" {
			t.Errorf("GET: %q", got)
		}
	})
}

// Without the permissions that it needs, the proxy refuses, and nothing is lost.
func TestTrashWithoutPermissions(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "k", "v")
	for missing, want := range map[string]string{
		"-acl|dryrun": "must be allowed ACL DRYRUN",
		"-eval":       "refused that to the proxy's own user",
		"-swapdb":     "refused that to the proxy's own user",
		"-hset":       "refused that to the proxy's own user",
	} {
		srv.MustDo("ACL", "SETUSER", "control", "reset", "on", ">pw", "~*", "&*", "+@all", missing)
		c := dial(t, serve(t, srv.Addr, withTrash, func(o *proxy.Options) {
			o.Upstream.Username, o.Upstream.Password = "control", "pw"
		}))
		if got := c.do("FLUSHALL"); !strings.HasPrefix(got, "-DENIED 'flushall'") ||
			!strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", missing, got, want)
		}
		if got := c.do("GET k"); got != "$1\r\nv\r\n" {
			t.Fatalf("%s: the key is gone: %q", missing, got)
		}
	}
	if n := srv.Info("keyspace")["db15"]; n != "" && !strings.HasPrefix(n, "keys=1,") {
		t.Errorf("the ledger has %q", n) // the sequence at the most
	}
}

// Likewise an UNDO that the server refuses at some step.
func TestUndoWithoutPermissions(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	full := []any{"ACL", "SETUSER", "control", "reset", "on", ">pw", "~*", "&*", "+@all"}
	srv.MustDo(full...)
	addr, p := serveServer(t, srv.Addr, withTrash, func(o *proxy.Options) {
		o.Upstream.Username, o.Upstream.Password = "control", "pw"
	})
	c := dial(t, addr)
	c.do("SET k v")
	c.do("FLUSHALL")
	c.do("SET k since")
	for _, missing := range []string{"-hdel", "-hset", "-incr", "-swapdb", "-hget", "-dbsize"} {
		srv.MustDo(append(full, missing)...)
		if u, err := p.Undo(context.Background(), 1, "REPLACE"); err == nil {
			t.Errorf("%s: %+v", missing, u)
		}
		srv.MustDo(full...)
		if list := theTrash(t, p); len(list) != 1 || list[0].ID != 1 || list[0].Keys != 1 {
			t.Fatalf("%s: the trash has %+v", missing, list)
		}
		if got := c.do("GET k"); got != "$5\r\nsince\r\n" {
			t.Fatalf("%s: GET: %q", missing, got)
		}
	}
	if u, err := p.Undo(context.Background(), 1, "REPLACE"); err != nil || u.Keys != 1 {
		t.Errorf("UNDO: %+v, %v", u, err)
	}
	if got := c.do("GET k"); got != "$1\r\nv\r\n" {
		t.Errorf("GET: %q", got)
	}
}

func TestTrashFull(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withTrash, func(o *proxy.Options) {
		o.Trash.Databases = []int{13, 14, 15}
	})
	c := dial(t, addr)
	for range 2 {
		c.do("SET k v")
		if got := c.do("FLUSHDB"); got != "+OK\r\n" {
			t.Fatalf("got %q", got)
		}
	}
	c.do("SET k v")
	for _, line := range []string{"FLUSHALL", "FLUSHDB"} {
		if got := c.do(line); !strings.Contains(got, "the trash is full") {
			t.Errorf("%s: %q", line, got)
		}
	}
	c.send("MULTI\r\nFLUSHALL\r\nEXEC\r\n")
	c.expect("+OK\r\n+QUEUED\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "*1\r\n-DENIED 'flushall'") {
		t.Errorf("in MULTI: %q", got)
	}
	if got := c.do("GET k"); got != "$1\r\nv\r\n" {
		t.Fatalf("the key is gone: %q", got)
	}
	if err := p.Purge(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if got := c.do("FLUSHALL"); got != "+OK\r\n" {
		t.Errorf("after PURGE: %q", got)
	}
}

// What is not in the ledger is never used and never emptied.
func TestTrashLeavesForeignDatabasesAlone(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	foreign := dial(t, srv.Addr)
	foreign.do("SELECT 13")
	foreign.do("SET theirs v")
	addr, p := serveServer(t, srv.Addr, withTrash, func(o *proxy.Options) {
		o.Trash.Databases = []int{13, 14, 15}
	})
	c := dial(t, addr)
	c.do("SET k v")
	if got := c.do("FLUSHALL"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	if got := foreign.do("GET theirs"); got != "$1\r\nv\r\n" {
		t.Errorf("got %q", got)
	}
	list := theTrash(t, p)
	if len(list) != 2 || list[0].ID != 1 || list[1].ID != 0 || list[1].Databases[0] != 13 {
		t.Errorf("the trash has %+v", list)
	}
}

func TestReservedDatabasesAreHidden(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr, _ := serveServer(t, srv.Addr, withTrash)
		c := dial(t, addr)
		monitor := dial(t, addr)
		monitor.do("MONITOR")
		c.do("SET k v")
		c.do("FLUSHALL")
		c.do("SET k v")
		for _, line := range []string{"INFO", "INFO keyspace", "INFO everything"} {
			got := c.do(line)
			if !strings.Contains(got, "db0:keys=1") || strings.Contains(got, "db8:") ||
				strings.Contains(got, "db15:") {
				t.Errorf("%s: %q", line, got[strings.Index(got, "# Keyspace"):])
			}
		}
		for _, script := range [][]string{
			{"WATCH k", "INFO keyspace"},
			{"MULTI", "GET k", "INFO keyspace", "LRANGE k", "EXEC"},
			{"HELLO 3", "MULTI", "HGETALL none", "INFO", "GET k", "INFO keyspace", "EXEC"},
			{"HELLO 3", "SUBSCRIBE x", "INFO keyspace"},
		} {
			c, got := dial(t, addr), ""
			for _, line := range script {
				got = c.do(line)
			}
			if script[0] == "MULTI" { // it was aborted for want of an argument
				for _, line := range []string{"MULTI", "GET k", "INFO keyspace", "GET k", "EXEC"} {
					got = c.do(line)
				}
				if !strings.HasPrefix(got, "*3\r\n$1\r\nv\r\n$") || !strings.HasSuffix(got, "\r\n$1\r\nv\r\n") {
					t.Errorf("EXEC: %q", got)
				}
			}
			if !strings.Contains(got, "db0:keys=1") || strings.Contains(got, "db8:") ||
				strings.Contains(got, "db15:") {
				t.Errorf("%q: %q", script, got)
			}
		}
		for range 6 { // SET, SET, INFO …, and nothing of the proxy's own
			line := monitor.reply()
			if strings.Contains(line, "holdfast:trash") || strings.Contains(line, "lua]") {
				t.Errorf("MONITOR shows %q", line)
			}
			if strings.Contains(line, "everything") {
				break
			}
		}
	})
}

func TestTrashIsRefusedWhereItCannotBe(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--cluster-enabled", "yes")
	o := proxy.Options{Upstream: upstream.Options{Address: srv.Addr}, Logger: testLog(t)}
	withTrash(&o)
	p, err := proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Run(ctx); err == nil || !strings.Contains(err.Error(), "cluster mode") {
		t.Errorf("got %v", err)
	}
}

func TestObservedTrashDoesNothing(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
		rule := trashRule
		rule.Enforcement = policy.Observe
		o.Rules = []policy.RuleSpec{rule}
	})
	c := dial(t, addr)
	c.do("SET k v")
	if got := c.do("FLUSHALL"); got != "+OK\r\n" {
		t.Errorf("got %q", got)
	}
	if list := theTrash(t, p); len(list) != 0 {
		t.Errorf("the trash has %+v", list)
	}
}
