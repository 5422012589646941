package proxy

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/telemetry"
)

func TestRoleChangeBreaksPromises(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a", "GET x")
		b.server.change(func() { b.server.role = "slave" })
		b.server.catchUp()
		b.server.answer("-UNBLOCKED force unblock from blocking operation\r\n")
		if got := c.take(); got == "" || got[:13] != "-UNCONFIRMED " {
			t.Fatalf("got %q", got)
		}
		b.expectOutcome(telemetry.HoldPrimary, 1)
		b.sleep(2 * time.Second)
		c.send("SET pay:2 a")
		c.expectError("NODURABLE", "replica")
	})
}

// Demoted and promoted again between two looks: the role is as before, the history is not.
func TestHistoryChangeBreaksPromises(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.server.change(func() { b.server.replID2, b.server.replID = b.server.replID, otherID })
		b.prove()
		c.expectError("UNCONFIRMED", "primary changed")
		c.send("SET pay:2 a")
		b.prove()
		c.expect("+OK\r\n")
	})
}

// What was executed before the change is not proven by fences behind it, though its reply comes then.
func TestReplyThatComesAfterTheChange(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c, d := b.client(), b.client()
		c.send("SET pay:1 a")
		b.prove()
		c.expect("+OK\r\n")
		c.send("MULTI") // a link of its own
		d.send("SET pay:3 a")
		b.server.change(func() { b.server.held["exec"] = true })
		c.send("SET pay:2 a", "EXEC")
		c.take()
		b.server.change(func() { b.server.replID2, b.server.replID = b.server.replID, otherID })
		b.server.catchUp()
		b.server.answerTo("wait", ":1\r\n")
		d.expectError("UNCONFIRMED", "primary changed")
		b.server.answerTo("exec", "*1\r\n+OK\r\n")
		for len(b.server.waiting()) > 0 {
			b.prove()
		}
		c.expectError("UNCONFIRMED", "primary changed")
	})
}

// A primary takes another replication id, and has no past, when its first replica is attached.
func TestNewReplicationIDWithoutAPast(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.server.change(func() { b.server.replID = otherID })
		b.prove()
		c.expect("+OK\r\n")
		b.expectOutcome(telemetry.HoldPrimary, 0)
	})
}

// A fence of the journal that was asked under the old id is asked anew.
func TestJournalFenceUnderANewName(t *testing.T) {
	t.Parallel()
	two := policy.Demand{Journal: true, Replicas: 1}
	inBubble(t, onRoute(two), func(b *bubble) {
		j := &fakeJournal{}
		b.withFakeJournal(j)
		c := b.client()
		c.send("SET pay:1 a")
		b.server.change(func() { b.server.replID = otherID })
		b.prove()
		b.moved(j, otherID, b.server.offset)
		b.sleep(10 * time.Millisecond)
		b.moved(j, otherID, b.server.offset)
		c.expect("+OK\r\n")
	})
}

func TestRestartBreaksPromises(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.server.restart("run-2", otherID)
		b.server.answer(":1\r\n") // to nobody
		c.expectError("UNCONFIRMED")
		b.sleep(2 * time.Second)
		c.send("SET pay:2 a")
		b.prove()
		c.expect("+OK\r\n")
	})
}

// replace has another process take the server's place, without cutting connections to the old one but the
// control connection, which finds out. The first side link to it is asked who it is, and not answered yet.
func (b *bubble) replace() {
	b.server.change(func() {
		b.server.held["info server replication"] = true
		b.server.runID, b.server.replID = "run-2", otherID
	})
	b.server.cut("holdfast-control")
	b.sleep(2 * time.Second)
}

// identify answers the side links, and those to come.
func (b *bubble) identify() {
	b.server.change(func() { clear(b.server.held) })
	for slices.Contains(b.server.waiting(), "info server replication") {
		b.server.answerTo("info", proxytest.Bulk(b.server.info("run-2")))
		b.settle()
	}
}

// carried reports whether one open connection has carried all these commands.
func (f *fakeServer) carried(lines ...string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if !slices.ContainsFunc(lines, func(l string) bool { return !bytes.Contains(c.did, []byte(l+"\n")) }) {
			return true
		}
	}
	return false
}

// Between the control connection's first look at another process and a side link's, a write waits: sent
// at once, it would be answered -UNCONFIRMED when the side link says where it leads.
func TestWritesWaitForTheIdentity(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("GET x") // opens a link to the old process
		c.expect("$1\r\nx\r\n")
		b.replace()
		c.send("SET pay:1 a")
		if c.expect(""); b.server.sent("set pay:1") != 0 {
			t.Fatal("it was sent before the process was identified")
		}
		b.identify()
		for len(b.server.waiting()) > 0 {
			b.prove()
		}
		c.expect("+OK\r\n")
		b.expectOutcome(telemetry.HoldPrimary, 0)
		b.expectOutcome(telemetry.HoldConfirmed, 1)
	})
}

// A link that was opened while a side link found out about the new process leads there, too, if its
// dial began once the side link was connected. Otherwise it is replaced.
func TestLinkOpenedDuringAHello(t *testing.T) {
	t.Parallel()
	for name, earlier := range map[string]bool{"dialled after the side link": false, "before it": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, onRoute(oneReplica), func(b *bubble) {
				c := b.client()
				dials := make(chan struct{})
				b.server.change(func() { b.server.hold = dials })
				if earlier {
					c.send("GET x")
				}
				b.replace()
				close(dials)
				b.sleep(2 * time.Second)
				if !earlier {
					c.send("GET x")
				}
				c.expect("$1\r\nx\r\n")
				b.identify()
				b.sleep(100 * time.Millisecond)
				c.send("SET pay:1 a")
				for len(b.server.waiting()) > 0 {
					b.prove()
				}
				c.expect("+OK\r\n")
				b.expectOutcome(telemetry.HoldPrimary, 0)
				if replaced := !b.server.carried("get x", "set pay:1 a"); replaced != earlier {
					t.Errorf("the link was replaced: %v, want %v", replaced, earlier)
				}
			})
		})
	}
}

// It does not wait for longer than its route's timeout.
func TestIdentityThatIsNotFound(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.replace()
		c.send("SET pay:1 a")
		c.expect("")
		b.sleep(time.Minute)
		c.expectError("NODURABLE", "which process")
	})
}

// Something between the proxy and the server leads new connections to another process, while the
// old one goes on: what it executes is not what fences on the new one prove.
func TestLinkToAnotherProcess(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.prove()
		c.expect("+OK\r\n")
		b.server.change(func() { b.server.held["incr"] = true })
		c.send("INCR pay:2") // by the old link
		b.server.change(func() { b.server.runID, b.server.replID = "run-2", otherID })
		b.server.cut("info server replication")
		b.sleep(2 * time.Second)
		b.server.answer(":1\r\n")
		c.expectError("UNCONFIRMED", "primary changed")
		c.send("SET pay:3 a")
		b.sleep(100 * time.Millisecond)
		for len(b.server.waiting()) > 0 {
			b.prove()
		}
		c.expect("+OK\r\n")
	})
}

// As before, but the old side links live on: it is the new link that leads elsewhere.
func TestNewLinkToAnotherProcess(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.prove()
		c.expect("+OK\r\n")
		b.server.cut("set pay:1")
		b.settle()
		b.server.change(func() { b.server.runID = "run-2" })
		c.send("SET pay:2 a") // by a new link, to the new process
		for len(b.server.waiting()) > 0 {
			b.prove() // the old process proves what it likes
		}
		c.expectError("UNCONFIRMED", "primary changed")
	})
}

// Each new link is verified by a side link that is dialled after it; one serves for many.
func TestVerifyingLinksCostsOneDial(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.prove()
		before := b.server.dials
		for range 5 {
			c.send("SET pay:1 a")
			b.prove()
		}
		if n := b.server.dials - before; n != 0 {
			t.Errorf("%d more dials", n)
		}
	})
}
