package proxy_test

import (
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// SCRIPT DEBUG opens no way past the rules, whatever follows it and whether replies are awaited.
func TestScriptDebugIsNoWayRound(t *testing.T) {
	attempts := map[string][]string{
		"a function":                 {"SCRIPT DEBUG YES", "FCALL nosuch 0", "FLUSHALL"},
		"a function that runs":       {"SCRIPT DEBUG YES", "FCALL one 0", "FLUSHALL", "redis FLUSHALL"},
		"unknown code":               {"SCRIPT DEBUG YES", "EVALSHA 0123 0", "FLUSHALL"},
		"too few arguments":          {"SCRIPT DEBUG YES", "EVAL", "FLUSHALL"},
		"too few, read-only":         {"SCRIPT DEBUG YES", "EVAL_RO x", "FLUSHALL"},
		"code that does not compile": {"SCRIPT DEBUG YES", "EVAL )( 0", "FLUSHALL", "redis FLUSHALL"},
		"SYNC":                       {"SCRIPT DEBUG SYNC", "EVAL return(1) 0", "redis FLUSHALL", "continue"},
		"SYNC without replies": {"CLIENT REPLY OFF", "SCRIPT DEBUG SYNC", "CLIENT REPLY ON",
			"EVAL return(1) 0", "redis FLUSHALL", "continue"},
		"SYNC without a reply": {"CLIENT REPLY SKIP", "SCRIPT DEBUG SYNC", "EVAL return(1) 0",
			"redis FLUSHALL", "continue"},
		"SYNC in MULTI": {"MULTI", "SCRIPT DEBUG SYNC", "EXEC", "EVAL return(1) 0", "redis FLUSHALL",
			"continue"},
		"SYNC in MULTI without replies": {"CLIENT REPLY OFF", "MULTI", "SCRIPT DEBUG SYNC", "EXEC",
			"CLIENT REPLY ON", "EVAL return(1) 0", "redis FLUSHALL", "continue"},
		"NO without a reply": {"SCRIPT DEBUG YES", "CLIENT REPLY SKIP", "SCRIPT DEBUG NO",
			"EVAL return{1} 0", "FLUSHALL"},
		"NO without replies": {"SCRIPT DEBUG YES", "CLIENT REPLY OFF", "SCRIPT DEBUG NO",
			"CLIENT REPLY ON", "EVAL return{1} 0", "FLUSHALL"},
		"NO in MULTI":  {"SCRIPT DEBUG YES", "MULTI", "SCRIPT DEBUG NO", "EXEC", "EVAL return{1} 0", "FLUSHALL"},
		"the debugger": {"SCRIPT DEBUG YES", "EVAL return(1) 0", "redis FLUSHALL", "continue"},
		"in MULTI":     {"SCRIPT DEBUG YES", "MULTI", "EVAL return(1) 0", "EXEC", "FLUSHALL", "redis FLUSHALL"},
		"subscriptions": {"HELLO 3", "SUBSCRIBE c", "SCRIPT DEBUG YES", "PUBLISH c m", "EVAL", "FLUSHALL",
			"PUBLISH c m", "FLUSHALL"},
		"another user": {"SCRIPT DEBUG YES", "AUTH default x", "EVAL", "FLUSHALL"},
	}
	for _, kind := range []string{"valkey9", "redis", "redis7"} {
		srv := proxytest.Spec{Kind: kind}.Start(t)
		srv.MustDo("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('one', function() return {1} end)")
		addr := serve(t, srv.Addr, denyFlush)
		for name, lines := range attempts {
			for _, awaited := range []bool{true, false} {
				srv.MustDo("SET", "k", "v")
				c := dial(t, addr)
				for _, line := range lines {
					_, _ = c.Write([]byte(line + "\r\n")) // the connection may have ended
					if awaited {
						dial(t, addr).do("PING") // the server has had the time to answer
					}
				}
				c.finish()
				c.Close()
				if srv.MustDo("EXISTS", "k") != int64(1) {
					t.Errorf("%s: %s, awaited %t: FLUSHALL was executed", kind, name, awaited)
				}
			}
		}
	}
}

// Where rules refuse reads, the debugger could make them.
func TestScriptDebugReads(t *testing.T) {
	srv := proxytest.StartServer(t)
	for _, row := range []struct {
		rule policy.RuleSpec
		want string
	}{
		{policy.RuleSpec{Name: "r", Action: "deny", Commands: []string{"get"}}, "-DENIED "},
		{policy.RuleSpec{Name: "r", Action: "deny", Commands: []string{"hgetall"}, Keys: []string{"pay:*"}}, "-DENIED "},
		{policy.RuleSpec{Name: "r", Action: "deny", Commands: []string{"keys"}}, "+OK"},
		{policy.RuleSpec{Name: "r", Action: "deny", Commands: []string{"del"}, Keys: []string{"pay:*"}}, "+OK"},
	} {
		c := dial(t, serve(t, srv.Addr, func(o *proxy.Options) { o.Rules = []policy.RuleSpec{row.rule} }))
		if got := c.do("SCRIPT DEBUG YES"); !strings.HasPrefix(got, row.want) {
			t.Errorf("%v: got %q, want %q", row.rule.Commands, got, row.want)
		}
	}
}
