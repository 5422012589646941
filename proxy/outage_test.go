package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

const textRefused = "-UPSTREAM the server cannot be reached (io: read/write on closed pipe); " +
	"the command was not executed; it is safe to send it again; see docs/errors.md#upstream\r\n"

// goAway ends the server's process, and has nothing answer in its place.
func (b *bubble) goAway() {
	b.server.change(func() { b.server.refuse = true })
	b.server.cut("")
	b.settle()
}

// comeBack has another process answer.
func (b *bubble) comeBack() {
	b.server.change(func() { b.server.refuse, b.server.runID = false, "run-2" })
}

func inOutage(t *testing.T, routes []policy.RouteSpec, hold time.Duration, test func(b *bubble)) {
	inBubble(t, routes, func(b *bubble) {
		b.onLoop(func() { b.w.outage.setHold(hold) })
		test(b)
	})
}

func TestCommandsWaitForTheServer(t *testing.T) {
	for _, warm := range []bool{false, true} { // with and without a link from before
		inOutage(t, nil, 5*time.Second, func(b *bubble) {
			c, d := b.client(), b.client()
			if warm {
				c.send("GET x")
				c.expect("$1\r\nx\r\n")
			}
			b.goAway()
			c.send("INCR n", "GET x", "SELECT 1", "INCR n", "PING")
			d.send("MULTI", "SET a b", "EXEC")
			b.sleep(4600 * time.Millisecond)
			c.expect("")
			d.expect("")
			b.comeBack()
			b.sleep(300 * time.Millisecond)
			c.expect(":1\r\n$1\r\nx\r\n+OK\r\n:1\r\n+PONG\r\n")
			d.expect("+OK\r\n+OK\r\n*1\r\n+OK\r\n")
			if n := b.server.sent("incr"); n != 2 {
				t.Errorf("INCR was sent %d times, want 2", n)
			}
		})
	}
}

func TestCommandsAreAnsweredWhenTheHoldIsOver(t *testing.T) {
	for name, row := range map[string]struct{ send, want string }{
		"plain":       {"GET x", "E"},
		"pipeline":    {"GET x|INCR n|GET y", "E|E|E"},
		"HELLO":       {"HELLO 3|GET x", "E."},
		"AUTH":        {"AUTH u p|GET x", "E."},
		"SELECT":      {"SELECT 3|INCR n", "E."},
		"script":      {"EVAL x 0", "E"},
		"name":        {"CLIENT SETNAME x", "E"},
		"blocking":    {"BLPOP x 0", "E"},
		"WAIT":        {"WAIT 1 0", "E"},
		"INFO":        {"INFO", "E"},
		"unknown":     {"NEWLY x", "E"},
		"stateful":    {"SUBSCRIBE c|PING", "E."},
		"replies":     {"CLIENT REPLY OFF|GET x", "E."},
		"tracking":    {"CLIENT TRACKING ON|GET x", "E."},
		"transaction": {"MULTI|SET a b|EXEC|GET x", "E|-BUSY MULTI|-EXECABORT|E"},
		"watch":       {"WATCH k|MULTI|SET a b|EXEC", "E."},
		"QUIT":        {"GET x|QUIT", "E|+OK."},
	} {
		for _, hold := range []time.Duration{0, time.Second} {
			inOutage(t, nil, hold, func(b *bubble) {
				c := b.client()
				b.goAway()
				c.send(strings.Split(row.send, "|")...)
				b.sleep(hold)
				want, ends := strings.CutSuffix(row.want, ".")
				got := c.take()
				rest := got
				for _, w := range strings.Split(want, "|") {
					if w == "E" {
						w = textRefused
					}
					line, after, _ := strings.Cut(rest, "\n")
					if !strings.HasPrefix(line+"\n", w) {
						t.Fatalf("%s, hold %v: got %q, want %s", name, hold, got, row.want)
					}
					rest = after
				}
				if rest != "" {
					t.Errorf("%s, hold %v: got %q behind what was expected", name, hold, rest)
				}
				if ends {
					c.expectEnd()
				}
				if n := b.server.sent("set") + b.server.sent("incr"); n > 0 {
					t.Errorf("%s, hold %v: something was sent", name, hold)
				}
			})
		}
	}
}

// The clock is the outage's: a long one does not make every command wait.
func TestALongOutageFailsAtOnce(t *testing.T) {
	inOutage(t, nil, time.Second, func(b *bubble) {
		c := b.client()
		c.send("GET x")
		c.take()
		b.goAway()
		c.send("GET x")
		b.sleep(1100 * time.Millisecond)
		c.expect(textRefused)
		for range 20 {
			b.sleep(777 * time.Millisecond)
			c.send("GET x")
			c.expect(textRefused)
		}
		b.comeBack()
		b.sleep(2 * time.Second) // the longest pause between attempts
		c.send("GET x")
		c.expect("$1\r\nx\r\n")
		b.goAway()
		c.send("GET x")
		b.sleep(900 * time.Millisecond)
		c.expect("") // another outage, another clock
	})
}

// What was sent is answered at once, and never sent again.
func TestWhatWasSentIsNotHeld(t *testing.T) {
	inOutage(t, nil, 5*time.Second, func(b *bubble) {
		b.server.change(func() { b.server.held["incr"] = true })
		c := b.client()
		c.send("INCR n", "INCR n")
		b.goAway()
		c.send("GET x")
		lost := "-UPSTREAM the link to the server broke (closed by the server); the command may have " +
			"been executed; check before sending it again; see docs/errors.md#upstream\r\n"
		c.expect(lost + lost)
		b.server.change(func() { b.server.held = map[string]bool{} })
		b.comeBack()
		b.sleep(300 * time.Millisecond)
		c.expect("$1\r\nx\r\n")
		if n := b.server.sent("incr"); n > 2 {
			t.Errorf("INCR was sent %d times", n)
		}
	})
}

// What depends on a change of the connection that was lost on the way is not carried out: it would go
// to another database, or run as another user.
func TestNothingFollowsALostChange(t *testing.T) {
	for name, held := range map[string]string{"SELECT 3": "select", "AUTH u p": "auth",
		"HELLO 2": "hello"} {
		inOutage(t, nil, 5*time.Second, func(b *bubble) {
			c := b.client()
			c.send("GET x")
			c.take()
			if name == "HELLO 2" {
				c.send("CLIENT GETNAME") // opens the lobby
				c.take()
			}
			b.server.change(func() { b.server.held[held] = true })
			c.send(name, "INCR n")
			b.goAway()
			b.server.change(func() { b.server.held = map[string]bool{} })
			b.comeBack()
			b.sleep(time.Second)
			if got := c.take(); !strings.HasPrefix(got, "-UPSTREAM ") || strings.Count(got, "\r\n") != 1 {
				t.Errorf("%s: got %q", name, got)
			}
			c.expectEnd()
			if n := b.server.sent("incr"); n != 0 {
				t.Errorf("%s: INCR was carried out", name)
			}
		})
	}
}

// Its client may have sent the command again on another connection.
func TestHeldCommandsAreDroppedWithTheirClient(t *testing.T) {
	inOutage(t, nil, 5*time.Second, func(b *bubble) {
		gone, stays := b.client(), b.client()
		b.goAway()
		gone.send("INCR n", "INCR n")
		stays.send("GET x")
		b.sleep(time.Second)
		gone.conn.Close()
		b.comeBack()
		b.sleep(300 * time.Millisecond)
		stays.expect("$1\r\nx\r\n")
		if b.server.sent("incr") != 0 {
			t.Error("it was executed")
		}
		b.onLoop(func() {
			if n := len(b.w.sessions); n != 1 {
				t.Errorf("%d sessions are left, want 1", n)
			}
		})
	})
}

func TestDrainEndsHolds(t *testing.T) {
	inOutage(t, nil, time.Hour, func(b *bubble) {
		c := b.client()
		b.goAway()
		c.send("SET a b", "SET a c")
		b.sleep(time.Second)
		b.onLoop(b.w.drain)
		c.expect(string(resp.AppendOwnError(nil, textDraining)))
		b.sleep(time.Second)
		c.expectEnd()
	})
}

// A client that sends on while it is held is not read any further.
func TestHeldClientsAreNotReadOn(t *testing.T) {
	inOutage(t, nil, time.Hour, func(b *bubble) {
		c := b.client()
		b.goAway()
		line := "SET a " + strings.Repeat("x", 1<<10) + "\r\n"
		sent := 0
		go func() {
			for range 4 * waitHigh / len(line) {
				n, err := fmt.Fprint(c.conn, line)
				if err != nil {
					return
				}
				sent += n
			}
		}()
		b.settle()
		b.onLoop(func() {
			for _, s := range b.w.sessions {
				if !s.conn.ReadPaused() || len(s.in.buf) < waitHigh || len(s.in.buf) > waitHigh+readBuffer ||
					b.w.inputBytes != int64(len(s.in.buf)) {
					t.Errorf("%d bytes are kept of %d, paused %v, %d counted", len(s.in.buf), sent,
						s.conn.ReadPaused(), b.w.inputBytes)
				}
			}
		})
	})
}

// A durable write that waited is judged by what can be proven when the server is back.
func TestHeldWritesMeetTheirRouteAfterwards(t *testing.T) {
	inOutage(t, onRoute(oneReplica), 5*time.Second, func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.prove()
		c.expect("+OK\r\n")
		b.goAway()
		c.send("SET pay:1 b", "GET x")
		b.sleep(4 * time.Second)
		c.expect("")
		b.comeBack()
		b.server.change(func() { b.server.replicas = nil })
		b.sleep(2 * time.Second)
		got := c.take()
		if !strings.HasPrefix(got, "-NODURABLE ") || !strings.HasSuffix(got, "\r\n$1\r\nx\r\n") {
			t.Errorf("got %q", got)
		}
		if b.server.sent("set pay:1") != 1 {
			t.Error("it was executed")
		}
	})
}

func TestConsoleShowsTheOutage(t *testing.T) {
	inOutage(t, nil, 5*time.Second, func(b *bubble) {
		if o, err := outageOf(b.t.Context(), b.srv.loops); o != nil || err != nil {
			t.Errorf("before: got %+v, %v", o, err)
		}
		c, d := b.client(), b.client()
		b.goAway()
		c.send("GET x")
		d.send("GET x")
		b.sleep(2 * time.Second)
		o, err := outageOf(b.t.Context(), b.srv.loops)
		if err != nil || o == nil || o.Held != 2 || o.Left <= 0 || o.Left > 3*time.Second ||
			o.Next > 250*time.Millisecond || o.For < 2*time.Second || !strings.Contains(o.Why, "closed") {
			t.Errorf("got %+v, %v", o, err)
		}
		b.sleep(4 * time.Second)
		if o, _ = outageOf(b.t.Context(), b.srv.loops); o == nil || o.Held != 0 || o.Left != 0 {
			t.Errorf("after the hold: got %+v", o)
		}
		b.onLoop(func() {
			if n := b.w.counters.HoldsExpired; n != 2 {
				t.Errorf("%d holds expired, want 2", n)
			}
		})
	})
}

// Clients that connect during an outage wait for the server to say whether they must log in.
func TestNewClientsWaitAtTheDoor(t *testing.T) {
	inOutage(t, nil, 5*time.Second, func(b *bubble) {
		b.goAway()
		c, d := b.client(), b.client()
		c.send("GET x", "INCR n")
		b.sleep(2 * time.Second)
		d.send("AUTH u p")
		c.expect("")
		b.comeBack()
		b.sleep(300 * time.Millisecond)
		c.expect("$1\r\nx\r\n:1\r\n")
		d.expect("+OK\r\n")
		b.goAway()
		c, d = b.client(), b.client()
		c.send("GET x", "GET y")
		d.send("QUIT")
		b.sleep(100 * time.Millisecond)
		d.expect("+OK\r\n")
		b.sleep(5 * time.Second)
		c.expect(textRefused + textRefused)
		e := b.client()
		e.send("GET x")
		e.expect(textRefused) // at once
	})
}

// Not even an error is said to a browser.
func TestHTTPIsClosedDuringAnOutage(t *testing.T) {
	inOutage(t, nil, 0, func(b *bubble) {
		b.goAway()
		c := b.client()
		c.send("POST / HTTP/1.1", "Host: x", "", "SET a b")
		c.expect("")
		c.expectEnd()
	})
}

// A command that waits for the server has not been judged: when the server is back it takes from its
// rule's limit, and counts, once.
func TestALimitIsTakenOnceTheServerIsBack(t *testing.T) {
	limited := func(o *Options) {
		o.Rules = []policy.RuleSpec{{
			Name: "limited", Commands: []string{"incr"}, Action: "allow",
			Limit: &policy.LimitSpec{Rate: "1/h", Burst: 1},
		}}
		o.Hold = 5 * time.Second
	}
	inBubble(t, nil, func(b *bubble) {
		b.goAway()
		c := b.client()
		c.send("INCR n", "INCR n")
		b.sleep(time.Second)
		c.expect("")
		b.comeBack()
		b.sleep(300 * time.Millisecond)
		if got := c.take(); !strings.HasPrefix(got, ":1\r\n-THROTTLED") {
			t.Errorf("got %q", got)
		}
		b.onLoop(func() {
			if n := b.w.counters.Rules[0]; n.Allowed != 1 || n.Throttled != 1 {
				t.Errorf("%d were allowed and %d throttled, want one of each", n.Allowed, n.Throttled)
			}
		})
	}, limited)
}

// The same holds for one that has just connected, while the server is asked about it.
func TestNothingFollowsAChangeThatWasLostAtTheDoor(t *testing.T) {
	for _, line := range []string{"SELECT 3", "AUTH u p", "HELLO 3 AUTH u p", "HELLO 3", "WATCH k", "SUBSCRIBE x",
		"CLIENT REPLY OFF"} {
		inOutage(t, nil, 5*time.Second, func(b *bubble) {
			b.client().send("GET x") // a link stays: this is no outage
			b.server.change(func() { b.server.held["reset"] = true })
			c := b.client()
			c.send(line)
			b.server.change(func() { b.server.held = map[string]bool{} })
			if b.server.cut("reset") != 1 {
				t.Fatal("more than the link for questions was cut")
			}
			if got := c.take(); !strings.HasPrefix(got, "-UPSTREAM ") || strings.Count(got, "\r\n") != 1 {
				t.Errorf("%s: got %q", line, got)
			}
			c.expectEnd()
		})
	}
}
