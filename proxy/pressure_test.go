package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A client that asks and never reads is closed at its limit; others go on.
func TestClientThatNeverReads(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
				o.Driver = driver
				o.Limits.ClientOutput = 4 << 20
			})
			srv.MustDo("SET", "big", strings.Repeat("x", 1<<20))
			bad, good := dial(t, addr), dial(t, addr)
			bad.send(strings.Repeat("GET big\r\n", 50))
			proxytest.Poll(t, "it is closed", func() bool {
				if got := good.do("PING"); got != "+PONG\r\n" {
					t.Fatalf("got %q", got)
				}
				st, err := p.Stats(t.Context())
				return err == nil && st.Sessions == 1
			})
			if n, err := io.Copy(io.Discard, bad.r); n > 16<<20 {
				t.Errorf("%d bytes came before the end (%v)", n, err)
			}
		})
	}
}

// A subscriber that does not read is the server's to judge; one that does gets large messages.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Driver = driver })
			c := dial(t, addr)
			c.do("SUBSCRIBE ch")
			for _, size := range []int{1 << 20, 1<<20 + 100_000, 3 << 20, 10} {
				text := strings.Repeat("m", size)
				srv.MustDo("PUBLISH", "ch", text)
				c.expect("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n" + proxytest.Bulk(text))
			}
		})
	}
}

// All buffers together are bounded: the client that holds the most goes first.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.Memory = 8 << 20 })
	small, large := dial(t, addr), dial(t, addr)
	small.send("*2\r\n$4\r\nECHO\r\n$5\r\nsm")
	large.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000000\r\n")
	piece := []byte(strings.Repeat("x", 1<<20))
	sent := 0
	for ; sent < 20; sent++ {
		if _, err := large.Write(piece); err != nil {
			break
		}
	}
	large.expectEnd()
	small.send("all\r\n")
	small.expect("$5\r\nsmall\r\n")
}

// expectEnd waits for the end of the connection, be it a reset.
func (c *conn) expectEnd() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
	_, err := c.r.ReadByte()
	if err == nil || strings.Contains(err.Error(), "timeout") {
		c.t.Fatalf("got %v, want the end of the connection", err)
	}
}

// A server that stands still stops its own clients, who go on with it; none of their commands is
// lost or doubled, and what the proxy answers itself is answered meanwhile.
func TestStalledUpstream(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr, p := serveServer(t, srv.Addr, denyFlush, func(o *proxy.Options) {
				o.Driver = driver
				o.Limits.LinkQueue = 256 << 10
			})
			var clients []*conn
			for range 4 {
				c := dial(t, addr)
				c.do("PING")
				clients = append(clients, c)
			}
			other := dial(t, addr)
			other.do("PING") // the server says once whether it lets a client in
			srv.Pause()
			const n = 2000
			value := strings.Repeat("v", 1000)
			done := make(chan error, len(clients))
			for _, c := range clients {
				go func() {
					_, err := c.Write([]byte(strings.Repeat(proxytest.Command("APPEND", "k", value), n)))
					done <- err
				}()
			}
			proxytest.Poll(t, "the proxy stops reading", func() bool {
				st, err := p.Stats(t.Context())
				return err == nil && st.SessionsPaused > 0
			})
			if got := other.do("FLUSHALL"); !strings.HasPrefix(got, "-DENIED") {
				t.Errorf("got %q", got)
			}
			st, err := p.Stats(t.Context())
			if err != nil || st.ClientBufferBytes+st.LinkBufferBytes > 16<<20 {
				t.Errorf("%d bytes of clients and %d of links are buffered (%v)",
					st.ClientBufferBytes, st.LinkBufferBytes, err)
			}
			srv.Resume()
			for range clients {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			for _, c := range clients {
				for range n {
					if got := c.reply(); got[0] != ':' {
						t.Fatalf("got %q", got)
					}
				}
			}
			if got := srv.MustDo("STRLEN", "k"); got != int64(len(clients)*n*len(value)) {
				t.Errorf("the value has %v bytes", got)
			}
		})
	}
}

// A client that asks for much at once does not stand in front of the others for long, even where
// it never reads and has gone.
func TestOneClientDoesNotFillTheLink(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	c := dial(t, addr)
	c.send(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n%s\r\n", 1<<20, strings.Repeat("x", 1<<20)))
	c.expect("+OK\r\n")
	other := dial(t, addr)
	greedy := dial(t, addr)
	greedy.send(strings.Repeat("GET big\r\n", 20_000))
	for range 20 {
		other.send("PING\r\n")
		other.expect("+PONG\r\n")
	}
	greedy.Close()
	other.send("PING\r\n")
	other.expect("+PONG\r\n")
	if out := srv.Info("stats")["total_net_output_bytes"]; len(out) > 9 { // 1 GB and more
		t.Errorf("the server sent %s bytes", out)
	}
}
