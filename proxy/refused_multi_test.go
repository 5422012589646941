package proxy_test

import (
	"strings"
	"sync"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
)

// A server that refuses one MULTI for the moment and takes the next has the second transaction open.
func TestRefusedMultiBeforeAnother(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	multis, queueing := 0, false
	up := proxytest.StartAnswering(t, func(args []string) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		switch name := strings.ToLower(args[0]); {
		case name == "multi":
			switch multis++; multis {
			case 1, 3:
				return "-BUSY Redis is busy running a script.\r\n", false
			case 4:
				return "-NOPERM no permission\r\n", false
			}
			queueing = true
			return "+OK\r\n", false
		case name == "exec" && !queueing:
			return "-ERR EXEC without MULTI\r\n", false
		case name == "exec":
			queueing = false
			return "*1\r\n+OK\r\n", false
		case queueing:
			return "+QUEUED\r\n", false
		}
		return "+PLAIN\r\n", false
	})
	c := dial(t, serve(t, up.Addr))
	proxytest.Poll(t, "the upstream is there", func() bool { return c.do("GET k") == "+PLAIN\r\n" })
	c.send("MULTI\r\nEXEC\r\nMULTI\r\n")
	c.expect("-BUSY Redis is busy running a script.\r\n-ERR EXEC without MULTI\r\n+OK\r\n")
	c.send("SET a 1\r\nEXEC\r\nGET k\r\n")
	c.expect("+QUEUED\r\n*1\r\n+OK\r\n+PLAIN\r\n")
	for _, row := range [][2]string{
		{"MULTI", "-BUSY Redis"}, {"SET a 1", "-BUSY MULTI was refused"}, {"EXEC", "-EXECABORT"},
	} {
		got, want := c.do(row[0]), row[1]
		if !strings.HasPrefix(got, want) {
			t.Errorf("a refused MULTI alone: got %q, want %s", got, want)
		}
	}
	if got := c.speak("MULTI", "SET a 1", "EXEC"); !strings.Contains(got, "+PLAIN") {
		t.Errorf("a MULTI without permission: %s", got)
	}
}

// A user without permission for SELECT keeps the database that the client selected before it logged in.
func TestUserWithoutSelect(t *testing.T) {
	t.Parallel()
	for _, bin := range proxytest.Binaries(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			srv.MustDo("ACL", "SETUSER", "app", "on", ">pw", "~k", "~none", "&*", "+@all", "-select")
			lines := []string{"SELECT 1", "AUTH app pw", "SET k v", "GET k", "MULTI", "GET k", "EXEC", "SELECT 2",
				"EVAL 'return redis.call(\"get\",KEYS[1])' 1 k", "BLPOP none 0.01", "GET other", "BLPOP other 0.01", "GET k"}
			compareSpeech(t, "without SELECT", dial(t, srv.Addr), dial(t, serve(t, srv.Addr, asControl(srv))), lines)
			if got := srv.MustDo("EXISTS", "k"); got != int64(0) {
				t.Error("a write went to database 0")
			}
		})
	}
}

// What follows a MULTI that a rule refuses is not executed outside of its transaction, however it is
// sent and whatever the connection has on it, and no rule's limit counts it.
func TestRuledMulti(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	const pay = "SET pay 1\r\nEVAL \"return redis.call('set',KEYS[1],1)\" 1 pay\r\nDEL pay\r\n" +
		"SELECT 1\r\nBLPOP none 0.01\r\n"
	for name, row := range map[string]struct {
		rule    policy.RuleSpec
		refused string
	}{
		"denied": {policy.RuleSpec{Name: "r", Commands: []string{"multi"}, Action: "deny"}, "-DENIED"},
		"held for approval": {policy.RuleSpec{Name: "r", Commands: []string{"multi"}, Action: "confirm"},
			"-CONFIRM"},
		"throttled": {policy.RuleSpec{Name: "r", Commands: []string{"multi", "set"}, Action: "allow",
			Limit: &policy.LimitSpec{Rate: "1/h", Burst: 1, Per: "session"}}, "-THROTTLED"},
	} {
		for _, before := range []string{"", "WATCH w", "CLIENT NO-EVICT on", "WATCH w|CLIENT NO-EVICT on",
			"SUBSCRIBE a|UNSUBSCRIBE a"} {
			t.Run(name+" "+before, func(t *testing.T) {
				c := dial(t, serve(t, srv.Addr, withRules(row.rule)))
				if name == "throttled" {
					c.do("SET other 1")
				}
				for _, line := range strings.FieldsFunc(before, func(r rune) bool { return r == '|' }) {
					c.do(line)
				}
				for _, end := range []string{"EXEC", "DISCARD"} {
					want := map[string]string{"EXEC": "-EXECABORT", "DISCARD": "+OK"}[end]
					c.send("MULTI\r\n" + pay + end + "\r\nEXISTS pay\r\nBLPOP none 0.01\r\n")
					for i, want := range []string{row.refused, "-DENIED MULTI", "-DENIED MULTI",
						"-DENIED MULTI", "-DENIED MULTI", "-DENIED MULTI", want, ":0", "*-1"} {
						if got := c.reply(); !strings.HasPrefix(got, want) {
							t.Errorf("reply %d before %s: %q, want %s", i, end, got, want)
						}
					}
				}
				if n := srv.Info("clients")["watching_clients"]; n != "0" {
					t.Errorf("%q clients watch keys behind the transaction's end", n)
				}
				if got := c.do("RESET"); got != "+RESET\r\n" {
					t.Errorf("RESET: %q", got)
				}
				if got := c.do("MULTI"); !strings.HasPrefix(got, row.refused) {
					t.Errorf("MULTI: %q", got)
				}
				if got := c.do("RESET") + c.do("GET none"); got != "+RESET\r\n$-1\r\n" {
					t.Errorf("behind RESET: %q", got)
				}
			})
		}
	}
}
