package proxy_test

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

const maybe = "may have been executed; check before sending it again; see docs/errors.md#upstream\r\n"

// The upstream ends at every byte of the replies to a pipeline: each whole reply arrives, each of
// the others is replaced by one error, and the session goes on. The commands are writes: reads may
// be sent a second time (stall_move.go).
func TestUpstreamCutAtEveryByteOfReplies(t *testing.T) {
	t.Parallel()
	replies := []string{"$5\r\nhello\r\n", "*2\r\n:1\r\n*1\r\n$-1\r\n", "-ERR no\r\n", "+OK\r\n"}
	all := strings.Join(replies, "")
	for _, driver := range drivers {
		for name, end := range map[string]func() proxytest.Step{
			"closed": proxytest.Close, "reset": proxytest.ResetConn,
		} {
			t.Run(driver+"/"+name, func(t *testing.T) {
				var scripts []proxytest.Script
				for i := range all {
					scripts = append(scripts, proxytest.Script{
						proxytest.Expect("INCR", "1"), proxytest.Expect("INCR", "2"),
						proxytest.Expect("INCR", "3"), proxytest.Expect("INCR", "4"),
						proxytest.Send(all[:i]), end(),
					})
				}
				up := proxytest.StartScripted(t, scripts...)
				c := dial(t, serve(t, up.Addr, func(o *proxy.Options) { o.Driver = driver }))
				for i := range all {
					c.send("INCR 1\r\nINCR 2\r\nINCR 3\r\nINCR 4\r\n")
					checkCut(t, c, replies, i, name == "reset")
				}
				c.send("QUIT\r\n")
				c.expect("+OK\r\n")
				c.expectEOF()
			})
		}
	}
}

// checkCut reads as many replies as there are and compares them with those that a cut after n
// bytes leaves. A reset may overtake replies.
func checkCut(t *testing.T, c *conn, replies []string, n int, reset bool) {
	t.Helper()
	lost := false
	for k, want := range replies {
		n -= len(want)
		got := c.reply()
		isLost := strings.HasPrefix(got, "-UPSTREAM ") && strings.HasSuffix(got, maybe)
		switch {
		case got == want && n >= 0 && !lost:
		case isLost && (n < 0 || reset):
			lost = true
		default:
			t.Fatalf("reply %d, cut at %d: got %q, want %q", k, n, got, want)
		}
	}
}

// A reply of which the client has a part is finished by nothing but itself.
func TestUpstreamCutInStreamedReply(t *testing.T) {
	t.Parallel()
	reply := proxytest.Bulk(strings.Repeat("0123456789", 30_000))
	for _, n := range []int{1, 60_000, 70_000, 200_000, len(reply) - 1} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			up := proxytest.StartScripted(t, proxytest.Script{
				proxytest.Expect("GETDEL", "big"), proxytest.Expect("GETDEL", "next"),
				proxytest.Send(reply[:n]), proxytest.Close(),
			})
			c := dial(t, serve(t, up.Addr))
			c.send("GETDEL big\r\nGETDEL next\r\nPING\r\n")
			c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
			first, err := c.r.Peek(1)
			if err != nil {
				t.Fatal(err)
			}
			if first[0] == '-' {
				if n > 64<<10 {
					t.Errorf("cut at %d: an error, though this much is streamed", n)
				}
				for range 3 {
					if got := c.reply(); !strings.HasSuffix(got, maybe) {
						t.Errorf("got %q", got)
					}
				}
				return
			}
			got, err := io.ReadAll(c.r)
			if err != nil || !strings.HasPrefix(reply, string(got)) {
				t.Errorf("got %d bytes (%v), which end with %q", len(got), err, got[max(0, len(got)-80):])
			}
		})
	}
}

// The link ends at every byte of a request: the answer never denies what was executed.
func TestUpstreamCutAtEveryByteOfARequest(t *testing.T) {
	t.Parallel()
	const rest = "\r\n$3\r\nkey\r\n$1\r\nv\r\n"
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			relay := proxytest.StartFaultProxy(t, srv.Addr)
			c := dial(t, serve(t, relay.Addr, func(o *proxy.Options) { o.Driver = driver }))
			for i := range rest {
				srv.MustDo("DEL", "key")
				if got := c.do("PING"); got != "+PONG\r\n" {
					t.Fatalf("got %q", got)
				}
				relay.Arm(proxytest.Fault{
					Op: proxytest.Cut, On: proxytest.Requests, Trigger: "*3\r\n$3\r\nSET", After: i,
				})
				c.send("*3\r\n$3\r\nSET" + rest)
				got := c.reply()
				relay.Clear()
				if !strings.HasPrefix(got, "-UPSTREAM ") {
					t.Fatalf("cut after %d bytes: got %q", i, got)
				}
				done := srv.MustDo("EXISTS", "key") == int64(1)
				if done && strings.Contains(got, "was not executed") {
					t.Errorf("cut after %d bytes: executed, yet %q", i, got)
				}
			}
		})
	}
}

// A command that cannot have reached the server is said not to have been executed.
func TestUnsentIsNotExecuted(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	addr := serve(t, relay.Addr)
	relay.Refuse()
	c := dial(t, addr)
	for _, line := range []string{"SET k v", "MULTI", "BLPOP l 0", "EVAL 'return 1' 0", "SELECT 1",
		"AUTH x", "HELLO 3", "CLIENT SETNAME x", "CLIENT LIST", "SUBSCRIBE c"} {
		c := dial(t, addr)
		if got := c.do(line); !strings.HasPrefix(got, "-UPSTREAM ") ||
			!strings.Contains(got, "was not executed") {
			t.Errorf("%s: got %q", line, got)
		}
		c.Close()
	}
	c.send("PING\r\nQUIT\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-UPSTREAM ") {
		t.Errorf("got %q", got)
	}
	c.expect("+OK\r\n")
	relay.Accept()
	proxytest.Poll(t, "the proxy recovers", func() bool {
		return dial(t, addr).do("SET k v") == "+OK\r\n"
	})
}

// What the kernel had not taken when the link broke was not executed; what it had may have been.
func TestPartlySentIsNotExecuted(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) { o.Driver = "epoll" })
	c := dial(t, addr)
	c.do("PING")
	srv.Pause()
	sendAndAwait(t, p, c, "INCR n\r\n")
	sendAndAwait(t, p, c, proxytest.Command("SET", "k", strings.Repeat("v", 15<<20)))
	c.send("INCR m\r\n")
	srv.Kill()
	if got := c.reply(); !strings.HasPrefix(got, "-UPSTREAM ") || !strings.HasSuffix(got, maybe) {
		t.Errorf("what was sent: got %q", got)
	}
	for range 2 {
		if got := c.reply(); !strings.Contains(got, "was not executed") {
			t.Errorf("what was not sent: got %q", got)
		}
	}
}
