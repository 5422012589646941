package proxy

import "testing"

// TestLookAtLinksThatGo: a look at one link parks it, which makes room by closing another parked link,
// whose end closes the rest of the lane.
func TestLookAtLinksThatGo(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		b.server.change(func() { b.server.held["get"] = true })
		c := b.client()
		c.send("GET x")
		b.onLoop(func() {
			w := b.w
			var ln *lane
			for l := range w.links {
				if l.lane != nil && l.reqs.len() > 0 {
					ln = l.lane
				}
			}
			more := func() *link {
				l := w.makeLink(ln.ident, ln.key)
				l.lane = ln
				w.room.open(l)
				return l
			}
			first, stuck := more(), ln.links[0]
			ln.links = []*link{first, stuck}
			for range maxParked {
				l := more()
				l.stall.parked = true
				ln.parked = append(ln.parked, l)
			}
			r := ln.parked[0].reqs.push()
			r.mode, r.call = modeCall, &call{done: func([]byte, bool) { first.fail(errParked) }}
			// Silent since the beginning, while the server answered others.
			stuck.stall.sent = stuck.conn.Sent()
			stuck.reqs.front().start = w.loop.Now() - 2*stallAfter
			stuck.lastActive = stuck.reqs.front().start
			stuck.stall.sentAt = stuck.reqs.front().start
			w.watch.read.sent = w.loop.Now()
			if ln.look(); len(ln.links) != 0 || !stuck.stall.parked || !first.closed {
				t.Errorf("%d links; parked %v, closed %v", len(ln.links), stuck.stall.parked, first.closed)
			}
		})
	})
}

// TestParkedLinksLeaveTheirPlaces: a link that is stuck and parked, and one that is opened for its reads,
// take no place of a user's shared links.
func TestParkedLinksLeaveTheirPlaces(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		c := b.client()
		c.send("GET x")
		b.onLoop(func() {
			var l *link
			for x := range b.w.links {
				if x.lane != nil && x.ident.key == defaultKey {
					l = x
				}
			}
			shared := l.ident.shared
			beside := l.lane.openBeside()
			if l.ident.shared != shared || beside.waits != 0 {
				t.Errorf("%d shared links, want %d; waits %d", l.ident.shared, shared, beside.waits)
			}
			l.park()
			if l.ident.shared != shared-1 {
				t.Errorf("%d shared links after one was parked, want %d", l.ident.shared, shared-1)
			}
			l.fail(errParked)
			beside.fail(errParked)
			if l.ident.shared != shared-1 || b.w.room.begun < 0 {
				t.Errorf("%d shared links at the end, want %d; begun %d", l.ident.shared, shared-1, b.w.room.begun)
			}
		})
	})
}
