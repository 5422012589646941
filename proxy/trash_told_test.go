package proxy_test

import (
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// The log names hidden databases when that begins, and the error to SELECT gives the reason.
func TestHiddenDatabasesAreSaid(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var log logBuffer
	r := serveReloader(t, srv.Addr, log.into)
	c, own := dial(t, r.addr), dial(t, r.addr)
	own.do("CLIENT NO-EVICT ON")
	if got := c.do("SELECT 14") + c.do("SELECT 0"); got != "+OK\r\n+OK\r\n" {
		t.Fatalf("without a trash: %q", got)
	}
	if strings.Contains(log.String(), "hidden") {
		t.Error("nothing is hidden")
	}
	r.mustReload(func(o *proxy.Options) { o.Rules = parseRules(t, "trash flushall del") })
	text := log.String()
	for _, want := range []string{"databases are hidden from clients", `databases="8 9 10 11 12 13 14 15"`,
		"flushes go to the trash without a limit", "rules=r1"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the log has no, or more than one, %q:\n%s", want, text)
		}
	}
	const reason = "-ERR DB index is out of range: the proxy reserves database 14 for the trash\r\n"
	for _, c := range []*conn{c, own} {
		const plain = "-ERR DB index is out of range\r\n"
		for line, want := range map[string]string{"SELECT 14": reason, "SELECT 1400000": plain,
			"SELECT 99": plain, "SELECT 3": "+OK\r\n"} {
			if got := c.do(line); got != want {
				t.Errorf("%s: got %q, want %q", line, got, want)
			}
			c.do("MULTI")
			c.do(line)
			if got := c.do("EXEC"); got != "*1\r\n"+want {
				t.Errorf("%s in MULTI: got %q, want %q", line, got, want)
			}
		}
	}
	r.mustReload(func(o *proxy.Options) {
		o.Rules[0].Limit = &policy.LimitSpec{Rate: "1/m"}
	})
	if strings.Count(log.String(), "databases are hidden") != 1 {
		t.Error("what stays hidden is said again")
	}
}
