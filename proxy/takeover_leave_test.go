package proxy

import (
	"sync"
	"testing"
	"time"

	"holdfast/proxy/resp"
)

// When another process takes over, a session ends between two commands, and one that has just been accepted gets its
// first answer before. A silent session does not hold the others up.
func TestLeave(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		silent := b.client()
		b.sleep(time.Second)
		old, fresh := b.client(), b.client()
		old.send("GET x")
		old.expect("$1\r\nx\r\n")
		b.onLoop(b.w.leave)
		if n := len(b.w.sessions); n != 1 {
			t.Errorf("%d sessions are left, want the fresh one", n)
		}
		fresh.send("GET y")
		fresh.expect("$1\r\nx\r\n")
		b.sleep(leaveLook)
		if n := len(b.w.sessions); n != 0 {
			t.Errorf("%d sessions are left, want none", n)
		}
		b.sleep(time.Second)
		for _, c := range []*fakeClient{silent, old, fresh} {
			c.expect("")
			c.expectEnd()
		}
	})
}

func TestLeaveSilentNewcomer(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		c := b.client()
		b.onLoop(b.w.leave)
		b.sleep(newFor + leaveLook)
		if n := len(b.w.sessions); n != 0 {
			t.Errorf("%d sessions are left, want none", n)
		}
		b.sleep(time.Second)
		c.expectEnd()
	})
}

// A command that waits for its link is sent when the link comes in time, and refused when it does not.
func TestLeaveWithUnbegunCommands(t *testing.T) {
	for _, comes := range []bool{true, false} {
		inBubble(t, nil, func(b *bubble) {
			c := b.client()
			c.send("SELECT 1")
			c.expect("+OK\r\n")
			hold := make(chan struct{})
			b.server.change(func() { b.server.hold = hold })
			dials := sync.OnceFunc(func() {
				b.server.change(func() { b.server.hold = nil })
				close(hold)
			})
			defer dials()
			c.send("SET a b")
			b.onLoop(b.w.leave)
			c.expect("")
			if comes {
				dials()
				c.expect("+OK\r\n")
				b.sleep(leaveLook)
			} else {
				b.sleep(unbegunFor + leaveLook)
				c.expect(string(resp.AppendOwnError(nil, textDraining)))
				dials()
			}
			if n := len(b.w.sessions); n != 0 {
				t.Errorf("%d sessions are left, want none", n)
			}
			b.sleep(time.Second)
			c.expectEnd()
		})
	}
}
