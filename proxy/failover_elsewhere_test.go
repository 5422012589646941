package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// FAILOVER from elsewhere holds writes until the replica has caught up. Readers go on meanwhile; the
// writes are carried out once each where it is aborted, and refused by the server where it succeeds.
func TestFailoverFromElsewhere(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"valkey9", "redis"} {
		for _, succeeds := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", kind, succeeds), func(t *testing.T) {
				t.Parallel()
				srv := proxytest.Spec{Kind: kind}.Start(t)
				replica := proxytest.Spec{Kind: kind}.Start(t)
				host, port, _ := net.SplitHostPort(srv.Addr)
				replica.MustDo("REPLICAOF", host, port)
				srv.MustDo("SET", "calm", "v")
				proxytest.Poll(t, "the replica follows", func() bool {
					return strings.Contains(srv.Info("replication")["slave0"], "state=online")
				})
				addr := serve(t, srv.Addr)
				b := startBystanders(t, addr, 4)
				b.goOn("before", 200)
				replica.Pause()
				srv.MustDo("INCR", "behind") // what the replica lacks
				host, port, _ = net.SplitHostPort(replica.Addr)
				srv.MustDo("FAILOVER", "TO", host, port, "TIMEOUT", "600000")
				var writers []*conn
				for i := range 12 {
					c := dial(t, addr)
					c.send([]string{"INCR n\r\n", "PUBLISH ch x\r\n",
						"EVAL \"return redis.call('incr','n')\" 0\r\n"}[i%3])
					writers = append(writers, c)
				}
				b.goOn("while writes are held", 500)
				if got := dial(t, addr).do("GET calm"); got != "$1\r\nv\r\n" {
					t.Errorf("a new reader got %q", got)
				}
				if succeeds {
					replica.Resume()
					proxytest.Poll(t, "the server is a replica", func() bool {
						return srv.Info("replication")["role"] == "slave"
					})
				} else {
					srv.MustDo("FAILOVER", "ABORT")
				}
				for i, c := range writers {
					got := c.reply()
					refused := strings.HasPrefix(got, "-READONLY") || strings.HasPrefix(got, "-UNBLOCKED") ||
						strings.Contains(got, "READONLY")
					if i%3 != 1 && refused != succeeds {
						t.Errorf("writer %d got %q", i, got)
					}
				}
				if !succeeds {
					replica.Resume()
					if got := srv.MustDo("GET", "n"); got != "8" {
						t.Errorf("n is %v, want 8", got)
					}
				}
				b.goOn("behind it", 200)
			})
		}
	}
}

// CLIENT PAUSE ALL from elsewhere stops everyone, as it does directly. No link is given up for it, and
// each command is carried out once.
func TestPauseAllFromElsewhere(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"valkey9", "redis"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: kind}.Start(t)
			addr := serve(t, srv.Addr)
			before := dial(t, addr)
			before.do("INCR n")
			admin := dial(t, srv.Addr)
			admin.do("CLIENT PAUSE 7000 ALL") // longer than a link may be silent while others are answered
			clients := []*conn{before}
			for range 12 {
				clients = append(clients, dial(t, addr))
			}
			for i, c := range clients {
				c.send([]string{"INCR n\r\n", "GET none\r\nINCR n\r\n", "MULTI\r\nINCR n\r\nEXEC\r\n"}[i%3])
			}
			for i, c := range clients {
				for range i%3 + 1 { // replies
					if got := c.reply(); strings.HasPrefix(got, "-") {
						t.Errorf("client %d got %q", i, got)
					}
				}
			}
			if got := srv.MustDo("GET", "n"); got != "14" {
				t.Errorf("n is %v, want 14", got)
			}
		})
	}
}
