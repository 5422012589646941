package proxy

import "testing"

// A malformed reply closes its link, and the metric counts it: on a shared link, and on one whose
// replies are looked at one by one.
func TestMalformedRepliesAreCounted(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		b.server.change(func() { b.server.instead["get"], b.server.instead["blpop"] = "garbage\r\n", "garbage\r\n" })
		for i, line := range []string{"GET x", "BLPOP x 0"} {
			c := b.client()
			c.send("HELLO 3")
			c.take()
			c.send(line)
			c.expectError("UPSTREAM")
			b.onLoop(func() {
				if got := b.w.counters.ReplyErrors; got != uint64(i+1) {
					t.Errorf("%s: %d malformed replies counted, want %d", line, got, i+1)
				}
			})
		}
	})
}
