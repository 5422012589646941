package durable

import (
	"holdfast/proxy/queue"
	"holdfast/proxy/telemetry"
)

// A Gate queues a session's output while any of its replies is held: on a durable route the client
// gets its reply only once the write is proven. All later output to the client queues behind the
// oldest held reply, in order; the session's later commands are still executed.
//
//	buf   +OK…(held)  :1 $3 abc  +OK…(held)  :2
//	      ^ holds[0]             ^ holds[1]
//
// Fences prove writes; the gate only knows which of its holds are settled. Bytes leave it strictly
// from the front, up to the first unsettled hold.
//
// Invariants:
//
//   - A session has a gate exactly while a reply of it is held, or an answer is being given that may
//     be (Expect). Without one, its output costs a comparison with nil.
//   - No byte of a held reply, nor of later output, reaches the client before the hold is settled.
//   - A held reply is delivered whole as it came (confirmed), or not at all: then an error takes its
//     place, or the connection ends before it.
//   - A session that ends leaves holds without effect; they stay in the queues of the fences
//     until the fences reach them.
//
// The session forgets its gate when a method says that the gate is closed; the gate is then reused.
//
// The rejected design keeps each held reply with its command, and later replies in the link: that
// blocks other sessions, and a session could not execute further commands.
type Gate struct {
	p      *Pipeline
	client Client // nil: closed
	buf    []byte
	off    int    // bytes of buf already delivered
	base   uint64 // position, in the stream of the gate's bytes, of buf[0]
	holds  queue.Queue[*Hold]

	answering *Hold // of the command whose answer comes by Put; nil: none
	releasing bool  // it is in Pipeline.released
}

const (
	// gateBytes and gateHolds bound a gate; at either its session's input is no longer read.
	gateBytes = 1 << 20
	gateHolds = 16 << 10
	// gateKeep is the largest buffer that a closed gate keeps.
	gateKeep = 64 << 10
)

// Gate opens a gate for a session.
func (p *Pipeline) Gate(c Client) *Gate {
	var g *Gate
	if k := len(p.spare.gates); k > 0 {
		g = p.spare.gates[k-1]
		p.spare.gates = p.spare.gates[:k-1]
	} else {
		g = &Gate{p: p}
	}
	g.client = c
	return g
}

// Full reports whether the session's further commands have to wait.
func (g *Gate) Full() bool { return g.Len() >= gateBytes || g.holds.Len() >= gateHolds }

// Len returns the number of waiting bytes.
func (g *Gate) Len() int { return len(g.buf) - g.off }

// Holds returns the number of held replies.
func (g *Gate) Holds() int { return g.holds.Len() }

// Put queues output. False: the gate has nothing to wait for and is closed, and the session writes p
// itself.
func (g *Gate) Put(p []byte) (open bool) {
	if h := g.answering; h != nil {
		g.answering = nil
		return g.Answer(h, p)
	}
	g.buf = append(g.buf, p...)
	return true
}

// Answer is Put for the reply to a command for which a route demands a proof: it is held, if the
// command may have written anything.
func (g *Gate) Answer(h *Hold, reply []byte) (open bool) {
	if !h.wrote(reply) {
		h.Drop()
		if g.holds.Len() == 0 {
			g.close()
			return false
		}
		g.buf = append(g.buf, reply...)
		return true
	}
	h.gate = g
	h.from, h.size = g.base+uint64(len(g.buf)), len(reply)
	g.buf = append(g.buf, reply...)
	g.holds.Push(h)
	h.refs++
	g.p.begin(h)
	return true
}

// Expect announces that the next Put is the answer to h's command.
func (g *Gate) Expect(h *Hold) { g.answering = h }

// Unanswered is called after the Put that was announced should have come. It drops the hold if there
// was none: the session is ending, or has replies off. False: the gate is closed.
func (g *Gate) Unanswered() (open bool) {
	if g.answering == nil {
		return true
	}
	g.answering.Drop()
	g.answering = nil
	if g.holds.Len() > 0 {
		return true
	}
	g.close()
	return false
}

// release delivers the bytes before the first unsettled hold.
func (g *Gate) release() {
	c := g.client
	out := uint64(g.off) // end of the handled part of buf
	for g.holds.Len() > 0 && (*g.holds.Front()).settled {
		h := g.holds.Pop()
		at := h.from - g.base
		replaced, closes := h.instead, h.closes
		size := uint64(h.size)
		g.p.unref(h)
		if replaced == nil && !closes {
			continue
		}
		if !c.Write(g.buf[out:at]) {
			return
		}
		out = at + size
		if closes {
			c.CutOff()
			return
		}
		if !c.Write(replaced) {
			return
		}
	}
	end := uint64(len(g.buf))
	if g.holds.Len() > 0 {
		end = (*g.holds.Front()).from - g.base
	}
	if !c.Write(g.buf[out:end]) {
		return
	}
	g.off = int(end)
	if g.holds.Len() == 0 {
		g.close()
		c.Wake(false)
		return
	}
	g.shrink()
	c.Wake(true)
}

// shrink drops the delivered bytes once they are half of the buffer.
func (g *Gate) shrink() {
	if g.off > len(g.buf)/2 {
		g.base += uint64(g.off)
		g.buf, g.off = g.buf[:copy(g.buf, g.buf[g.off:])], 0
	}
}

// Close drops everything that waits: the session has ended.
func (g *Gate) Close() {
	for g.holds.Len() > 0 {
		h := g.holds.Pop()
		h.gate = nil
		g.p.settle(h, telemetry.HoldGone)
		g.p.unref(h)
	}
	if g.answering != nil {
		g.answering.Drop()
	}
	g.close()
}

// close keeps a gate without holds for reuse.
func (g *Gate) close() {
	if cap(g.buf) > gateKeep {
		g.buf = nil
	}
	g.client, g.answering = nil, nil
	g.buf, g.off, g.base = g.buf[:0], 0, 0
	if p := g.p; len(p.spare.gates) < sparesKept {
		p.spare.gates = append(p.spare.gates, g)
	}
}
