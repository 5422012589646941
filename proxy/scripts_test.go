package proxy_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

func shaOf(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// library is a function library with one function.
func library(name, function, body string) string {
	return fmt.Sprintf("#!lua name=%s\nredis.register_function('%s', function(keys, args) %s end)",
		name, function, body)
}

// TestScriptsAreNoWayRound is rules in and replies out, against a real server whose data must
// still be there at the end.
func TestScriptsAreNoWayRound(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("SET", "keep", "1")
		scoped := policy.RuleSpec{Name: "keys", Commands: []string{"del"}, Action: "deny",
			Keys: []string{"keep*"}}
		addr := serve(t, srv.Addr, withRules(rule("deny", "flushall", "keys"), scoped))
		const load = "SCRIPT|LOAD|"
		for _, row := range []struct{ frame, want string }{
			{"EVAL|return 1|0", ":1"},
			{"EVAL|return redis.call('get', KEYS[1])|1|keep", "$1"},
			{"EVAL|redis.call('flushall')|0", "-DENIED 'eval'"},
			{"eval|redis.pcall(\"FlushAll\", 'async')|0", "-DENIED"},
			{"EVAL_RO|redis.call('keys', '*')|0", "-DENIED"},
			{"EVAL|redis.call(ARGV[1])|0|flushall", "-DENIED 'eval' is refused by rule 'deny' of " +
				"the proxy (its code is opaque and may call anything:"},
			{"EVAL|redis.call('flush' .. 'all')|0", "-DENIED"},
			{"EVAL|redis['call']('flushall')|0", "-DENIED"},
			{"EVAL|loadstring('redis.call(\"flushall\")')()|0", "-DENIED"},
			{"EVAL|return redis.call('del', KEYS[1])|1|other", ":0"},
			{"EVAL|return redis.call('del', KEYS[1])|1|keep", "-DENIED"},
			{"EVAL|return redis.call('del', 'k' .. 'eep')|0", "-DENIED"},
			{load + "redis.call('flushall')", "-DENIED 'script load'"},
			{load + "return 2", "$40"},
			{"EVALSHA|" + shaOf("return 2") + "|0", ":2"},
			{"EVALSHA|" + strings.ToUpper(shaOf("return 2")) + "|0", ":2"},
			{"EVALSHA|" + shaOf("nowhere") + "|0", "-NOSCRIPT"},
			{"FUNCTION|LOAD|" + library("bad", "f1", "redis.call('flushall')"), "-DENIED"},
			{"FUNCTION|LOAD|" + library("good", "f2", "return redis.call('get', keys[1])"), "$4"},
			{"FCALL|f2|1|keep", "$1"},
			{"fcall_ro|nothing|0", "-DENIED"},
		} {
			c := dial(t, addr)
			c.send(proxytest.Command(strings.Split(row.frame, "|")...))
			if got := c.reply(); !strings.HasPrefix(got, row.want) {
				t.Errorf("%s: got %q, want %s", row.frame, short(got), row.want)
			}
		}
		if n := srv.MustDo("GET", "keep"); n != "1" {
			t.Errorf("the data is gone: %v", n)
		}
	})
}

// What others loaded into the server is read back from it where that is possible.
func TestCodeThatOthersLoaded(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		good, bad := "return 'good'", "return redis.call('flushall')"
		for _, s := range []string{good, bad} {
			srv.MustDo("SCRIPT", "LOAD", s)
		}
		srv.MustDo("FUNCTION", "LOAD", library("l1", "Good", "return 'good'"))
		srv.MustDo("FUNCTION", "LOAD", library("l2", "bad", "return redis.call('flushall')"))
		srv.MustDo("SET", "keep", "1")
		c := dial(t, serve(t, srv.Addr, withRules(rule("deny", "flushall"))))
		send := func(args ...string) string {
			c.send(proxytest.Command(args...))
			return c.reply()
		}
		want := "-NOSCRIPT" // the server cannot tell what it is
		if srv.Binary.Kind == "valkey" {
			want = "$4\r\ngood\r\n"
		}
		if got := send("EVALSHA", shaOf(good), "0"); !strings.HasPrefix(got, want) {
			t.Errorf("a harmless script: %q", got)
		}
		if got := send("EVAL", good, "0"); got != "$4\r\ngood\r\n" {
			t.Errorf("its source: %q", got)
		}
		if got := send("EVALSHA", shaOf(good), "0"); got != "$4\r\ngood\r\n" {
			t.Errorf("after its source: %q", got)
		}
		if got := send("EVALSHA", shaOf(bad), "0"); got[0] != '-' {
			t.Errorf("a script that flushes: %q", got)
		}
		if got := send("FCALL", "good", "0"); got != "$4\r\ngood\r\n" {
			t.Errorf("a harmless function: %q", got)
		}
		if got := send("FCALL", "bad", "0"); !strings.HasPrefix(got, "-DENIED 'fcall'") {
			t.Errorf("a function that flushes: %q", got)
		}
		if srv.MustDo("DBSIZE") != int64(1) {
			t.Error("the data is gone")
		}
	})
}

// A function is judged by what it has become, also behind the command that changes it.
func TestFunctionThatChanges(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "keep", "1")
	scoped := policy.RuleSpec{Name: "keys", Commands: []string{"del"}, Action: "deny",
		Keys: []string{"keep*"}}
	c := dial(t, serve(t, srv.Addr, withRules(scoped)))
	load := func(body string) string {
		return proxytest.Command("FUNCTION", "LOAD", "REPLACE", library("l", "f", body))
	}
	call := proxytest.Command("FCALL", "f", "1", "keep")
	del := "return redis.call('del', KEYS[1])"
	for range 3 {
		c.send(load("return 7") + call + call)
		c.expect("$1\r\nl\r\n:7\r\n:7\r\n")
		c.send(load("return redis.call('del', keys[1])") + call + load("return 8") + call)
		c.expect("$1\r\nl\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "-DENIED 'fcall'") {
			t.Errorf("got %q", got)
		}
		c.expect("$1\r\nl\r\n:8\r\n")
		c.send("MULTI\r\n" + load("return redis.call('del', keys[1])") + "EXEC\r\n" + call)
		c.expect("+OK\r\n+QUEUED\r\n*1\r\n$1\r\nl\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "-DENIED 'fcall'") {
			t.Errorf("after a transaction: %q", got)
		}
	}
	c.send("MULTI\r\n" + proxytest.Command("EVAL", del, "1", "keep") + "EXEC\r\n")
	c.expect("+OK\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-DENIED 'eval'") {
		t.Errorf("in MULTI: %q", got)
	}
	if got := c.reply(); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("EXEC: %q", got)
	}
	if srv.MustDo("DBSIZE") != int64(1) {
		t.Error("the data is gone")
	}
}

// Many sessions ask for functions at once; each gets its own answer.
func TestFunctionsReadOnce(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("FUNCTION", "LOAD", library("l", "f", "return 7"))
	addr := serve(t, srv.Addr, withRules(rule("deny", "flushall")), func(o *proxy.Options) {
		o.Workers = 2
	})
	var conns []*conn
	for range 20 {
		c := dial(t, addr)
		c.send("PING\r\nFCALL f 0\r\nPING\r\n")
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.expect("+PONG\r\n:7\r\n+PONG\r\n")
	}
	if n := commandStats(srv, "function|list"); n == "" || len(n) > len("calls=9") {
		t.Errorf("the list of functions was read %s times", n)
	}
}
