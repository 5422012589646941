package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

func withBudget(b policy.BudgetSpec) func(*proxy.Options) {
	return func(o *proxy.Options) { o.Budgets = []policy.BudgetSpec{b} }
}

func hourly(keys int64, per string) policy.BudgetSpec {
	return policy.BudgetSpec{Name: "b", Keys: keys, Window: time.Hour, Per: per}
}

// fill makes keys k0, k1 … in the current database.
func (c *conn) fill(n int) {
	c.t.Helper()
	var all strings.Builder
	for i := range n {
		all.WriteString(proxytest.Command("SET", fmt.Sprint("k", i), "v"))
	}
	c.send(all.String())
	c.expect(strings.Repeat("+OK\r\n", n))
}

// What goes to the trash counts, in transactions too, and so does what scripts are seen to delete.
func TestBudgetCountsWhatIsMovedAside(t *testing.T) {
	t.Parallel()
	const trash, free = "trash del flushall flushdb", "allow ping"
	for _, row := range []struct {
		rules, use string
		deleted    uint64
	}{
		{trash, "DEL k0 k1 none", 2},
		{trash, "FLUSHALL", 5},
		{trash, "EXPIRE k0 -1", 1},
		{trash, "SET k0 v PXAT 1", 1},
		{trash, "MULTI\nDEL k0 k1 none\nSET x 1\nDEL k2\nEXEC", 3},
		{trash, "MULTI\nDEL k0\nGET k1\nGETDEL k1\nEXEC", 2},
		{trash, "MULTI\nFLUSHALL\nEXEC", 5},
		{trash, "MULTI\nFLUSHALL\nDISCARD", 0},
		{"trash rename copy", "RENAME k0 k1", 0},
		{free, "MULTI\nFLUSHALL\nEXEC", 5},
		{free, "MULTI\nSELECT 1\nFLUSHDB\nEXEC", 5},
		{free, "CLIENT REPLY OFF\nFLUSHALL\nCLIENT REPLY ON", 5},
		{free, "EVAL \"return redis.call('del', KEYS[1], KEYS[2])\" 2 k0 k1", 2},
		{free, "EVAL \"return redis.call('get', KEYS[1])\" 1 k0", 0},
		{free, "EVAL \"return redis.call('expire', KEYS[1], ARGV[1])\" 1 k0 -1", 1},
		{free, "EVAL \"return redis.call('expire', KEYS[1], ARGV[1])\" 1 k0 100", 0},
		{free, "EVAL \"return redis.call('nothing')\" 1 k0", 0},
	} {
		t.Run(row.use, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr, p := serveServer(t, srv.Addr, withBudget(hourly(100, "")), func(o *proxy.Options) {
				o.Rules = parseRules(t, row.rules)
			})
			c := dial(t, addr)
			c.fill(5)
			c.send(strings.ReplaceAll(row.use, "\n", "\r\n") + "\r\nECHO end\r\n")
			for c.reply() != "$3\r\nend\r\n" {
			}
			list, err := p.Budgets(t.Context())
			if err != nil || list[0].Deleted != row.deleted {
				t.Errorf("counted %d, want %d; %v", list[0].Deleted, row.deleted, err)
			}
		})
	}
}

// A budget that is used up holds back what would go to the trash, and scripts that delete.
func TestBudgetUsedUp(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, _ := serveServer(t, srv.Addr, withBudget(hourly(1, "")), func(o *proxy.Options) {
		o.Rules = parseRules(t, "trash del flushall\nallow unlink")
	})
	c := dial(t, addr)
	c.fill(5)
	c.do("DEL k0")
	c.do("DEL k1")
	for _, line := range []string{"DEL k2", "FLUSHALL", "UNLINK k2",
		"EVAL \"redis.call('unlink', KEYS[1])\" 1 k2"} {
		if got := c.do(line); !strings.HasPrefix(got, "-THROTTLED") {
			t.Errorf("%s: %q", line, got)
		}
	}
	if got := c.do("DBSIZE"); got != ":3\r\n" {
		t.Errorf("DBSIZE: %q", got)
	}
}

// TestBudgetCounts uses a budget of five keys up to five, then by one more.
func TestBudgetCounts(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	for _, row := range []struct{ name, use string }{
		{"del", "DEL k0 k1 k2\r\nUNLINK k3 k4 none\r\nDEL k0 k1\r\n"},
		{"getdel", "GETDEL k0\r\nGETDEL none\r\nDEL k1 k2 k3 k4\r\n"},
		{"inline and case", "del k0\r\ndEl k1 k2\r\n*2\r\n$3\r\nDEL\r\n$2\r\nk3\r\nUNLINK k4\r\n"},
		{"past", "EXPIRE k0 -1\r\nPEXPIREAT k1 1\r\nEXPIRE k2 100\r\nDEL k3 k4\r\nEXPIRE none 0\r\nDEL k2\r\n"},
		{"transaction", "MULTI\r\nGET k0\r\nDEL k0 k1\r\nSET x 1\r\nGETDEL k2\r\nDEL none\r\nEXEC\r\n" +
			"DEL k3 k4\r\n"},
		{"discarded", "MULTI\r\nDEL k0 k1 k2 k3 k4\r\nDISCARD\r\nWATCH k0\r\nDEL k0 k1\r\nUNWATCH\r\n" +
			"DEL k2 k3 k4\r\n"},
		{"other database", "SELECT 1\r\nSET y 1\r\nDEL y\r\nSELECT 0\r\nDEL k0 k1 k2 k3\r\n"},
		{"errors", "SET s 1\r\nDEL\r\nGETDEL\r\nDEL k0 k1 k2 k3 k4\r\n"},
		{"no replies", "CLIENT REPLY OFF\r\nDEL k0 k1 k2\r\nCLIENT REPLY ON\r\nDEL k3 k4\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv.MustDo("FLUSHALL")
			addr, p := serveServer(t, srv.Addr, withRules(), withBudget(hourly(5, "")))
			c := dial(t, addr)
			c.fill(5)
			for _, line := range strings.SplitAfter(row.use, "\r\n") {
				c.send(line)
			}
			c.send("ECHO end\r\n")
			for c.reply() != "$3\r\nend\r\n" {
			}
			list, err := p.Budgets(t.Context())
			if err != nil || list[0].Trips != 0 || list[0].Throttled != 0 {
				t.Fatalf("used up: %+v, %v", list, err)
			}
			c.fill(2)
			if list[0].Deleted != 5 {
				t.Errorf("counted %d, want 5", list[0].Deleted)
			}
			c.do("DEL k0")
			if got := c.do("DEL k1"); !strings.HasPrefix(got, "-THROTTLED 'del' is refused: the delete "+
				"budget 'b'") {
				t.Errorf("got %q", got)
			}
			c.send("MULTI\r\nUNLINK k1\r\nEXEC\r\nGET k1\r\n")
			c.expect("+OK\r\n")
			if got := c.reply() + c.reply(); !strings.HasPrefix(got, "-THROTTLED 'unlink'") ||
				!strings.Contains(got, "-EXECABORT") {
				t.Errorf("in MULTI: %q", got)
			}
			c.expect("$1\r\nv\r\n")
		})
	}
}

// One request, one transaction and one pipeline delete no more keys than the budget has, and what
// deletes fewer than it names is no more than that.
func TestBudgetBoundsOneRequest(t *testing.T) {
	t.Parallel()
	names := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " k%d", from+i)
		}
		return b.String()
	}
	dels := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "DEL k%d\n", i)
		}
		return b.String()
	}
	const have, budget = 200, 10
	for _, row := range []struct {
		name, rules, use string
		only             string
		left             int // of the keys, at the least
		all              bool
	}{
		{name: "FLUSHALL", use: "FLUSHALL"}, {name: "FLUSHDB", use: "FLUSHDB ASYNC"},
		{name: "to the trash", rules: "trash flushall", use: "FLUSHALL"},
		{name: "in MULTI", use: "MULTI\nFLUSHALL\nEXEC"},
		{name: "to the trash in MULTI", rules: "trash flushall", use: "MULTI\nFLUSHALL\nEXEC"},
		{name: "DEL", use: "DEL" + names(0, have)}, {name: "UNLINK", use: "UNLINK" + names(100, 20000)},
		{name: "DEL to the trash", rules: "trash del", use: "DEL" + names(0, have)},
		{name: "many in MULTI", use: "MULTI\n" + dels(20000) + "EXEC"},
		{name: "twice in MULTI", use: "MULTI\nDEL" + names(0, 8) + "\nDEL" + names(8, 8) + "\nEXEC"},
		{name: "a flush in MULTI with another", use: "MULTI\nDEL k0\nFLUSHALL\nEXEC"},
		{name: "a pipeline", use: dels(have), left: have - budget - 1},
		{name: "a pipeline of some each", use: "DEL" + names(0, 8) + "\nDEL" + names(8, 8) + "\nUNLINK" + names(16, 8),
			left: have - budget},
		{name: "a script", use: fmt.Sprintf("EVAL \"return redis.call('del', unpack(KEYS))\" %d%s", have, names(0, have))},
		{name: "a script that flushes", use: `EVAL "return redis.call('flushall')" 0`},
		{name: "a script that flushes another database", use: "SELECT 1\n" +
			`EVAL "redis.call('select', 0) return redis.call('flushdb')" 0`},
		{name: "a script that flushes, in MULTI", use: "MULTI\n" + `EVAL "return redis.call('flushdb')" 0` + "\nEXEC"},
		{name: "a script that names keys", use: fmt.Sprintf(`EVAL "return redis.call('del', '%s')" 0`,
			strings.Join(strings.Fields(names(0, 20)), "','"))},
		{name: "a script without KEYS", use: `EVAL "return redis.call('del', unpack(ARGV))" 0` + names(0, 20)},
		{name: "scripts that end with an error", use: strings.Repeat(
			`EVAL "redis.call('del', KEYS[1], KEYS[2], KEYS[3]) error('x')" 3 k0 k1 k2`+"\n", 3) +
			`EVAL "redis.call('del', KEYS[1], KEYS[2], KEYS[3]) error('x')" 3 k3 k4 k5`, left: have - 3},
		{name: "a function that flushes", use: "FUNCTION LOAD " +
			`"#!lua name=l` + "\x01" + `redis.register_function('f', function() return redis.call('flushall') end)"` +
			"\nFCALL f 0"},
		{name: "a flush of another database", use: "SELECT 1\nSET x 1\nFLUSHDB", left: have},
		{name: "a script that flushes its own", use: "SELECT 1\nSET x 1\n" + `EVAL "return redis.call('flushdb')" 0`,
			left: have, all: true},
		{name: "a time in the past", only: "valkey9", use: "MSETEX 12 " +
			strings.Join(strings.Fields(names(0, 12)), " v ") + " v PXAT 1"},
		{name: "few of many", use: "DEL" + names(have-budget, 20000), left: have - budget, all: true},
		{name: "few of many in MULTI", use: "MULTI\nDEL k0\nDEL" + names(have-budget+1, 20000) + "\nEXEC",
			left: have - budget, all: true},
		{name: "DISCARD gives back", use: "MULTI\nDEL" + names(0, 8) + "\nDISCARD\nDEL" + names(0, 10),
			left: have - budget, all: true},
		{name: "replies are off", use: "CLIENT REPLY OFF\nDEL" + names(0, 50) + "\nCLIENT REPLY ON"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: row.only}.Start(t)
			addr := serve(t, srv.Addr, withBudget(hourly(budget, "")), func(o *proxy.Options) {
				o.Rules = parseRules(t, row.rules)
			})
			c := dial(t, addr)
			c.fill(have)
			if row.left == 0 {
				row.left = have
			}
			var use strings.Builder
			for _, line := range strings.Split(strings.TrimSuffix(row.use, "\n"), "\n") {
				use.WriteString(proxytest.Command(splitWords(strings.ReplaceAll(line, "\x01", "\n"))...))
			}
			c.send(use.String() + proxytest.Command("ECHO", "end"))
			for c.reply() != "$3\r\nend\r\n" {
			}
			n := int(srv.MustDo("DBSIZE").(int64))
			if n < row.left || row.all && n != row.left {
				t.Errorf("%d of %d keys are left, want %d", n, have, row.left)
			}
		})
	}
}

// The deletes of a transaction are compared when it is executed, and not only when it is queued.
func TestBudgetAtExec(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, queued, meanwhile string
		want                    string
	}{
		{"others have used a part", "DEL k0 k1 k2 k3 k4", "DEL k10 k11 k12 k13 k14 k15 k16", "-THROTTLED 'exec'"},
		{"others have used it up", "DEL k0 k1 k2", "DEL k10 k11 k12 k13 k14 k15 k16 k17 k18 k19\nDEL k20", "-THROTTLED 'exec'"},
		{"a flush takes more by then", "SELECT 1\nFLUSHDB", "SELECT 1\n" + strings.Repeat("INCR n\n", 3) +
			"MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 k 11", "-THROTTLED 'exec'"},
		{"enough is left", "DEL k0 k1 k2 k3", "DEL k10 k11 k12", "*1"},
		{"one key may open it", "DEL k0", "DEL k10 k11 k12 k13 k14 k15 k16 k17 k18 k19", "*1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t)
			addr := serve(t, srv.Addr, withRules(), withBudget(hourly(10, "")))
			other, c := dial(t, addr), dial(t, addr)
			if !strings.Contains(row.queued, "FLUSHDB") {
				other.fill(30)
			}
			c.do("MULTI")
			for _, line := range strings.Split(row.queued, "\n") {
				if got := c.do(line); got != "+QUEUED\r\n" {
					t.Fatalf("%s: %q", line, got)
				}
			}
			for _, line := range strings.Split(row.meanwhile, "\n") {
				if got := other.do(line); got[0] == '-' {
					t.Fatalf("%s: %q", line, got)
				}
			}
			if got := c.do("EXEC"); !strings.HasPrefix(got, row.want) {
				t.Errorf("EXEC: %q, want %s", got, row.want)
			}
			if got := c.do("ECHO x"); got != "$1\r\nx\r\n" {
				t.Errorf("behind it: %q", got)
			}
		})
	}
}

// Keys in the trash are no part of a flush to it, and count no second time.
func TestBudgetOfFlushesToTheTrash(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, withBudget(hourly(15, "")), func(o *proxy.Options) {
		o.Rules = parseRules(t, "trash flushall")
	})
	c := dial(t, addr)
	for range 3 {
		c.fill(5)
		if got := c.do("FLUSHALL"); got != "+OK\r\n" {
			t.Errorf("FLUSHALL: %q", got)
		}
	}
}

// The number of keys is known for users without permission to ask for it, and leaves no line in ACL LOG.
func TestBudgetOfRestrictedUsers(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "-@all", "+del", "+flushall")
		addr := serve(t, srv.Addr, asControl(srv), withRules(), withBudget(hourly(3, "")))
		dial(t, addr).fill(5)
		bob := dial(t, addr)
		bob.do("AUTH bob x")
		for _, line := range []string{"FLUSHALL", "DEL k0 k1 k2 k3"} {
			if got := bob.do(line); !strings.HasPrefix(got, "-THROTTLED") {
				t.Errorf("%s: %q", line, got)
			}
		}
		if log := fmt.Sprint(srv.MustDo("ACL", "LOG")); log != "[]" {
			t.Errorf("ACL LOG: %s", log)
		}
	})
}

// splitWords reads words, some of them in double quotes.
func splitWords(line string) (words []string) {
	for i, part := range strings.Split(line, "\"") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// A transaction that would silence its own EXEC is refused as Valkey 9 refuses it: the deletes of one
// without a reply would stay in flight for ever.
func TestClientReplyInMulti(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr := serve(t, srv.Addr, withBudget(hourly(10, "")))
		for _, word := range []string{"OFF", "SKIP", "ON"} {
			c := dial(t, addr)
			c.fill(10)
			c.send("MULTI\r\nDEL k0 k1 k2 k3\r\nCLIENT REPLY " + word + "\r\nGET k0\r\nEXEC\r\n")
			c.expect("+OK\r\n+QUEUED\r\n-ERR Command 'client|reply' not allowed inside a transaction\r\n" +
				"+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n")
			c.send("ECHO next\r\nDEL k0 k1 k10 k11\r\n")
			c.expect("$4\r\nnext\r\n:2\r\n")
			c.Close()
		}
		c := dial(t, addr) // nothing is answered
		c.send("CLIENT REPLY OFF\r\nMULTI\r\nSET x 1\r\nCLIENT REPLY ON\r\nEXEC\r\nCLIENT REPLY ON\r\nGET x\r\n")
		c.expect("+OK\r\n$-1\r\n")
	})
}

func TestBudgetOfFlushes(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withRules(), withBudget(hourly(5, "")))
	c := dial(t, addr)
	deleted := func() uint64 {
		list, _ := p.Budgets(t.Context())
		return list[0].Deleted
	}
	c.fill(2)
	c.send("SELECT 3\r\n")
	c.expect("+OK\r\n")
	c.fill(3)
	c.send("GET k0\r\nFLUSHDB\r\nGET k0\r\n")
	c.expect("$1\r\nv\r\n+OK\r\n$-1\r\n")
	if n := deleted(); n != 3 {
		t.Errorf("FLUSHDB counted %d, want 3", n)
	}
	if got := c.do("FLUSHALL"); got != "+OK\r\n" {
		t.Errorf("got %q", got)
	}
	if n := deleted(); n != 5 {
		t.Errorf("FLUSHALL counted up to %d, want 5", n)
	}
	c.fill(2)
	if got := c.do("FLUSHALL"); !strings.HasPrefix(got, "-THROTTLED 'flushall' is refused: with it up to 2") {
		t.Errorf("got %q", got)
	}
}

func TestBudgetPerUserAndReset(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "+@all")
	addr, p := serveServer(t, srv.Addr, withRules(), withBudget(hourly(1, "user")))
	c, bob := dial(t, addr), dial(t, addr)
	bob.do("AUTH bob x")
	c.fill(5)
	c.do("DEL k0")
	c.do("DEL k1")
	if got := c.do("DEL k2"); !strings.HasPrefix(got, "-THROTTLED") {
		t.Errorf("got %q", got)
	}
	if got := bob.do("DEL k2"); got != ":1\r\n" {
		t.Errorf("another user: %q", got)
	}
	if n, err := p.ResetBudget(t.Context(), "b", "default"); n != 1 || err != nil {
		t.Errorf("reset: %d, %v", n, err)
	}
	if got := c.do("DEL k3"); got != ":1\r\n" {
		t.Errorf("after the reset: %q", got)
	}
	if _, err := p.ResetBudget(t.Context(), "none", ""); err == nil {
		t.Error("a budget that is not there was reset")
	}
}

// A reload keeps the count of a budget that stays as it is.
func TestBudgetReload(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var next proxy.Options
	addr, p := serveServer(t, srv.Addr, withRules(), withBudget(hourly(1, "")),
		func(o *proxy.Options) {
			o.LoadOptions = func() (proxy.Options, error) { return next, nil }
			next = *o
		})
	c := dial(t, addr)
	c.fill(5)
	c.do("DEL k0")
	c.do("DEL k1")
	for _, want := range []string{"-THROTTLED", ":1"} {
		if _, err := p.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := c.do("DEL k2"); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %s", got, want)
		}
		next.Budgets = nil
	}
	next.Budgets = []policy.BudgetSpec{{Name: "b"}}
	if _, err := p.Reload(context.Background()); err == nil {
		t.Error("a budget of nothing was accepted")
	}
}
