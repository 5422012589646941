package proxy

import (
	"log/slog"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// session is one client connection. All of it belongs to its worker's loop.
//
// It reads frames, passes each to dispatch, and stops when dispatch returns a reason to wait: for
// the replies of another link, for a call, or for room. A waiting frame stays in the input buffer
// and is dispatched again when the reason is gone, so that little state about it (again) is kept.
type session struct {
	w        *worker
	conn     *eventloop.Conn
	id       uint64
	listener *listener
	activity
	connState
	in input
	proving

	cur             *link // the link of the outstanding commands; nil when there are none
	outstanding     int
	window          window
	wait            next     // why the frame at the front of the input waits; goOn: it does not wait
	again           again    // state of the waiting frame
	recalled        uint64   // the command (of traffic.commands) that was taken back last, see recall.go
	deletesInFlight int64    // keys that the outstanding deletes may take
	whenIdle        []func() // run once nothing is outstanding
	calling         bool     // a call is under way: no further frame until it is done

	pin  *link // lent to this session
	held holdReason
	tx   *transaction // nil: no MULTI

	refused bool // its newest command was refused, see backseat
	queued  bool // in worker.ready
	closing
	holding
}

// proving is a session's state for durable routes.
type proving struct {
	gate *durable.Gate // nil unless replies are held; see durable_gate.go
	ack  *durable.Ack  // outcome of the last write; nil: no route ever asked
}

// closing is the progress of the session's end.
type closing struct {
	eof    bool // the client has ended its input; closes once all commands are answered
	ending bool // no more frames are read; closes once all commands are answered
	closed bool
	reason telemetry.CloseReason
}

// holding is a session's share of its worker's sums.
type holding struct {
	outHeld  int64 // of unread output, in outBytes
	gathered int64 // for an answer in the making, in gathered
}

// activity is a session's activity so far.
type activity struct {
	accepted int64 // loop time, nanoseconds
	active   int64 // loop time of the last command
	last     *policy.Command
	traffic  traffic
}

// holdReason is why a session keeps its pinned link, as a bit set. With none of them, and no open
// transaction, the link goes back as soon as nothing is outstanding.
type holdReason uint8

const (
	// holdWatch: keys are watched.
	holdWatch holdReason = 1 << iota
	// holdState: the connection has state that only itself can keep, until RESET or the end.
	holdState
	// holdRefused: MULTI was refused. The client's commands up to EXEC or DISCARD are refused, so that
	// no part of the transaction is executed.
	holdRefused
	// holdRuled comes with holdRefused: a rule refused MULTI, and not the moment.
	holdRuled

	// holdNoMulti is both.
	holdNoMulti = holdRefused | holdRuled
)

// keepsLink reports whether the session keeps its pinned link when nothing is outstanding.
func (s *session) keepsLink() bool { return s.held != 0 || s.tx != nil }

// reply gives the client one of the proxy's own replies, in its turn.
func (s *session) reply(b []byte) { s.replyCall(&call{local: b}) }

func (s *session) replyCall(c *call) {
	if s.muted == replySkipNext && s.pin != nil {
		// The server has not seen this command, and would leave the next one unanswered.
		s.pin.send(resp.AppendCommandStrings(nil, "pInG"))
	}
	if s.muted != replyOn && s.swallowReply() {
		return
	}
	if s.outstanding == 0 {
		s.deliver(c.local)
		if c.closes {
			s.end()
		}
		return
	}
	r := s.cur.reqs.push()
	r.s, r.mode, r.call, r.end = s, modeLocal, c, s.cur.queued
	s.cur.locals++
	s.outstanding++
}

// deliver gives reply bytes to the client, after any held replies.
func (s *session) deliver(p []byte) {
	if s.closed {
		return
	}
	if s.gate != nil {
		gated{s}.put(p)
		return
	}
	s.write(p)
}

// write writes reply bytes to the client.
func (s *session) write(p []byte) {
	s.conn.Write(p)
	s.w.counters.ClientBytesOut += uint64(len(p))
	s.traffic.out += uint64(len(p))
	s.window.bytes += uint64(len(p))
	s.account()
}

// heldOutput is the least unread output of a session that counts in worker.outBytes.
const heldOutput = 64 << 10

// account enforces the limits on unread output.
func (s *session) account() {
	held := int64(s.unread())
	if held < heldOutput && s.outHeld == 0 {
		return
	}
	s.w.outBytes += held - s.outHeld
	s.outHeld = held
	if uint64(held) > s.w.limits.ClientOutput {
		s.w.again.Tell(s.w.log, slog.LevelWarn, "a client does not read its replies", nil, "client",
			s.conn.RemoteAddr(), "bytes", held, "limit", s.w.limits.ClientOutput)
		s.close(telemetry.CloseOutputLimit)
	}
}

// answered is called after the whole reply to an outstanding command.
func (s *session) answered() {
	s.outstanding--
	if s.window.replies++; s.window.bytes >= weighBytes {
		s.window.weigh(s.ident, s.w.loop.Now())
	}
	if s.wait == waitWindow && s.outstanding <= s.window.size()/2 {
		s.w.wakeUp(s)
	}
	if s.outstanding > 0 {
		return
	}
	s.cur = nil
	if s.pin != nil && !s.keepsLink() {
		s.givePinBack()
	}
	if s.wait == waitOrder || s.ending || s.eof || s.whenIdle != nil {
		s.w.wakeUp(s)
	}
}

// wake resumes the session if it waits for reason.
func (s *session) wake(reason next) {
	if s.wait == reason {
		s.w.wakeUp(s)
	}
}

// proceed is called by the worker for a woken session, never within a link's work.
func (s *session) proceed() {
	if s.closed {
		return
	}
	if s.whenIdle != nil && s.outstanding == 0 {
		fs := s.whenIdle
		s.whenIdle = nil
		for _, f := range fs {
			f()
		}
	}
	if s.wait == waitWindow && s.window.replies > 0 {
		s.window.weigh(s.ident, s.w.loop.Now()) // here the counted replies have been delivered
	}
	if s.wait != goOn && !(s.wait == waitOrder && s.outstanding > 0) && !s.calling {
		s.wait = goOn
	}
	if s.wait == goOn && s.in.kept() > 0 && !s.ending {
		s.consumeKept()
	} else if s.wait == goOn && !s.closed && s.conn.ReadPaused() {
		s.conn.ResumeRead()
	}
	s.maybeEnd()
}

// OnDrain implements eventloop.Handler.
func (s *session) OnDrain(*eventloop.Conn) {
	s.w.outBytes -= s.outHeld
	s.outHeld = 0
	s.account()
	if l := s.pin; l != nil && l.conn != nil && l.conn.ReadPaused() && s.unread() <= pinnedHigh {
		l.conn.ResumeRead()
	}
}

// answerNow gives a reply after a conversation, unless the client wants none.
func (s *session) answerNow(reply []byte) {
	if s.muted != replyOn && s.swallowReply() {
		return
	}
	s.deliver(reply)
}

// gather counts n more (or fewer) bytes of an answer in the making.
func (s *session) gather(n int64) {
	s.gathered += n
	s.w.gathered += n
}

// mode is the connection's present state.
func (s *session) mode() connMode {
	switch {
	case s.held&holdRefused != 0:
		return connNoTx
	case s.tx != nil:
		return connTx
	case s.held&holdState != 0 && s.muted != replyOn:
		return connMuted
	case s.held&holdState != 0:
		return connOwn
	case s.held&holdWatch != 0:
		return connWatching
	}
	return connShared
}

// closeTx ends the transaction, and the watch with it: EXEC or DISCARD was sent.
func (s *session) closeTx() {
	if s.tx.changesCode {
		s.whenIdle = append(s.whenIdle, s.w.srv.libraries.invalidate)
	}
	s.tx = nil
	s.held &^= holdWatch
}

// unread returns the number of bytes that wait for the client: behind the gate, or for the kernel.
func (s *session) unread() int {
	n := s.conn.Buffered()
	if s.gate != nil {
		n += s.gate.Len()
	}
	return n
}
