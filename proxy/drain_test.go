package proxy_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// logBuffer is a log that a test reads while it is written.
type logBuffer struct{ proxytest.Log }

// into makes a proxy log there.
func (b *logBuffer) into(o *proxy.Options) { o.Logger = slog.New(slog.NewTextHandler(b, nil)) }

// Clients of a pool keep idle connections open, whatever comes from the other side. That holds up
// no drain, and each of them sees the end of the stream.
func TestDrainOfIdleClients(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"", "portable"} {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			var log logBuffer
			addr, p := serveServer(t, srv.Addr, log.into, func(o *proxy.Options) {
				o.Drain, o.Driver = time.Minute, driver
			})
			var idle []*conn
			for range 20 {
				c := dial(t, addr)
				c.do("PING")
				idle = append(idle, c)
			}
			if err := p.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			proxytest.Poll(t, "the drain ends", func() bool {
				return strings.Contains(log.String(), "msg=drained")
			})
			for _, c := range idle {
				c.expectEOF()
			}
		})
	}
}

// A client whose command is in flight gets its reply, then the end, never a reset.
func TestDrainAnswers(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) { o.Workers = 1 })
	c, idle := dial(t, addr), dial(t, addr)
	c.do("GET k")
	idle.do("GET k")
	srv.Pause()
	t.Cleanup(srv.Resume)
	c.send("SET k v\r\n")
	awaitInFlight(t, p, 1)
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	idle.expectEOF()    // the worker drains
	c.send("GET k\r\n") // too late: it is neither answered nor executed
	srv.Resume()
	c.expect("+OK\r\n")
	c.expectEOF()
}

// What rules do is in the log, without the arguments.
func TestRulesAreLogged(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var log logBuffer
	r := serveReloader(t, srv.Addr, log.into, denyFlushall)
	c := dial(t, r.addr)
	for range 5 {
		c.do("FLUSHALL secret")
	}
	c.do("MULTI")
	c.do("FLUSHALL secret")
	c.do("DISCARD")
	r.mustReload(func(o *proxy.Options) { o.Enforcement = "observe" })
	c.do("FLUSHALL secret")
	for _, want := range []string{
		`level=WARN msg="a rule refused a command" rule=mine command=flushall user=default client=` +
			c.LocalAddr().String() + "\n",
		`level=INFO msg="a rule would refuse a command" rule=mine command=flushall`,
	} {
		proxytest.Poll(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
	if err := r.srv.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `msg="a rule refused commands" rule=mine count=5 last_command=flushall`
	proxytest.Poll(t, "the rest is told at the end", func() bool {
		return strings.Contains(log.String(), want)
	})
	if strings.Contains(log.String(), "secret") {
		t.Error("the log shows arguments")
	}
}
