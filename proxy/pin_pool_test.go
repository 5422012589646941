package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// When all pinned links are in use, a client that needs one gets an error after a while, and no other
// client notices.
func TestPinnedLinksUsedUp(t *testing.T) {
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "calm", "v")
	addr, server := serveServer(t, srv.Addr, func(o *proxy.Options) {
		o.Limits.PinnedLinks, o.Limits.PinnedWait = 1, 20*time.Millisecond
	})
	holder := dial(t, addr)
	holder.do("MULTI")
	b := startBystanders(t, addr, 2)
	for _, line := range []string{"SUBSCRIBE ch", "BLPOP none 0", "NOSUCH x", "CLIENT TRACKING ON",
		"XREAD BLOCK 0 STREAMS s $", "WAIT 0 0", "MONITOR"} {
		c := dial(t, addr)
		if got := c.do(line); !strings.HasPrefix(got, "-THROTTLED ") ||
			!strings.Contains(got, "limits.pinned_links") {
			t.Errorf("%s: got %q", line, got)
		}
		if got := c.do("GET calm"); got != "$1\r\nv\r\n" {
			t.Errorf("after %s: got %q", line, got)
		}
	}
	// What follows a refused MULTI or WATCH must not be carried out.
	for _, line := range []string{"MULTI", "WATCH k"} {
		c := dial(t, addr)
		c.send(line + "\r\nSET k v\r\nEXEC\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "-THROTTLED ") {
			t.Errorf("%s: got %q", line, got)
		}
		c.expectEOF()
	}
	if got := srv.MustDo("EXISTS", "k"); got != int64(0) {
		t.Error("a command of a refused transaction was carried out")
	}
	b.goOn("while pinned links are used up", 200)
	snap, err := server.Snapshot(context.Background())
	if err != nil || snap.Loops[0].PinsRefused != 9 {
		t.Errorf("counted %+v (%v), want 9 refusals", snap, err)
	}
	holder.send("EXEC\r\n")
	holder.expect("*0\r\n")
	c := dial(t, addr)
	c.send("MULTI\r\nEXEC\r\n")
	c.expect("+OK\r\n*0\r\n")
}

// Subscribers and blocked clients leave some links to transactions.
func TestPinnedLinksForTransactions(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) {
		o.Limits.PinnedLinks, o.Limits.PinnedWait = 10, 20*time.Millisecond
	})
	for i := range 9 {
		c := dial(t, addr)
		if got := c.do(fmt.Sprintf("SUBSCRIBE ch%d", i)); strings.HasPrefix(got, "-") {
			t.Fatalf("subscriber %d got %q", i, got)
		}
	}
	c := dial(t, addr)
	if got := c.do("SUBSCRIBE ch"); !strings.HasPrefix(got, "-THROTTLED ") {
		t.Errorf("one subscriber too many got %q", got)
	}
	for range 3 {
		c.send("WATCH k\r\nMULTI\r\nINCR n\r\nEXEC\r\n")
		c.expect("+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n")
		c.reply()
	}
}

// Who idles in a transaction, or with keys watched, is ended as the server would; subscribers and
// blocked clients are not.
func TestIdleClientsWithLinks(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.IdleTimeout = time.Second })
	open := func(lines ...string) *conn {
		c := dial(t, addr)
		for _, line := range lines {
			c.do(line)
		}
		return c
	}
	stay := []*conn{open("SUBSCRIBE ch"), open("HELLO 3", "PSUBSCRIBE c*"), open("MONITOR")}
	blocked := dial(t, addr)
	blocked.send("BLPOP q 0\r\n")
	for _, c := range []*conn{open("PING"), open("MULTI"), open("MULTI", "SET k v"), open("WATCH k"),
		open("CLIENT TRACKING ON"), open("CLIENT NO-EVICT ON"), open("SUBSCRIBE ch", "UNSUBSCRIBE ch")} {
		c.expectEOF()
	}
	srv.MustDo("RPUSH", "q", "x")
	blocked.expect("*2\r\n$1\r\nq\r\n$1\r\nx\r\n")
	srv.MustDo("PUBLISH", "ch", "m")
	stay[0].expect("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n")
	stay[1].expect(">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\nch\r\n$1\r\nm\r\n")
	if got := stay[2].reply(); !strings.HasPrefix(got, "+") {
		t.Errorf("MONITOR shows %q", got)
	}
}

// A SUBSCRIBE is with the server before a PUBLISH that another client sends after it, though no client
// waits for its confirmation.
func TestSubscribeIsNotOvertaken(t *testing.T) {
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
	for name, login := range map[string][]string{
		"anonymous":      {"PING"},
		"no links ready": {"PING"},
		"a library's greeting": {"HELLO 3 SETNAME app",
			"CLIENT SETINFO LIB-NAME lib"},
		"a user": {"AUTH app pw", "SELECT 3"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, server := serveServer(t, srv.Addr, func(o *proxy.Options) {
				if name != "no links ready" {
					o.Limits.ReadyLinks = 4
				}
			})
			publisher := dial(t, addr)
			for _, line := range login {
				publisher.do(line)
			}
			publisher.do("PING")
			ready := func() bool {
				snap, err := server.Snapshot(context.Background())
				return name == "no links ready" || err == nil && snap.Loops[0].Gauges.LinksPinnedIdle >= int64(4*len(login))
			}
			var missed []int
			for i := range 200 {
				c := dial(t, addr)
				for _, line := range login {
					c.do(line)
				}
				if i == 0 {
					proxytest.Poll(t, "links are ready", ready)
				}
				c.send(fmt.Sprintf("SUBSCRIBE ch%d\r\n", i))
				if got := publisher.do(fmt.Sprintf("PUBLISH ch%d m", i)); got != ":1\r\n" {
					missed = append(missed, i)
				}
				c.reply()
			}
			if len(missed) > 0 {
				t.Errorf("%d of 200 messages were published before the subscription: %v", len(missed), missed)
			}
		})
	}
}
