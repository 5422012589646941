package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
)

// provable has the proxy learn what can be proven now.
func (b *bubble) provable(now durable.Availability) {
	b.srv.proofs.Update(func() *durable.Availability { return &now })
	b.srv.loops.each((*worker).proofsMoved)
	b.settle()
}

// A write waits, unexecuted, for a proof that was there a moment ago.
func TestWriteAwaitsItsProof(t *testing.T) {
	for name, d := range map[string]struct {
		demand policy.Demand
		away   durable.Availability
	}{
		"replica": {oneReplica, durable.Availability{}},
		"server":  {oneReplica, durable.Availability{Server: durable.Passing("it loads"), Replicas: 1}},
		"journal": {policy.Demand{Journal: true, Replicas: 1},
			durable.Availability{Journal: durable.Passing("away"), Replicas: 1}},
	} {
		inBubble(t, onRoute(d.demand), func(b *bubble) {
			b.provable(durable.Availability{Replicas: 1})
			b.provable(d.away)
			c, other := b.client(), b.client()
			c.send("SET pay:1 a", "GET x")
			other.send("GET x")
			other.expect("$1\r\nx\r\n")
			b.sleep(400 * time.Millisecond)
			if c.expect(""); b.server.sent("set pay:1") != 0 {
				t.Fatalf("%s: it was executed before its proof could be had", name)
			}
			if d.demand.Journal {
				return // this server has no journal to prove anything
			}
			b.provable(durable.Availability{Replicas: 1})
			b.prove()
			c.expect("+OK\r\n$1\r\nx\r\n")
			b.expectOutcome(telemetry.HoldConfirmed, 1)
		})
	}
}

func TestWriteIsRefusedOnceItsProofIsOutOfReach(t *testing.T) {
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.provable(durable.Availability{Replicas: 1})
		b.provable(durable.Availability{})
		b.sleep(200 * time.Millisecond)
		c := b.client()
		c.send("SET pay:1 a", "GET x")
		b.sleep(290 * time.Millisecond)
		c.expect("")
		b.sleep(20 * time.Millisecond) // the replica has been away for the route's timeout
		got := c.take()
		if !strings.HasPrefix(got, "-NODURABLE ") || !strings.HasSuffix(got, "\r\n$1\r\nx\r\n") {
			t.Fatalf("got %q", got)
		}
		c.send("SET pay:1 a") // an outage that goes on does not let every write wait
		c.expectError("NODURABLE", "0 of 1 replicas")
		b.expectOutcome(telemetry.HoldRejected, 2)
		if b.server.sent("set pay:1") != 0 {
			t.Error("it was executed")
		}
	})
}

func TestWriteDoesNotAwaitWhatDoesNotComeByItself(t *testing.T) {
	inBubble(t, onRoute(policy.Demand{Journal: true, Replicas: 1}), func(b *bubble) {
		c := b.client()
		b.provable(durable.Availability{Replicas: 1})
		for _, p := range []durable.Availability{
			{Journal: durable.Lasting("lost"), Replicas: 1}, {Server: durable.Lasting("login"), Replicas: 1},
			{Journal: durable.Passing("away"), Marks: durable.Lasting("cluster")},
		} {
			b.provable(p)
			c.send("SET pay:1 a")
			c.expectError("NODURABLE")
		}
		b.provable(durable.Availability{Journal: durable.Passing("away"), Replicas: 1})
		c.send("SET pay:1 a")
		c.expect("")
		b.provable(durable.Availability{Journal: durable.Lasting("failed"), Replicas: 1}) // worse than it looked
		c.expectError("NODURABLE", "failed")
	})
}

func TestTransactionAwaitsItsProof(t *testing.T) {
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.provable(durable.Availability{Replicas: 1})
		c.send("MULTI", "SET pay:1 a")
		c.expect("+OK\r\n+OK\r\n")
		b.provable(durable.Availability{})
		c.send("EXEC")
		c.expect("")
		b.provable(durable.Availability{Replicas: 1})
		b.prove()
		c.expect("*1\r\n+OK\r\n")
		c.send("MULTI", "SET pay:1 a")
		c.take()
		b.provable(durable.Availability{})
		c.send("EXEC", "GET x")
		b.sleep(510 * time.Millisecond)
		if got := c.take(); !strings.HasPrefix(got, "-NODURABLE ") ||
			b.server.sent("exec") != 1 || b.server.sent("discard") != 1 {
			t.Errorf("got %q", got)
		}
	})
}

// A client that leaves may have sent its write again elsewhere.
func TestAwaitingWriteIsDroppedWithItsClient(t *testing.T) {
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.provable(durable.Availability{Replicas: 1})
		b.provable(durable.Availability{})
		c, d := b.client(), b.client()
		c.send("SET pay:1 a")
		c.conn.Close()
		b.settle()
		d.send("SET pay:2 a")
		b.onLoop(b.w.drain)
		if got := d.take(); !strings.HasPrefix(got, "-UPSTREAM this proxy is shutting down; the "+
			"command was not executed") {
			t.Errorf("drained: got %q", got)
		}
		b.provable(durable.Availability{Replicas: 1})
		if b.server.sent("set pay") != 0 {
			t.Error("it was executed")
		}
	})
}
