package proxy

import (
	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
)

// gated is a session before its gate: the replies to its writes on durable routes, and all output
// behind them. Package durable decides when they go out; it implements durable.Client.
type gated struct{ *session }

// open returns the session's gate.
func (s gated) open() *durable.Gate {
	if s.gate == nil {
		s.gate = s.w.durable.Gate(s)
	}
	return s.gate
}

// put gives the client output behind its gate.
func (s gated) put(p []byte) { s.took(s.gate.Put(p), p) }

// answer delivers the reply to a command for which a route demands a proof.
func (s gated) answer(h *durable.Hold, reply []byte) {
	if s.closed {
		h.Drop()
		return
	}
	s.took(s.open().Answer(h, reply), reply)
}

// took follows output that the gate has taken, or left to the session as it closed.
func (s gated) took(open bool, p []byte) {
	if open {
		s.account()
		return
	}
	s.gate = nil
	s.write(p)
}

// answerBy makes done deliver the answer to a command for which a route demands a proof.
func (s gated) answerBy(h *durable.Hold, done func()) {
	if s.closed {
		h.Drop()
		done()
		return
	}
	s.open().Expect(h)
	done()
	if s.gate != nil && !s.gate.Unanswered() {
		s.gate = nil
	}
}

// Write implements durable.Client.
func (s gated) Write(p []byte) (open bool) {
	s.write(p)
	return !s.closed
}

// CutOff implements durable.Client: the session's route closes instead of answering -UNCONFIRMED.
func (s gated) CutOff() {
	s.reason = telemetry.CloseUnconfirmed
	s.closeAfterFlush()
}

// Wake implements durable.Client.
func (s gated) Wake(open bool) {
	if !open {
		s.gate = nil
		if s.ending || s.eof {
			s.w.wakeUp(s.session)
		}
	}
	s.wake(waitGate)
	s.account()
	if l := s.pin; l != nil && l.conn != nil && l.conn.ReadPaused() && s.unread() <= pinnedHigh {
		l.conn.ResumeRead()
	}
}

// drop gives up what waits behind the gate of an ended session.
func (s gated) drop() {
	if s.gate != nil {
		s.gate.Close()
		s.gate = nil
	}
}
