package proxy

import (
	"fmt"
	"testing"
)

// Clients that want links of their own at once get them some at a time, another host's between them;
// those who share a link do not wait for them.
func TestDedicatedLinksAreDialledSomeAtATime(t *testing.T) {
	const crowd = 3 * dialsAtOnce
	inBubble(t, nil, func(b *bubble) {
		f := b.server
		b.client().send("GET k", "SELECT 1") // the links that all need
		hold := make(chan struct{})
		f.change(func() { f.hold = hold })
		clients := make([]*fakeClient, crowd)
		for i := range clients {
			clients[i] = b.clientFrom(fmt.Sprintf("10.0.0.1:%d", 1000+i))
			clients[i].send("MULTI")
		}
		other := b.clientFrom("10.0.0.2:1")
		other.send("MULTI")
		holding := func() (n int) {
			f.change(func() { n = f.holding })
			return n
		}
		if n := holding(); n != dialsAtOnce {
			t.Errorf("%d links are dialled at once for %d transactions, want %d", n, crowd, dialsAtOnce)
		}
		b.client().send("SELECT 3", "GET k")
		if n := holding(); n != dialsAtOnce+1 {
			t.Errorf("with a shared link, %d are dialled, want %d", n, dialsAtOnce+1)
		}
		next := make(chan struct{})
		f.change(func() { f.hold = next })
		close(hold)
		b.settle()
		if n := holding(); n != dialsAtOnce {
			t.Errorf("then %d links are dialled, want %d", n, dialsAtOnce)
		}
		b.onLoop(func() {
			if n := b.w.dialling.waiting.lines["10.0.0.2"]; n != nil {
				t.Errorf("another host's link waits behind %d of the crowd's", len(n.in))
			}
		})
		f.change(func() { f.hold = nil })
		close(next)
		b.settle()
		for i, c := range append(clients, other) {
			if got := c.take(); got != "+OK\r\n" {
				t.Errorf("client %d: %q", i, got)
			}
		}
	})
}

// Dials that wait fail with the one that has failed, and none is made for a client that has gone.
func TestWaitingDialsFailTogether(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		f := b.server
		b.client().send("GET k")
		hold := make(chan struct{})
		f.change(func() { f.hold = hold })
		var clients []*fakeClient
		for range dialsAtOnce + 6 {
			c := b.client()
			c.send("MULTI")
			clients = append(clients, c)
		}
		clients[dialsAtOnce].conn.Close()
		b.settle()
		before := 0
		f.change(func() { f.refuse, before, f.hold = true, f.dials, nil })
		close(hold)
		b.settle()
		f.change(func() {
			if f.dials != before {
				t.Errorf("%d more links were dialled after the server refused", f.dials-before)
			}
		})
		for i, c := range clients {
			if i == dialsAtOnce {
				continue
			}
			if got := c.take(); len(got) == 0 || got[0] != '-' {
				t.Errorf("client %d: %q", i, got)
			}
		}
		b.onLoop(func() {
			if q := &b.w.dialling; q.underWay != 0 || q.waiting.n != 0 {
				t.Errorf("%d under way, %d wait", q.underWay, q.waiting.n)
			}
		})
	})
}
