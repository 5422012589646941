package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Clients that leave while they are blocked take no element along.
func TestBlockedClientsThatLeave(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Driver = driver })
			blocked := func(n string) {
				t.Helper()
				proxytest.Poll(t, n+" clients are blocked", func() bool {
					return srv.Info("clients")["blocked_clients"] == n
				})
			}
			for range 5 {
				var cs []*conn
				for i, line := range []string{"BLPOP q 0", "BLMOVE q taken LEFT RIGHT 0",
					"BLMPOP 0 1 q LEFT", "BRPOP q other 0"} {
					c := dial(t, addr)
					c.send(line + "\r\n")
					cs = append(cs, c)
					blocked(fmt.Sprint(i + 1))
				}
				for _, c := range cs[:3] {
					c.Close()
				}
				blocked("1")
				srv.MustDo("RPUSH", "q", "a", "b")
				cs[3].expect("*2\r\n$1\r\nq\r\n$1\r\nb\r\n")
				if got := srv.MustDo("LPOP", "q"); got != "a" {
					t.Fatalf("left in the list: %v, want a", got)
				}
				if got := srv.MustDo("EXISTS", "q", "taken"); got != int64(0) {
					t.Fatalf("lists that should be gone: %v", got)
				}
				cs[3].Close()
			}
		})
	}
}

// A blocked client holds up nobody else, not even one of the same user.
func TestBlockedClientsHoldUpNobody(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	for range 20 {
		dial(t, addr).send("BLPOP q 0\r\n")
	}
	c := dial(t, addr)
	for i := range 20 {
		if got := c.do(fmt.Sprintf("RPUSH other %d", i)); got != fmt.Sprintf(":%d\r\n", i+1) {
			t.Fatalf("got %q", got)
		}
	}
	id := dial(t, addr)
	me := strings.TrimSpace(id.do("CLIENT ID")[1:])
	id.send("BLPOP mine 0\r\n")
	proxytest.Poll(t, "CLIENT UNBLOCK finds it", func() bool {
		return c.do("CLIENT UNBLOCK "+me) == ":1\r\n"
	})
	id.expect("*-1\r\n")
}
