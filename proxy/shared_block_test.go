package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A command that blocks is never sent by a shared link, whatever its groups, consumers and keys are
// called.
func TestBlockingReadsWithMisleadingNames(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	other := dial(t, addr)
	for _, key := range []string{"s", "streams", "block"} {
		for _, group := range []string{"streams", "block", "g"} {
			if got := other.do("XGROUP CREATE " + key + " " + group + " $ MKSTREAM"); got != "+OK\r\n" {
				t.Fatalf("got %q", got)
			}
		}
	}
	lines := []string{
		"XREADGROUP GROUP streams c BLOCK 0 STREAMS s >",
		"XREADGROUP GROUP streams streams BLOCK 0 STREAMS s >",
		"XREADGROUP GROUP g streams BLOCK 0 STREAMS s >",
		"XREADGROUP GROUP block block COUNT 1 NOACK block 0 streams block >",
		"XREADGROUP BLOCK 0 GROUP streams c STREAMS streams >",
		"XREAD COUNT 1 BLOCK 0 STREAMS streams $",
		"XREAD block 0 streams block $",
		"BLMOVE block2 streams2 LEFT RIGHT 0", "BRPOPLPUSH a b 0", "BLMPOP 0 1 block2 LEFT",
		"BZMPOP 0 1 z MIN", "BZPOPMIN z 0", "BZPOPMAX z 0", "BRPOP streams2 0", "BLPOP block2 0",
	}
	for i, line := range lines {
		c := dial(t, addr)
		c.send(line + "\r\n")
		proxytest.Poll(t, line+" is blocked", func() bool {
			return srv.Info("clients")["blocked_clients"] == fmt.Sprint(i+1)
		})
		if got := other.do("SET k " + line[:5]); got != "+OK\r\n" {
			t.Fatalf("behind %q: got %q", line, got)
		}
	}
}

// SCRIPT DEBUG and the EVAL behind it reach the server by one link, which is then the debugger's.
func TestScriptDebug(t *testing.T) {
	for _, kind := range []string{"valkey9", "redis"} {
		t.Run(kind, func(t *testing.T) {
			srv := proxytest.Spec{Kind: kind}.Start(t)
			c := dial(t, serve(t, srv.Addr))
			if got := c.do("SCRIPT DEBUG YES"); got != "+OK\r\n" {
				t.Fatalf("got %q", got)
			}
			c.send(proxytest.Command("EVAL", "redis.call('set', KEYS[1], 'v')\nreturn 7", "1", "k"))
			if got := c.reply(); !strings.Contains(got, "Stopped at 1") {
				t.Fatalf("got %q", got)
			}
			c.send(proxytest.Command("redis", "GET", "k"))
			if got := c.reply(); !strings.Contains(got, "<reply>") {
				t.Fatalf("got %q", got)
			}
			c.send(proxytest.Command("continue"))
			for got := ""; !strings.Contains(got, "<endsession>"); got = c.reply() {
			}
			if got := c.reply(); got != ":7\r\n" {
				t.Errorf("the script's own reply: %q", got)
			}
			c.expectEOF()
			if got := srv.MustDo("EXISTS", "k"); got != int64(0) {
				t.Errorf("a write of the debugged script was not rolled back")
			}
		})
	}
}

// The debugger is no way round the rules.
func TestScriptDebugUnderRules(t *testing.T) {
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr, denyFlush))
	if got := c.do("SCRIPT DEBUG SYNC"); !strings.HasPrefix(got, "-DENIED ") {
		t.Errorf("SYNC under a rule: %q", got)
	}
	if got := c.do("SCRIPT DEBUG YES"); got != "+OK\r\n" {
		t.Errorf("YES under a rule: %q", got)
	}
	c = dial(t, serve(t, srv.Addr, func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{{Name: "t", Action: "trash", Commands: []string{"flushall"}}}
	}))
	proxytest.Poll(t, "the trash is set up", func() bool {
		return strings.HasPrefix(c.do("SELECT 15"), "-")
	})
	if got := c.do("SCRIPT DEBUG YES"); !strings.HasPrefix(got, "-DENIED ") {
		t.Errorf("YES beside a trash: %q", got)
	}
}

// What the client set on its connection holds for its later commands.
func TestStateOfTheConnectionIsKept(t *testing.T) {
	srv := proxytest.Spec{Kind: "valkey9"}.Start(t)
	addr := serve(t, srv.Addr)
	for _, row := range []struct{ set, flag string }{
		{"CLIENT NO-EVICT ON", "e"}, {"CLIENT NO-TOUCH ON", "T"}, {"CLIENT CAPA redirect", "capa=r"},
	} {
		c := dial(t, addr)
		if got := c.do(row.set); got != "+OK\r\n" {
			t.Fatalf("%s: got %q", row.set, got)
		}
		c.do("GET k")
		got := c.do("CLIENT INFO")
		_, flags, _ := strings.Cut(got, " flags=")
		flags, _, _ = strings.Cut(flags, " ")
		if !strings.Contains(flags, row.flag) && !strings.Contains(got, row.flag) {
			t.Errorf("after %s: %q", row.set, got)
		}
	}
}
