package proxy_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"holdfast/journal"
	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/takeover"
)

// A durable write in flight is answered with its proof before another process gets the journal. A client that does not
// close its connection, and one that does not read, hold no other up.
func TestTakeoverWaitsForProofs(t *testing.T) {
	t.Parallel()
	server, dir := journalServer(t), t.TempDir()
	name, sockets := takeover.Name(filepath.Join(dir, "config")), &takeover.Sockets{}
	offer := takeover.NewOffer(takeover.OfferOptions{Name: name, Sockets: sockets, Log: testLog(t)})
	addr, p := serveServer(t, server.Addr, withJournal(dir), func(o *proxy.Options) {
		o.Routes = []policy.RouteSpec{{Name: "pay", Keys: []string{"pay:*"}, Demand: policy.Demand{Journal: true},
			Timeout: proxytest.PollTimeout}}
		o.Drain, o.Sockets, o.Offer = proxytest.PollTimeout, sockets, offer
		o.Serving = func() {
			if err := offer.Open(); err != nil {
				t.Error(err)
			}
		}
	})
	recorded(t, p, server)
	c, idle := dial(t, addr), dial(t, addr)
	idle.do("GET x")
	if got := c.do("SET pay:1 v"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	server.Pause()
	t.Cleanup(server.Resume)
	c.send("SET pay:2 v\r\n")
	awaitInFlight(t, p, 1)
	claim := takeover.NewClaim(takeover.ClaimOptions{Name: name, Sockets: &takeover.Sockets{},
		Log: slog.New(slog.DiscardHandler)})
	if found, err := claim.Find(); !found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	done := make(chan error, 1)
	go func() { done <- claim.Take(t.Context(), []string{"127.0.0.1:0"}) }()
	idle.expectEOF() // the loops drain
	for range 200 {  // what would release the journal too early has time to
		if _, err := p.Stats(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if used, err := journal.InUse(nil, dir); !used || err != nil {
		t.Fatalf("with a write in flight the journal is in use: %v, %v", used, err)
	}
	server.Resume()
	c.expect("+OK\r\n")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if used, err := journal.InUse(nil, dir); used || err != nil {
		t.Fatalf("the journal is released, and in use: %v, %v", used, err)
	}
	claim.Close()
	if offer.Settle(t.Context()) {
		t.Error("it was not taken over")
	}
}
