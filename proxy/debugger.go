package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/guard"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// SCRIPT DEBUG YES or SYNC makes the next EVAL of its connection a session of the Lua debugger.
// From then on the two sides speak another protocol, with several replies to one command and none
// to others, until the server closes the connection. So bytes pass through the session's link
// unread, as for SYNC.
//
// No rule sees the debugger's input. YES changes nothing: the server forks for it, and all writes
// end with the child. SYNC runs in the server itself, so it is refused if there are rules. Both are
// refused if the trash hides databases, or if rules refuse commands that read: the child could read.
//
// So bytes must pass unread only if the server has begun a session. The proxy knows whether the
// connection debugs: SCRIPT DEBUG is refused where its reply is not seen. Behind such an EVAL the
// input waits for the first byte of the reply: the debugger begins with an array. With anything else
// there is no debugger, and the session ends, since it is not known whether the connection still
// debugs.

// debugState is a pinned link's state of SCRIPT DEBUG.
type debugState struct {
	armed bool // the next EVAL begins a session of the debugger
}

// scriptDebug carries out SCRIPT DEBUG on the session's own link.
func (f *frame) scriptDebug() next {
	s := f.s
	on := len(f.Args) == 3 && !resp.EqualFold(f.Args[2], "no")
	switch {
	case s.muted != replyOn, on && f.debuggerEvadesRules():
		return f.refuseInPlace(textNoDebug)
	case s.tx != nil:
		return f.keepAndQueue() // the server refuses it there: a reply is pending
	case s.outstanding > 0:
		return waitOrder
	}
	l := s.pin
	f.ask(l, f.Args, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			l.debug.armed = on
		}
		s.deliver(reply)
	})
	return handled
}

// debuggerEvadesRules reports whether the debugger could do what rules refuse, or read the trash.
func (f *frame) debuggerEvadesRules() bool {
	s := f.s
	p := s.w.policy
	if s.w.trash.Reserved != nil {
		return true
	}
	if len(p.Rules()) == 0 {
		return false
	}
	g, err := guard.For(p, s.ident.userName())
	if err != nil || !resp.EqualFold(f.Args[2], "yes") {
		return true
	}
	refused := g.Refused
	for _, gap := range g.Gaps {
		refused = append(refused, gap.Command)
	}
	for _, cmd := range refused {
		if cmd.Flags.Has(policy.FlagReadonly) && !cmd.Effects.Has(policy.EffectStall) {
			return true
		}
	}
	return false
}

// ownScript runs code on the session's own link, where SCRIPT DEBUG may have been asked for.
func (f *frame) ownScript() next {
	l := f.s.pin
	if !l.debug.armed || f.cmd.Name != "eval" && f.cmd.Name != "eval_ro" {
		return f.pinned()
	}
	if l.proto != 2 || l.sub.active || l.sub.unsure {
		return f.refuseInPlace(textNoDebug) // a message could come before the reply
	}
	return f.rawStream()
}

// toDebugger passes a client's input to the debugger; false: the server has not begun a session yet.
func (l *link) toDebugger(c *resp.Command) bool {
	s := l.owner
	if !l.streams {
		s.wait = waitCall
		return false
	}
	s.w.encode = resp.AppendCommand(s.w.encode[:0], c.Args...)
	l.send(s.w.encode)
	s.active = s.w.loop.Now()
	return true
}

// beginsDebugger reports whether the first byte of a reply shows that the debugger has begun.
func (l *link) beginsDebugger(first byte) bool {
	if first == '*' {
		l.w.wakeUp(l.owner)
		return true
	}
	l.raw = false
	l.owner.endLater(telemetry.CloseProtocol)
	return false
}
