package proxy_test

import (
	"testing"

	"holdfast/proxy/proxytest"
)

// TestReplconfWithoutReply: the server does not answer REPLCONF ACK of a client that is no replica,
// and the commands behind it are answered.
func TestReplconfWithoutReply(t *testing.T) {
	t.Parallel()
	const script = "REPLCONF ACK 1\r\nECHO a\r\nREPLCONF GETACK *\r\nECHO b\r\nREPLCONF capa eof ack 1\r\n" +
		"ECHO c\r\nREPLCONF ACK\r\nECHO d\r\nREPLCONF listening-port x ACK 1\r\nREPLCONF capa ack\r\n" +
		"SELECT 3\r\nSET k v\r\nGET k\r\n"
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: b.Kind}.Start(t)
			srv.MustDo("ACL", "SETUSER", "small", "on", "nopass", "+echo", "+ping", "+select", "+set", "+get", "~*")
			for _, login := range []string{"", "AUTH small x\r\n", "HELLO 3\r\n"} {
				got := [2]string{}
				for i, to := range []string{srv.Addr, serve(t, srv.Addr)} {
					c := dial(t, to)
					if login != "" {
						c.send(login)
						c.reply()
					}
					c.send(script + "PING\r\n")
					for r := ""; r != "+PONG\r\n"; got[i] += r {
						r = c.reply()
					}
				}
				if got[0] != got[1] {
					t.Errorf("after %q:\ndirectly:          %q\nthrough the proxy: %q", login, got[0], got[1])
				}
			}
		})
	}
}
