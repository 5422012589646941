package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// impossibleID is a client id that no server assigns.
const impossibleID = "9223372036854775806"

// clientKill carries out CLIENT KILL in four steps: the server checks the command and the user's
// permission; the control user asks it for its clients; sessions that the filter selects are closed
// here; other connections are killed by their ids. So a filter that happens to match a link never
// breaks the link of a hundred clients.
func (f *frame) clientKill() next {
	s := f.s
	l, n := s.askLink()
	if n != goOn {
		return n
	}
	filter, check, old := s.w.killArgs(cloneArgs(f.Args))
	f.ask(l, check, func(reply []byte, broken bool) {
		switch {
		case isError(reply, broken) && !(old && isNoSuchClient(reply)):
			s.deliver(reply)
		case filter.unknown != 0:
			s.deliver(resp.AppendError(nil, textSyntax))
		default:
			s.withEveryone(l, func(lines []clientLine, refused []byte) {
				if refused != nil {
					s.deliver(refused)
					return
				}
				s.killOthers(l, filter.sessionsKilled(lines, s), old)
			})
		}
	})
	return handled
}

// killMuted carries out CLIENT KILL of a client that has turned replies off. Its own link would
// show no refusal, so the control user asks.
func (f *frame) killMuted() next {
	s := f.s
	if s.outstanding > 0 {
		return waitOrder
	}
	if s.muted == replySkipNext {
		s.pin.send(resp.AppendCommandStrings(nil, "pInG")) // the server skips its reply instead
	}
	s.swallowReply()
	filter, check, old := s.w.killArgs(cloneArgs(f.Args))
	user := []byte(s.ident.userName())
	dryrun := append([][]byte{[]byte("aCl"), []byte("dRyRuN"), user}, check...)
	s.ask(s.w.privileged(), nil, dryrun, func(reply []byte, _ bool) {
		if !bytes.HasPrefix(reply, []byte("+OK")) {
			return
		}
		s.ask(s.w.privileged(), nil, mixed(check), func(reply []byte, broken bool) {
			if filter.unknown != 0 || isError(reply, broken) && !(old && isNoSuchClient(reply)) {
				return
			}
			s.withClients(s.w.privileged(), func(lines []clientLine, _ []byte) {
				k := filter.sessionsKilled(lines, s)
				s.killAside(k)
			})
		})
	})
	return handled
}

// killAside kills the selection of a CLIENT KILL that gets no reply.
func (s *session) killAside(k killed) {
	for _, id := range k.others {
		s.w.askPrivileged([]string{"cLiEnT", "kIlL", "ID", string(id)}, s.w.warnRefused("CLIENT KILL"))
	}
	if k.me {
		s.endLater(telemetry.CloseKilled)
	}
}

// mixed spells a client's command as the proxy's own.
func mixed(args [][]byte) [][]byte {
	return append([][]byte{[]byte("cLiEnT"), []byte("kIlL")}, args[2:]...)
}

// killed is the selection of a CLIENT KILL.
type killed struct {
	n      int      // sessions closed, or about to close
	me     bool     // the asking session is among them
	others [][]byte // ids of connections that are no sessions
}

// sessionsKilled closes the sessions that f selects, except the asking one.
func (f *clientFilter) sessionsKilled(lines []clientLine, s *session) killed {
	var k killed
	for i := range lines {
		l := &lines[i]
		switch v := l.session; {
		case !f.matches(l, s.id):
		case v == nil:
			k.others = append(k.others, bytes.Clone(field(l.text, "id")))
		case v.id == s.id:
			k.n, k.me = k.n+1, true
		default:
			k.n++
			v.worker.killSession(v.id)
		}
	}
	return k
}

// killOthers kills connections that are no sessions, one by one, and answers the client.
func (s *session) killOthers(l *link, k killed, old bool) {
	if len(k.others) == 0 {
		s.deliver(killReply(k.n, old))
		if k.me {
			s.endLater(telemetry.CloseKilled)
		}
		return
	}
	kill := [][]byte{[]byte("cLiEnT"), []byte("kIlL"), []byte("ID"), k.others[0]}
	s.ask(l, nil, kill, func(reply []byte, broken bool) {
		if !isError(reply, broken) && bytes.Equal(reply, []byte(":1\r\n")) {
			k.n++
		}
		k.others = k.others[1:]
		s.killOthers(l, k, old)
	})
}

// killSession closes a session of this worker, from any goroutine.
func (w *worker) killSession(id uint64) {
	w.loop.Post(func() {
		if s := w.sessions[id]; s != nil {
			s.close(telemetry.CloseKilled)
		}
	})
}

// clientUnblock carries out CLIENT UNBLOCK: the id is a session's, the blocked connection a link.
func (f *frame) clientUnblock() next {
	s := f.s
	return f.askTranslated(2, false, func(reply []byte, _ bool) { s.deliver(reply) })
}

// askTranslated asks with the session id in args[at] replaced by the server's id of that session's
// link. With pin, a session without a link of its own gets one.
func (f *frame) askTranslated(at int, pin bool, done func([]byte, bool)) next {
	s, cmd := f.s, f.cmd
	l, n := s.askLink()
	if n != goOn {
		return n
	}
	args := cloneArgs(f.Args)
	id, err := strconv.ParseUint(string(at1(args, at)), 10, 64)
	if err != nil || id < idBase {
		f.ask(l, args, done)
		return handled
	}
	s.calling = true
	find := s.blockedLink
	if pin {
		find = s.linkOf
	}
	find(id, func(serverID int64) {
		s.calling = false
		if s.closed {
			return
		}
		args[at] = []byte(impossibleID)
		if serverID != 0 {
			args[at] = strconv.AppendInt(nil, serverID, 10)
		}
		if pin {
			s.redirect = redirect{id, serverID}
		}
		s.ask(l, cmd, args, done)
	})
	return handled
}

// unblockMuted is clientUnblock for a client that has turned replies off.
func (f *frame) unblockMuted() next { return f.sendTranslated(2, f.s.blockedLink) }

// trackingMuted is clientTracking for such a client.
func (f *frame) trackingMuted() next {
	if at := redirectAt(f.Args); at > 0 {
		return f.sendTranslated(at, f.s.linkOf)
	}
	return f.sendMuted()
}

// sendTranslated is askTranslated for such a client.
func (f *frame) sendTranslated(at int, find func(id uint64, done func(serverID int64))) next {
	s := f.s
	id, ok := sessionID(at1(f.Args, at))
	if !ok || id < idBase {
		return f.pinned()
	}
	if n := f.sessionKnown(id, find); n != goOn {
		return n
	}
	to, args := s.again.to, slices.Clone(f.Args)
	args[at] = []byte(impossibleID)
	if to.serverID != 0 {
		args[at] = strconv.AppendInt(nil, to.serverID, 10)
	}
	f.Command = resp.Command{Args: args, Inline: true}
	n := f.pinned()
	if n == handled && f.b == clientTracking {
		s.redirect = to // the server's agreement is unknown
	}
	return n
}

// blockedLink passes on the server's id of a session's pinned link; 0: none.
func (s *session) blockedLink(id uint64, done func(serverID int64)) {
	s.w.takeCensus(func(cs *census) {
		v := cs.find(id)
		if v == nil {
			done(0)
			return
		}
		done(v.serverID)
	})
}

// linkOf is blockedLink, but first gives a session without a link of its own one.
func (s *session) linkOf(id uint64, done func(serverID int64)) {
	s.w.takeCensus(func(cs *census) {
		switch v := cs.find(id); {
		case v == nil:
			done(0)
		case v.serverID != 0:
			done(v.serverID)
		default:
			v.worker.pinSession(id, func(serverID int64) {
				s.w.loop.Post(func() { done(serverID) })
			})
		}
	})
}

func at1(args [][]byte, i int) []byte {
	if i < len(args) {
		return args[i]
	}
	return nil
}

// clientTracking carries out CLIENT TRACKING on the session's own link; REDIRECT names a session.
func (f *frame) clientTracking() next {
	s := f.s
	if at := redirectAt(f.Args); at > 0 {
		if s.outstanding > 0 {
			return waitOrder
		}
		return f.askTranslated(at, true, func(reply []byte, _ bool) { s.deliver(reply) })
	}
	return f.sendTo(s.pin, modeForward, nil)
}

// pinSession gives a session a link of its own, once it has no outstanding commands, and passes on
// the link's id on the server; 0: no link. Any goroutine may call it.
func (w *worker) pinSession(id uint64, done func(serverID int64)) {
	ok := w.loop.Post(func() {
		s := w.sessions[id]
		if s == nil {
			done(0)
			return
		}
		s.whenIdle = append(s.whenIdle, func() {
			if s.closed || s.keepLink() != goOn {
				done(0)
				return
			}
			s.pin.whenReady(func(l *link) { done(l.serverID) })
		})
		w.wakeUp(s)
	})
	if !ok {
		done(0)
	}
}

// clientPause carries out CLIENT PAUSE and UNPAUSE and follows them, see laneFor.
func (f *frame) clientPause() next {
	s, args := f.s, cloneArgs(f.Args)
	return f.askAs(func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			s.w.srv.clientsPaused(args)
		}
		s.deliver(reply)
	})
}
