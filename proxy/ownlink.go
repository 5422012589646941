package proxy

import (
	"bytes"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// A session that owns its pinned link for good keeps all connection state there. The proxy follows
// only three parts of it: the protocol version, the database, and whether replies are turned off.

// pinForGood gives the session its own link and carries the command out there.
func (f *frame) pinForGood() next {
	if n := f.s.keepLink(); n != goOn {
		return n
	}
	return f.handle()
}

// monitor sends MONITOR.
func (f *frame) monitor() next {
	l := f.s.pin
	l.sub.active, l.sub.monitor = true, true
	return f.pinned()
}

// rawStream sends SYNC or PSYNC. The server's stream follows.
func (f *frame) rawStream() next {
	if f.s.outstanding > 0 {
		return waitOrder
	}
	n := f.pinned()
	if n == handled {
		f.s.pin.beRaw()
	}
	return n
}

// replconf sends REPLCONF. The server answers ACK and GETACK with an error or not at all, so a HELLO
// follows them: if the first reply is HELLO's, there is no other. Every user may call HELLO.
func (f *frame) replconf() next {
	s, l := f.s, f.s.pin
	if !mayAcknowledge(f.Args) {
		return f.pinned()
	}
	if n := s.awaitLink(l); n != goOn {
		return n
	}
	f.ask(l, f.Args, func(reply []byte, broken bool) {
		if !broken && (reply[0] == '*' || reply[0] == '%') {
			l.reqs.pop()
			return
		}
		s.deliver(reply)
	})
	if !l.closed {
		l.ask(func([]byte, bool) {}, "hElLo")
	}
	return handled
}

// mayAcknowledge reports whether a REPLCONF has one of the options that the server does not answer.
func mayAcknowledge(args [][]byte) bool {
	for i := 1; i < len(args); i += 2 {
		if resp.EqualFold(args[i], "ack") || resp.EqualFold(args[i], "getack") {
			return true
		}
	}
	return false
}

// beRaw has the replies passed through unread from now on.
func (r *replies) beRaw() { r.raw, r.streams = true, false }

// isRaw reports whether the link's session has asked for the replication stream; the server sends
// nothing else from then on.
func (l *link) isRaw() bool { return l != nil && l.raw }

// fromReplica passes on a replica's messages to its primary. Any other command after a SYNC ends
// the session: the server would carry it out without an answer, and the proxy could no longer
// follow the session's user and database.
func (l *link) fromReplica(c *resp.Command) bool {
	s := l.owner
	cmd := s.w.policy.Table().Lookup(c.Args)
	switch cmd.Name {
	case "replconf", "ping", "sync", "psync":
		f := &frame{Command: *c, s: s, cmd: cmd}
		if f.judge() == goOn && f.verdict.Effective() == policy.Allow {
			s.w.encode = resp.AppendCommand(s.w.encode[:0], c.Args...)
			l.send(s.w.encode)
			l.streams = true
			return true
		}
	}
	s.w.log.Warn("a session that has become a replica is ended: it sent a command that replicas do "+
		"not send", "command", commandName(cmd, c.Args), "client", s.conn.RemoteAddr(),
		"user", s.ident.userName())
	s.close(telemetry.CloseProtocol)
	return false
}

// followState sends a command that changes state which the proxy follows, and notes the change when
// the server accepts it. Later commands wait: rules ask for their user and database.
func (f *frame) followState() next {
	s, b := f.s, f.b
	var change func(reply []byte) []byte
	l := s.pin
	if n := s.awaitLink(l); n != goOn {
		return n
	}
	args, hidden := cloneArgs(f.Args), f.hidden
	switch b {
	case selectDB:
		change = func(reply []byte) []byte {
			if db, ok := parseDB(args); ok {
				l.db = db
				s.setDB(db)
			}
			return reply
		}
	case clientName:
		change = func(reply []byte) []byte { s.noteName(args); return reply }
	case auth:
		change = func(reply []byte) []byte {
			s.becomes(credentialOf(args))
			s.userUnsure, l.mayMute = false, false
			return reply
		}
	case hello:
		change = func(reply []byte) []byte {
			h := parseHello(args)
			if h.auth != nil {
				s.becomes(*h.auth)
				s.userUnsure, l.mayMute, h.auth = false, false, nil
			}
			s.applyHello(h, func() {})
			l.proto = s.proto
			return s.rewriteHello(reply)
		}
	}
	f.ask(l, args, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = change(reply)
		} else if b == selectDB && hidden {
			reply = s.w.trash.OutOfRange(args, reply)
		}
		s.deliver(reply)
	})
	return handled
}

// follow applies an accepted HELLO to the link that carried it out.
func (l *setting) follow(h helloArgs) {
	if h.proto != 0 {
		l.proto = h.proto
	}
	if h.setName {
		l.name = h.name
	}
}

// guessProtocol follows a HELLO whose reply is not seen. The server cannot refuse HELLO 2 and HELLO 3;
// with more arguments it may, and then version 3 is the safe guess: its link looks at each reply.
func (f *frame) guessProtocol() {
	s, h := f.s, parseHello(f.Args)
	if f.b != hello || h.proto != 3 && (h.proto != 2 || len(f.Args) > 2) {
		return
	}
	s.proto, s.pin.proto = h.proto, h.proto
}

// clientReply follows CLIENT REPLY, which decides whether commands are answered at all.
func (f *frame) clientReply() next {
	s := f.s
	m := s.muted
	answered := true
	if len(f.Args) == 3 {
		switch {
		case resp.EqualFold(f.Args[2], "on"):
			m = replyOn
		case resp.EqualFold(f.Args[2], "off"):
			m, answered = replyOff, false
		case resp.EqualFold(f.Args[2], "skip"):
			if m != replyOff {
				m = replySkipNext
			}
			answered = false
		default:
			answered = m == replyOn
		}
	}
	if s.muted == replyOn && !answered {
		if n := f.mayMute(); n != goOn {
			return n
		}
	}
	before := s.muted
	if s.muted = replyOn; !answered {
		s.muted = replyOff // this command itself is not answered
	}
	if n := f.sendTo(s.pin, modeForward, nil); n != handled {
		s.muted = before
		return n
	}
	s.muted = m
	return handled
}

// mayMute asks the server, by CLIENT REPLY ON, whether it carries out CLIENT REPLY at all: a refusal of
// OFF or SKIP would be the only reply to it.
func (f *frame) mayMute() next {
	s, l := f.s, f.s.pin
	switch {
	case s.again.refusal != nil:
		s.reply(s.again.refusal)
		return handled
	case s.again.mayMute, l.mayMute && !l.sub.active:
		return goOn
	case s.outstanding > 0:
		return waitOrder
	}
	if n := s.awaitLink(l); n != goOn {
		return n
	}
	later(s, nil).askString(l, []string{"cLiEnT", "rEpLy", "ON"}, func(reply []byte, broken bool) {
		l.mayMute = !isError(reply, broken)
		if s.again.mayMute = l.mayMute; !l.mayMute {
			s.again.refusal = bytes.Clone(reply)
		}
	})
	return waitCall
}

func cloneArgs(args [][]byte) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		out[i] = append([]byte(nil), a...)
	}
	return out
}

// passRaw passes on a command of a session whose link streams. Without passed and wait, the session has
// ended.
func (l *link) passRaw(c *resp.Command) (passed, wait bool) {
	if l.debug.armed {
		passed = l.toDebugger(c)
		return passed, !passed
	}
	return l.fromReplica(c), false
}
