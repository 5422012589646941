package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// newcomers connect, which the proxy asks the server about, each by itself, and take links of their
// own.
func newcomers(t *testing.T, addr string, n int) {
	for range n {
		c := dial(t, addr)
		c.do("WATCH nothing")
		c.Close()
	}
}

// logged is what a log shows, newest first.
func logged(t *testing.T, c *conn, get string) (out []string) {
	for _, e := range parsed(t, c.do(get)).Elems {
		var words []string
		for _, w := range e.Elems[3].Elems {
			words = append(words, string(w.Str))
		}
		out = append(out, strings.ToLower(strings.Join(words, " ")))
	}
	return out
}

// TestShortLogs: what the proxy sends itself pushes nothing of a client's out of what clients see of a
// short log that takes in everything.
func TestShortLogs(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: b.Kind}.Start(t)
			addr := serve(t, srv.Addr)
			c := dial(t, addr)
			c.do("CONFIG SET slowlog-log-slower-than 0")
			for _, size := range []int{10, 3, 1} {
				c.do(fmt.Sprintf("CONFIG SET slowlog-max-len %d", size))
				c.do("SLOWLOG RESET")
				var want []string
				for i := range 12 {
					if i%4 == 1 {
						newcomers(t, addr, 2)
						want = append([]string{"watch nothing", "watch nothing"}, want...)
					}
					c.do(fmt.Sprintf("ECHO %d", i))
					want = append([]string{fmt.Sprintf("echo %d", i)}, want...)
				}
				if got := c.do("SLOWLOG LEN"); got != fmt.Sprintf(":%d\r\n", size) {
					t.Errorf("size %d: SLOWLOG LEN is %q", size, got)
				}
				// LEN stands in the log as GET -1.
				want = append([]string{"slowlog get -1"}, want...)[:size]
				if got := logged(t, c, "SLOWLOG GET -1"); !slices.Equal(got, want) {
					t.Errorf("size %d: got %q, want %q", size, got, want)
				}
			}
		})
	}
}

// TestShortLogBesideOwn: nor do the own commands that a client's command comes with.
func TestShortLogBesideOwn(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	c := dial(t, addr)
	c.do("CONFIG SET slowlog-max-len 10 slowlog-log-slower-than 0")
	newcomers(t, addr, 2)
	for _, line := range []string{"CLIENT LIST", "CLIENT KILL ID 1", "CLIENT KILL TYPE replica",
		"HELLO 2 AUTH default any", "CLIENT NO-TOUCH OFF", "WAIT 0 0"} {
		var want []string
		for i := range 6 {
			c.do(fmt.Sprintf("ECHO %d", i))
			want = append([]string{fmt.Sprintf("echo %d", i)}, want...)
		}
		c.do(line)
		got := logged(t, c, "SLOWLOG GET -1")
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("behind %s, %s is missing: %q", line, w, got)
			}
		}
	}
}

// TestLogOfTheTrash: nor do the calls of the proxy's own scripts show.
func TestLogOfTheTrash(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: b.Kind}.Start(t)
			c := dial(t, serve(t, srv.Addr, withRules(rule("trash", "del", "flushall", "delifeq"))))
			c.do("CONFIG SET slowlog-max-len 1000 slowlog-log-slower-than 0")
			for _, line := range []string{"MSET a 1 b 2 c 3", "DEL a", "FLUSHALL", "SET a 1", "SET a 2 PXAT 1",
				"MULTI", "DEL b", "EXEC"} {
				c.do(line)
			}
			for _, e := range logged(t, c, "SLOWLOG GET -1") {
				switch name, _, _ := strings.Cut(e, " "); name {
				case "config", "mset", "set", "multi", "exec", "slowlog":
				default:
					t.Errorf("the log shows %q", e)
				}
			}
		})
	}
}

// TestShortLogAfterReset: an entry that was removed does not come back, however it was removed.
func TestShortLogAfterReset(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	c := dial(t, addr)
	c.do("CONFIG SET slowlog-max-len 5 slowlog-log-slower-than 0")
	for name, reset := range map[string]func(){
		"by a client": func() { c.do("SLOWLOG RESET") },
		"in MULTI":    func() { c.exec("SLOWLOG RESET") },
		"directly":    func() { srv.MustDo("SLOWLOG", "RESET") },
	} {
		for i := range 8 {
			c.do(fmt.Sprintf("ECHO old%d", i))
		}
		newcomers(t, addr, 2)
		reset()
		newcomers(t, addr, 1)
		for range 2 {
			if got := fmt.Sprint(logged(t, c, "SLOWLOG GET -1")); strings.Contains(got, "old") {
				t.Errorf("reset %s: %s", name, got)
			}
		}
	}
}

// TestLogsAreReadWhereNeeded: a log that takes in nothing as quick as the proxy's own commands costs none of
// its own.
func TestLogsAreReadWhereNeeded(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	c := dial(t, addr)
	newcomers(t, addr, 3)
	if n := commandStats(srv, "slowlog|get"); n != "" {
		t.Errorf("with the default settings the slow log was read: %s", n)
	}
	c.do("CONFIG SET slowlog-log-slower-than 0")
	newcomers(t, addr, 1)
	if n := commandStats(srv, "slowlog|get"); n == "" {
		t.Error("the slow log takes in everything and was not read")
	}
	c.do("CONFIG SET slowlog-log-slower-than 10000")
	newcomers(t, addr, 1)
	before := commandStats(srv, "slowlog|get")
	newcomers(t, addr, 3)
	if n := commandStats(srv, "slowlog|get"); n != before {
		t.Errorf("it was read again: %s, before %s", n, before)
	}
}
