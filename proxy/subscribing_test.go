package proxy

import (
	"testing"
	"time"
)

// On a loaded machine a subscription may take longer than users should wait for it.
func init() { subscribeWait = 4 * time.Second }

// A subscription that is not confirmed holds a PUBLISH up for a bounded time, and once.
func TestPublishDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		b.server.change(func() {
			b.server.held["subscribe"], b.server.instead["publish"] = true, ":0\r\n"
		})
		subscriber, publisher := b.client(), b.client()
		subscriber.send("SUBSCRIBE ch")
		publisher.send("PUBLISH ch m", "GET x")
		b.sleep(subscribeWait - time.Millisecond)
		publisher.expect("")
		b.sleep(time.Millisecond)
		publisher.expect(":0\r\n$1\r\nx\r\n")
		publisher.send("PUBLISH ch m")
		publisher.expect(":0\r\n")
	})
}
