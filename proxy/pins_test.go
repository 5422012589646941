package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A pinned link at rest that another session cannot use makes room for one that it can.
func TestPinnedLinksMakeRoom(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.PinnedLinks = 1 })
	a, b := dial(t, addr), dial(t, addr)
	a.send("BLPOP none 0.01\r\n")
	a.expect("*-1\r\n")
	b.send("HELLO 3\r\n")
	b.reply()
	b.send("BLPOP none 0.01\r\n")
	b.expect("_\r\n")
	a.send("SELECT 2\r\nBLPOP none 0.01\r\n")
	a.expect("+OK\r\n*-1\r\n")
}

// Sessions beyond the limit wait their turn, and one that leaves does not take it along.
func TestPinnedLinksAreAwaited(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.PinnedLinks = 1 })
	first := dial(t, addr)
	first.send("MULTI\r\n")
	first.expect("+OK\r\n")
	var waiting []*conn
	for i := range 8 {
		c := dial(t, addr)
		c.send(fmt.Sprintf("MULTI\r\nSET w%d 1\r\nEXEC\r\n", i))
		waiting = append(waiting, c)
	}
	waiting[0].Close()
	waiting[3].Close()
	first.send("EXEC\r\n")
	first.expect("*0\r\n")
	for i, c := range waiting {
		if i != 0 && i != 3 {
			c.expect("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
		}
	}
}

// Commands that nobody is to be told of flow for ever.
func TestUnansweredCommandsFlow(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.LinkQueue = 64 << 10 })
	c := dial(t, addr)
	c.send("CLIENT REPLY OFF\r\n")
	value := strings.Repeat("v", 1000)
	for range 40 {
		c.send(strings.Repeat(proxytest.Command("APPEND", "muted", value), 50))
	}
	c.send("CLIENT REPLY ON\r\nSTRLEN muted\r\n")
	c.expect("+OK\r\n:2000000\r\n")
}

// What looks like a message is a reply once there is no subscription left.
func TestRepliesThatLookLikeMessages(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr))
	srv.MustDo("RPUSH", "l1", "message", "a", "b")
	srv.MustDo("RPUSH", "l2", "subscribe", "a", "b")
	c.send("SUBSCRIBE ch\r\nUNSUBSCRIBE ch\r\n")
	c.reply()
	c.reply()
	c.send("LRANGE l1 0 -1\r\nLRANGE l2 0 -1\r\nCLIENT GETNAME\r\nQUIT\r\n")
	c.expect("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n")
	c.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n$1\r\nb\r\n")
	c.expect("$-1\r\n+OK\r\n")
	c.expectEOF()
}

// A link on which a transaction may still be open, or keys be watched, is never lent on.
func TestNoBorrowedTransactions(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "nodiscard", "on", ">pw", "allkeys", "+@all", "-discard", "-unwatch")
	addr := serve(t, srv.Addr)
	for _, row := range []struct{ login, dirt string }{
		{"PING", "MULTI\r\nDISCARD x"},
		{"PING", "MULTI\r\nEXEC x"},
		{"PING", "WATCH k\r\nUNWATCH x"},
		{"PING", "WATCH k\r\nDISCARD"},
		{"PING", "MULTI\r\nSET k\r\nEXEC"},
		{"PING", "MULTI x\r\nMULTI"},
		{"AUTH nodiscard pw", "MULTI\r\nDISCARD"},
		{"AUTH nodiscard pw", "WATCH k\r\nUNWATCH"},
	} {
		a := dial(t, addr)
		a.do(row.login)
		for _, line := range strings.Split(row.dirt, "\r\n") {
			a.do(line)
		}
		for leave := range 2 {
			if leave == 1 {
				a.Close()
			}
			srv.MustDo("SET", "k", "changed")
			b := dial(t, addr)
			b.do(row.login)
			b.send("BLPOP none 0.01\r\nMULTI\r\nGET k\r\nEXEC\r\n")
			b.expect("*-1\r\n+OK\r\n+QUEUED\r\n*1\r\n$7\r\nchanged\r\n")
			b.Close()
		}
	}
}

// The commands of a transaction whose MULTI got lost are not carried out one by one.
func TestLostTransactionIsNotCarriedOutPiecemeal(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	addr := serve(t, relay.Addr)
	c := dial(t, addr)
	c.do("PING")
	relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "MULTI"})
	c.send("MULTI\r\nSET a 1\r\n")
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			break
		}
		if !strings.HasPrefix(line, "-UPSTREAM ") {
			t.Fatalf("got %q", line)
		}
		// Fails once the proxy has closed: that is what is wanted.
		_, _ = c.Write([]byte("SET b 1\r\nEXEC\r\n"))
	}
	if got := srv.MustDo("EXISTS", "a", "b"); got != int64(0) {
		t.Errorf("%v keys were written outside of their transaction", got)
	}
}

// QUIT ends a session also where replies are off.
func TestQuitWithoutReplies(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr))
	c.send("CLIENT REPLY OFF\r\nSET k v\r\nQUIT\r\n")
	c.expectEOF()
	proxytest.Poll(t, "SET is carried out", func() bool { return srv.MustDo("GET", "k") == "v" })
}

// A password that is set while the proxy serves binds whoever comes after it.
func TestPasswordSetWhileServing(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(srv *proxytest.Server, c *conn){
		"by a client of the proxy": func(_ *proxytest.Server, c *conn) {
			c.do("CONFIG SET requirepass secret")
		},
		"beside the proxy": func(srv *proxytest.Server, _ *conn) {
			srv.MustDo("CONFIG", "SET", "requirepass", "secret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr := serve(t, srv.Addr, func(o *proxy.Options) {
				o.Upstream.Interval, o.Upstream.Refresh = 10*time.Millisecond, 10*time.Millisecond
				o.Workers = 2
			})
			before := dial(t, addr)
			before.do("SET k v")
			set(srv, before)
			proxytest.Poll(t, "a new client has to log in", func() bool {
				c := dial(t, addr)
				defer c.Close()
				return strings.HasPrefix(c.do("GET k"), "-NOAUTH")
			})
			if got := before.do("GET k"); got != "$1\r\nv\r\n" {
				t.Errorf("a client from before: got %q", got)
			}
			c := dial(t, addr)
			if got := c.do("AUTH secret"); got != "+OK\r\n" {
				t.Errorf("AUTH: got %q", got)
			}
			if got := c.do("GET k"); got != "$1\r\nv\r\n" {
				t.Errorf("after AUTH: got %q", got)
			}
		})
	}
}

// What a client sends before it closes is carried out, as the server does without a proxy, also
// where the link that it goes by is not open yet.
func TestCommandsBeforeTheEndAreCarriedOut(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	for i := range 20 {
		c := dial(t, addr)
		c.do("SELECT 3")
		c.do("RPUSH src x")
		c.send("BLMOVE src dst LEFT LEFT 0\r\n")
		c.Close()
		c = dial(t, addr)
		c.do("SELECT 3")
		c.send(fmt.Sprintf("MULTI\r\nRPUSH done %d\r\nEXEC\r\n", i))
		c.Close()
	}
	direct := dial(t, srv.Addr)
	direct.do("SELECT 3")
	for _, list := range []string{"dst", "done"} {
		proxytest.Poll(t, "all commands were carried out", func() bool {
			return direct.do("LLEN "+list) == ":20\r\n"
		})
	}
	proxytest.Poll(t, "no blocked client is left", func() bool {
		return strings.Contains(direct.do("INFO clients"), "blocked_clients:0\r\n")
	})
}
