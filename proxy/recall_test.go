package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
)

const replicaRefuses = "-READONLY You can't write against a read only replica.\r\n"

// becomeReplica has the server refuse what a replica refuses, or no more.
func (b *bubble) becomeReplica(on bool) {
	b.server.change(func() {
		for _, name := range []string{"set", "incr", "eval"} {
			if delete(b.server.instead, name); on {
				b.server.instead[name] = replicaRefuses
			}
		}
	})
}

// A write that a replica has refused was not executed: it waits for the new primary. What may have been executed in part, or
// has another command behind it, gets the error.
func TestARefusedWriteWaitsForTheNewPrimary(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c, d, piped, code, other := b.follow("fake:0"), b.client(), b.client(), b.client(), b.client(), b.client()
		b.becomeReplica(true)
		other.send("INCR n") // a rule lets it pass
		other.expect(replicaRefuses)
		other.send("SET large " + strings.Repeat("x", logFrame))
		other.expect(replicaRefuses)
		piped.send("SET piped 1", "GET x")
		piped.expect(replicaRefuses + "$1\r\nx\r\n")
		code.send("EVAL x 0")
		code.expect(replicaRefuses)
		code.send("MULTI", "SET inside 1")
		code.expect("+OK\r\n" + replicaRefuses)
		c.send("SET a 1")
		c.expect("")
		c.send("GET x", "INCR n")
		d.send("SET b 1") // the refusal is a doubt for all
		b.sleep(refusedFor / 2)
		c.expect("")
		d.expect("")
		if n := b.server.sent("set b 1"); n > 0 {
			t.Error("a write was sent to a replica that had refused another one")
		}
		b.becomeReplica(false)
		s.say(belief{primary: "fake:2"})
		c.expect("+OK\r\n$1\r\nx\r\n:1\r\n")
		d.expect("+OK\r\n")
		if n := b.server.sent("set a 1"); n != 2 {
			t.Errorf("it was sent %d times, want twice", n)
		}
	}, holdFor(time.Minute), func(o *Options) {
		o.Rules = []policy.RuleSpec{{Name: "counted", Commands: []string{"incr"}, Action: "allow"}}
	})
}

// On a durable route, too.
func TestARefusedDurableWriteWaitsForTheNewPrimary(t *testing.T) {
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		s, c := b.follow("fake:0"), b.client()
		b.becomeReplica(true)
		c.send("SET pay:1 a")
		c.expect("")
		b.becomeReplica(false)
		s.say(belief{primary: "fake:2"})
		b.prove()
		c.expect("+OK\r\n")
	}, holdFor(time.Minute))
}

// The primary stays: the command gets the error when it is refused once more, after two seconds or the hold.
func TestAWriteIsRefusedTwice(t *testing.T) {
	for _, hold := range []time.Duration{time.Second, time.Minute} {
		inBubble(t, nil, func(b *bubble) {
			b.follow("fake:0")
			c := b.client()
			b.becomeReplica(true)
			for range 2 {
				c.send("SET a 1")
				b.sleep(min(hold, refusedFor) - time.Millisecond)
				c.expect("")
				b.sleep(time.Millisecond)
				c.expect(replicaRefuses)
				b.sleep(refusedFor)
			}
			b.becomeReplica(false)
			c.send("SET a 1")
			c.expect("+OK\r\n")
		}, holdFor(hold))
	}
}

// Without a hold, and where no source finds the primary, the error passes.
func TestARefusalPasses(t *testing.T) {
	for _, source := range []bool{true, false} {
		hold := time.Minute
		if source {
			hold = 0
		}
		inBubble(t, nil, func(b *bubble) {
			if source {
				b.follow("fake:0")
			}
			c := b.client()
			b.becomeReplica(true)
			c.send("SET a 1")
			c.expect(replicaRefuses)
		}, holdFor(hold))
	}
}

// A refusal that comes between the move and its end is a doubt that ends, too.
func TestARefusalDuringAMove(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		b.follow("fake:0")
		c := b.client()
		b.onLoop(func() {
			b.w.outage.suspect(suspicion{why: refusedSign})
			b.srv.topology.refused()
			b.srv.topology.moved(admin.Move{To: "fake:0"})
		})
		c.send("INCR n")
		c.expect(":1\r\n")
	}, holdFor(time.Minute))
}
