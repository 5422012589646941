package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// step is a request and what its answer must begin with.
type step struct{ send, want string }

func anyEval(words ...string) string {
	return proxytest.Command(append([]string{"EVAL", anyCall, "0"}, words...)...)
}

func line(text string) string { return proxytest.Command(strings.Fields(text)...) }

func (c *conn) play(steps ...step) {
	c.t.Helper()
	for _, st := range steps {
		c.send(st.send)
		if got := c.reply(); !strings.HasPrefix(got, st.want) {
			c.t.Errorf("%q: got %q, want %q", st.send, short(got), st.want)
		}
	}
}

const refusedInside = "*2\r\n+OK\r\n-"

// Under the built-in rules opaque code runs in transactions, after WATCH, and where the connection
// has other state, as the guard's user: what the rules refuse, the server refuses.
func TestOpaqueCodeInTransactions(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr := serve(t, srv.Addr, withGuard, withRules(append([]policy.RuleSpec{{Name: "ops",
			Action: "allow", Commands: []string{"swapdb"}, ClientNames: []string{"ops"}}},
			policy.DefaultRules()...)...))
		sha := srv.MustDo("SCRIPT", "LOAD", anyCall).(string)
		srv.MustDo("SET", "treasure", "x")
		// Of clients that have not sent opaque code before it is not expected in a transaction that watches keys.
		first := dial(t, addr)
		first.play(step{line("WATCH k"), "+OK"}, step{line("MULTI"), "+OK"}, step{line("ACL WHOAMI"), "+QUEUED"},
			step{anyEval("ping"), "-DENIED 'eval'"}, step{line("EXEC"), "-EXECABORT"})
		ok := step{line("SET k v"), "+QUEUED"}
		begin := step{line("MULTI"), "+OK"}
		for name, steps := range map[string][]step{
			"first": {begin, {anyEval("get", "treasure"), "+QUEUED"}, {line("EXEC"), "*1\r\n$1\r\nx"}},
			"behind others": {begin, ok, {line("INCR n"), "+QUEUED"},
				{anyEval("set", "a", "b"), "+QUEUED"}, {line("GET a"), "+QUEUED"},
				{"EVALSHA " + sha + " 0 get k\r\n", "+QUEUED"},
				{line("EXEC"), "*5\r\n+OK\r\n:"}},
			"what is refused": {begin, ok, {anyEval("flushall"), "+QUEUED"}, {line("EXEC"), refusedInside}},
			"discarded":       {begin, ok, {anyEval("flushall"), "+QUEUED"}, {line("DISCARD"), "+OK"}},
			"in error":        {begin, ok, {line("NOSUCH"), "-ERR unknown"}, {anyEval("ping"), "+QUEUED"}, {line("EXEC"), "-EXECABORT"}},
			"in error behind": {begin, ok, {anyEval("ping"), "+QUEUED"}, {line("GET"), "-ERR wrong"}, {line("EXEC"), "-EXECABORT"}},
			"twice": {begin, {anyEval("get", "treasure"), "+QUEUED"}, {line("EXEC"), "*1"},
				begin, ok, {line("EXEC"), "*1"}, begin, ok, {anyEval("ping"), "+QUEUED"}, {line("EXEC"), "*2"}},
			"while watching": {{line("WATCH k"), "+OK"}, {anyEval("get", "treasure"), "$1"},
				{anyEval("flushall"), "-"}, begin, ok, {line("EXEC"), "*1"}},
			"watched keys stay watched": {{line("WATCH w"), "+OK"}, {anyEval("set", "w", "1"), "+OK"},
				begin, ok, {line("EXEC"), "*-1"}},
			"watching": {{line("WATCH k"), "+OK"}, begin, ok, {anyEval("get", "treasure"), "+QUEUED"},
				{anyEval("flushall"), "+QUEUED"}, {line("EXEC"), "*3\r\n+OK\r\n$1\r\nx\r\n-"},
				{line("ACL WHOAMI"), "$7\r\ndefault"}},
			"watching in vain": {{line("WATCH w"), "+OK"}, {line("INCR w"), ":"}, begin, {anyEval("ping"), "+QUEUED"},
				{line("EXEC"), "*-1"}, {line("GET w"), "$"}},
			"watching on an own link": {{line("CLIENT NO-EVICT ON"), "+OK"}, {line("WATCH k"), "+OK"}, begin,
				{anyEval("get", "treasure"), "+QUEUED"}, {line("EXEC"), "*1\r\n$1\r\nx"}, {line("ACL WHOAMI"), "$7\r\ndefault"}},
			"watching, and who it is": {{line("WATCH k"), "+OK"}, begin, {line("ACL WHOAMI"), "-DENIED"}, {line("DISCARD"), "+OK"}},
			"tracking": {{line("HELLO 3"), "%"}, {line("CLIENT TRACKING ON"), "+OK"},
				{anyEval("get", "treasure"), "$1"}, {anyEval("flushall"), "-"}, {line("ACL WHOAMI"), "$7\r\ndefault"}},
			"own link and transaction": {{line("CLIENT NO-EVICT ON"), "+OK"}, begin, ok, {anyEval("flushall"), "+QUEUED"},
				{line("EXEC"), refusedInside}, {line("ACL WHOAMI"), "$7\r\ndefault"}, {line("SELECT 1"), "+OK"},
				{anyEval("set", "x", "1"), "+OK"}, {line("GET x"), "$1"}, {line("SELECT 0"), "+OK"}},
			"another database": {{line("SELECT 2"), "+OK"}, begin, ok, {anyEval("set", "a", "1"), "+QUEUED"},
				{line("SELECT 3"), "+QUEUED"}, {line("DBSIZE"), "+QUEUED"}, {line("EXEC"), "*4\r\n+OK\r\n+OK\r\n+OK\r\n:0"}},
			"what the guard may not, behind": {{line("CLIENT SETNAME ops"), "+OK"}, begin, {anyEval("ping"), "+QUEUED"},
				{line("SWAPDB 5 6"), "-DENIED 'swapdb' cannot be in one transaction with opaque"},
				{line("EXEC"), "-EXECABORT"}},
			"what the guard may not, before": {{line("CLIENT SETNAME ops"), "+OK"}, begin, {line("SWAPDB 5 6"), "+QUEUED"},
				{anyEval("ping"), "-DENIED 'eval'"}, {line("EXEC"), "-EXECABORT"}},
			"what the guard may not, alone": {{line("CLIENT SETNAME ops"), "+OK"}, begin, {line("SWAPDB 5 6"), "+QUEUED"}, {line("EXEC"), "*1\r\n+OK"}},
			"who it is":                     {begin, {anyEval("ping"), "+QUEUED"}, {line("ACL WHOAMI"), "-DENIED"}, {line("DISCARD"), "+OK"}},
			"large before": {begin, {"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$300000\r\n" + strings.Repeat("x", 300000) + "\r\n", "+QUEUED"},
				{anyEval("ping"), "-DENIED 'eval'"}, {line("EXEC"), "-EXECABORT"}},
			"replies off": {{line("CLIENT REPLY SKIP") + line("PING") + anyEval("flushall"), "-"}},
			"once":        {{line("CLIENT TRACKING ON OPTIN REDIRECT 0"), "-"}, begin, {anyEval("ping"), "+QUEUED"}, {line("EXEC"), "*1"}},
		} {
			c := dial(t, addr)
			t.Run(name, func(t *testing.T) {
				c.t = t
				c.play(steps...)
				c.play(step{line("PING"), "+PONG"})
			})
		}
		t.Run("pipelined", func(t *testing.T) {
			c := dial(t, addr)
			c.send(line("MULTI") + line("SET p 1") + anyEval("incr", "p") + line("EXEC") + line("GET p"))
			c.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n$1\r\n2\r\n")
		})
		if got := srv.MustDo("GET", "treasure"); got != "x" {
			t.Errorf("the treasure is %v", got)
		}
	})
}

// A command that the server refused is not executed because it is sent again: EXEC aborts.
func TestOpaqueCodeBehindWhatWasRefusedForAMoment(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, withGuard, withRules(policy.DefaultRules()...))
	srv.MustDo("SET", "large", strings.Repeat("x", 1000))
	c := dial(t, addr)
	c.play(step{line("CLIENT NO-EVICT ON"), "+OK"}, step{line("MULTI"), "+OK"})
	srv.MustDo("CONFIG", "SET", "maxmemory", "1")
	c.play(step{line("SET a 1"), "-OOM"})
	srv.MustDo("CONFIG", "SET", "maxmemory", "0")
	c.play(step{line("SET b 1"), "+QUEUED"}, step{anyEval("ping"), "+QUEUED"}, step{line("EXEC"), "-EXECABORT"},
		step{line("EXISTS a b"), ":0"})
	// What was refused before MULTI, in one packet with it, is none of the transaction's.
	c.send(line("GET") + line("MULTI") + line("SET b 1") + anyEval("ping") + line("EXEC"))
	for _, want := range []string{"-ERR", "+OK", "+QUEUED", "+QUEUED", "*2"} {
		if got := c.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	c.send(line("MULTI") + line("GET") + line("EXEC") + line("MULTI") + anyEval("ping") + line("EXEC"))
	for _, want := range []string{"+OK", "-ERR", "-EXECABORT", "+OK", "+QUEUED", "*1"} {
		if got := c.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Code never runs as the client's user because the guard's user could not log in, nor does a client
// stay the control user because its own login was refused, whatever of the proxy's own is on the way.
func TestLoginsBehindNames(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, withGuard, withRules(policy.DefaultRules()...))
	srv.MustDo("SET", "treasure", "x")
	for range 5 {
		c := dial(t, addr)
		c.play(step{line("CLIENT SETNAME me"), "+OK"})
		for _, name := range srv.MustDo("ACL", "USERS").([]any) {
			if strings.HasPrefix(name.(string), "holdfast-guard-") {
				srv.MustDo("ACL", "DELUSER", name.(string))
			}
		}
		c.send(line("MULTI") + line("CLIENT NO-EVICT ON") + line("EXEC") + anyEval("flushall"))
		c.expect("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
		if got, err := io.ReadAll(io.LimitReader(c.r, 4)); string(got) != "-ERR" && err != nil {
			t.Errorf("got %q, %v; want a refusal, by a guard that was made again, or the end", got, err)
		}
	}
	if got := srv.MustDo("GET", "treasure"); got != "x" {
		t.Errorf("the treasure is %v", got)
	}
	srv.MustDo("ACL", "SETUSER", "app", "on", ">old", "~*", "+@all")
	c := dial(t, addr)
	c.play(step{line("AUTH app old"), "+OK"}, step{line("CLIENT SETNAME me"), "+OK"},
		step{line("CLIENT NO-EVICT ON"), "+OK"}, step{line("CLIENT SETNAME you"), "+OK"}, step{line("WAIT 0 0"), ":0"},
		step{line("ACL WHOAMI"), "$3\r\napp"})
	c = dial(t, addr)
	c.play(step{line("AUTH app old"), "+OK"}, step{line("CLIENT SETNAME me"), "+OK"})
	srv.MustDo("ACL", "SETUSER", "app", ">new", "<old")
	c.send(line("WAIT 0 0") + line("ACL WHOAMI"))
	c.expectEOF()
}

// What BullMQ's FlowProducer.add sends: EVALSHA, or EVAL, of code that builds the names of commands,
// for each job of the flow, in one transaction.
func TestFlowsOfFrameworks(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, withGuard, withRules(policy.DefaultRules()...))
	const add = `local rcall = redis.call
		local id = rcall("INCR", KEYS[1])
		rcall("HSET", KEYS[2] .. id, unpack(ARGV))
		rcall("ZADD", KEYS[3], id, id)
		return id .. ""`
	c := dial(t, addr)
	for round := range 3 {
		frames := line("MULTI")
		for range 4 {
			frames += proxytest.Command("EVAL", add, "3", "{q}:id", "{q}:", "{q}:wait", "name", "x")
		}
		c.send(frames + line("EXEC"))
		want := "+OK\r\n" + strings.Repeat("+QUEUED\r\n", 4) + "*4\r\n"
		for i := range 4 {
			id := fmt.Sprint(round*4 + i + 1)
			want += fmt.Sprintf("$%d\r\n%s\r\n", len(id), id)
		}
		c.expect(want)
	}
}

// A link on which code ran as the guard's user serves the next session as the client's own user.
func TestPinsComeBackAsTheClient(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, withGuard, withRules(policy.DefaultRules()...))
	for range 3 {
		c := dial(t, addr)
		c.play(step{line("MULTI"), "+OK"}, step{anyEval("ping"), "+QUEUED"}, step{line("EXEC"), "*1"},
			step{line("MULTI"), "+OK"}, step{line("CONFIG SET hz 10"), "+QUEUED"},
			step{line("ACL WHOAMI"), "+QUEUED"}, step{line("EXEC"), "*2\r\n+OK\r\n$7\r\ndefault\r\n"},
			step{line("BLPOP none 0.01"), "*-1"})
		c.Close()
	}
}

// Where there is no guard, opaque code in a transaction is refused, and the client and the log are
// told why.
func TestOpaqueCodeWithoutGuard(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "&*", "+@all")
	log := &logBuffer{}
	addr := serve(t, srv.Addr, withGuard, withRules(policy.DefaultRules()...),
		func(o *proxy.Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	c := dial(t, addr)
	c.play(step{line("AUTH bob x"), "+OK"}, step{line("MULTI"), "+OK"})
	c.send(anyEval("ping"))
	if got := c.reply(); !strings.Contains(got, "opaque") || !strings.Contains(got, "user default") {
		t.Errorf("got %q", got)
	}
	c.play(step{line("EXEC"), "-EXECABORT"})
	proxytest.Poll(t, "the log says so", func() bool {
		text := log.String()
		return strings.Contains(text, "a rule refused a command") && strings.Contains(text, "opaque")
	})
}
