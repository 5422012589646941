package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// session is one client connection. All of it belongs to its worker's loop.
//
// It reads frames, asks dispatch what to do with each, and stops when dispatch says that the frame
// has to wait: for the replies of another link, for a call, or for room. A frame that waits stays
// in the input buffer and is looked at again when the reason is gone, so nothing has to be
// remembered about it.
type session struct {
	w        *worker
	conn     *eventloop.Conn
	id       uint64
	listener *listener
	accepted int64 // loop time, nanoseconds
	active   int64 // loop time of the last command

	// What the client believes of its connection.
	ident *identity
	proto uint8
	db    int32
	name  string
	lib   library

	client policy.Client // the same, for rules

	in    []byte // input not consumed yet: a half frame, or frames that wait
	alone bool   // the frame in hand is the last in the input buffer
	off   int    // consumed part of in
	scan  resp.CommandScanner

	gate      *gate        // nil unless replies are held; see gate.go
	releasing bool         // it is in durability.released
	due       policy.Match // what the routes ask of the command in hand
	queuedDue policy.Match // and of those between MULTI and EXEC
	ack       *ack         // what became of the last write; nil: no route ever asked

	cur         *link // the link of the outstanding commands; nil when there are none
	outstanding int
	window      window
	wait        waitReason
	again       again // what is known of the frame that waits
	deleting    *deletion
	changesCode bool     // a transaction is open that may change functions
	whenIdle    []func() // to run when nothing is outstanding
	waitCallOn  bool     // a call is out: no further frame until it is done

	lanes           [3]*lane // cache, by kind
	pin             *link    // lent to this session
	held            holdReason
	muted           replyMode // CLIENT REPLY
	queuedCommands  int       // between MULTI and EXEC
	queuedDeletions []*deletion
	queuedTrash     []queuedTrash
	queuedInfo      []int    // the places of INFO inside MULTI
	queuedPause     [][]byte // a CLIENT PAUSE inside MULTI, in force after EXEC
	redirect        redirect // what CLIENT TRACKING … REDIRECT named
	marked          bool     // a write was made on the own link, see waitAcks
	dbUnsure        bool     // a SELECT was queued: only the own link knows the database
	userUnsure      bool     // likewise an AUTH, and the user

	refused  bool // its newest command was, see backseat
	eof      bool // the client sends no more; closes once everything is answered
	ending   bool // closes once everything is answered
	closed   bool
	queued   bool  // in worker.ready
	outHeld  int64 // what of its output counts in worker.outBytes
	gathered int64 // held for an answer in the making
	reason   telemetry.CloseReason
	last     *policy.Command
	command  uint64 // how many were read
}

// waitReason is why the frame at the front of the input is not carried out yet.
type waitReason uint8

const (
	waitNone waitReason = iota
	waitOrder
	waitCall
	waitRoom
	waitPin
	waitWindow
	waitTurn // it was refused something: see backseat
	waitGate // for held replies
)

// holdReason is why a session keeps its pinned link, as a bit set. With none of them the link is
// given back as soon as nothing is outstanding.
type holdReason uint8

const (
	// holdMulti: between MULTI and the end of its transaction.
	holdMulti holdReason = 1 << iota
	// holdWatch: keys are watched.
	holdWatch
	// holdState: the connection has state that only itself can keep, until RESET or the end.
	holdState
	// holdRefused: MULTI could not be carried out for the moment. There is no link; what the client
	// sends up to EXEC or DISCARD is refused, so that no half of a transaction is executed.
	holdRefused
)

// replyMode follows CLIENT REPLY on the pinned link.
type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkipNext // CLIENT REPLY SKIP was just sent: the next command is not answered
)

// redirect is a session that gets this one's invalidations: by its id, and by its link's.
type redirect struct {
	id       uint64
	serverID int64
}

const (
	// waitHigh is how much input a session that waits may gather before it is no longer read.
	waitHigh = 256 << 10
	// heldOutput is the unread output from which on a session's counts in worker.outBytes.
	heldOutput = 64 << 10
	// ownedFrame is the size from which on a frame that fills the input buffer is given to the
	// link instead of being copied.
	ownedFrame = 128 << 10
)

// OnData implements eventloop.Handler.
func (s *session) OnData(_ *eventloop.Conn, p []byte) {
	s.w.counters.ClientBytesIn += uint64(len(p))
	if s.ending {
		return
	}
	if s.refused && s.wait == waitNone {
		s.keep(p)
		s.queueUp()
		return
	}
	if len(s.in) == 0 && s.wait == waitNone {
		n := s.consume(p, false)
		if n < len(p) && !s.closed && !s.ending {
			s.keep(p[n:])
		}
		return
	}
	s.keep(p)
	if s.wait == waitNone {
		s.consumeKept()
	}
}

// keep appends p to the input buffer and enforces the limits on it.
func (s *session) keep(p []byte) {
	if s.in == nil {
		s.in = s.w.inputBuffer(len(p))
	}
	before := cap(s.in)
	if need := s.scan.Need(); cap(s.in)-len(s.in) < len(p) && need > len(s.in) {
		s.in = growTowards(s.in, len(p), need)
	}
	s.in = append(s.in, p...)
	if before == spareSize && cap(s.in) != before {
		s.w.spareMade-- // outgrown
	}
	s.w.inputBytes += int64(len(p))
	if uint64(len(s.in)-s.off) > s.w.limits.ClientInput {
		s.w.log.Warn("a client's input is over the limit", "client", s.conn.RemoteAddr(),
			"bytes", len(s.in)-s.off, "limit", s.w.limits.ClientInput)
		s.close(telemetry.CloseInputLimit)
		return
	}
	if s.wait != waitNone && len(s.in)-s.off >= waitHigh && !s.conn.ReadPaused() {
		s.w.counters.SessionPauses++
		s.conn.PauseRead()
	}
}

// growTowards returns b with room for more; it doubles, but not beyond what the half-read frame
// is known to need.
func growTowards(b []byte, more, need int) []byte {
	size := max(2*cap(b), len(b)+more)
	if limit := len(b) + need + 64; size > limit && limit >= len(b)+more {
		size = limit
	}
	return append(make([]byte, 0, size), b...)
}

// consumeKept carries out the frames in the input buffer.
func (s *session) consumeKept() {
	n := s.consume(s.in[s.off:], true)
	switch s.off += n; {
	case s.in == nil: // given away, or the session has ended
		s.off = 0
	case s.off == len(s.in):
		s.releaseInput()
	case s.off > len(s.in)/2:
		n := copy(s.in, s.in[s.off:])
		s.w.inputBytes -= int64(len(s.in) - n)
		s.in, s.off = s.in[:n], 0
	}
	if s.wait == waitNone && !s.closed && s.conn.ReadPaused() {
		s.conn.ResumeRead()
	}
}

// releaseInput gives the input buffer back: an idle session holds none.
func (s *session) releaseInput() {
	s.w.inputBytes -= int64(len(s.in))
	s.w.recycle(s.in)
	s.in, s.off = nil, 0
}

// consume carries out the whole frames at the start of buf and returns how many bytes they were.
// kept says that buf is what is left of the input buffer; a frame that fills it may be given away.
func (s *session) consume(buf []byte, kept bool) int {
	w := s.w
	pos := 0
	for pos < len(buf) && s.wait == waitNone && !s.closed && !s.ending {
		cmd, n, ok, err := s.scan.Scan(buf[pos:], s.scanLimits(), &w.scratch)
		if err != nil {
			s.protocolError(err)
			return len(buf)
		}
		if !ok {
			if n == 0 {
				break
			}
			if s.isReplica() {
				s.pin.send(buf[pos : pos+n]) // by newlines, a replica shows that it is alive
			}
			pos += n // what Redis ignores without an answer
			continue
		}
		if s.isReplica() {
			if !s.fromReplica(&cmd) {
				return len(buf)
			}
			pos += n
			continue
		}
		s.alone = kept && pos+n == len(buf)
		if !s.dispatch(&cmd) {
			break // dispatch has set s.wait
		}
		if n >= ownedFrame {
			clear(cmd.Args) // the scanner's own, which would keep the frame alive
		}
		if kept && s.in == nil {
			return 0
		}
		pos += n
	}
	return pos
}

// scanLimits are the frame limits that the server would apply to this client.
func (s *session) scanLimits() *resp.Limits {
	if s.ident.key.authed {
		return &s.w.frames
	}
	return s.w.anonFrames
}

// protocolError answers as Redis does: the error, then the end of the connection.
func (s *session) protocolError(err error) {
	s.w.counters.ProtocolErrors++
	if s.isReplica() {
		s.close(telemetry.CloseProtocol) // no text may come into the stream
		return
	}
	s.reply(resp.AppendError(nil, "ERR "+err.Error()))
	s.reason = telemetry.CloseProtocol
	s.end()
}

// reply gives the client a reply of the proxy's own, in its turn.
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

// deliver gives reply bytes to the client, behind what is held.
func (s *session) deliver(p []byte) {
	if s.closed {
		return
	}
	if s.gate != nil {
		s.behindGate(p)
		return
	}
	s.write(p)
}

// write writes reply bytes to the client.
func (s *session) write(p []byte) {
	s.conn.Write(p)
	s.w.counters.ClientBytesOut += uint64(len(p))
	s.window.bytes += uint64(len(p))
	s.account()
}

// account enforces the limits on what waits for the client.
func (s *session) account() {
	held := int64(s.unread())
	if held < heldOutput && s.outHeld == 0 {
		return
	}
	s.w.outBytes += held - s.outHeld
	s.outHeld = held
	if uint64(held) > s.w.limits.ClientOutput {
		s.w.log.Warn("a client does not read its replies", "client", s.conn.RemoteAddr(),
			"bytes", held, "limit", s.w.limits.ClientOutput)
		s.close(telemetry.CloseOutputLimit)
	}
}

// answered is called when one outstanding command got its whole reply.
func (s *session) answered() {
	s.outstanding--
	s.window.replies++
	if s.wait == waitWindow && s.outstanding <= s.window.size()/2 {
		s.window.adjust()
		s.w.wakeUp(s)
	}
	if s.outstanding > 0 {
		return
	}
	s.cur = nil
	if s.pin != nil && s.held == 0 {
		s.givePinBack()
	}
	if s.wait == waitOrder || s.ending || s.eof || s.whenIdle != nil {
		s.w.wakeUp(s)
	}
}

// wake lets the session go on if it waits for reason.
func (s *session) wake(reason waitReason) {
	if s.wait == reason {
		s.w.wakeUp(s)
	}
}

// proceed is called by the worker, outside of any link's work, for a session that was woken.
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
	if s.wait != waitNone && !(s.wait == waitOrder && s.outstanding > 0) && !s.waitCallOn {
		s.wait = waitNone
	}
	if s.wait == waitNone && len(s.in) > s.off && !s.ending {
		s.consumeKept()
	} else if s.wait == waitNone && !s.closed && s.conn.ReadPaused() {
		s.conn.ResumeRead()
	}
	s.maybeEnd()
}

// maybeEnd closes a session that has nothing more to come.
func (s *session) maybeEnd() {
	if s.closed {
		return
	}
	if s.gate != nil {
		return // release comes back here
	}
	if s.eof && s.blocked() {
		s.close(telemetry.CloseClient)
		return
	}
	if s.outstanding > 0 || s.waitCallOn {
		return
	}
	if (s.ending || s.eof && s.wait == waitNone) && !s.awaitUnanswered() {
		s.closeAfterFlush()
	}
}

// awaitUnanswered makes sure that commands which CLIENT REPLY leaves without an answer have been
// carried out before the link is closed: it asks for an answer behind them. False: there are none.
func (s *session) awaitUnanswered() bool {
	l := s.pin
	if l == nil || l.closed || l.raw || l.sub.active || l.queued == l.answered {
		return false
	}
	s.muted = replyOn
	l.send(resp.AppendCommandStrings(nil, "cLiEnT", "rEpLy", "ON"))
	s.noteSent(l, nil, modeReplace, &call{})
	return true
}

// blocked reports that the session waits for a command that may take for ever.
func (s *session) blocked() bool {
	l := s.pin
	if l == nil || s.outstanding == 0 {
		return false
	}
	if l.raw {
		return true
	}
	for i := range l.reqs.len() {
		if cmd := l.reqs.at(i).cmd; cmd != nil {
			switch s.w.behaviours[cmd.ID] {
			case blocking, maybeBlocking, waitAcks:
				return true
			}
		}
	}
	return false
}

// end stops reading frames and closes once everything outstanding is answered.
func (s *session) end() {
	s.ending = true
	if s.in != nil {
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

// OnEOF implements eventloop.Handler. The client may have sent its last commands and closed only
// its own direction (printf … | nc): they are answered first. Where it waits for a command that
// blocks, it ends at once, as on the server.
func (s *session) OnEOF(*eventloop.Conn) {
	s.eof = true
	s.maybeEnd()
}

// OnClose implements eventloop.Handler.
func (s *session) OnClose(_ *eventloop.Conn, err error) {
	if s.closed {
		return
	}
	s.closed = true
	s.detach(telemetry.CloseNetwork)
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

// close ends the session now; what is outstanding is answered to nobody.
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

// detach takes the session out of everything that knows it.
func (s *session) detach(reason telemetry.CloseReason) {
	if s.wait == waitPin {
		s.w.wakePinWaiter() // in case it was this one that the last free link was meant for
	}
	if l := s.pin; l != nil {
		s.pin = nil
		l.owner = nil
		if s.outstanding > 0 || s.held != 0 || l.sub.active || !l.ready {
			// Closing it tells the server that the client is gone: a blocked command must
			// not take an element that nobody would get.
			l.abandon()
		} else {
			l.ident.rest(l)
		}
	}
	s.releaseInput()
	s.dropGate()
	s.w.outBytes -= s.outHeld
	s.outHeld = 0
	s.gather(-s.gathered)
	s.w.forget(s, reason)
}
