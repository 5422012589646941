package proxy

import (
	"bytes"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// special carries out the commands that dispatch's fast path does not: those that depend on the
// connection, and everything of a session that holds a pinned link.
func (s *session) special(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	if b == selectDB || b == otherDB {
		c = s.hideReserved(c, cmd)
	}
	if b == auth || b == hello || b == login {
		if done, ok := s.touchesGuard(c, cmd); done {
			return ok
		}
	}
	if b == quit && len(c.Args) >= 1 {
		return s.quit()
	}
	if b == resetConn {
		return s.resetConnection(c, cmd)
	}
	if s.pin != nil && s.pin.retiring && s.held == 0 && !s.letGo() {
		return false
	}
	if s.held&holdRefused != 0 && s.refusedMulti(b) {
		return true
	}
	if s.held&holdMulti != 0 {
		return s.inMulti(c, cmd, b)
	}
	if s.held&holdState != 0 {
		return s.onOwnLink(c, cmd, b)
	}
	switch b {
	case multi, watch, blocking, named, waitAcks:
		return s.borrowFor(c, cmd, b)
	case maybeBlocking:
		if hasBlock(c.Args) {
			return s.borrowFor(c, cmd, b)
		}
	case exec, discard, unwatch:
		if s.pin != nil {
			return s.endWatch(c, cmd)
		}
	case subscribe, monitor, stateful, clientReply, clientTracking, rawStream:
		return s.pinForGood(c, cmd, b)
	}
	if s.held&holdWatch != 0 {
		return s.whileWatching(c, cmd, b)
	}
	return s.unpinned(c, cmd, b)
}

// unpinned carries out a command of a session whose connection state the proxy keeps itself.
func (s *session) unpinned(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	switch b {
	case clientID:
		return s.clientID(c, cmd)
	case selectDB:
		return s.selectDB(c, cmd)
	case auth:
		return s.authenticate(c, cmd)
	case hello:
		return s.hello(c, cmd)
	case clientName:
		return s.clientName(c, cmd)
	case clientInfo, clientList:
		return s.clientList(c, cmd)
	case clientKill:
		return s.clientKill(c, cmd)
	case clientUnblock:
		return s.clientUnblock(c, cmd)
	case clientPause:
		return s.clientPause(c, cmd)
	case clientRedirect:
		return s.clientList(c, cmd)
	case aside:
		return s.lobbyForward(c, cmd)
	case info:
		return s.info(c, cmd)
	case login:
		return s.login(c, cmd)
	case script:
		if s.pausedWrite(cmd) {
			return s.borrowFor(c, cmd, blocking)
		}
		if s.pin != nil && s.w.guard != nil && !s.letGo() {
			return false // the guard is on the shared link
		}
		if s.pin == nil {
			kind := laneScript
			if g := s.w.guard; g != nil && (g.policy.Refuses(cmd) || s.staysInSight()) {
				kind = laneData // a module's command, which the rules let pass, for instance
			}
			return s.forwardShared(c, cmd, kind)
		}
	}
	if s.pausedWrite(cmd) {
		return s.borrowFor(c, cmd, blocking)
	}
	if s.pin != nil {
		// A pinned link on its way back: the command can ride along behind the others.
		return s.sendTo(s.pin, c, cmd, modeForward, nil)
	}
	return s.forwardShared(c, cmd, laneData)
}

// pausedWrite reports that CLIENT PAUSE holds up this command: it gets a link of its own, so that
// it holds up nobody else's.
func (s *session) pausedWrite(cmd *policy.Command) bool {
	w := s.w
	if !w.paused {
		return false
	}
	return w.pausedAll || cmd.Flags.Has(policy.FlagWrite) || cmd.Flags.Has(policy.FlagMayReplicate)
}

// borrowFor sends a command by a pinned link, which it borrows first if there is none yet.
func (s *session) borrowFor(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	if b == waitAcks {
		return s.waitAcks(c, cmd)
	}
	if !s.takePin() {
		return false
	}
	if b == multi {
		return s.begin(c, cmd)
	}
	if l := s.pin; b == named && l.name != s.name {
		l.name = s.name
		l.extend([]prepStep{{args: []string{"cLiEnT", "sEtNaMe", s.name}}})
	}
	if !s.sendTo(s.pin, c, cmd, modeForward, nil) {
		return false
	}
	if b == watch {
		s.held |= holdWatch
	}
	return true
}

// begin sends MULTI. A server that refuses it has opened no transaction.
func (s *session) begin(c *resp.Command, cmd *policy.Command) bool {
	k := &call{done: func(reply []byte, broken bool) {
		if broken && bytes.HasPrefix(reply, []byte("-UPSTREAM")) {
			return // still held, so disconnected: the rest must not be carried out by itself
		}
		if len(reply) > 0 && reply[0] == '-' {
			s.held &^= holdMulti
			if bytes.HasPrefix(reply, []byte("-BUSY")) || bytes.HasPrefix(reply, []byte("-LOADING")) {
				s.held |= holdRefused
			}
		}
	}}
	if !s.sendTo(s.pin, c, cmd, modeChecked, k) {
		return false
	}
	s.held |= holdMulti
	s.queuedCommands, s.queuedDue = 0, policy.Match{}
	s.forgetQueued()
	return true
}

// forgetQueued drops what EXEC was to do besides.
func (s *session) forgetQueued() {
	s.queuedPause, s.queuedDeletions, s.queuedTrash, s.queuedInfo = nil, nil, nil, nil
}

// takePin makes sure that the session has a pinned link. It returns false when the command has to
// wait for outstanding ones on another link (invariant 1).
func (s *session) takePin() bool {
	if s.pin != nil {
		return true
	}
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	l := s.ident.borrow(s)
	if l == nil {
		s.wait = waitPin
		return false
	}
	s.pin, l.owner = l, s
	return true
}

// refusedMulti answers a command of a transaction that was never opened; false for a new MULTI.
func (s *session) refusedMulti(b behaviour) bool {
	text := resp.AppendError(nil, textNoMulti)
	switch b {
	case multi:
		s.held &^= holdRefused
		return false
	case discard:
		s.held &^= holdRefused
		text = resp.AppendSimple(nil, "OK")
	case exec:
		s.held &^= holdRefused
		text = resp.AppendError(nil, textExecAbort)
	}
	s.reply(text)
	return true
}

// inMulti carries out a command between MULTI and EXEC. The server queues it; what it does to the
// connection when it is executed is unknown to the proxy, so such a session keeps its link.
func (s *session) inMulti(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	if b == exec || b == discard {
		return s.endMulti(c, cmd)
	}
	switch b {
	case selectDB, auth, hello, clientName, monitor, stateful, clientReply, clientTracking, subscribe:
		if s.held&holdState == 0 && !s.keepLink() {
			return false
		}
	}
	s.dbUnsure = s.dbUnsure || b == selectDB
	s.userUnsure = s.userUnsure || b == auth || b == hello && parseHello(c.Args).auth != nil
	if b == clientPause {
		s.queuedPause = cloneArgs(c.Args)
	}
	if b == subscribe || b == monitor {
		s.pin.sub.active, s.pin.sub.monitor = true, b == monitor || s.pin.sub.monitor
		s.pin.sub.unsure = true
	}
	at := s.queuedCommands
	if !s.sendTo(s.pin, c, cmd, modeForward, nil) {
		return false
	}
	if b == info {
		s.queuedInfo = append(s.queuedInfo, at)
	}
	return true
}

// endMulti sends EXEC or DISCARD; both end the transaction and unwatch, whatever they answer.
func (s *session) endMulti(c *resp.Command, cmd *policy.Command) bool {
	if done, ok := s.dueAtExec(c, cmd); done {
		return ok
	}
	pause, l, deletions, gone := s.queuedPause, s.pin, s.queuedDeletions, s.queuedTrash
	k := &call{done: func(reply []byte, broken bool) {
		l.checkEnded(reply)
		s.transactionRan(deletions, reply, broken)
		ran := reply == nil || reply[0] == '*' && reply[1] != '-'
		if pause != nil && !broken && ran && cmd.Name == "exec" {
			s.w.srv.clientsPaused(pause)
		}
		if len(gone) > 0 && (broken || ran) && cmd.Name == "exec" {
			s.w.tellTrashed(gone, !broken)
		}
	}}
	if infos := s.queuedInfo; infos != nil {
		k.edit = func(reply []byte) []byte { return s.w.editInfos(reply, infos) }
	}
	if !s.sendTo(l, c, cmd, modeChecked, k) {
		return false
	}
	s.forgetQueued()
	s.held &^= holdMulti | holdWatch
	return true
}

// endWatch sends UNWATCH, or an EXEC or DISCARD without MULTI, which the server refuses.
func (s *session) endWatch(c *resp.Command, cmd *policy.Command) bool {
	l := s.pin
	k := &call{done: func(reply []byte, _ bool) { l.checkEnded(reply) }}
	if !s.sendTo(l, c, cmd, modeChecked, k) {
		return false
	}
	if cmd.Name == "unwatch" {
		s.held &^= holdWatch
	}
	return true
}

// checkEnded looks at the reply to EXEC, DISCARD or UNWATCH: where the server refused to end the
// transaction, for want of a permission for instance, the connection is still in it, and must not
// be lent to anybody else.
func (l *link) checkEnded(reply []byte) {
	if len(reply) == 0 || reply[0] != '-' || bytes.HasPrefix(reply, []byte("-EXECABORT")) ||
		bytes.HasSuffix(trimCRLF(reply), []byte("without MULTI")) {
		return
	}
	l.dirty = true
}

// whileWatching carries out a command of a session that has keys watched: by its pinned link, so
// that what it reads there is what the server watches.
func (s *session) whileWatching(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	switch b {
	case selectDB, auth, hello, clientName:
		// State changes by the watching connection itself.
		if !s.keepLink() {
			return false
		}
		return s.onOwnLink(c, cmd, b)
	case clientID, clientInfo, clientList, clientKill, clientUnblock, clientPause, clientRedirect,
		info, login:
		return s.onOwnLink(c, cmd, b)
	}
	return s.sendTo(s.pin, c, cmd, modeForward, nil)
}

// quit answers as Redis does, after everything before it.
func (s *session) quit() bool {
	s.replyCall(&call{local: resp.AppendSimple(nil, "OK"), closes: true})
	if !s.ending {
		s.ending = true
		s.w.wakeUp(s) // with replies turned off nothing else does
	}
	return true
}
