package proxy

import (
	"log/slog"
	"time"

	"holdfast/policy"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// The end of a session: its commands are answered first, where that is possible.

// end stops reading frames and closes once all outstanding commands are answered.
func (s *session) end() {
	s.ending = true
	if s.in.buf != nil {
		s.releaseInput()
	}
	s.w.wakeUp(s)
}

// endLater is end for callers in the middle of a link's work.
func (s *session) endLater(reason telemetry.CloseReason) {
	if !s.closed && !s.ending {
		s.reason = reason
		s.end()
	}
}

// maybeEnd closes a session that expects no more input and no more replies.
func (s *session) maybeEnd() {
	if s.closed {
		return
	}
	if s.gate != nil {
		return // Wake has it called again
	}
	if s.eof && s.blocked() {
		s.close(telemetry.CloseClient)
		return
	}
	if s.outstanding > 0 || s.calling {
		return
	}
	if (s.ending || s.eof && s.wait == goOn) && !s.awaitUnanswered() {
		s.closeAfterFlush()
	}
}

// awaitUnanswered makes sure that commands which CLIENT REPLY leaves unanswered are carried out
// before the link is closed: it sends a command with an answer after them. False: there are none.
func (s *session) awaitUnanswered() bool {
	l := s.pin
	if l == nil || l.closed || l.raw || l.sub.active || l.queued == l.answered {
		return false
	}
	s.muted = replyOn
	l.send(resp.AppendCommandStrings(nil, "cLiEnT", "rEpLy", "ON"))
	later(s, nil).noteSent(l, modeReplace, &call{})
	return true
}

// blocked reports whether the session waits for a command that may never return.
func (s *session) blocked() bool {
	l := s.pin
	if l == nil || s.outstanding == 0 {
		return false
	}
	if l.raw {
		return true
	}
	for i := range l.reqs.len() {
		if cmd := l.reqs.at(i).cmd; cmd != nil && s.w.behaviours[cmd.ID].mayBlock() {
			return true
		}
	}
	return false
}

// OnEOF implements eventloop.Handler. The client may have sent its last commands and closed only
// its own direction (printf … | nc): they are answered first. During a blocking command the session
// ends at once, as on the server.
func (s *session) OnEOF(*eventloop.Conn) {
	s.eof = true
	if s.unbegun() {
		s.w.wakeUp(s) // it waits no longer
	}
	s.maybeEnd()
}

// unbegun reports whether the frame at the front of the input waits unbegun.
func (s *session) unbegun() bool {
	return s.wait == waitProof || s.wait == waitUpstream || s.wait == waitLink
}

// OnClose implements eventloop.Handler.
func (s *session) OnClose(_ *eventloop.Conn, err error) {
	if s.closed {
		return
	}
	s.closed = true
	s.detach(telemetry.CloseNetwork)
}

// close ends the session now; replies to its outstanding commands are dropped.
func (s *session) close(reason telemetry.CloseReason) {
	if s.closed {
		return
	}
	s.closed = true
	s.conn.Close()
	s.detach(reason)
}

func (s *session) closeAfterFlush() {
	if s.closed {
		return
	}
	s.closed = true
	s.conn.CloseAfterFlush(s.linger())
	s.detach(s.reason)
}

// linger returns how long the client of an ending session may take to read its replies and close.
func (s *session) linger() time.Duration {
	if !s.w.draining {
		return lingerTime
	}
	if s.conn.Flush(); s.conn.Buffered() > 0 {
		return lingerTime // its last reply is still unsent
	}
	return drainLinger
}

// detach removes the session from its worker, identity, links and queues.
func (s *session) detach(reason telemetry.CloseReason) {
	if s.wait == waitPin {
		s.w.wakePinWaiter() // the last free link may have been meant for this session
	}
	if l := s.pin; l != nil {
		s.pin = nil
		l.owner = nil
		if s.outstanding > 0 || s.keepsLink() || l.sub.active || !l.ready {
			// Closing it tells the server that the client is gone: a blocked command must not pop
			// an element that would be lost.
			l.abandon()
		} else {
			l.ident.rest(l)
		}
	}
	s.releaseInput()
	gated{s}.drop()
	s.w.outBytes -= s.outHeld
	s.outHeld = 0
	s.gather(-s.gathered)
	s.w.forget(s, reason)
}

// idle reports whether the session has nothing under way and expects no messages: the server's own
// timeout ends such clients, even in a transaction or with watched keys. It spares subscribers,
// MONITOR clients, replicas, and blocked clients.
func (s *session) idle() bool {
	if s.outstanding > 0 || s.gate != nil || s.wait != goOn || s.calling {
		return false
	}
	l := s.pin
	return l == nil || !l.raw && !l.sub.monitor && !l.sub.any()
}

// refuse ends a session at once with an error.
func (s *session) refuse(text string) {
	s.reply(resp.AppendOwnError(nil, text))
	s.closeAfterFlush()
}

// refuseUnsent answers a command that was not sent, for no fault of its client's. Commands that
// depend on it must not run without it.
func (s *session) refuseUnsent(cmd *policy.Command, b behaviour, text []byte) {
	s.w.countUpstream(&request{s: s, cmd: cmd, start: s.w.loop.Now()})
	s.reply(text)
	if b == multi {
		s.held = s.held&^holdNoMulti | holdRefused
		return
	}
	s.endUnchanged(b)
}

// endUnchanged ends a session whose connection failed to change for the commands that follow, since
// the link broke: a write after a SELECT would go to another database, a command after an AUTH run
// as another user. Without a proxy the client would have lost its connection, too.
func (s *session) endUnchanged(b behaviour) {
	switch b {
	case selectDB, auth, hello, watch, stateful, subscribe, monitor, clientReply, clientTracking,
		scriptDebug:
		s.endLater(telemetry.CloseUpstream)
	}
}

// refuseUnbegun refuses the waiting frame, and drops the later ones: the session ends.
func (s *session) refuseUnbegun(text string) {
	s.releaseInput()
	s.wait, s.again = goOn, again{}
	s.reply(resp.AppendOwnError(nil, text))
}

// refuseCertificate ends a session whose certificate does not let it in.
func (s *session) refuseCertificate(why error, text string) {
	s.w.again.Tell(s.w.log, slog.LevelWarn, "a client is refused for its certificate", why,
		"listener", s.listener.name, "client", s.conn.RemoteAddr())
	s.reason = telemetry.CloseCertificate
	s.refuse(text)
}

// protocolError answers as Redis does: the error, then the end of the connection.
func (s *session) protocolError(err error) {
	s.w.counters.ProtocolErrors++
	if s.pin.isRaw() {
		s.close(telemetry.CloseProtocol) // no text may interrupt the stream
		return
	}
	s.reply(resp.AppendError(nil, "ERR "+err.Error()))
	s.reason = telemetry.CloseProtocol
	s.end()
}

// endHTTP ends such a session without an answer; earlier commands are answered.
func (s *session) endHTTP() {
	s.w.counters.ProtocolErrors++
	s.w.again.Tell(s.w.log, slog.LevelWarn, "a client speaks HTTP, which may be an attack by way of a "+
		"browser; its connection is ended", nil, "client", s.conn.RemoteAddr())
	s.reason = telemetry.CloseProtocol
	s.end()
}

// endTLS ends a session whose client speaks TLS on a plain listener.
func (s *session) endTLS() {
	if s.w.toldTLS.Passes(s.listener.name, s.w.loop.Now(), time.Minute) {
		s.w.log.Warn("a client that speaks TLS connected to a listener that does not",
			"listener", s.listener.name, "client", s.conn.RemoteAddr())
	}
	s.w.counters.ProtocolErrors++
	s.close(telemetry.CloseProtocol)
}
