package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// A gate queues a session's output while any of its replies is held: on a durable route the client
// gets its reply only once the write is proven. All later output to the client queues behind the
// oldest held reply, in order; the session's later commands are still executed.
//
//	buf   +OK…(held)  :1 $3 abc  +OK…(held)  :2
//	      ^ holds[0]             ^ holds[1]
//
// fence.go proves writes; the gate only knows which of its holds are settled. Bytes leave it
// strictly from the front, up to the first unsettled hold.
//
// Invariants:
//
//   - A session has a gate exactly while a reply of it is held, or an answer is being given that may
//     be (answering). Without one, deliver costs a comparison with nil.
//   - No byte of a held reply, nor of later output, reaches the client before the hold is settled.
//   - A held reply is delivered whole as it came (confirmed), or not at all: then an error takes its
//     place, or the connection ends before it.
//   - A session that ends leaves holds without effect; they stay in the queues of the fences
//     until the fences reach them.
//
// The rejected design keeps each held reply with its command, and later replies in the link: that
// blocks other sessions, and a session could not execute further commands.
type gate struct {
	buf   []byte
	off   int    // bytes of buf already delivered
	base  uint64 // position, in the stream of the gate's bytes, of buf[0]
	holds queue[*hold]

	// answering is the hold of the command whose answer call.done is about to deliver.
	answering *hold
}

const (
	// gateBytes and gateHolds bound a gate; at either its session's input is no longer read.
	gateBytes = 1 << 20
	gateHolds = 16 << 10
	// gateKeep is the largest buffer that an unused gate keeps.
	gateKeep = 64 << 10
)

// full reports whether the session's further commands have to wait.
func (g *gate) full() bool { return g.len() >= gateBytes || g.holds.len() >= gateHolds }

// len returns the number of waiting bytes.
func (g *gate) len() int { return len(g.buf) - g.off }

// openGate returns the session's gate, and opens one if there is none.
func (s *session) openGate() *gate {
	if s.gate != nil {
		return s.gate
	}
	d := s.w.durable
	if k := len(d.gates); k > 0 {
		s.gate = d.gates[k-1]
		d.gates = d.gates[:k-1]
	} else {
		s.gate = &gate{}
	}
	return s.gate
}

// closeGate frees an empty gate.
func (s *session) closeGate() {
	g := s.gate
	s.gate = nil
	if cap(g.buf) > gateKeep {
		g.buf = nil
	}
	g.buf, g.off, g.base, g.answering = g.buf[:0], 0, 0, nil
	if d := s.w.durable; len(d.gates) < sparesKept {
		d.gates = append(d.gates, g)
	}
}

// behindGate queues output while there is a gate.
func (s *session) behindGate(p []byte) {
	g := s.gate
	if h := g.answering; h != nil {
		g.answering = nil
		s.answer(h, p)
		return
	}
	g.buf = append(g.buf, p...)
	s.account()
}

// answer delivers the reply to a command for which a route demands a proof: held, if the command
// may have written anything.
func (s *session) answer(h *hold, reply []byte) {
	d := s.w.durable
	switch {
	case s.closed:
		d.drop(h)
		return
	case !h.wrote(reply):
		d.drop(h)
		s.passBy(reply)
		return
	}
	g := s.openGate()
	h.from, h.size = g.base+uint64(len(g.buf)), len(reply)
	g.buf = append(g.buf, reply...)
	g.holds.push(h)
	h.refs++
	d.begin(h)
	s.account()
}

// passBy delivers an unheld reply, in its turn. It closes an empty gate.
func (s *session) passBy(reply []byte) {
	if g := s.gate; g != nil && g.holds.len() == 0 {
		s.closeGate()
	}
	s.deliver(reply)
}

// answerBy makes done deliver the answer to a command for which a route demands a proof.
func (s *session) answerBy(h *hold, done func()) {
	if s.closed {
		s.w.durable.drop(h)
		done()
		return
	}
	s.openGate().answering = h
	done()
	g := s.gate
	if g == nil || g.answering == nil {
		return
	}
	// There was no answer: the session is ending, or has replies off.
	g.answering = nil
	s.w.durable.drop(h)
	if g.holds.len() == 0 {
		s.closeGate()
	}
}

// wrote reports whether a command with this reply may have changed anything. Code may write before
// it ends in an error; a transaction ran if its reply is an array.
func (h *hold) wrote(reply []byte) bool {
	switch {
	case len(reply) == 0:
		return true
	case h.exec:
		return reply[0] == '*' && reply[1] != '-'
	}
	return h.strict || reply[0] != '-'
}

// release delivers the bytes before the first unsettled hold.
func (s *session) release() {
	g := s.gate
	out := uint64(g.off) // end of the handled part of buf
	for g.holds.len() > 0 && g.holds.front().settled {
		h := g.holds.pop()
		at := h.from - g.base
		replaced, closes := h.instead, h.closes
		size := uint64(h.size)
		s.w.durable.unref(h)
		if replaced == nil && !closes {
			continue
		}
		s.write(g.buf[out:at])
		out = at + size
		if closes && !s.closed {
			s.cutOff()
		}
		if s.closed {
			return
		}
		s.write(replaced)
	}
	end := uint64(len(g.buf))
	if g.holds.len() > 0 {
		end = g.holds.front().from - g.base
	}
	if !s.closed {
		s.write(g.buf[out:end])
	}
	if s.closed {
		return
	}
	g.off = int(end)
	s.shrinkGate()
}

// shrinkGate drops delivered bytes, and wakes the session if it waits for that.
func (s *session) shrinkGate() {
	g := s.gate
	if g.holds.len() == 0 {
		s.closeGate()
		if s.wait == waitGate || s.ending || s.eof {
			s.w.wakeUp(s)
		}
	} else {
		if g.off > len(g.buf)/2 {
			g.base += uint64(g.off)
			g.buf, g.off = g.buf[:copy(g.buf, g.buf[g.off:])], 0
		}
		s.wake(waitGate)
	}
	s.account()
	if l := s.pin; l != nil && l.conn != nil && l.conn.ReadPaused() && s.unread() <= pinnedHigh {
		l.conn.ResumeRead()
	}
}

// cutOff ends a session whose route closes instead of answering -UNCONFIRMED: earlier output has
// been delivered, and nothing follows.
func (s *session) cutOff() {
	s.reason = telemetry.CloseUnconfirmed
	s.closeAfterFlush()
}

// dropGate removes the gate of an ending session.
func (s *session) dropGate() {
	g := s.gate
	if g == nil {
		return
	}
	d := s.w.durable
	for g.holds.len() > 0 {
		h := g.holds.pop()
		h.s = nil
		d.settle(h, telemetry.HoldGone)
		d.unref(h)
	}
	if g.answering != nil {
		d.drop(g.answering)
	}
	s.closeGate()
}

// unread returns the number of bytes that wait for the client: behind the gate, or for the kernel.
func (s *session) unread() int {
	n := s.conn.Buffered()
	if s.gate != nil {
		n += s.gate.len()
	}
	return n
}

// hold is one command on a durable route, from the time it is sent until its last reference is
// gone.
type hold struct {
	s     *session // nil once no session waits for it
	link  *link    // the link that carried it
	plan  *proofPlan
	match policy.Match
	route *telemetry.RouteCounters
	epoch uint64 // the lineage's epoch when it was sent
	seq   uint64 // its sequence number among all held replies; 0: not answered yet
	sent  int64  // loop time of sending
	began int64  // loop time of the reply

	from uint64 // the reply in the gate
	size int

	strict, exec bool                  // see wrote
	refs         uint8                 // queues and gates that it is in
	span         *telemetry.SpanRecord // if sampled

	missing uint8 // unproven parts: a bit for each kind of the plan, and needsLink
	settled bool
	outcome telemetry.HoldOutcome
	instead []byte // takes the place of the reply
	closes  bool   // the connection ends instead
}

// needsLink in hold.missing: it is unknown yet whether the link led to the server that the fences
// asked, see lineage.go.
const needsLink = 1 << 7
