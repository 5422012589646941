package proxy

import (
	"strings"
	"testing"
	"time"
)

const replyDoubted = "-" + textDoubted + "; see docs/errors.md#upstream\r\n"

// doubt tells the worker what topology would.
func (b *bubble) doubt(why string, certain bool) {
	b.onLoop(func() { b.w.outage.suspect(suspicion{why: why, certain: certain}) })
}

func TestWritesWaitWhileThePrimaryIsInDoubt(t *testing.T) {
	for _, certain := range []bool{false, true} {
		inOutage(t, nil, 5*time.Second, func(b *bubble) {
			c, d, reader := b.client(), b.client(), b.client()
			c.send("INCR n")
			c.expect(":1\r\n")
			b.doubt("a failover", certain)
			c.send("INCR n", "GET x", "INCR n")
			d.send("MULTI", "SET inside b", "EXEC")
			reader.send("GET x", "PING")
			reader.expect("$1\r\nx\r\n+PONG\r\n")
			b.sleep(4900 * time.Millisecond)
			c.expect("")
			d.expect("")
			if n := b.server.sent("incr"); n != 1 {
				t.Errorf("INCR was sent %d times, want once", n)
			}
			b.doubt("", false)
			c.expect(":1\r\n$1\r\nx\r\n:1\r\n")
			d.expect("+OK\r\n+OK\r\n*1\r\n+OK\r\n")
			b.doubt("another one", certain) // with a clock of its own
			c.send("INCR n")
			b.sleep(4 * time.Second)
			c.expect("")
			b.doubt("", false)
			c.expect(":1\r\n")
		})
	}
}

func TestWhatWaitsInDoubt(t *testing.T) {
	for line, waits := range map[string]bool{
		"SET a b": true, "EVAL x 0": true, "PUBLISH c x": true, "MULTI": true, "WATCH k": true,
		"BLPOP l 0": true, "FCALL f 0": true, "GETEX a EX 5": true, "NEWLY x": true,
		"GET x": false, "PING": false, "SELECT 1": false, "ECHO x": false, "SUBSCRIBE c": false,
		"EVAL_RO x 0": true, // it runs code
	} {
		inOutage(t, nil, 5*time.Second, func(b *bubble) {
			b.server.change(func() { b.server.instead["ping"] = "+PONG\r\n" })
			c := b.client()
			b.doubt("a failover", true)
			c.send(line)
			if got := c.take(); (got == "") != waits && line != "SUBSCRIBE c" {
				t.Errorf("%s: got %q, want that it waits: %v", line, got, waits)
			}
			name, _, _ := strings.Cut(strings.ToLower(line), " ")
			if waits && b.server.sent(name+" ") > 0 {
				t.Errorf("%s was sent", line)
			}
		})
	}
}

// When upstream.hold is over, one sentinel's sign holds up nothing any more, and a fact refuses.
func TestDoubtOutlastsTheHold(t *testing.T) {
	inOutage(t, nil, time.Second, func(b *bubble) {
		c := b.client()
		b.doubt("sentinel 1 leads a failover", false)
		c.send("INCR n")
		b.sleep(999 * time.Millisecond)
		c.expect("")
		b.sleep(time.Millisecond)
		c.expect(":1\r\n")
		c.send("INCR n")
		c.expect(":1\r\n")
		b.doubt("the sentinels name another one", true) // its own second begins
		c.send("INCR n", "GET x")
		b.sleep(999 * time.Millisecond)
		c.expect("")
		b.sleep(time.Millisecond)
		c.expect(replyDoubted + "$1\r\nx\r\n")
		c.send("INCR n")
		c.expect(replyDoubted) // at once
		b.doubt("", false)
		c.send("INCR n")
		c.expect(":1\r\n")
		b.onLoop(func() {
			if n := b.w.counters.HoldsExpired; n != 2 {
				t.Errorf("%d holds expired, want 2", n)
			}
		})
	})
}

func TestDoubtWithoutAHold(t *testing.T) {
	inOutage(t, nil, 0, func(b *bubble) {
		c := b.client()
		b.doubt("a sign", false)
		c.send("INCR n")
		c.expect(":1\r\n")
		b.doubt("a fact", true)
		c.send("INCR n", "GET x")
		c.expect(replyDoubted + "$1\r\nx\r\n")
	})
}

// The server holds a transaction that was begun before; with its EXEC refused, the session ends.
func TestDoubtEndsATransaction(t *testing.T) {
	inOutage(t, nil, time.Second, func(b *bubble) {
		c := b.client()
		c.send("MULTI", "SET inside b")
		c.expect("+OK\r\n+OK\r\n")
		b.doubt("a fact", true)
		c.send("EXEC", "GET x")
		b.sleep(time.Second)
		c.expect(replyDoubted)
		c.expectEnd()
		if n := b.server.sent("exec"); n != 0 {
			t.Error("EXEC was sent")
		}
	})
}

// A server that says in HELLO that it is a replica gets nothing, where the upstream is a primary's.
func TestALinkToAReplicaIsRefused(t *testing.T) {
	replica := "*4\r\n$2\r\nid\r\n:7\r\n$4\r\nrole\r\n$7\r\nreplica\r\n"
	primary := "*4\r\n$2\r\nid\r\n:7\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
	inOutage(t, nil, 5*time.Second, func(b *bubble) {
		b.onLoop(func() {
			o := b.srv.opts.Upstream
			o.PrimaryOnly = true
			b.w.up = b.srv.newUpstream(o)
			b.t.Cleanup(b.w.up.Stop)
			for l := range b.w.links {
				l.close()
			}
		})
		b.server.change(func() { b.server.instead["hello"] = replica })
		c := b.client()
		c.send("INCR n", "GET x")
		b.sleep(2 * time.Second)
		c.expect("")
		if b.server.sent("incr")+b.server.sent("get") > 0 {
			t.Error("a replica was sent a command")
		}
		b.server.change(func() { b.server.instead["hello"] = primary })
		b.sleep(time.Second)
		c.expect(":1\r\n$1\r\nx\r\n")
	})
}

// During the hold of an outage a doubt has no clock of its own.
func TestDoubtInAnOutage(t *testing.T) {
	inOutage(t, nil, 2*time.Second, func(b *bubble) {
		c := b.client()
		c.send("GET x")
		c.expect("$1\r\nx\r\n")
		b.goAway()
		c.send("INCR n")
		b.sleep(time.Second)
		b.doubt("a failover", true)
		b.sleep(time.Second)
		if got := c.take(); !strings.HasPrefix(got, "-UPSTREAM ") || strings.Count(got, "\r\n") != 1 {
			t.Errorf("got %q", got)
		}
		b.comeBack()
		b.doubt("", false)
		b.sleep(3 * time.Second)
		c.send("INCR n")
		b.sleep(time.Second)
		c.expect(":1\r\n")
	})
}
