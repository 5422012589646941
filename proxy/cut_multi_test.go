package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// At whatever step of a transaction the way to the server breaks, nothing of it is carried out by itself,
// and no EXEC reaches a connection that is in no transaction: the client is disconnected, or refused up to
// its EXEC, which is answered -EXECABORT or -UPSTREAM.
func TestATransactionIsCutAtEachStep(t *testing.T) {
	for _, row := range []struct {
		step   string // whose reply is held while the link is cut
		before int    // how many of the lines are sent before
		warm   bool   // the client has used the proxy before
	}{
		{step: "reset", before: 1}, // the door: may the client be let in?
		{step: "ping", before: 1},
		{step: "hello", before: 1, warm: true}, // the link for the transaction
		{step: "select", before: 1, warm: true},
		{step: "multi", before: 1, warm: true}, {step: "multi", before: 2, warm: true},
		{step: "multi", before: 3, warm: true}, {step: "multi", before: 4, warm: true},
		{step: "set", before: 2, warm: true}, {step: "set", before: 4, warm: true},
		{step: "exec", before: 4, warm: true},
		{step: "info", before: 4, warm: true}, // what EXEC's reply is edited by
	} {
		for _, hold := range []time.Duration{0, 5 * time.Second} {
			for _, refused := range []bool{false, true} { // for a while nothing answers
				for _, onePacket := range []bool{false, true} {
					name := fmt.Sprintf("%s before %d, hold %v, refused %v, one packet %v", row.step, row.before,
						hold, refused, onePacket)
					inOutage(t, nil, hold, func(b *bubble) {
						cutTransaction(b, name, row.step, row.before, row.warm, refused, onePacket)
					})
				}
			}
		}
	}
}

func cutTransaction(b *bubble, name, step string, before int, warm, refused, onePacket bool) {
	lines := []string{"MULTI", "SET inside 1", "CLIENT LIST", "EXEC", "GET x"}
	var c *fakeClient
	if warm {
		c = b.client()
		c.send("GET x", "SELECT 1", "GET x")
		c.take()
	}
	b.server.change(func() { b.server.held[step] = true })
	if !warm {
		c = b.client()
	}
	c.sendEach(onePacket, lines[:before])
	b.server.change(func() {
		b.server.held = map[string]bool{}
		b.server.refuse = refused
	})
	b.server.cut(step)
	b.settle()
	if refused {
		b.sleep(time.Second)
	}
	b.server.change(func() { b.server.refuse = false })
	c.sendEach(onePacket, lines[before:])
	b.sleep(10 * time.Second)
	got := c.take()
	b.server.change(func() {
		if len(b.server.strays) > 0 {
			b.t.Errorf("%s: by itself came %q; the client got %q", name, b.server.strays, got)
		}
	})
	if strings.Contains(got, "without MULTI") {
		b.t.Errorf("%s: the client got %q", name, got)
	}
}

// sendEach sends lines one by one, or at once, as long as the connection is open.
func (c *fakeClient) sendEach(onePacket bool, lines []string) {
	if onePacket {
		lines = []string{strings.Join(lines, "\r\n")}
	}
	for _, line := range lines {
		c.mu.Lock()
		over := c.over
		c.mu.Unlock()
		if over || line == "" {
			return
		}
		c.send(line)
	}
}
