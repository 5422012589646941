package proxy

import (
	"holdfast/proxy/durable"
	"holdfast/proxy/resp"
)

// dispatch decides about one frame and carries the decision out. It returns false, with s.wait set,
// if the frame has to wait; the frame is presented again later.
func (s *session) dispatch(c *resp.Command) bool {
	f := s.w.takeFrame(s, c)
	n := f.carryOut()
	judged := f.judged
	f.release()
	if n != handled {
		s.wait = n
		s.again.waited = s.again.waited || judged
		return false
	}
	if s.calling {
		s.wait = waitCall // later frames wait
	}
	s.again = again{}
	return true
}

// carryOut takes the frame from the door to its handler.
func (f *frame) carryOut() next {
	s := f.s
	if resp.LooksSpelled(f.Args[0]) {
		resp.Unspell(f.Args[0]) // or MONITOR would take it for the proxy's own
	}
	f.lookUp()
	if s.login < loginOpen {
		if n := f.atDoor(); n != goOn {
			return n
		}
	}
	if s.gate != nil && s.gate.Full() {
		return waitGate
	}
	if withOwn[f.b] {
		if n := f.logsSaved(); n != goOn {
			return n
		}
	}
	if n := f.decide(); n != goOn {
		return n
	}
	if f.b == plain && s.pin == nil && !s.keepsLink() && !s.w.paused {
		return f.forwardShared(s.window.lane())
	}
	return f.special()
}

// decide asks the rules, the routes and the budgets about the frame, and carries out their verdict.
func (f *frame) decide() next {
	s, w := f.s, f.s.w
	if f.cmd.Name == "" {
		if n := f.unknown(); n != goOn {
			return n
		}
	}
	if f.lacksMulti() {
		return f.withoutMulti()
	}
	if w.outage.concerns(s) {
		if n := f.withoutLink(); n != goOn {
			return n
		}
	}
	if n := f.judge(); n != goOn {
		return n
	}
	if w.routes.Concerns(f.cmd) {
		f.match()
	}
	if s.pin != nil && (s.pin.guard != nil || f.cmd.RunsCode() || s.held&holdWatch != 0) {
		if n := f.fitUser(); n != goOn {
			return n
		}
	}
	if f.verdict.Rule != nil {
		if n := f.ruled(); n != goOn {
			return n
		}
		f.lookUp()
	}
	if f.due.Route != nil {
		if n := f.undurable(); n != goOn {
			return n
		}
	}
	if f.cmd.RunsCode() && w.trash.Hidden != nil {
		if n := f.reachesTrash(); n != goOn {
			return n
		}
	}
	return f.withinBudget()
}

// unknown handles a command that is not in the table: a line of HTTP, or a command of the proxy's
// own.
func (f *frame) unknown() next {
	if isHTTP(f.Args[0]) {
		f.s.endHTTP()
		return handled
	}
	return f.holdfast()
}

// forwardShared sends the command by the session's lane of that kind.
func (f *frame) forwardShared(kind laneKind) next {
	s := f.s
	l := s.cur
	if l == nil {
		l = s.lane(kind).pick(s.w)
	} else if l.leaving() || l.lane == nil || l.lane.key.kind != kind || l.lane.ident != s.ident {
		return waitOrder
	}
	if s.outstanding > 0 && s.window.isFull(s.outstanding, s.ident, s.w.loop.Now()) {
		return waitWindow
	}
	return f.sendTo(l, modeForward, nil)
}

// sendTo sends the frame by l and notes the handling of its reply.
func (f *frame) sendTo(l *link, m mode, k *call) next {
	s := f.s
	if n := s.awaitLink(l); n != goOn {
		return n
	}
	if n := s.awaitRoom(l); n != goOn {
		return n
	}
	switch {
	case f.Inline:
		s.w.encode = resp.AppendCommand(s.w.encode[:0], f.Args...)
		l.send(s.w.encode)
	case len(f.Raw) >= ownedFrame && s.in.alone:
		l.sendOwned(f.Raw)
		s.w.inputBytes -= int64(len(s.in.buf))
		s.in.buf = nil
	default:
		l.send(f.Raw)
	}
	f.noteSent(l, m, k)
	return handled
}

// awaitRoom makes a frame wait while l has too much unsent or unanswered.
func (s *session) awaitRoom(l *link) next {
	if !l.full() {
		return goOn
	}
	l.stalled = append(l.stalled, s)
	return waitRoom
}

// noteSent records a command that was just appended to l.
func (f *frame) noteSent(l *link, m mode, k *call) {
	s, cmd := f.s, f.cmd
	s.active = s.w.loop.Now()
	s.refused = false
	if cmd != nil {
		s.last = cmd
		s.traffic.commands++
	}
	if s.muted != replyOn && s.pin == l && s.swallowReply() {
		if d := f.deleting; d != nil {
			f.deleting = nil
			s.w.srv.budgets.deleted(s, d.unanswered())
		}
		return
	}
	if f.deleting != nil && cmd != nil {
		m, k = f.watchReply(m, k)
	}
	var h *durable.Hold
	if f.due.Route != nil && cmd != nil && m != modeReplace {
		if h = f.hold(l); h != nil && m == modeForward {
			m = modeGated
		}
	}
	if s.tx != nil && s.pin == l {
		s.tx.queued++
	}
	l.commands++
	r := l.reqs.push()
	r.s, r.cmd, r.call, r.mode, r.hold, r.rule = s, cmd, k, m, h, f.rule
	r.start, r.end = s.active, l.queued
	if !s.w.watch.armed && l.lane != nil {
		s.w.watchLinks()
	}
	s.cur = l
	s.outstanding++
}

// awaitLink has a frame wait, unbegun, until l is ready: the rules may change meanwhile, and its
// client may leave.
func (s *session) awaitLink(l *link) next {
	if l.ready {
		return goOn
	}
	l.stalled = append(l.stalled, s)
	return waitLink
}
