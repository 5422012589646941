package proxy_test

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

func withKeyTrash(o *proxy.Options) {
	rule := trashRule
	rule.Commands = []string{"flushall", "flushdb", "del", "unlink", "getdel", "rename", "restore", "copy"}
	o.Rules = []policy.RuleSpec{rule}
}

// Every reply is the server's own, and so is what is left, but for the trash.
func TestKeyTrashAnswersAsTheServer(t *testing.T) {
	t.Parallel()
	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	for name, script := range map[string][]string{
		"DEL":             {"SET a 1", "LPUSH l x", "DEL a a nothing l", "DEL nothing", "DEL", "EXISTS a l"},
		"UNLINK":          {"MSET a 1 b 2 c 3", "unlink a c", "KEYS *", "UNLINK"},
		"GETDEL":          {"SET a v", "GETDEL a", "GETDEL a", "LPUSH l x", "GETDEL l", "GETDEL", "KEYS *"},
		"GETDEL in RESP3": {"HELLO 3", "SET a v", "GETDEL a", "GETDEL a", "MULTI", "GETDEL a", "EXEC"},
		"RENAME": {"MSET a 1 b 2", "EXPIRE b 1000", "RENAME a b", "TTL b", "GET b", "RENAME a b",
			"RENAME b b", "RENAME b c", "RENAME c", "KEYS *"},
		"COPY": {"MSET a 1 b 2", "COPY a b", "COPY a b REPLACE", "GET b", "COPY x b REPLACE",
			"COPY a a REPLACE", "COPY a b DB 2 REPLACE", "COPY a b REPLACE DB 2", "COPY b b DB 2 replace",
			"COPY a b DB 9 REPLACE", "COPY a b DB 99 REPLACE", "COPY a b DB x REPLACE",
			"COPY a b REPLACE NOW", "SELECT 2", "GET b", "KEYS *"},
		"EXPIRE": {"MSET a 1 b 2 c 3 d 4 e 5", "EXPIRE a -1", "EXPIRE b 0", "EXPIRE c 100",
			"EXPIRE x -1", "EXPIRE c -1 NX", "EXPIRE d -1 XX", "EXPIRE d -1 GT", "EXPIRE c -1 LT",
			"EXPIRE d -1 LT", "EXPIRE e -1 NX GT", "EXPIRE e -1 FOO", "EXPIRE e -99999999999999999",
			"PEXPIRE e -5", "KEYS *"},
		"EXPIREAT": {"MSET a 1 b 2 c 3", "EXPIREAT a " + past, "EXPIREAT b 0",
			"PEXPIREAT c " + past + "000 NX", "KEYS *"},
		"GETEX": {"MSET a 1 b 2", "LPUSH l x", "GETEX a EXAT " + past, "GETEX b PXAT 1",
			"GETEX b EXAT 0", "GETEX l EXAT " + past, "GETEX x EXAT " + past,
			"GETEX l EXAT " + past + " PERSIST", "GETEX a EX 100", "KEYS *"},
		"SET": {"MSET a 1 b 2 c 3 d 4", "LPUSH l x", "SET a 9 EXAT " + past, "GET a", "SET b 9 NX PXAT 1",
			"GET b", "SET b 9 XX GET PXAT 1", "GET b", "SET none 9 XX EXAT " + past, "SET none 9 EXAT " + past,
			"SET l 9 GET PXAT 1", "SET l 9 PXAT 1", "SET c 9 PXAT 1 KEEPTTL", "SET c 9 PXAT 1 FOO",
			"SET c 9 EXAT 0", "SET c 9 EXAT -1", "SET d 9 NX GET PXAT 1", "SET d 9 PXAT 99999999999999",
			"SET d 9 EX 100", "MULTI", "SET d 9 PXAT 1", "GET d", "EXEC", "KEYS *"},
		"MULTI": {"MSET a 1 b 2 c 3", "SELECT 1", "SET a other", "SELECT 0", "MULTI", "DEL a", "SET a 9",
			"SELECT 1", "DEL a", "GETDEL a", "EXEC", "KEYS *", "SELECT 0", "GET a"},
		"WATCH":  {"SET a 1", "WATCH a", "DEL a", "MULTI", "SET b 1", "EXEC", "KEYS *"},
		"binary": {`SET "a\x00\xff" "v\r\n\x00"`, `GETDEL "a\x00\xff"`, `SET "" v`, `DEL ""`, "KEYS *"},
	} {
		t.Run(name, func(t *testing.T) {
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				direct := dial(t, proxytest.Spec{Kind: srv.Binary.Kind,
					Args: []string{"--databases", "8"}}.Start(t).Addr)
				through := dial(t, serve(t, srv.Addr, withKeyTrash))
				for _, line := range script {
					want, got := direct.do(line), through.do(line)
					if !strings.HasPrefix(line, "HELLO") && got != want {
						t.Errorf("%s: got %q, want %q", line, got, want)
					}
				}
			})
		})
	}
}

// What the options of a command mean is the server's to say: those of newer servers, too. Every reply
// and what is left are as without the trash, and the trash holds what was deleted and nothing else.
func TestKeyTrashOfEveryVersion(t *testing.T) {
	t.Parallel()
	script := []string{"MSET a 1 b 2 c 3 d 4 e 5 f 6", "SET a z XX IFEQ v PXAT 1", "GET a",
		"SET a z IFEQ 1 PXAT 1", "GET a", "SET b z NX PXAT 1", "SET none z IFEQ 1 PXAT 1",
		"DELIFEQ c 9", "DELIFEQ c 3", "DELIFEQ none 1", "DELIFEQ c", "EXISTS c",
		"MSETEX 2 d 9 e 9 NX PXAT 1", "MSETEX 2 d 9 e 9 XX PXAT 1", "MSETEX 2 d 9 PXAT 1",
		"MSETEX 2 f 9 f 8 PXAT 1", "MSET a 1 b 2", "MSETEX 2 a 9 new 9 EXAT 1", "MSETEX 1 a 9 EX 100",
		"LPUSH l x", "SET l v IFEQ x PXAT 1", "GETEX b PXAT 1 FOO", "EXPIRE b -1 FOO", "EXPIRE b -1 GT",
		"HSET h f v g w", "HGETDEL h FIELDS 1 f", "HGETEX h PXAT 1 FIELDS 1 g", "KEYS *"}
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			direct := dial(t, proxytest.Spec{Kind: bin.Kind}.Start(t).Addr)
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			addr, p := serveServer(t, srv.Addr, withKeyTrash)
			through := dial(t, addr)
			for _, multi := range []bool{false, true} {
				for _, line := range script {
					before, kept := strings.Join(bulks(through.do("KEYS *")), " "), trashedKeys(t, p)
					lines := []string{line}
					if multi {
						lines = []string{"MULTI", line, "EXEC"}
					}
					for _, l := range lines {
						want, got := direct.do(l), through.do(l)
						if got != want && !strings.HasPrefix(line, "KEYS") {
							t.Errorf("%s: got %q, want %q", line, got, want)
						}
					}
					after := strings.Join(bulks(through.do("KEYS *")), " ")
					gone := int64(len(strings.Fields(before)) - len(strings.Fields(after)))
					if more := trashedKeys(t, p) - kept; gone > 0 && more != gone &&
						!strings.HasPrefix(line, "HGETEX") || gone <= 0 && more != 0 {
						t.Errorf("%s: %d keys are gone, and %d are in the trash", line, gone, more)
					}
				}
				direct.do("FLUSHALL")
				srv.MustDo("FLUSHDB")
			}
		})
	}
}

// trashedKeys is how many single keys there are in the trash.
func trashedKeys(t *testing.T, p *proxy.Served) (n int64) {
	for _, e := range theTrash(t, p) {
		n += e.Keys
	}
	return n
}

// command is one request in the binary form.
func command(args ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		s += fmt.Sprintf("$%d\r\n%s\r\n", len(a), a)
	}
	return s
}

func TestRestoreGoesToTheTrash(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr, p := serveServer(t, srv.Addr, withKeyTrash)
		c := dial(t, addr)
		c.do("SET a new")
		dump := c.do("DUMP a")
		payload := strings.TrimSuffix(dump[strings.Index(dump, "\r\n")+2:], "\r\n")
		c.do("RPUSH b old value")
		for _, step := range []struct {
			args []string
			want string
		}{
			{[]string{"RESTORE", "b", "0", payload}, "-BUSYKEY Target key name already exists.\r\n"},
			{[]string{"RESTORE", "b", "0", "junk", "REPLACE"},
				"-ERR DUMP payload version or checksum are wrong\r\n"},
			{[]string{"RESTORE", "b", "500000", payload, "REPLACE"}, "+OK\r\n"},
			{[]string{"RESTORE", "c", "1", payload, "ABSTTL", "REPLACE"}, "+OK\r\n"},
		} {
			c.send(command(step.args...))
			if got := c.reply(); got != step.want {
				t.Errorf("%q: got %q, want %q", step.args, got, step.want)
			}
		}
		if got := c.do("GET b"); got != "$3\r\nnew\r\n" {
			t.Errorf("GET b: %q", got)
		}
		if got := bulks(c.do("KEYS *")); len(got) != 2 {
			t.Errorf("KEYS: %q", got)
		}
		if list := theTrash(t, p); list[0].Command != "restore b …" {
			t.Errorf("the trash has %+v", list)
		}
		if u, err := p.Undo(context.Background(), 1, "REPLACE"); err != nil || u.Keys != 1 || u.Left != 1 {
			t.Fatalf("UNDO: %+v, %v", u, err)
		}
		if got := c.do("LRANGE b 0 -1"); got != "*2\r\n$3\r\nold\r\n$5\r\nvalue\r\n" {
			t.Errorf("LRANGE b: %q", got)
		}
		if u, err := p.Undo(context.Background(), 1, "REPLACE"); err != nil || u.Keys != 1 {
			t.Fatalf("UNDO of the undo: %+v, %v", u, err)
		}
		if got := c.do("PTTL b"); got == ":-1\r\n" || got == ":-2\r\n" {
			t.Errorf("PTTL b: %q", got)
		}
	})
}

func TestUndoOfKeys(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		fill(t, srv)
		before := digest(t, srv, 3)
		addr, p := serveServer(t, srv.Addr, withKeyTrash)
		c := dial(t, addr)
		c.do("SELECT 3")
		line := "DEL"
		for i := range 200 {
			line += fmt.Sprintf(" key:%d", i)
		}
		if got := c.do(line); got != ":200\r\n" {
			t.Fatalf("got %q", got)
		}
		if got := c.do("DBSIZE"); got != ":2\r\n" {
			t.Errorf("DBSIZE: %q", got)
		}
		c.do("SET key:5 since")
		list := theTrash(t, p)
		if len(list) != 1 || list[0].Keys != 200 || fmt.Sprint(list[0].Databases) != "[3]" ||
			!strings.HasPrefix(list[0].Command, "DEL key:0") {
			t.Fatalf("the trash has %+v", list)
		}
		since := digest(t, srv, 3)
		u, err := p.Undo(context.Background(), list[0].ID, "")
		if err != nil || u.Keys != 199 || u.Left != 1 {
			t.Fatalf("UNDO: %+v, %v", u, err)
		}
		want := maps.Clone(before)
		want["key:5"] = since["key:5"]
		sameDigest(t, srv, 3, want)
		if u, err = p.Undo(context.Background(), list[0].ID, "REPLACE"); err != nil || u.Keys != 1 {
			t.Fatalf("UNDO REPLACE: %+v, %v", u, err)
		}
		sameDigest(t, srv, 3, before)
		if list := theTrash(t, p); len(list) != 1 || list[0].Keys != 1 {
			t.Errorf("the trash has %+v", list)
		}
		if err := p.Purge(context.Background(), list[0].ID); err != nil {
			t.Error(err)
		}
		if list := theTrash(t, p); len(list) != 0 {
			t.Errorf("the trash has %+v", list)
		}
		if n := srv.Info("keyspace")["db15"]; !strings.HasPrefix(n, "keys=1,") { // the sequence
			t.Errorf("the ledger's database has %q", n)
		}
	})
}

func TestKeysAreEmptiedInTime(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withKeyTrash, func(o *proxy.Options) {
		o.Rules[0].Keep = 10 * time.Millisecond
	})
	c := dial(t, addr)
	c.do("MSET a 1 b 2 c 3")
	c.do("DEL a")
	c.do("DEL b c")
	proxytest.Poll(t, "the trash is emptied", func() bool {
		return len(theTrash(t, p)) == 0 && strings.HasPrefix(srv.Info("keyspace")["db15"], "keys=1,")
	})
}

// A proxy that dies at any step of a DEL leaves nothing done or all of it.
func TestKeyTrashCutAtEveryStep(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	fill(t, srv)
	before := digest(t, srv, 0)
	straight := dialConsole(t, srv.Addr)
	for _, fault := range cuts() {
		relay := proxytest.StartFaultProxy(t, srv.Addr)
		c := dial(t, serve(t, relay.Addr, withKeyTrash))
		relay.Arm(fault)
		got := c.do("DEL s t l nothing h")
		relay.Clear()
		list := theTrash(t, straight)
		if len(list) == 0 && got == ":4\r\n" || len(list) == 1 && list[0].Keys != 4 || len(list) > 1 {
			t.Fatalf("%+v: %q, and the trash has %+v", fault, got, list)
		}
		if len(list) == 1 {
			if n := len(digest(t, srv, 0)); n != len(before)-4 {
				t.Errorf("%+v: %d keys are left", fault, n)
			}
			if _, err := straight.Undo(context.Background(), list[0].ID, ""); err != nil {
				t.Fatal(err)
			}
		}
		sameDigest(t, srv, 0, before)
	}
}

// Without the permissions that it needs, the proxy refuses, and nothing is lost or half done.
func TestKeyTrashWithoutPermissions(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("MSET", "a", "1", "b", "2")
	for _, missing := range []string{"-eval", "-rename", "-move", "-zadd", "-set", "-incr",
		"-hset", "-hdel", "-exists", "-time", "-select"} {
		srv.MustDo("ACL", "SETUSER", "control", "reset", "on", ">pw", "~*", "&*", "+@all", missing)
		c := dial(t, serve(t, srv.Addr, withKeyTrash, func(o *proxy.Options) {
			o.Upstream.Username, o.Upstream.Password = "control", "pw"
		}))
		if got := c.do("DEL a b"); !strings.HasPrefix(got, "-DENIED 'del'") {
			t.Errorf("%s: got %q", missing, got)
		}
		if got := c.do("MGET a b"); got != "*2\r\n$1\r\n1\r\n$1\r\n2\r\n" {
			t.Fatalf("%s: the keys are %q", missing, got)
		}
	}
}

// What was moved aside before the server refused the rest comes back, deadlines and all.
func TestKeyTrashIsTakenBack(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		fill(t, srv)
		srv.MustDo("ACL", "SETUSER", "control", "reset", "on", ">pw", "~s", "~t", "~none",
			"~holdfast:*", "&*", "+@all")
		addr, p := serveServer(t, srv.Addr, withKeyTrash, func(o *proxy.Options) {
			o.Upstream.Username, o.Upstream.Password = "control", "pw"
		})
		c := dial(t, addr)
		before := digest(t, srv, 0)
		for _, line := range []string{"DEL s t l h", "UNLINK none t s h", "DEL t s t l"} {
			if got := c.do(line); !strings.HasPrefix(got, "-DENIED") {
				t.Errorf("%s: got %q", line, got)
			}
			sameDigest(t, srv, 0, before)
		}
		if list := theTrash(t, p); len(list) != 0 {
			t.Errorf("the trash has %+v", list)
		}
		if n := srv.Info("keyspace")["db15"]; !strings.HasPrefix(n, "keys=1,") { // the sequence
			t.Errorf("the ledger's database has %q", n)
		}
	})
}

// More arguments than Lua passes on are refused before anything is copied.
func TestKeyTrashOfManyArguments(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "valkey9"}.Start(t)
	addr, p := serveServer(t, srv.Addr, withKeyTrash)
	c := dial(t, addr)
	for _, n := range []int{3000, 5000} {
		words := []string{"MSETEX", fmt.Sprint(n)}
		for i := range n {
			words = append(words, fmt.Sprint("k", i), "v")
		}
		c.send(proxytest.Command("MSET", "k0", "1", "k1", "2") + proxytest.Command(append(words, "PXAT", "1")...))
		c.expect("+OK\r\n")
		got, want := c.reply(), ":1\r\n"
		if n > 4000 {
			want = "-ERR the trash takes no such command"
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%d keys: %q, want %q", n, got, want)
		}
	}
	if got := c.do("EXISTS k0 k1"); got != ":2\r\n" {
		t.Errorf("EXISTS: %q", got)
	}
	trash, err := p.Trash(context.Background(), 0)
	if err != nil || len(trash.Entries) != 1 {
		t.Errorf("the trash has %+v, %v", trash.Entries, err)
	}
	ledger := dial(t, srv.Addr)
	ledger.do("SELECT 15")
	if keys := ledger.do("KEYS *"); strings.Count(keys, "$") > 8 {
		t.Errorf("the ledger has %q", keys)
	}
}
