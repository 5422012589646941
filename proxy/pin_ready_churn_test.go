package proxy_test

import (
	"strconv"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Clients that come one after the other, each for one command, find what is kept ready for them: the
// server sees no connections beyond the first client's.
func TestReadyLinksOutlastTheirClients(t *testing.T) {
	t.Parallel()
	const clients = 200
	for name, login := range map[string]string{"default": "", "named": "AUTH u p"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t, "--user", "u", "on", ">p", "~*", "+@all")
			addr := serve(t, srv.Addr, silent, func(o *proxy.Options) { o.Workers = 1 })
			come := func() {
				c := dial(t, addr)
				if login != "" {
					c.do(login)
				}
				if got := c.do("PING"); got != "+PONG\r\n" {
					t.Fatalf("got %q", got)
				}
				c.Close()
			}
			come()
			before := received(t, srv)
			for range clients {
				come()
			}
			if n := received(t, srv) - before; n > clients/4 {
				t.Errorf("%d clients cost the server %d connections", clients, n)
			}
		})
	}
}

func received(t *testing.T, srv *proxytest.Server) int {
	t.Helper()
	n, err := strconv.Atoi(srv.Info("stats")["total_connections_received"])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
