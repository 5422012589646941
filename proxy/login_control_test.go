package proxy_test

import (
	"log/slog"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A password that the proxy does not know makes durable writes be refused before they are executed,
// and is shown everywhere, though connections from before it go on.
func TestControlUserCannotLogIn(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replicaOf(t, srv)
	log := &proxytest.Log{}
	addr, p := serveServer(t, srv.Addr, route(aReplica), func(o *proxy.Options) {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	c := dial(t, addr)
	eventually(t, c)
	srv.MustDo("CONFIG", "SET", "requirepass", "unknown")
	why := func() string {
		list, err := p.Routes(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0].Why
	}
	proxytest.Poll(t, "SHOW ROUTES says so", func() bool { return strings.Contains(why(), "cannot log in") })
	direct := dial(t, srv.Addr)
	direct.do("AUTH unknown")
	fresh := dial(t, addr)
	if got := fresh.do("AUTH unknown"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	for _, client := range []*conn{c, fresh} {
		expectCode(t, "NODURABLE", client.do("SET pay:new x"))
	}
	if got := direct.do("EXISTS pay:new"); got != ":0\r\n" {
		t.Errorf("a refused write was executed: %q", got)
	}
	st, err := p.Stats(t.Context())
	if err != nil || !strings.Contains(strings.Join(append(st.NotReady, st.Degraded...), "\n"), "cannot log in") {
		t.Errorf("readiness: %q, %q (%v)", st.NotReady, st.Degraded, err)
	}
	proxytest.Poll(t, "the log says so", func() bool { return strings.Contains(log.String(), "cannot log in") })
	direct.do("CONFIG SET requirepass ''")
	proxytest.Poll(t, "durable writes go on", func() bool { return fresh.do("SET pay:new x") == "+OK\r\n" })
	if w := why(); w != "" {
		t.Errorf("SHOW ROUTES says %q", w)
	}
}
