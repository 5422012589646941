package proxy

import (
	"fmt"
	"testing"
)

// Servers end a connection that is not logged in when more than 1,024 bytes of replies to it are
// unread. Clients that log in while the server stands still do not end each other's.
func TestUnreadRepliesOfStrangers(t *testing.T) {
	const longestAuth = 130 // -ERR AUTH <password> called without any password configured …
	inBubble(t, nil, func(b *bubble) {
		clients := make([]*fakeClient, 60)
		for i := range clients {
			clients[i] = b.client()
		}
		b.server.change(func() {
			b.server.held["reset"] = true
			for i := range clients {
				b.server.instead[fmt.Sprintf("auth wrong%d", i)] = fmt.Sprintf("-WRONGPASS %d\r\n", i)
			}
		})
		for i, c := range clients {
			c.send(fmt.Sprintf("AUTH wrong%d", i))
		}
		last := len(clients) - 1
		clients[last].conn.Close() // while it waits for room
		b.settle()
		outstanding := func() (n, unread int) {
			b.onLoop(func() {
				reqs := &b.w.outside().reqs
				n = reqs.len()
				for i := range n {
					if reqs.at(i).s == nil {
						unread += len(replyReset)
					} else {
						unread += longestAuth
					}
				}
			})
			return n, unread
		}
		for n, unread := outstanding(); n > 0; n, unread = outstanding() {
			if unread > 1024 {
				t.Errorf("the server may have to hold %d bytes", unread)
			}
			b.server.answerTo("reset", "+RESET\r\n")
			b.settle()
		}
		for i, c := range clients[:last] {
			c.expect(fmt.Sprintf("-WRONGPASS %d\r\n", i))
		}
		b.onLoop(func() {
			if r := &b.w.door.room; r.unread != 0 || len(r.queue) != 0 {
				t.Errorf("%d bytes are expected, %d clients wait", r.unread, len(r.queue))
			}
		})
	})
}
