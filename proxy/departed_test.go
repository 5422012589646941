package proxy_test

import (
	"fmt"
	"testing"

	"holdfast/proxy/proxytest"
)

// TestDepartedLinkIsNoStranger: the server has not seen the end of a link yet, and lists it. The
// proxy neither counts nor kills it as a connection of others.
func TestDepartedLinkIsNoStranger(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	addr := serve(t, relay.Addr)
	relay.Arm(proxytest.Fault{Op: proxytest.Stall, On: proxytest.Requests, Trigger: "stuck", After: 2})
	gone, c := dial(t, addr), dial(t, addr)
	gone.do("SUBSCRIBE stuck")
	gone.send("PING\r\n") // which the relay holds, and with it the end of the link
	gone.Close()
	empty := func(reply string) bool { return len(parsed(t, reply).Str) == 0 }
	proxytest.Poll(t, "the subscriber has left", func() bool { return empty(c.do("CLIENT LIST TYPE pubsub")) })
	if list := fmt.Sprint(srv.MustDo("CLIENT", "LIST", "TYPE", "pubsub")); list == "" {
		t.Fatal("the server has seen the end of the link")
	}
	if n := c.do("CLIENT KILL TYPE pubsub"); n != ":0\r\n" {
		t.Errorf("CLIENT KILL TYPE pubsub: %q", n)
	}
	if list := fmt.Sprint(srv.MustDo("CLIENT", "LIST", "TYPE", "pubsub")); list == "" {
		t.Error("it was killed")
	}
}
