package proxy

import (
	"testing"
	"time"
)

// A client whose host was turned away of late begins among the refused, and has its place as soon as the
// server carries something out for it.
func TestWhoComesAgainIsStillRefused(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		refused := func() (n int) {
			b.onLoop(func() {
				for _, s := range b.w.sessions {
					if s.refused {
						n++
					}
				}
			})
			return n
		}
		b.server.change(func() { b.server.instead["auth"] = "-WRONGPASS wrong\r\n" })
		for _, line := range []string{"AUTH wrong", "AUTH user wrong", "HELLO 3 AUTH user wrong"} {
			if line[0] == 'H' {
				b.server.change(func() { b.server.instead["hello 3 auth user wrong"] = "-WRONGPASS wrong\r\n" })
			}
			b.sleep(time.Duration(awayFor) + time.Second)
			c := b.client()
			if n := refused(); n != 0 {
				t.Fatalf("%d refused before %s", n, line)
			}
			c.send(line)
			b.sleep(10 * time.Millisecond)
			c.expect("-WRONGPASS wrong\r\n")
			c.conn.Close()
			b.settle()
			again := b.client()
			if n := refused(); n != 1 {
				t.Errorf("after %s a new client is not behind the others", line)
			}
			again.send("GET x")
			b.sleep(10 * time.Millisecond)
			again.expect("$1\r\nx\r\n")
			if n := refused(); n != 0 {
				t.Errorf("after %s, and a command that was carried out, it is still behind them", line)
			}
			again.conn.Close()
		}
	})
}
