package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A client library rides out a restart for as long as it waits for a reply: five seconds by default.
// Without the proxy it gives up after one, when its four attempts were refused.
func TestGoRedisRidesOutARestart(t *testing.T) {
	for name, row := range map[string]struct{ away, timeout time.Duration }{
		"defaults":               {3 * time.Second, 0},
		"a patient read timeout": {6 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rideOut(t, row.away, row.timeout)
		})
	}
}

func rideOut(t *testing.T, away, timeout time.Duration) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Hold = 10 * time.Second })
	c := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: timeout})
	defer c.Close()
	ctx := context.Background()
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	back := time.AfterFunc(away, srv.Restart)
	defer back.Stop()
	errs := make(chan error)
	clients := []func(i int) error{
		func(int) error { return c.Incr(ctx, "n").Err() },
		func(int) error { return c.Ping(ctx).Err() },
		func(i int) error {
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, fmt.Sprint("tx:", i), i, 0)
				return p.Incr(ctx, "m").Err()
			})
			return err
		},
	}
	for which, do := range clients {
		go func() {
			for i := range 100 {
				if err := do(i); err != nil {
					errs <- fmt.Errorf("client %d, command %d: %w", which, i, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, key := range []string{"n", "m"} { // neither lost nor carried out twice
		if n, err := c.Get(ctx, key).Int(); n != 100 || err != nil {
			t.Errorf("%s is %d (%v), want 100", key, n, err)
		}
	}
}

// Clients get the server's own refusal of a connection, at once.
func TestTheServersOwnRefusal(t *testing.T) {
	for name, refusal := range map[string]string{
		"maxclients":     "-ERR max number of clients reached\r\n",
		"protected mode": "-DENIED Redis is running in protected mode\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					nc.Write([]byte(refusal))
					bufio.NewReader(nc).ReadByte()
					nc.Close()
				}
			}()
			addr := serve(t, l.Addr().String(), func(o *proxy.Options) { o.Hold = time.Hour })
			for line, end := range map[string]bool{"GET x": false, "SELECT 2": true, "BLPOP x 0": false, "HELLO 3": true, "EVAL x 0": false} {
				c := dial(t, addr)
				if got := c.do(line); got != refusal {
					t.Errorf("%s: got %q, want %q", line, got, refusal)
				}
				if end { // what follows would be carried out in another database, or protocol
					c.expectEOF()
				} else if got := c.do("GET x"); got != refusal {
					t.Errorf("GET behind %s: got %q, want %q", line, got, refusal)
				}
			}
		})
	}
}

// Clients that have a link are served while the server turns new connections away.
func TestServerAtItsMaxclients(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) {
		o.Hold = time.Hour
		o.Limits.UpstreamLinks = 1000 // the server's limit is met first
	})
	c, blocked := dial(t, addr), dial(t, addr)
	c.do("SET k v")
	srv.MustDo("CONFIG", "SET", "maxclients", "1")
	for range 5 {
		if got := blocked.do("BLPOP x 0"); got != "-ERR max number of clients reached\r\n" {
			t.Errorf("got %q", got)
		}
		if got := c.do("GET k"); got != "$1\r\nv\r\n" {
			t.Errorf("got %q", got)
		}
	}
	// What follows a MULTI that found no connection is not carried out by itself.
	for _, row := range [][2]string{{"MULTI", "-ERR max number of clients reached"},
		{"SET inside 1", "-BUSY MULTI was refused"}, {"EXEC", "-EXECABORT"},
		{"EXISTS inside", ":0"}} {
		if got := blocked.do(row[0]); !strings.HasPrefix(got, row[1]) {
			t.Errorf("%s: got %q, want %s", row[0], got, row[1])
		}
	}
	srv.MustDo("CONFIG", "SET", "maxclients", "100")
	proxytest.Poll(t, "there is room again", func() bool {
		blocked.send("BLPOP x 0.01\r\n")
		return blocked.reply() == "*-1\r\n"
	})
}

// Hundreds of clients wait with pipelines: each gets its
// replies in its order, and none is lost or carried out twice.
func TestManyHeldClients(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) { o.Hold = time.Minute })
	const clients, each = 500, 4
	conns := make([]*conn, clients)
	for i := range conns {
		conns[i] = dial(t, addr)
	}
	conns[0].do("PING")
	srv.Kill()
	proxytest.Poll(t, "the outage is noticed", func() bool {
		st, err := p.Stats(t.Context())
		return err == nil && st.Upstream.Outage != nil
	})
	for i, c := range conns {
		for k := range each {
			c.send(fmt.Sprintf("APPEND c:%d %d\r\nINCR all\r\n", i, k))
		}
	}
	proxytest.Poll(t, "all wait", func() bool {
		st, err := p.Stats(t.Context())
		return err == nil && st.Upstream.Outage != nil && st.Upstream.Outage.Held == clients
	})
	srv.Restart()
	for i, c := range conns {
		for k := range each {
			if got, want := c.reply(), fmt.Sprintf(":%d\r\n", k+1); got != want {
				t.Fatalf("client %d: got %q, want %q", i, got, want)
			}
			if got := c.reply(); !strings.HasPrefix(got, ":") {
				t.Fatalf("client %d: got %q", i, got)
			}
		}
	}
	if got := srv.MustDo("GET", "all"); got != fmt.Sprint(clients*each) {
		t.Errorf("INCR was carried out %v times, want %d", got, clients*each)
	}
	if got := srv.MustDo("GET", "c:7"); got != "0123" {
		t.Errorf("the order of one client: %v", got)
	}
}
