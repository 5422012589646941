package proxy

import (
	"strings"
	"testing"
)

// TestCensusWaitsForIDs: by a unix socket nothing tells a link that is opening from the connections of
// others but the id that its HELLO asks for. A census that did not wait for it would show the link as a
// stranger's, for CLIENT KILL to end.
func TestCensusWaitsForIDs(t *testing.T) {
	t.Parallel()
	for address, first := range map[string]int{"unix:/fake": -1, "fake:1": 0} {
		inBubble(t, nil, func(b *bubble) {
			b.server.change(func() { b.server.held["hello"] = true })
			c := b.client()
			c.send("BLPOP x 0")
			ids := -1
			b.onLoop(func() { b.w.countAll(func(c *census) { ids = len(c.links) }) })
			if ids != first {
				t.Errorf("%s: %d ids while links open, want %d", address, ids, first)
			}
			opening := 0
			for _, line := range b.server.waiting() {
				if strings.HasPrefix(line, "hello") {
					opening++
					b.server.answerTo("hello", "*2\r\n$2\r\nid\r\n:77\r\n")
				}
			}
			b.settle()
			if first < 0 && (opening == 0 || ids != 1) {
				t.Errorf("%s: %d ids of %d links", address, ids, opening)
			}
		}, func(o *Options) { o.Upstream.Address = address })
	}
}
