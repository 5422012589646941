package proxy_test

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/resp"
)

// withRules puts rules in force.
func withRules(rules ...policy.RuleSpec) func(*proxy.Options) {
	return func(o *proxy.Options) { o.Rules = rules }
}

func rule(action string, commands ...string) policy.RuleSpec {
	return policy.RuleSpec{Name: action, Commands: commands, Action: action}
}

// elements is the strings of an array reply, sorted.
func elements(t *testing.T, reply string) []string {
	t.Helper()
	v, _, err := resp.Parse([]byte(reply))
	if err != nil || v.Type != '*' {
		t.Fatalf("%q is no array: %v", short(reply), err)
	}
	out := make([]string, len(v.Elems))
	for i, e := range v.Elems {
		out[i] = string(e.Str)
	}
	slices.Sort(out)
	return out
}

// commandStats says how often the server ran a command.
func commandStats(srv *proxytest.Server, name string) string {
	text, _, _ := strings.Cut(srv.Info("commandstats")["cmdstat_"+name], ",")
	return text
}

func TestKeysByScan(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		c := dial(t, serve(t, srv.Addr, withRules(rule("rewrite", "keys"))))
		direct := dial(t, srv.Addr)
		for i := range 5000 {
			c.send(proxytest.Command("SET", fmt.Sprintf("key:%d", i), "v"))
		}
		for range 5000 {
			c.expect("+OK\r\n")
		}
		c.send(proxytest.Command("SET", "b\x00\r\n*[x]", "v"))
		c.expect("+OK\r\n")
		before := commandStats(srv, "keys")
		for _, proto := range []string{"2", "3"} {
			c.do("HELLO " + proto)
			direct.do("HELLO " + proto)
			for _, pattern := range []string{"*", "key:1*", "key:?", "key:[12]?", "none", "b*",
				`b\x00*`, "key:77"} {
				frame := proxytest.Command("kEyS", pattern)
				c.send(frame)
				got := elements(t, c.reply())
				if s := commandStats(srv, "keys"); s != before {
					t.Fatalf("the server was sent KEYS: %q, before %q", s, before)
				}
				direct.send(frame)
				if want := elements(t, direct.reply()); !slices.Equal(got, want) {
					t.Errorf("RESP%s, %q: %d keys, want %d", proto, pattern, len(got), len(want))
				}
				before = commandStats(srv, "keys")
			}
		}
		c.expectSame(direct, "KEYS\r\n", "KEYS a b\r\n")
	})
}

// expectSame sends each text both ways and compares the replies.
func (c *conn) expectSame(direct *conn, texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		c.send(text)
		direct.send(text)
		if got, want := c.reply(), direct.reply(); got != want {
			c.t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// KEYS takes its turn among other commands, in the session's own database and state.
func TestKeysInOrder(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr, withRules(rule("rewrite", "keys"))))
	c.send("SET a 1\r\nKEYS *\r\nDEL a\r\nKEYS *\r\nSELECT 4\r\nSET b 1\r\nKEYS *\r\nPING\r\n")
	c.expect("+OK\r\n*1\r\n$1\r\na\r\n:1\r\n*0\r\n+OK\r\n+OK\r\n*1\r\n$1\r\nb\r\n+PONG\r\n")
	c.send("WATCH b\r\nKEYS b\r\nMULTI\r\nGET b\r\nEXEC\r\nKEYS b\r\n")
	c.expect("+OK\r\n*1\r\n$1\r\nb\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n*1\r\n$1\r\nb\r\n")
	c.send("MULTI\r\nKEYS b\r\nEXEC\r\n")
	c.expect("+OK\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-DENIED 'keys' cannot be part of a transaction") {
		t.Errorf("in MULTI: %q", got)
	}
	if got := c.reply(); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("EXEC: %q", got)
	}
	c.send("CLIENT REPLY SKIP\r\nKEYS *\r\nPING\r\nSUBSCRIBE x\r\nKEYS *\r\n")
	c.expect("+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-ERR Can't execute 'keys'") {
		t.Errorf("as a subscriber: %q", got)
	}
}

func TestKeysIsBounded(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("EVAL", "for i=1,4000 do redis.call('SET', 'a long name of a key:'..i, i) end", 0)
	c := dial(t, serve(t, srv.Addr, withRules(rule("rewrite", "keys")), func(o *proxy.Options) {
		o.Limits.ClientOutput = 64 << 10
	}))
	if got := c.do("KEYS *"); !strings.HasPrefix(got, "-DENIED the keys that match take more than") {
		t.Errorf("got %q", short(got))
	}
	if got := c.do("KEYS *:4000"); len(elements(t, got)) != 1 {
		t.Errorf("got %q", short(got))
	}
}

// A link that breaks between two SCANs ends the KEYS with an error, not with half of the keys.
func TestKeysOfBrokenLink(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("EVAL", "for i=1,20000 do redis.call('SET', i, i) end", 0)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	c := dial(t, serve(t, relay.Addr, withRules(rule("rewrite", "keys"))))
	c.do("PING")
	relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "sCaN", After: 30_000})
	if got := c.do("KEYS *"); !strings.HasPrefix(got, "-UPSTREAM") {
		t.Errorf("got %q", short(got))
	}
	proxytest.Poll(t, "all keys", func() bool {
		c.send("KEYS *\r\n")
		got := c.reply()
		return got[0] == '*' && len(elements(t, got)) == 20000
	})
}

// TestRewrittenCommands looks at what the server is really sent.
func TestRewrittenCommands(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	rules := rule("rewrite", "flushall", "flushdb", "del", "save")
	c := dial(t, serve(t, srv.Addr, withRules(rules)))
	watcher := dial(t, srv.Addr)
	watcher.send("MONITOR\r\n")
	watcher.expect("+OK\r\n")
	for _, step := range []struct{ send, reply, seen string }{
		{"FLUSHALL\r\n", "+OK\r\n", `"FLUSHALL" "ASYNC"`},
		{"flushdb sync\r\n", "+OK\r\n", `"flushdb" "ASYNC"`},
		{"flushdb ASYNC\r\n", "+OK\r\n", `"flushdb" "ASYNC"`},
		{"MSET a 1 b 2\r\n", "+OK\r\n", `"MSET" "a" "1" "b" "2"`},
		{"del a b a\r\n", ":2\r\n", `"UNLINK" "a" "b" "a"`},
		{"MULTI\r\n", "+OK\r\n", `"MULTI"`},
		{"DEL a\r\nFLUSHALL\r\n", "+QUEUED\r\n+QUEUED\r\n", ""},
		{"EXEC\r\n", "*2\r\n:0\r\n+OK\r\n", `"UNLINK" "a"`},
		{"PING\r\n", "+PONG\r\n", `"FLUSHALL" "ASYNC"`},
		{"SAVE\r\n", "+Background saving started\r\n", ""},
	} {
		c.send(step.send)
		c.expect(step.reply)
		if step.seen != "" && !sawInMonitor(watcher.r, step.seen) {
			t.Errorf("%q: the server was not sent %s", step.send, step.seen)
		}
	}
	if commandStats(srv, "bgsave") != "calls=1" || commandStats(srv, "save") != "" {
		t.Error("SAVE did not become BGSAVE")
	}
	for send, want := range map[string]string{
		"FLUSHALL now\r\n": "-ERR syntax error\r\n",
		"DEL\r\n":          "-ERR wrong number of arguments for 'del' command\r\n",
	} {
		c.send(send)
		c.expect(want)
	}
}

// sawInMonitor reads lines until one holds want; it gives up at a line of the end.
func sawInMonitor(r *bufio.Reader, want string) bool {
	for range 20 {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if strings.Contains(line, want) {
			return true
		}
	}
	return false
}

// A frame that has to wait counts once, and takes from its rule's limit once.
func TestWaitingFrameCountsOnce(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	limited := rule("allow", "blpop")
	limited.Limit = &policy.LimitSpec{Rate: "1/h", Burst: 2}
	addr, p := serveServer(t, srv.Addr, withRules(limited, rule("rewrite", "keys")))
	c := dial(t, addr)
	// Each BLPOP has to wait for the replies of the commands before it.
	c.send("GET a\r\nGET a\r\nBLPOP none 0.01\r\nGET a\r\nKEYS *\r\nGET a\r\nBLPOP none 0.01\r\n")
	c.expect("$-1\r\n$-1\r\n*-1\r\n$-1\r\n*0\r\n$-1\r\n*-1\r\n")
	if got := c.do("BLPOP none 0.01"); !strings.HasPrefix(got, "-THROTTLED 'blpop'") {
		t.Errorf("the third: %q", got)
	}
	rules, err := p.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := rules[0]; r.Allowed != 2 || r.Throttled != 1 || r.Denied != 0 {
		t.Errorf("%+v", r)
	}
	if r := rules[1]; r.Rewritten != 1 {
		t.Errorf("%+v", r)
	}
}
