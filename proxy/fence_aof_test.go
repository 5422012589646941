package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/durable"
)

const fsynced = "*2\r\n:1\r\n:0\r\n" // what WAITAOF says

// onAOF runs a test in which the side link has made its one write already, with a server whose
// WAITAOF can be believed under everysec, too.
func onAOF(t *testing.T, test func(b *bubble, c *fakeClient)) {
	slow := func(r *policy.RouteSpec) { r.Timeout = 10 * time.Second }
	inBubble(t, onRoute(policy.Demand{AOFLocal: true}, slow), func(b *bubble) {
		b.server.change(func() { b.server.version = []string{"redis_version:8.0.2"} })
		b.sleep(3 * time.Second) // so that the proxy knows
		c := b.client()
		c.send("SET pay:0 a")
		b.server.answer(fsynced)
		c.expect("+OK\r\n")
		if n := b.server.marks(); n != 1 {
			t.Fatalf("%d marks", n)
		}
		test(b, c)
	})
}

// marks is how many fences have made a write of their own.
func (f *fakeServer) marks() int { return f.sent("set holdfast:fence") }

func TestAOFFenceWritesOnce(t *testing.T) {
	t.Parallel()
	onAOF(t, func(b *bubble, c *fakeClient) {
		before := len(b.server.commands())
		for range 3 {
			c.send("SET pay:1 a")
			c.expect("")
			b.server.answer(fsynced)
			c.expect("+OK\r\n")
		}
		if n := b.server.marks(); n != 1 {
			t.Errorf("%d marks", n)
		}
		// What WAITAOF answers counts only behind what CONFIG GET says.
		lines := b.server.commands()[before:]
		config := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "config get") })
		wait := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "waitaof 1 0 ") })
		if config < 0 || wait < config {
			t.Errorf("sent: %q", lines)
		}
	})
}

// commands is what the server was sent, in its order.
func (f *fakeServer) commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// Under everysec WAITAOF is about the fence's own write, on a server that does not answer early, too.
func TestAOFFenceUnderEverysecWrites(t *testing.T) {
	t.Parallel()
	onAOF(t, func(b *bubble, c *fakeClient) {
		b.server.change(func() { b.server.config["appendfsync"] = "everysec" })
		c.send("SET pay:1 a")
		b.server.answer(fsynced)
		b.sleep(10 * time.Millisecond)
		c.expect("")
		b.server.answer(fsynced)
		c.expect("+OK\r\n")
		for i := range 3 {
			c.send("SET pay:1 a")
			b.server.answer(fsynced)
			c.expect("+OK\r\n")
			if n := b.server.marks(); n != i+3 {
				t.Fatalf("%d marks after %d proofs", n, i+1)
			}
		}
	})
}

// A setting that is changed in between proves nothing, and the next fence writes again.
func TestAOFFenceWithoutAWriteNeedsAlways(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *fakeServer){
		"everysec":             func(f *fakeServer) { f.config["appendfsync"] = "everysec" },
		"no fsync in rewrites": func(f *fakeServer) { f.config["no-appendfsync-on-rewrite"] = "yes" },
		"off":                  func(f *fakeServer) { f.config["appendonly"] = "no" },
	} {
		t.Run(name, func(t *testing.T) {
			onAOF(t, func(b *bubble, c *fakeClient) {
				was := map[string]string{"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
				b.server.change(func() { change(b.server) })
				c.send("SET pay:1 a")
				b.server.answer(fsynced)
				c.expect("")
				b.server.change(func() {
					for k, v := range was {
						b.server.config[k] = v
					}
				})
				marks := b.server.marks()
				b.sleep(10 * time.Millisecond)
				if b.server.marks() != marks+1 {
					t.Fatalf("the next fence did not write: %q", b.server.commands())
				}
				c.expect("")
				b.server.answer(fsynced)
				c.expect("+OK\r\n")
			})
		})
	}
}

// As long as the file is not complete after it was turned on, WAITAOF waits for the one write that
// the connection made; what it says when that takes too long proves nothing.
func TestAOFFenceWithoutAWriteThatFallsShort(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"*2\r\n:0\r\n:0\r\n", "-ERR WAITAOF cannot be used\r\n"} {
		onAOF(t, func(b *bubble, c *fakeClient) {
			c.send("SET pay:1 a")
			b.server.answer(answer)
			b.sleep(10 * time.Millisecond)
			c.expect("")
			if n := b.server.marks(); n != 2 {
				t.Errorf("%d marks", n)
			}
			b.server.answer(fsynced)
			c.expect("+OK\r\n")
		})
	}
}

// WAITAOF for replicas is about a write of the fence's own, whatever the primary's settings.
func TestAOFFenceOfReplicasWrites(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(policy.Demand{AOFLocal: true, AOFReplicas: 1}), func(b *bubble) {
		b.provable(durable.Availability{Replicas: 1, AOFReplicas: 1})
		c := b.client()
		for i := range 2 {
			c.send("SET pay:1 a")
			b.server.answer("*2\r\n:1\r\n:9\r\n")
			c.expect("+OK\r\n")
			if n := b.server.marks(); n != i+1 {
				t.Fatalf("%d marks after %d proofs", n, i+1)
			}
		}
	})
}

// A new connection of the proof's has not written yet, and WAITAOF would succeed on it at once.
func TestAOFFenceOnANewConnectionWrites(t *testing.T) {
	t.Parallel()
	onAOF(t, func(b *bubble, c *fakeClient) {
		b.server.cut("set holdfast:fence")
		b.sleep(time.Second)
		c.send("SET pay:1 a")
		if n := b.server.marks(); n != 2 {
			t.Errorf("%d marks", n)
		}
		b.server.answer(fsynced)
		c.expect("+OK\r\n")
	})
}

// A server that is found to be in cluster mode only later has no place for marks: writes are refused
// before they are executed.
func TestClusterModeThatShowsLater(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(policy.Demand{AOFLocal: true}), func(b *bubble) {
		b.server.change(func() { b.server.version = append(b.server.version, "cluster_enabled:1") })
		b.sleep(3 * time.Second)
		c := b.client()
		c.send("SET pay:1 a")
		c.expectError("NODURABLE", "cluster mode")
		if b.server.sent("set pay:1") != 0 {
			t.Error("it was executed")
		}
	})
}
