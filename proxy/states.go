package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
)

// The table of this file maps each command, in each state of its connection, to a handler. Rows are
// behaviours (behaviour.go), columns states; a handler sends the command, answers it, or returns
// its reason to wait. testdata/states.txt shows the table as one page, and a test keeps the two
// equal. Dispatch uses it for all commands but the plain ones of a session without a link.

// connMode is the state of a session's connection.
type connMode uint8

const (
	// connShared: the session has no link of its own; connState holds all its connection state. Its
	// pinned link, if there is one, is on its way back.
	connShared connMode = iota
	// connWatching: keys are watched, on a pinned link.
	connWatching
	// connOwn: the session owns its pinned link for good, and the link keeps the state.
	connOwn
	// connMuted: likewise, and CLIENT REPLY is OFF or SKIP.
	connMuted
	// connTx: between MULTI and EXEC or DISCARD.
	connTx
	// connNoTx: likewise, but MULTI was refused (holdRefused).
	connNoTx

	connModes = iota
)

// handler carries out a command.
type handler func(*frame) next

// handlers is the table. It is filled by init, since handlers come back to it.
var handlers [behaviourCount][connModes]handler

func init() { handlers = newHandlers() }

func newHandlers() (t [behaviourCount][connModes]handler) {
	row := func(b behaviour, shared, watching, own, muted, tx handler) {
		t[b] = [connModes]handler{shared, watching, own, muted, tx, (*frame).withoutMulti}
	}
	forward, pinned, muted, queue := (*frame).forward, (*frame).pinned, (*frame).sendMuted, (*frame).queue
	borrow, keep, follow, view := (*frame).borrow, (*frame).pinForGood, (*frame).followState, (*frame).queueView
	keepQueue, keepView, endMulti := (*frame).keepAndQueue, (*frame).keepAndView, (*frame).endMulti
	ids, list, status := (*frame).clientID, (*frame).clientList, (*frame).info
	kill, unblock, slow := (*frame).clientKill, (*frame).clientUnblock, (*frame).commandLog
	debug := (*frame).scriptDebug
	tracking, wait, acl := (*frame).clientTracking, (*frame).waitAcks, (*frame).changesLogin
	multiOn, mayBlock := (*frame).begin, (*frame).mayBlock

	//  behaviour      shared                  watching                own                    muted      transaction
	row(plain, forward, pinned, pinned, muted, queue)
	row(otherDB, forward, pinned, pinned, muted, queue)
	row(script, (*frame).runScript, pinned, (*frame).ownScript, muted, queue)
	row(aside, (*frame).lobbyForward, pinned, pinned, muted, queue)
	row(publish, (*frame).publish, pinned, pinned, muted, queue)
	row(blocking, borrow, borrow, pinned, muted, queue)
	row(maybeBlocking, mayBlock, mayBlock, pinned, muted, queue)
	row(named, (*frame).borrowNamed, (*frame).borrowNamed, pinned, muted, queue)
	row(waitAcks, wait, wait, wait, muted, queue)
	row(stateful, keep, keep, pinned, muted, keepQueue)
	row(multi, (*frame).borrowMulti, multiOn, multiOn, multiOn, queue)
	row(exec, (*frame).endNothing, (*frame).endWatch, pinned, muted, endMulti)
	row(discard, (*frame).endNothing, (*frame).endWatch, pinned, muted, endMulti)
	row(watch, (*frame).borrowWatch, (*frame).borrowWatch, pinned, muted, queue)
	row(unwatch, (*frame).endNothing, (*frame).endWatch, pinned, muted, queue)
	row(selectDB, (*frame).selectDB, keep, follow, muted, (*frame).queueSelect)
	row(auth, (*frame).authenticate, keep, follow, muted, keepQueue)
	row(hello, (*frame).hello, keep, follow, muted, keepView)
	row(clientName, (*frame).clientName, keep, follow, muted, keepView)
	row(subscribe, keep, keep, (*frame).subscribe, muted, keepQueue)
	row(monitor, keep, keep, (*frame).monitor, muted, keepQueue)
	row(rawStream, keep, keep, (*frame).rawStream, muted, queue)
	row(replconf, keep, keep, (*frame).replconf, muted, keepQueue)
	row(scriptDebug, keep, keep, debug, debug, debug)
	row(clientID, ids, ids, ids, muted, view)
	row(clientInfo, list, list, list, muted, view)
	row(clientList, list, list, list, muted, view)
	row(clientRedirect, list, list, list, muted, view)
	row(clientKill, kill, kill, kill, (*frame).killMuted, view)
	row(clientUnblock, unblock, unblock, unblock, (*frame).unblockMuted, view)
	row(clientTracking, keep, keep, tracking, (*frame).trackingMuted, keepView)
	row(clientReply, keep, keep, (*frame).clientReply, (*frame).clientReply, (*frame).replyInMulti)
	row(clientPause, (*frame).clientPause, (*frame).clientPause, (*frame).clientPause, muted, (*frame).queuePause)
	row(info, status, status, status, muted, view)
	row(commandLog, slow, slow, slow, muted, view)
	row(login, acl, acl, acl, muted, queue)
	for _, always := range []struct {
		b behaviour
		h handler
	}{{quit, (*frame).quit}, {resetConn, (*frame).resetConnection}} {
		row(always.b, always.h, always.h, always.h, always.h, always.h)
		t[always.b][connNoTx] = always.h
	}
	return t
}

// special carries out the commands outside dispatch's fast path: those that depend on the
// connection, and all commands of a session with a pinned link.
func (f *frame) special() next {
	s := f.s
	switch f.b {
	case selectDB, otherDB:
		if f.migratesToTrash() {
			f.audit(&policy.Rule{Name: "trash", Action: policy.Deny}, denied, "")
			return f.refuse(textMigrateTrash(string(f.Args[4])))
		}
		f.hideReserved()
	case auth, hello, login:
		if n := f.touchesGuard(); n != goOn {
			return n
		}
	case quit, resetConn:
		return f.handle()
	}
	if s.pin != nil && s.pin.retiring && !s.keepsLink() {
		if n := s.letGo(); n != goOn {
			return n
		}
	}
	if s.again.starved && s.mode() != connNoTx {
		if n := f.starved(); n != goOn {
			return n
		}
	}
	return f.handle()
}

// handle carries out the command by the table.
func (f *frame) handle() next { return handlers[f.b][f.s.mode()](f) }

// forward sends a command that does not depend on its connection.
func (f *frame) forward() next {
	if f.s.pin != nil {
		// A pinned link on its way back can take the command behind the others.
		return f.pinned()
	}
	return f.forwardShared(f.laneFor(f.s.window.lane()))
}

// pinned sends the command by the session's pinned link.
func (f *frame) pinned() next { return f.sendTo(f.s.pin, modeForward, nil) }

// sendMuted sends a command that the server does not answer. Without a reply there is nothing to
// follow or to translate, and its success is unknown.
func (f *frame) sendMuted() next {
	l := f.s.pin
	n := f.pinned()
	if n == handled {
		f.s.loseTrack(f.Args, f.b)
		f.guessProtocol()
		l.sub.asked(f.b)
	}
	return n
}

// lacksMulti reports that the frame belongs to a transaction that was never opened: no rule or budget
// counts what is not executed.
func (f *frame) lacksMulti() bool {
	return f.s.held&holdRefused != 0 && f.b != multi && f.b != quit && f.b != resetConn
}

// withoutMulti answers a command of a transaction that was never opened. MULTI begins another.
func (f *frame) withoutMulti() next {
	s := f.s
	switch f.b {
	case multi:
		s.held &^= holdNoMulti
		return f.handle()
	case discard:
		return f.endNoMulti(resp.AppendSimple(nil, "OK"))
	case exec:
		return f.endNoMulti(resp.AppendError(nil, textExecAbort))
	}
	text := textNoMulti
	if s.held&holdRuled != 0 {
		text = textNoMultiRuled
	}
	s.reply(resp.AppendOwnError(nil, text))
	return handled
}

// endNoMulti answers the EXEC or DISCARD of a transaction that was never opened. Both end the watch,
// which the server does not know. A server that does not answer may keep it: the next EXEC ends it.
func (f *frame) endNoMulti(text []byte) next {
	s, l := f.s, f.s.pin
	s.held &^= holdNoMulti
	if s.held&holdWatch == 0 || l == nil || s.muted != replyOn {
		s.reply(text)
		return handled
	}
	s.held &^= holdWatch
	f.askString(l, []string{"uNwAtCh"}, func(reply []byte, broken bool) {
		l.checkEnded(reply)
		s.deliver(text)
	})
	return handled
}

// publish sends a message once the earlier subscriptions are confirmed.
func (f *frame) publish() next {
	if n := f.behindSubscribers(); n != goOn {
		return n
	}
	return f.forward()
}

// runScript sends code by the lane for scripts, where the guard binds it.
func (f *frame) runScript() next {
	s := f.s
	if s.w.isSuspect(f.cmd) {
		return f.borrowForCode()
	}
	if s.pin != nil && s.w.guard != nil { // the guard is on the shared link
		if n := s.letGo(); n != goOn {
			return n
		}
	}
	if s.pin != nil {
		return f.pinned()
	}
	kind := laneScript
	if g := s.w.guard; g != nil && (g.Policy.Refuses(f.cmd) || f.staysInSight()) {
		kind = s.window.lane() // for instance a module's command that the rules let pass
	}
	return f.forwardShared(f.laneFor(kind))
}

// laneFor is the lane for a command that would go by one of that kind: commands that CLIENT PAUSE
// holds up have their own lanes, so that they hold up no others.
func (f *frame) laneFor(kind laneKind) laneKind {
	if w := f.s.w; w.paused && (w.pausedAll || isHeldByPause(f.cmd)) {
		return kind.whileHeld()
	}
	return kind
}
