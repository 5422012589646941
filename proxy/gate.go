package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// A gate is what a session has while replies of it are held: on a durable route the client gets its
// reply only when the write is proven. Everything that is delivered to the client meanwhile queues
// behind the oldest held reply, in order; the session's later commands are executed all the same.
//
//	buf   +OK…(held)  :1 $3 abc  +OK…(held)  :2
//	      ^ holds[0]             ^ holds[1]
//
// What is proven, and by what, is the matter of fence.go; the gate only knows which of its holds
// are settled. Bytes leave it strictly from the front, up to the first hold that is not.
//
// Invariants:
//
//   - A session has a gate exactly while a reply of it is held, or an answer is being given that may
//     be (answering). Without one, deliver costs a comparison with nil.
//   - No byte of a held reply, nor of what follows it, is with the client before the hold is settled.
//   - A held reply is delivered whole as it came (confirmed), or not at all: then an error takes its
//     place, or the connection ends in front of it.
//   - A session that dies leaves holds which count for nobody; they stay in the queues of the fences
//     until these come by.
//
// The design that was rejected keeps the held reply of each command at the command, and what follows
// in the link: that holds up other sessions, and a session could not go on executing.
type gate struct {
	buf   []byte
	off   int    // how much of buf is delivered
	base  uint64 // position, in the stream of the gate's bytes, of buf[0]
	holds queue[*hold]

	// answering is the hold of the command whose answer call.done is about to deliver.
	answering *hold
}

const (
	// gateBytes and gateHolds are how much a gate may gather before its session is no longer read.
	gateBytes = 1 << 20
	gateHolds = 16 << 10
	// gateKeep is the largest buffer that a gate at rest keeps.
	gateKeep = 64 << 10
)

// full reports that the session has to wait with further commands.
func (g *gate) full() bool { return g.len() >= gateBytes || g.holds.len() >= gateHolds }

// len is how many bytes wait.
func (g *gate) len() int { return len(g.buf) - g.off }

// openGate makes sure that there is a gate.
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

// closeGate gives an empty gate back.
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

// behindGate takes what is delivered while there is a gate.
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

// answer gives the client the reply to a command that a route asks a proof for: held, if it may have
// written anything.
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

// passBy delivers a reply that is not held, in its turn. An empty gate goes.
func (s *session) passBy(reply []byte) {
	if g := s.gate; g != nil && g.holds.len() == 0 {
		s.closeGate()
	}
	s.deliver(reply)
}

// answerBy has done deliver the answer to a command that a route asks a proof for.
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
	// Nobody was answered: the session ends, or wants no replies.
	g.answering = nil
	s.w.durable.drop(h)
	if g.holds.len() == 0 {
		s.closeGate()
	}
}

// wrote reports whether a command with this reply may have changed anything. Of what runs code, an
// error may come after a write; a transaction ran if its reply is an array.
func (h *hold) wrote(reply []byte) bool {
	switch {
	case len(reply) == 0:
		return true
	case h.exec:
		return reply[0] == '*' && reply[1] != '-'
	}
	return h.strict || reply[0] != '-'
}

// release delivers what is in front of the first hold that is not settled.
func (s *session) release() {
	g := s.gate
	out := uint64(g.off) // up to where buf is dealt with
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

// shrinkGate drops what was delivered, and lets go on who waits for that.
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

// cutOff ends a session whose route closes instead of saying -UNCONFIRMED: what precedes the reply
// has been delivered, and nothing follows.
func (s *session) cutOff() {
	s.reason = telemetry.CloseUnconfirmed
	s.closeAfterFlush()
}

// dropGate takes the gate away from a session that ends.
func (s *session) dropGate() {
	g := s.gate
	if g == nil {
		return
	}
	d := s.w.durable
	for g.holds.len() > 0 {
		h := g.holds.pop()
		h.s = nil
		d.settle(h, telemetry.HoldGone, nil)
		d.unref(h)
	}
	if g.answering != nil {
		d.drop(g.answering)
	}
	s.closeGate()
}

// unread is how many bytes wait for the client: behind the gate, or for the kernel.
func (s *session) unread() int {
	n := s.conn.Buffered()
	if s.gate != nil {
		n += s.gate.len()
	}
	return n
}

// hold is one command on a durable route: from when it is sent until nobody refers to it any more.
type hold struct {
	s     *session // nil once nobody waits for it
	link  *link    // by which it was sent
	plan  *proofPlan
	match policy.Match
	route *telemetry.RouteCounters
	epoch uint64 // of the lineage when it was sent
	seq   uint64 // its place among the replies that were ever held; 0: not answered yet
	sent  int64  // loop time
	began int64  // loop time of the reply

	from uint64 // the reply in the gate
	size int

	strict, exec bool                  // see wrote
	refs         uint8                 // queues and gates that it is in
	span         *telemetry.SpanRecord // where it is sampled

	missing uint8 // what is not proven: a bit for each kind of the plan, and needsLink
	settled bool
	outcome telemetry.HoldOutcome
	instead []byte // takes the place of the reply
	closes  bool   // the connection ends instead
}

// needsLink in hold.missing: it is not known yet whether the link led to the server that the fences
// speak of, see lineage.go.
const needsLink = 1 << 7
