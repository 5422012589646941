package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
)

func TestErrorsOfPlainCommandsAreNotHeld(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.server.change(func() { b.server.instead["set pay:1 a"] = "-WRONGTYPE no\r\n" })
		c := b.client()
		c.send("SET pay:1 a", "GET x")
		c.expect("-WRONGTYPE no\r\n$1\r\nx\r\n")
		c.send("SET pay:2 a", "SET pay:1 a", "GET x")
		c.expect("")
		b.prove()
		c.expect("+OK\r\n-WRONGTYPE no\r\n$1\r\nx\r\n")
		b.expectOutcome(telemetry.HoldConfirmed, 1)
	})
}

// A script may have written before it failed.
func TestErrorsOfScriptsAreHeld(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.server.change(func() { b.server.instead["eval"] = "-ERR half way\r\n" })
		c := b.client()
		c.send("EVAL x 1 pay:1")
		c.expect("")
		b.prove()
		c.expect("-ERR half way\r\n")
	})
}

func TestTransactionIsHeldAtExec(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("MULTI", "SET x a", "SET pay:1 b", "GET x")
		c.expect("+OK\r\n+OK\r\n+OK\r\n$1\r\nx\r\n") // the server of this test does not say QUEUED
		c.send("EXEC")
		c.expect("")
		b.prove()
		c.expect("*1\r\n+OK\r\n")
		c.send("MULTI", "SET x a", "EXEC")
		c.expect("+OK\r\n+OK\r\n*1\r\n+OK\r\n")
		c.send("MULTI", "SET pay:1 a", "DISCARD", "MULTI", "SET x a", "EXEC")
		c.expect("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n*1\r\n+OK\r\n")
		b.expectOutcome(telemetry.HoldConfirmed, 1)
	})
}

// What did not run wrote nothing.
func TestExecThatDidNotRunIsNotHeld(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"*-1\r\n", "_\r\n", "-EXECABORT no\r\n"} {
		inBubble(t, onRoute(oneReplica), func(b *bubble) {
			b.server.change(func() { b.server.instead["exec"] = reply })
			c := b.client()
			c.send("WATCH x", "MULTI", "SET pay:1 b", "EXEC")
			if got := c.take(); !strings.HasSuffix(got, reply) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestTransactionWhoseProofCannotBeHad(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("MULTI", "SET pay:1 b")
		c.expect("+OK\r\n+OK\r\n")
		b.provable(durable.Availability{})
		b.sleep(501 * time.Millisecond) // for longer than the write would wait
		c.send("EXEC", "GET x")
		b.sleep(5 * time.Millisecond)
		got := c.take()
		if !strings.HasPrefix(got, "-NODURABLE ") || !strings.HasSuffix(got, "\r\n$1\r\nx\r\n") {
			t.Errorf("got %q", got)
		}
		if b.server.sent("exec") != 0 || b.server.sent("discard") != 1 {
			t.Error("it was executed, or is still open")
		}
		c.send("MULTI", "SET pay:1 b")
		b.sleep(5 * time.Millisecond)
		if got := c.take(); !strings.HasPrefix(got, "+OK\r\n-NODURABLE ") {
			t.Errorf("got %q", got)
		}
		b.expectOutcome(telemetry.HoldRejected, 2)
	})
}

func TestRefusedBeforeItIsExecuted(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.provable(durable.Availability{})
		b.sleep(501 * time.Millisecond) // for longer than the write would wait
		c := b.client()
		c.send("SET pay:1 a")
		c.expectError("NODURABLE", "payments", "0 of 1 replicas", "nothing was executed")
		c.send("SET x a", "GET pay:1")
		b.sleep(5 * time.Millisecond) // who was refused something waits a little
		c.expect("+OK\r\n$1\r\nx\r\n")
		if b.server.sent("set pay:1") != 0 {
			t.Error("it was sent")
		}
		b.expectOutcome(telemetry.HoldRejected, 1)
	})
}

func TestPassedWhileTheProofCannotBeHad(t *testing.T) {
	t.Parallel()
	pass := func(r *policy.RouteSpec) { r.PassUnavailable = true }
	inBubble(t, onRoute(policy.Demand{Replicas: 1, AOFLocal: true}, pass), func(b *bubble) {
		c := b.client()
		b.provable(durable.Availability{AOF: durable.Lasting("off")})
		c.send("SET pay:1 a")
		c.expect("+OK\r\n")
		b.expectOutcome(telemetry.HoldPassed, 1)
		c.send("HOLDFAST ACK")
		if got := c.take(); !strings.Contains(got, "passed") {
			t.Errorf("got %q", got)
		}
		b.provable(durable.Availability{AOF: durable.Lasting("off"), Replicas: 1})
		c.send("SET pay:1 a") // held for what can be had
		c.expect("")
		b.prove()
		c.expect("+OK\r\n")
		b.provable(durable.Availability{Replicas: 1})
		c.send("SET pay:1 a")
		b.server.catchUp()
		b.server.answerTo("wait", ":1\r\n")
		c.expect("")
		b.server.answerTo("waitaof", "*2\r\n:1\r\n:0\r\n")
		c.expect("+OK\r\n")
	})
}

func TestClosingWaitsForTheGate(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *bubble, c *fakeClient){
		"QUIT":  func(b *bubble, c *fakeClient) { c.send("QUIT") },
		"drain": func(b *bubble, c *fakeClient) { b.onLoop(b.w.drain) },
		"later": func(b *bubble, c *fakeClient) {
			b.onLoop(func() {
				for _, s := range b.w.sessions {
					s.endLater(telemetry.CloseKilled)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, onRoute(oneReplica), func(b *bubble) {
				c := b.client()
				c.send("SET pay:1 a")
				end(b, c)
				c.expect("")
				b.prove()
				want := "+OK\r\n"
				if name == "QUIT" {
					want += "+OK\r\n"
				}
				c.expect(want)
				c.expectEnd()
			})
		})
	}
}

// A session that is killed does not wait, and leaves nothing behind.
func TestKillDoesNotWaitForTheGate(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.onLoop(func() {
			for _, s := range b.w.sessions {
				s.close(telemetry.CloseKilled)
			}
		})
		c.expectEnd()
		b.expectOutcome(telemetry.HoldGone, 1)
		b.prove()
		b.sleep(time.Second)
		b.onLoop(func() {
			b.w.durable.Gauges()
			if f := b.w.counters.Fences[0]; f.Waiting != 0 || f.InFlight != 0 {
				t.Errorf("left: waiting %d, in flight %d", f.Waiting, f.InFlight)
			}
		})
	})
}

func TestHoldfastAck(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("HOLDFAST ACK")
		if got := c.take(); !strings.Contains(got, "state\r\n$4\r\nnone\r\n") {
			t.Errorf("got %q", got)
		}
		c.send("SET pay:1 a", "holdfast ack")
		b.sleep(3 * time.Millisecond)
		c.expect("")
		b.prove()
		c.expect("+OK\r\n*10\r\n$5\r\nstate\r\n$9\r\nconfirmed\r\n$5\r\nroute\r\n$8\r\npayments\r\n" +
			"$6\r\ndemand\r\n$10\r\nreplicas 1\r\n$6\r\nproven\r\n$10\r\nreplicas 1\r\n" +
			"$7\r\nheld_us\r\n:3000\r\n")
		c.send("SET pay:1 a")
		b.sleep(501 * time.Millisecond)
		c.expectError("UNCONFIRMED")
		c.send("HOLDFAST ACK")
		if got := c.take(); !strings.Contains(got, "unconfirmed") {
			t.Errorf("got %q", got)
		}
		c.send("SET x a")
		c.take()
		c.send("HOLDFAST ACK")
		if got := c.take(); !strings.Contains(got, "none") {
			t.Errorf("got %q", got)
		}
		c.send("HOLDFAST NACK")
		c.expectError("ERR", "HOLDFAST ACK")
	})
}

// A client that goes on sending is not read any more once much is held for it, and read again later.
func TestGateThatIsFullStopsReading(t *testing.T) {
	t.Parallel()
	long := func(r *policy.RouteSpec) { r.Timeout = time.Hour }
	inBubble(t, onRoute(oneReplica, long), func(b *bubble) {
		c := b.client()
		const all = gateHolds + 2*windowMax
		var text strings.Builder
		for i := range all {
			fmt.Fprintf(&text, "SET pay:%d a\r\n", i)
		}
		go c.conn.Write([]byte(text.String()))
		b.settle()
		if n := b.server.sent("set pay:"); n < gateHolds || n >= gateHolds+windowMax {
			t.Errorf("%d commands were sent", n)
		}
		for len(b.server.waiting()) > 0 {
			b.prove()
		}
		if got := c.take(); got != strings.Repeat("+OK\r\n", all) {
			t.Errorf("got %d bytes", len(got))
		}
	})
}

func TestGateBytesCountAsOutput(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.onLoop(func() { b.w.limits.ClientOutput = 120_000 })
		b.server.change(func() {
			b.server.instead["get"] = "$70000\r\n" + strings.Repeat("x", 70000) + "\r\n"
		})
		c.send("SET pay:1 a", "GET x")
		c.expect("")
		b.onLoop(func() {
			if b.w.outBytes < 70000 {
				t.Errorf("%d bytes count", b.w.outBytes)
			}
		})
		c.send("GET x")
		c.expectEnd()
		b.onLoop(func() {
			if b.w.outBytes != 0 {
				t.Errorf("%d bytes are left", b.w.outBytes)
			}
		})
	})
}

// A reply that would be streamed is gathered: no part of it may be with the client before its proof.
func TestLargeReplyIsHeldWhole(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		reply := fmt.Sprintf("$%d\r\n%s\r\n", 4*partialMax, strings.Repeat("x", 4*partialMax))
		b.server.change(func() { b.server.instead["getdel"] = reply })
		c.send("GETDEL pay:1", "GET x")
		c.expect("")
		b.prove()
		c.expect(reply + "$1\r\nx\r\n")
		b.server.change(func() { b.server.instead["exec"] = "*1\r\n" + reply })
		c.send("MULTI", "SET pay:1 a")
		c.expect("+OK\r\n+OK\r\n")
		c.send("EXEC", "GET x")
		c.expect("")
		b.prove()
		c.expect("*1\r\n" + reply + "$1\r\nx\r\n")
	})
}

// One that is too large for that ends its client, and nobody else's link.
func TestReplyTooLargeToBeHeld(t *testing.T) {
	defer func(before int) { callMax = before }(callMax)
	callMax = 3 * partialMax
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c, d := b.client(), b.client()
		d.send("GET x")
		reply := fmt.Sprintf("$%d\r\n%s\r\n", 9*partialMax, strings.Repeat("x", 9*partialMax))
		b.server.change(func() { b.server.instead["getdel"], b.server.held["incr"] = reply, true })
		c.send("GETDEL pay:1")
		c.expectEnd()
		d.send("INCR x", "GET x")
		b.server.answer(":1\r\n")
		d.expect("$1\r\nx\r\n:1\r\n$1\r\nx\r\n")
	})
}

func TestNoReplyNothingHeld(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.server.change(func() { b.server.instead["client reply off"] = "" })
		b.server.change(func() { b.server.instead["set pay:1 a"] = "" })
		c.send("CLIENT REPLY OFF", "SET pay:1 a", "CLIENT REPLY ON", "GET x")
		c.expect("+OK\r\n$1\r\nx\r\n")
		if n := b.outcomes(); n.Held != 0 || n.Hold.Count() != 0 {
			t.Errorf("held: %d, released: %d", n.Held, n.Hold.Count())
		}
	})
}

// Requests that are on no route cost no hold, and reads on a route neither.
func TestOthersPayNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET x a", "GET pay:1", "DEL y", "EVAL x 1 y")
		c.take()
		b.onLoop(func() {
			if n := b.w.counters; len(n.Demands) != 0 || n.Routes[0].Hold.Count() != 0 {
				t.Error("something was held")
			}
		})
	})
}

// Proofs that wait do not outlive the proxy: the drain waits for them.
func TestRoutesTakenAwayWhileRepliesAreHeld(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("MULTI", "SET pay:1 a")
		c.take()
		d := b.client()
		d.send("SET pay:1 a")
		b.onLoop(func() {
			r := b.w.rules
			r.routes, r.labels = nil, &telemetry.Labels{Commands: r.labels.Commands, Rules: r.labels.Rules}
			b.w.setRules(&r)
		})
		c.send("EXEC", "SET pay:1 b")
		c.expect("")
		for len(b.server.waiting()) > 0 {
			b.prove()
		}
		c.expect("*1\r\n+OK\r\n+OK\r\n")
		d.expect("+OK\r\n")
	})
}
