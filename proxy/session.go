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

	// What the client believes of its connection. What each command needs stands together.
	ident  *identity
	proto  uint8
	db     int32
	client policy.Client // the same, for rules
	name   string
	lib    library

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

// heldOutput is the unread output from which on a session's counts in worker.outBytes.
const heldOutput = 64 << 10

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
