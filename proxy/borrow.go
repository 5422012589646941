package proxy

import (
	"bytes"

	"holdfast/proxy/resp"
)

// Commands for which a session borrows a pinned link: for the command alone, or from WATCH or MULTI to
// the end of the transaction.

// borrow sends a command by a pinned link.
func (f *frame) borrow() next {
	if n := f.s.takePin(false); n != goOn {
		return n
	}
	return f.pinned()
}

// mayBlock sends XREAD or XREADGROUP: by a pinned link if it may block.
func (f *frame) mayBlock() next {
	if hasBlock(f.Args) {
		return f.borrow()
	}
	return f.forward()
}

// borrowNamed sends a command by a pinned link that has the client's name.
func (f *frame) borrowNamed() next {
	s := f.s
	if n := s.takePin(false); n != goOn {
		return n
	}
	if l := s.pin; l.name != s.name {
		l.name = s.name
		l.extend([]prepStep{l.nameStep()})
	}
	return f.pinned()
}

// borrowMulti begins a transaction.
func (f *frame) borrowMulti() next {
	if n := f.s.takePin(true); n != goOn {
		return n
	}
	return f.begin()
}

// borrowWatch sends WATCH: from here on the session keeps its pinned link.
func (f *frame) borrowWatch() next {
	if n := f.s.takePin(true); n != goOn {
		return n
	}
	n := f.pinned()
	if n == handled {
		f.s.held |= holdWatch
	}
	return n
}

// borrowForCode is borrow for code, which the guard binds there as well.
func (f *frame) borrowForCode() next {
	s := f.s
	if s.pin != nil {
		if n := s.letGo(); n != goOn {
			return n
		}
	}
	if n := s.takePin(false); n != goOn {
		return n
	}
	if f.needsGuard() {
		s.pin.extend([]prepStep{s.pin.becomeGuard(s.w.guard)})
	}
	return f.pinned()
}

// endNothing sends an EXEC, DISCARD or UNWATCH of a session without a transaction or watched keys.
func (f *frame) endNothing() next {
	if f.s.pin != nil {
		return f.endWatch()
	}
	return f.forward()
}

// endWatch sends UNWATCH, or an EXEC or DISCARD without MULTI, which the server refuses.
func (f *frame) endWatch() next {
	s, l := f.s, f.s.pin
	k := &call{done: func(reply []byte, _ bool) { l.checkEnded(reply) }}
	if n := f.sendTo(l, modeChecked, k); n != handled {
		return n
	}
	if f.b == unwatch {
		s.held &^= holdWatch
	}
	return handled
}

// checkEnded examines the reply to EXEC, DISCARD or UNWATCH. If the server refused to end the
// transaction, for lack of a permission for instance, the connection is still in it and must not be
// lent to another session.
func (l *link) checkEnded(reply []byte) {
	if len(reply) == 0 || reply[0] != '-' || bytes.HasPrefix(reply, []byte("-EXECABORT")) ||
		bytes.HasSuffix(trimCRLF(reply), []byte("without MULTI")) {
		return
	}
	l.dirty = true
}

// quit answers as Redis does, after all earlier replies.
func (f *frame) quit() next {
	s := f.s
	s.replyCall(&call{local: resp.AppendSimple(nil, "OK"), closes: true})
	if !s.ending {
		s.ending = true
		s.w.wakeUp(s) // with replies off, no reply wakes it
	}
	return handled
}
