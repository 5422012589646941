package proxy

import (
	"bytes"

	"holdfast/policy"
)

// A server that is no primary any more refuses writes (-READONLY), also those that it had held back until then: a handover
// pauses them (handover.go). So such a write was not executed. Where a source finds the primary (source.go), the link takes
// it back: the frame returns to the session's input and waits for the new primary like one that was not sent
// (suspicion.go). The refusal itself is a sign that there will be one.
//
// Only a write by itself is taken back. The others get the server's error:
//
//   - code and module commands: they can write the same error themselves, after other effects;
//   - commands of a transaction, which the server aborts;
//   - a command with another one of the same client before or behind it, which may have been executed. It would be
//     overtaken;
//   - a command that a rule has let pass, perhaps once only;
//   - a frame that the link does not keep (sentLog), and a command that is refused once more.

var replyReadonly = []byte("-READONLY ")

// refusedSign is the doubt after a refusal.
const refusedSign = "the server refuses writes, as a replica does"

// recall takes back the oldest command, whose frame begins at from in the link's request stream and which was answered with
// reply.
func (l *link) recall(r *request, from uint64, reply []byte) bool {
	s, w := r.s, l.w
	if !bytes.HasPrefix(reply, replyReadonly) || s == nil || !l.recallable(r) || !s.isAtRest() {
		return false
	}
	frame := l.stall.log.cut(from, r.end)
	o := &w.outage
	if frame == nil || o.hold == 0 || s.recalled == s.traffic.commands {
		return false
	}
	if !o.suspects() {
		o.suspect(suspicion{why: refusedSign})
		w.srv.topology.refused()
	}
	if !o.suspends() {
		return false
	}
	w.recheck.onError(w, reply, w.loop.Now())
	if r.hold != nil {
		r.hold.Drop()
	}
	s.recalled = s.traffic.commands + 1 // when it is sent again
	s.again.waited = true               // rules have counted it
	s.keep(frame)
	s.answered()
	w.wakeUp(s)
	return true
}

// recallable reports whether a command that a replica refuses was certainly not executed, and can be presented again.
func (l *link) recallable(r *request) bool {
	return l.lane != nil && l.up.PrimaryOnly() && !l.retiring && r.mode <= modeGated && r.rule == nil && r.cmd != nil &&
		r.cmd.Flags.Has(policy.FlagWrite) && !r.cmd.Flags.Has(policy.FlagModule) && !r.cmd.RunsCode()
}

// isAtRest reports whether the outstanding command is the session's only one.
func (s *session) isAtRest() bool {
	return s.outstanding == 1 && s.in.kept() == 0 && s.in.scan.Held() == 0 && s.wait == goOn && !s.calling && !s.closed &&
		!s.ending && !s.eof
}
