package proxy

import (
	"testing"
	"time"

	"holdfast/policy"
)

// onRoute is a route for the keys pay:*.
func onRoute(d policy.Demand, change ...func(*policy.RouteSpec)) []policy.RouteSpec {
	r := policy.RouteSpec{Name: "payments", Keys: []string{"pay:*"}, Demand: d, Timeout: 500 * time.Millisecond}
	for _, f := range change {
		f(&r)
	}
	return []policy.RouteSpec{r}
}

var oneReplica = policy.Demand{Replicas: 1}

func TestReplyIsHeldUntilTheFence(t *testing.T) {
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a", "GET x", "SET plain b")
		c.expect("")
		b.server.catchUp()
		b.server.answer(":1\r\n")
		c.expect("+OK\r\n$1\r\nx\r\n+OK\r\n")
	})
}

func TestFenceCoversWhatWasAnsweredBeforeIt(t *testing.T) {
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		first, second := b.client(), b.client()
		first.send("SET pay:1 a")
		if got := b.server.waiting(); len(got) != 1 {
			t.Fatalf("waiting: %q", got)
		}
		second.send("SET pay:2 b") // answered while the fence is in the air
		b.server.catchUp()
		b.server.answer(":1\r\n")
		first.expect("+OK\r\n")
		second.expect("")
		b.server.catchUp()
		b.server.answer(":1\r\n")
		second.expect("+OK\r\n")
	})
}
