package proxy_test

import (
	"net"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// MIGRATE to the server itself would overwrite the ledger by RESTORE, and then there is no UNDO. The
// server may be called by any address, so the number of the database decides.
func TestMigrateToTheTrash(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr, p := serveServer(t, srv.Addr, withGuard, func(o *proxy.Options) {
			o.Rules = parseRules(t, "trash flushall")
		})
		host, port, err := net.SplitHostPort(srv.Addr)
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, addr)
		c.do("SET keep treasure")
		c.do("FLUSHALL")
		migrate := "'migrate', '" + host + "', '" + port + "', "
		for _, line := range []string{
			"MIGRATE " + host + " " + port + " holdfast:trash 15 1000 REPLACE",
			"MIGRATE localhost " + port + " holdfast:trash 15 1000 COPY REPLACE",
			"MIGRATE " + host + " " + port + ` "" 15 1000 REPLACE KEYS holdfast:trash other`,
			"MIGRATE " + host + " " + port + " holdfast:trash 8 1000 REPLACE",
			`EVAL "return redis.call(` + migrate + `'holdfast:trash', 15, 1000, 'REPLACE')" 0`,
			`EVAL "return redis.call(` + migrate + `'holdfast:trash', ARGV[1], 1000)" 0 15`,
			`EVAL "return redis.call(unpack(ARGV))" 0 migrate ` + host + " " + port +
				" holdfast:trash 15 1000 REPLACE",
		} {
			c.do("HSET holdfast:trash 1 forged")
			if got := c.do(line); got[0] != '-' {
				t.Errorf("%s: %q", line, got)
			}
			c.do("MULTI")
			c.do(line)
			if got := c.do("EXEC"); !strings.Contains(got, "-") {
				t.Errorf("%s in MULTI: %q", line, got)
			}
		}
		other := proxytest.Spec{Kind: srv.Binary.Kind}.Start(t)
		line := "MIGRATE " + strings.Replace(other.Addr, ":", " ", 1) + " holdfast:trash 3 1000"
		if got := c.do(line); got != "+OK\r\n" {
			t.Errorf("to a database of the clients': %q", got)
		}
		list := theTrash(t, p)
		if len(list) != 1 {
			t.Fatalf("the trash has %+v", list)
		}
		if _, err := p.Undo(t.Context(), list[0].ID, "REPLACE"); err != nil {
			t.Error(err)
		}
		if got := c.do("GET keep"); got != "$8\r\ntreasure\r\n" {
			t.Errorf("after UNDO: %q", got)
		}
	})
}
