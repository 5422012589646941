package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
)

// dispatch decides about one frame and carries the decision out. It returns false when the frame
// has to wait, with s.wait set; the frame is then presented again.
func (s *session) dispatch(c *resp.Command) bool {
	if s.gate != nil && s.gate.full() {
		s.wait = waitGate
		return false
	}
	ok := s.decide(c)
	s.deleting = nil
	s.forgetDue()
	if ok {
		s.again = again{}
	}
	s.again.waited = !ok && !s.again.reading
	return ok
}

// decide puts the frame to the rules, and carries out what they say.
func (s *session) decide(c *resp.Command) bool {
	w := s.w
	cmd := w.policy.Table().Lookup(c.Args)
	if cmd.Name == "" {
		if done, ok := s.holdfast(c); done {
			return ok
		}
	}
	v := s.judge(c, cmd)
	if s.again.reading {
		return false
	}
	if s.changesCode {
		s.codeQueued(cmd)
	}
	if w.routes != nil {
		s.match()
	}
	if v.Rule != nil {
		if done, ok := s.ruled(c, cmd, v); done {
			return ok
		}
		cmd = w.policy.Table().Lookup(c.Args)
	}
	if s.due.Route != nil {
		if done, ok := s.undurable(c, cmd); done {
			return ok
		}
	}
	if cmd.RunsCode() && w.trash.hidden != nil {
		if done, ok := s.reachesTrash(c, cmd); done {
			return ok
		}
	}
	if done, ok := s.withinBudget(c, cmd, true); done {
		return ok
	}
	b := w.behaviours[cmd.ID]
	if b == plain && s.pin == nil && s.held == 0 && !w.paused {
		return s.forwardShared(c, cmd, laneData)
	}
	return s.special(c, cmd, b)
}

// forwardShared sends a command by the session's lane of that kind.
func (s *session) forwardShared(c *resp.Command, cmd *policy.Command, kind laneKind) bool {
	l := s.cur
	if l == nil {
		l = s.lane(kind).pick(s.w)
	} else if l.retiring || l.lane == nil || l.lane.key.kind != kind || l.lane.ident != s.ident {
		s.wait = waitOrder
		return false
	}
	if s.outstanding >= s.window.size() {
		s.wait = waitWindow
		return false
	}
	return s.sendTo(l, c, cmd, modeForward, nil)
}

// sendTo sends the frame by l and notes what is to become of its reply.
func (s *session) sendTo(l *link, c *resp.Command, cmd *policy.Command, m mode, k *call) bool {
	if l.full() {
		l.stalled = append(l.stalled, s)
		s.wait = waitRoom
		return false
	}
	switch {
	case c.Inline:
		s.w.encode = resp.AppendCommand(s.w.encode[:0], c.Args...)
		l.send(s.w.encode)
	case len(c.Raw) >= ownedFrame && s.alone:
		l.sendOwned(c.Raw)
		s.w.inputBytes -= int64(len(s.in))
		s.in = nil
	default:
		l.send(c.Raw)
	}
	s.noteSent(l, cmd, m, k)
	return true
}

// noteSent records a command that was just appended to l.
func (s *session) noteSent(l *link, cmd *policy.Command, m mode, k *call) {
	s.active = s.w.loop.Now()
	s.refused = false
	if cmd != nil {
		s.last = cmd
		s.command++
	}
	if s.muted != replyOn && s.pin == l && s.swallowReply() {
		if d := s.deleting; d != nil {
			s.deleting = nil
			s.countDeleted(d.unanswered())
		}
		return
	}
	if s.deleting != nil && cmd != nil {
		m, k = s.watchReply(m, k)
	}
	var h *hold
	if s.due.Route != nil && cmd != nil && m != modeReplace {
		if h = s.hold(l, cmd); h != nil && m == modeForward {
			m = modeGated
		}
	}
	if s.held&holdMulti != 0 && s.pin == l {
		s.queuedCommands++
	}
	l.commands++
	r := l.reqs.push()
	r.s, r.cmd, r.call, r.mode, r.hold = s, cmd, k, m, h
	r.start, r.end = s.active, l.queued
	s.cur = l
	s.outstanding++
}
