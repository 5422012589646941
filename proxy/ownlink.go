package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// A session whose pinned link is its own for good keeps all connection state there. The proxy
// only follows what it must know itself: the protocol version, the database, and whether replies
// are turned off.

// pinForGood gives the session its own link and sends the command there.
func (s *session) pinForGood(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	if !s.keepLink() {
		return false
	}
	return s.onOwnLink(c, cmd, b)
}

// onOwnLink carries out a command on the session's own link.
func (s *session) onOwnLink(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	l := s.pin
	if s.muted != replyOn && b != clientReply && b != multi {
		// The server does not answer, so there is nothing to follow or to translate.
		// Whether it agrees is unknown.
		s.dbUnsure = s.dbUnsure || b == selectDB
		s.userUnsure = s.userUnsure || b == auth || b == hello && parseHello(c.Args).auth != nil
		l.sub.active = l.sub.active || b == subscribe || b == monitor
		l.sub.monitor = l.sub.monitor || b == monitor
		l.sub.unsure = l.sub.unsure || b == subscribe
		return s.sendTo(l, c, cmd, modeForward, nil)
	}
	switch b {
	case subscribe:
		return s.subscribe(c, cmd)
	case monitor:
		l.sub.active, l.sub.monitor = true, true
	case multi:
		return s.begin(c, cmd)
	case rawStream:
		if s.outstanding > 0 {
			s.wait = waitOrder
			return false
		}
		if !s.sendTo(l, c, cmd, modeForward, nil) {
			return false
		}
		l.raw, l.streams = true, false
		return true
	case waitAcks:
		return s.waitAcks(c, cmd)
	case clientReply:
		return s.clientReply(c, cmd)
	case clientTracking:
		return s.clientTracking(c, cmd)
	case clientID:
		return s.clientID(c, cmd)
	case clientInfo, clientList, clientRedirect:
		return s.clientList(c, cmd)
	case clientKill:
		return s.clientKill(c, cmd)
	case clientUnblock:
		return s.clientUnblock(c, cmd)
	case clientPause:
		return s.clientPause(c, cmd)
	case info:
		return s.info(c, cmd)
	case login:
		return s.login(c, cmd)
	case selectDB, hello, auth, clientName:
		return s.followState(c, cmd, b)
	}
	return s.sendTo(l, c, cmd, modeForward, nil)
}

// isReplica reports that the session has asked for the replication stream, which the server's side of
// it is from then on.
func (s *session) isReplica() bool { return s.pin != nil && s.pin.raw }

// fromReplica passes on what a replica says to its primary. Nothing else may follow a SYNC, for the
// server would carry it out, without an answer, and unseen by what follows a session here (who it is
// now, and in which database): then the session ends.
func (s *session) fromReplica(c *resp.Command) bool {
	cmd := s.w.policy.Table().Lookup(c.Args)
	switch cmd.Name {
	case "replconf", "ping", "sync", "psync":
		if s.judge(c, cmd).Effective() == policy.Allow {
			s.w.encode = resp.AppendCommand(s.w.encode[:0], c.Args...)
			s.pin.send(s.w.encode)
			s.pin.streams = true
			return true
		}
	}
	s.w.log.Warn("a session that has become a replica is ended: it sent a command that replicas do "+
		"not send", "command", commandName(cmd, c.Args), "client", s.conn.RemoteAddr(),
		"user", s.ident.userName())
	s.close(telemetry.CloseProtocol)
	return false
}

// followState sends a command that changes what the proxy must know, and notes the change when
// the server has agreed to it. What comes behind it waits: rules ask who sends it, and where.
func (s *session) followState(c *resp.Command, cmd *policy.Command, b behaviour) bool {
	var change func(reply []byte) []byte
	l := s.pin
	args := cloneArgs(c.Args)
	switch b {
	case selectDB:
		change = func(reply []byte) []byte {
			if db, ok := parseDB(args); ok {
				s.db, l.db, s.dbUnsure = db, db, false
			}
			return reply
		}
	case clientName:
		change = func(reply []byte) []byte { s.noteName(args); return reply }
	case auth:
		change = func(reply []byte) []byte {
			s.w.changeIdentity(s, authKey(args))
			s.userUnsure = false
			return reply
		}
	case hello:
		change = func(reply []byte) []byte {
			h := parseHello(args)
			s.applyHello(h)
			s.userUnsure = s.userUnsure && h.auth == nil
			l.proto = s.proto
			return s.rewriteHello(reply)
		}
	}
	s.ask(l, cmd, args, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = change(reply)
		}
		s.deliver(reply)
	})
	return true
}

// clientReply follows CLIENT REPLY, which decides whether commands are answered at all.
func (s *session) clientReply(c *resp.Command, cmd *policy.Command) bool {
	m := s.muted
	answered := true
	if len(c.Args) == 3 {
		switch {
		case resp.EqualFold(c.Args[2], "on"):
			m = replyOn
		case resp.EqualFold(c.Args[2], "off"):
			m, answered = replyOff, false
		case resp.EqualFold(c.Args[2], "skip"):
			if m != replyOff {
				m = replySkipNext
			}
			answered = false
		default:
			answered = m == replyOn
		}
	}
	before := s.muted
	if s.muted = replyOn; !answered {
		s.muted = replyOff // this command itself is not answered
	}
	if !s.sendTo(s.pin, c, cmd, modeForward, nil) {
		s.muted = before
		return false
	}
	s.muted = m
	return true
}

// swallowReply reports that the next reply will not come (or is not to be given), and uses up a
// SKIP.
func (s *session) swallowReply() bool {
	switch s.muted {
	case replyOff:
		return true
	case replySkipNext:
		s.muted = replyOn
		return true
	}
	return false
}

func cloneArgs(args [][]byte) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		out[i] = append([]byte(nil), a...)
	}
	return out
}
