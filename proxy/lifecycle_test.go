package proxy_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

const deniedFlush = "-DENIED 'flushall' is refused by rule 'no' of the proxy; nothing was executed; " +
	"if it must run, ask the operator to change that rule; see docs/errors.md#denied\r\n"

// Case, inline form, MULTI and pipelines do not get round a rule.
func TestDenyRules(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "k", "v")
	c := dial(t, serve(t, srv.Addr, denyFlush))
	for _, send := range []string{"FLUSHALL\r\n", "flushall async\r\n", "FlUsHaLl\r\n",
		"'flushall'\r\n", proxytest.Command("fLUSHALL"), proxytest.Command("FLUSHALL", "SYNC")} {
		c.send(send)
		c.expect(deniedFlush)
	}
	c.send("GET k\r\nFLUSHALL\r\nGET k\r\n")
	c.expect("$1\r\nv\r\n" + deniedFlush + "$1\r\nv\r\n")
	c.send("MULTI\r\nSET k w\r\nFLUSHALL\r\nEXEC\r\nGET k\r\n")
	c.expect("+OK\r\n+QUEUED\r\n" + deniedFlush +
		"-EXECABORT Transaction discarded because of previous errors.\r\n$1\r\nv\r\n")
	c.send("CONFIG SET maxmemory 1\r\nCONFIG GET maxmemory\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-DENIED 'config set' is refused by rule 'no'") {
		t.Errorf("got %q", got)
	}
	c.expect("*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n")
}

func TestObserveMode(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, denyFlush, func(o *proxy.Options) {
		o.Enforcement = "observe"
	})
	c := dial(t, addr)
	for _, step := range []struct{ send, want string }{
		{"SET k v", "+OK\r\n"}, {"FLUSHALL", "+OK\r\n"}, {"EXISTS k", ":0\r\n"},
	} {
		if got := c.do(step.send); got != step.want {
			t.Errorf("%s: got %q", step.send, got)
		}
	}
	rules, err := p.Rules(t.Context())
	if err != nil || len(rules) != 1 || rules[0].Observed != 1 || rules[0].Denied != 0 {
		t.Errorf("got %+v, %v", rules, err)
	}
}

// New rules and limits bind sessions that are there already, between two of their commands.
func TestReloadWhileServing(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var deny atomic.Bool
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
		o.Workers = 2
		base := *o
		o.LoadOptions = func() (proxy.Options, error) {
			n := base
			if deny.Load() {
				denyFlush(&n)
			} else {
				n.Rules = []policy.RuleSpec{{Name: "bad", Action: "deny", Commands: []string{"nosuch"}}}
			}
			return n, nil
		}
	})
	clients := []*conn{dial(t, addr), dial(t, addr)}
	for _, c := range clients {
		c.send("FLUSHALL\r\nBLPOP q 0\r\n")
		c.expect("+OK\r\n")
	}
	if _, err := p.Reload(t.Context()); err == nil {
		t.Error("rules that name no command were taken")
	}
	deny.Store(true)
	if _, err := p.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.MustDo("RPUSH", "q", "x", "y")
	for _, c := range clients {
		c.reply()
		proxytest.Poll(t, "the rule is in force", func() bool { return c.do("FLUSHALL") == deniedFlush })
	}
}

func TestMaxClients(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.MaxClients = 2 })
	a, b := dial(t, addr), dial(t, addr)
	a.do("PING")
	b.do("PING")
	c := dial(t, addr)
	c.expect("-ERR max number of clients reached\r\n")
	c.expectEOF()
	a.Close()
	proxytest.Poll(t, "there is room again", func() bool {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer nc.Close()
		if _, err := nc.Write([]byte("PING\r\n")); err != nil {
			return false
		}
		reply := make([]byte, 7)
		_, err = nc.Read(reply)
		return err == nil && string(reply) == "+PONG\r\n"
	})
	if got := b.do("PING"); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
}

// An orderly end answers what is in flight, wakes who is blocked, and takes nothing from a list.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
				o.Driver, o.Drain = driver, time.Minute
			})
			idle, busy, blocked := dial(t, addr), dial(t, addr), dial(t, addr)
			idle.do("PING")
			blocked.do("BLPOP q 0.01") // its link is there
			srv.Pause()
			blocked.send("BLPOP q 0\r\n")
			busy.send("INCR n\r\n")
			proxytest.Poll(t, "both are under way", func() bool {
				ls, err := p.Links(t.Context())
				n := 0
				for _, l := range ls {
					n += l.Outstanding
				}
				return err == nil && n == 2
			})
			if err := p.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			proxytest.Poll(t, "it drains", func() bool {
				return strings.Contains(strings.Join(p.NotReady(), ","), "draining")
			})
			srv.Resume()
			busy.expect(":1\r\n")
			busy.expectEOF()
			blocked.expect("*-1\r\n")
			blocked.expectEOF()
			idle.expectEOF()
			proxytest.Poll(t, "nobody is let in", func() bool {
				nc, err := net.Dial("tcp", addr)
				if err == nil {
					nc.Close()
				}
				return err != nil
			})
		})
	}
}

// The server goes away and comes back: errors meanwhile, then service as before.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr)
	c, watching := dial(t, addr), dial(t, addr)
	c.do("SELECT 2")
	c.do("SET k v")
	watching.do("WATCH k")
	srv.Kill()
	watching.expectEnd()
	got := c.do("GET k")
	if !strings.HasPrefix(got, "-UPSTREAM ") {
		t.Errorf("got %q", got)
	}
	proxytest.Poll(t, "it is noticed", func() bool { return len(p.NotReady()) > 0 })
	for range 20 {
		if got = c.do("GET k"); !strings.Contains(got, "was not executed") {
			t.Errorf("got %q", got)
		}
	}
	srv.Restart()
	proxytest.Poll(t, "the same session is served", func() bool {
		return c.do("SET k w") == "+OK\r\n"
	})
	if got := srv.MustDo("INFO", "keyspace").(string); !strings.Contains(got, "db2:keys=1") {
		t.Errorf("its database was not kept: %s", got)
	}
	proxytest.Poll(t, "it is ready", func() bool { return len(p.NotReady()) == 0 })
}

// Clients that come and go leave nothing behind; idle ones cost little.
func TestChurnAndIdle(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr)
	churn := func(n int) {
		for i := range n {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "HELLO 3\r\nMULTI\r\nSET k%d v\r\nEXEC\r\nSUBSCRIBE c\r\n", i)
			if i%3 > 0 {
				if _, err := c.Read(make([]byte, 512)); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}
		proxytest.Poll(t, "all have gone", func() bool {
			st, err := p.Stats(context.Background())
			return err == nil && st.Sessions == 0 && st.LinksPinnedBusy == 0 && st.LinksConnecting == 0
		})
	}
	churn(150)
	goroutines, fds, size := runtime.NumGoroutine(), openFiles(t), heap()
	churn(450)
	if n := runtime.NumGoroutine() - goroutines; n > 10 {
		t.Errorf("%d goroutines more", n)
	}
	if n := openFiles(t) - fds; n > 70 {
		t.Errorf("%d open files more", n)
	}
	if n := heap() - size; n > 4<<20 {
		t.Errorf("%d KB of heap more", n>>10)
	}
	size = heap()
	const idle = 2000
	for range idle {
		c := dial(t, addr)
		c.send("PING\r\n")
		c.expect("+PONG\r\n")
		c.r = nil
	}
	// The test's own side of a connection costs about as much as the proxy's.
	if n := (heap() - size) / idle; n > 8<<10 {
		t.Errorf("an idle connection costs %d bytes", n)
	}
}

func openFiles(t *testing.T) int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// An idle session is closed at its time; one that is blocked is not idle.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.IdleTimeout = time.Millisecond })
	idle, blocked := dial(t, addr), dial(t, addr)
	idle.do("PING")
	blocked.send("BLPOP q 0\r\n")
	idle.expectEOF()
	srv.MustDo("RPUSH", "q", "x")
	blocked.expect("*2\r\n$1\r\nq\r\n$1\r\nx\r\n")
}
