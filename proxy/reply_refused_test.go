package proxy_test

import (
	"testing"

	"holdfast/proxy/proxytest"
)

// A CLIENT REPLY that the server refuses has no effect: the client gets the refusal, and goes on.
func TestClientReplyRefused(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr := serve(t, srv.Addr)
		srv.MustDo("ACL", "SETUSER", "bob", "on", ">b", "~*", "&*", "+@all", "-client|reply")
		srv.MustDo("ACL", "SETUSER", "eve", "on", ">e", "~*", "&*", "+@all")
		for name, lines := range map[string][]string{
			"subscribed":     {"SUBSCRIBE ch", "CLIENT REPLY OFF", "PING", "CLIENT REPLY SKIP", "PING", "UNSUBSCRIBE", "GET k"},
			"no permission":  {"AUTH bob b", "CLIENT REPLY OFF", "GET k", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "GET k"},
			"with a link":    {"AUTH bob b", "CLIENT NO-EVICT ON", "CLIENT REPLY SKIP", "GET k"},
			"another's link": {"AUTH eve e", "CLIENT NO-EVICT ON", "AUTH bob b", "CLIENT REPLY OFF", "GET k"},
			"in RESP3":       {"HELLO 3 AUTH bob b", "SUBSCRIBE ch", "CLIENT REPLY OFF", "GET k"},
		} {
			want, got := dial(t, srv.Addr).speak(lines...), dial(t, addr).speak(lines...)
			if got != want {
				t.Errorf("%s: through the proxy:\n%s\ndirectly:\n%s", name, got, want)
			}
		}
		c := dial(t, addr)
		c.do("HELLO 3 AUTH eve e")
		c.send("CLIENT REPLY SKIP\r\nGET k\r\nAUTH bob b\r\nCLIENT REPLY SKIP\r\nECHO end\r\n")
		c.expect("+OK\r\n")
		if got := c.reply() + c.reply(); got[:7] != "-NOPERM" || got[len(got)-9:] != "$3\r\nend\r\n" {
			t.Errorf("after an AUTH: %q", got)
		}
		n := len(srv.MustDo("ACL", "LOG").([]any))
		if n == 0 {
			t.Error("the refusals are not in ACL LOG")
		}
	})
}
