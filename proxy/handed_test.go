package proxy

import (
	"sync"
	"testing"
	"time"
)

// fakeSource is a source that says what a test wants. It embeds the methods that no test needs.
type fakeSource struct {
	source
	b *bubble

	mu  sync.Mutex
	now belief
}

func (s *fakeSource) Stop() {}

func (s *fakeSource) Look() {}

func (s *fakeSource) troubles() []string { return nil }

func (s *fakeSource) belief() belief {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// say changes the belief.
func (s *fakeSource) say(now belief) {
	s.mu.Lock()
	s.now = now
	s.mu.Unlock()
	s.b.srv.topology.poke()
	s.b.settle()
}

// follow has the proxy follow a source to its first primary, which is another server than that of the start.
func (b *bubble) follow(address string) *fakeSource {
	b.t.Helper()
	s := &fakeSource{b: b}
	b.srv.topology.adopt(s)
	s.say(belief{primary: address})
	b.expectPrimary(address)
	return s
}

// expectPrimary requires the address of the server in force.
func (b *bubble) expectPrimary(address string) {
	b.t.Helper()
	if got := b.srv.up.Load().Address(); got != address {
		b.t.Fatalf("the primary is %s, want %s", got, address)
	}
}

func holdFor(d time.Duration) func(*Options) { return func(o *Options) { o.Hold = d } }

// A handover that the proxy has not begun itself is followed once the sentinels announce it, and two seconds later if they
// do not. Writes wait for that.
func TestAHandoverByOthersWaitsForTheSentinels(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c, reader := b.follow("fake:0"), b.client(), b.client()
		s.say(belief{primary: "fake:2", handed: time.Now()})
		c.send("SET a b")
		reader.send("GET x")
		reader.expect("$1\r\nx\r\n")
		b.sleep(announcedFor - time.Millisecond)
		b.expectPrimary("fake:0")
		c.expect("")
		b.sleep(time.Millisecond)
		b.expectPrimary("fake:2")
		c.expect("+OK\r\n")

		s.say(belief{primary: "fake:3", handed: time.Now()})
		c.send("SET a b")
		b.sleep(time.Second)
		b.expectPrimary("fake:2")
		s.say(belief{primary: "fake:3"}) // they announce it
		b.expectPrimary("fake:3")
		c.expect("+OK\r\n")
		if m, _ := b.srv.topology.move(3); m.To != "fake:3" || m.Held != 1 || m.Paused != time.Second {
			t.Errorf("the move is %+v", m)
		}

		b.srv.topology.plan(plannedSign) // the proxy's own
		s.say(belief{primary: "fake:4", handed: time.Now()})
		b.expectPrimary("fake:4")

		s.say(belief{primary: "fake:5", handed: time.Now()})
		c.send("SET a b")
		b.sleep(time.Second)
		s.say(belief{primary: "fake:4"}) // it has not come about
		c.expect("+OK\r\n")
		b.sleep(announcedFor)
		b.expectPrimary("fake:4")
	}, holdFor(time.Minute))
}

// Sentinels that are heard again end the refusal, also if another change had the proofs looked at in their silence.
func TestTheSentinelsAreHeardAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.server.change(func() { b.server.replicas = nil })
		s := b.follow("fake:0")
		s.mu.Lock()
		s.now.deaf = "0 of 3 sentinels answer"
		s.mu.Unlock()
		b.srv.lookAtProofs() // the server has changed, for instance
		if !b.srv.proofs.Now().Cut {
			t.Error("the server is not cut off")
		}
		s.say(belief{primary: "fake:0"})
		if b.srv.proofs.Now().Cut {
			t.Error("the server is still cut off")
		}
	})
}
