package proxy

import (
	"holdfast/proxy/resp"
)

// SCRIPT DEBUG YES or SYNC makes the next EVAL of its connection a session of the Lua debugger.
// From then on the two sides speak another protocol, with several replies to one command and none
// to others, until the server closes the connection. So bytes pass through the session's link
// unread, as for SYNC.
//
// No rule sees the debugger's input. YES is harmless: the server forks for it, and all writes end
// with the child. SYNC runs in the server itself, so it is refused if there are rules. If the trash
// hides databases, both are refused, since the child could read them.

// debugState is a pinned link's state of SCRIPT DEBUG.
type debugState struct {
	armed bool // the next EVAL begins a session of the debugger
}

// scriptDebug carries out SCRIPT DEBUG on the session's own link.
func (f *frame) scriptDebug() next {
	s := f.s
	on := len(f.Args) == 3 && !resp.EqualFold(f.Args[2], "no")
	rules := len(s.w.policy.Rules()) > 0
	if on && (s.w.trash.reserved != nil || rules && !resp.EqualFold(f.Args[2], "yes")) {
		return f.refuseInPlace(textNoDebug)
	}
	if s.outstanding > 0 {
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

// toDebugger passes a client's input to the debugger.
func (s *session) toDebugger(c *resp.Command) {
	s.w.encode = resp.AppendCommand(s.w.encode[:0], c.Args...)
	s.pin.send(s.w.encode)
	s.active = s.w.loop.Now()
}
