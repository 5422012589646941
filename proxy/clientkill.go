package proxy

import (
	"bytes"
	"runtime"
	"slices"
	"strconv"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// impossibleID is a client id that no server assigns.
const impossibleID = "9223372036854775806"

// linkID is a server's id of a link as an argument; impossibleID for 0, no link.
func linkID(serverID int64) []byte {
	if serverID == 0 {
		return []byte(impossibleID)
	}
	return strconv.AppendInt(nil, serverID, 10)
}

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
			var sel selection
			choose := func(lines []clientLine) { sel = filter.choose(lines, s.id) }
			r := roster{s, choose, func(_ []clientLine, refused []byte) {
				if refused != nil {
					s.deliver(refused)
					return
				}
				sel.killSessions(s, func() { sel.killOthers(s, l, old) })
			}}
			r.askEveryone(l)
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
			var sel selection
			choose := func(lines []clientLine) { sel = filter.choose(lines, s.id) }
			r := roster{s, choose, func([]clientLine, []byte) { sel.killAside(s) }}
			r.ask(s.w.privileged())
		})
	})
	return handled
}

// killAside kills the selection of a CLIENT KILL whose reply does not wait for it.
func (sel *selection) killAside(s *session) {
	s.w.closeSessions(sel.sessions, func() {})
	for _, id := range sel.others {
		s.w.askPrivileged([]string{"cLiEnT", "kIlL", "ID", string(id)}, s.w.warnRefused("CLIENT KILL"))
	}
	if sel.me {
		s.endLater(telemetry.CloseKilled)
	}
}

// mixed spells a client's command as the proxy's own.
func mixed(args [][]byte) [][]byte {
	return append([][]byte{[]byte("cLiEnT"), []byte("kIlL")}, args[2:]...)
}

// selection is the clients that a CLIENT KILL selects.
type selection struct {
	sessions map[*worker][]uint64 // ids of sessions, without the asking one
	n        int                  // the number of sessions, and of killed others
	me       bool                 // the asking session is among them
	others   [][]byte             // ids of connections that are no sessions
}

// choose returns the clients that f selects. Any goroutine may call it: thousands of lines take longer
// than the loop can wait.
func (f *clientFilter) choose(lines []clientLine, self uint64) selection {
	sel := selection{sessions: map[*worker][]uint64{}}
	for i := range lines {
		if i%yieldLines == 0 {
			runtime.Gosched()
		}
		l := &lines[i]
		switch v := l.session; {
		case !f.matches(l, self):
		case v == nil:
			sel.others = append(sel.others, bytes.Clone(field(l.text, "id")))
		case v.id == self:
			sel.n, sel.me = sel.n+1, true
		default:
			sel.n++
			sel.sessions[v.worker] = append(sel.sessions[v.worker], v.id)
		}
	}
	return sel
}

// killSessions closes the selected sessions, and then runs done: no command of theirs is executed
// after the reply.
func (sel *selection) killSessions(s *session, done func()) {
	s.calling = true
	s.w.closeSessions(sel.sessions, func() { s.called(done) })
}

// killOthers kills connections that are no sessions, one by one, and answers the client.
func (sel *selection) killOthers(s *session, l *link, old bool) {
	if len(sel.others) == 0 {
		s.deliver(killReply(sel.n, old))
		if sel.me {
			s.endLater(telemetry.CloseKilled)
		}
		return
	}
	kill := [][]byte{[]byte("cLiEnT"), []byte("kIlL"), []byte("ID"), sel.others[0]}
	s.ask(l, nil, kill, func(reply []byte, broken bool) {
		if !isError(reply, broken) && bytes.Equal(reply, []byte(":1\r\n")) {
			sel.n++
		}
		sel.others = sel.others[1:]
		sel.killOthers(s, l, old)
	})
}

// closeSessions closes sessions of any workers, and then runs done on w's loop.
func (w *worker) closeSessions(sessions map[*worker][]uint64, done func()) {
	left := len(sessions) + 1
	closed := func() {
		if left--; left == 0 {
			done()
		}
	}
	for o, ids := range sessions {
		posted := o.loop.Post(func() { o.closeSlice(ids, func() { w.loop.Post(closed) }) })
		if !posted { // that worker has ended, and its sessions with it
			closed()
		}
	}
	closed()
}

// closeSlice closes the first of the sessions, and continues in the next turn.
func (w *worker) closeSlice(ids []uint64, done func()) {
	n := min(len(ids), closeMost)
	for _, id := range ids[:n] {
		if s := w.sessions[id]; s != nil {
			s.close(telemetry.CloseKilled)
		}
	}
	if n < len(ids) {
		w.later(func() { w.closeSlice(ids[n:], done) })
		return
	}
	done()
}

// closeMost is the number of sessions that one turn of a loop closes.
const closeMost = 64

// clientUnblock carries out CLIENT UNBLOCK: the id is a session's, the blocked connection a link.
func (f *frame) clientUnblock() next {
	return f.askTranslated(2, false)
}

// askTranslated asks with the session id in args[at] replaced by the server's id of that session's
// link. With pin, a session without a link of its own gets one.
func (f *frame) askTranslated(at int, pin bool) next {
	s, cmd := f.s, f.cmd
	l, n := s.askLink()
	if n != goOn {
		return n
	}
	args := cloneArgs(f.Args)
	answer := func(reply []byte, _ bool) { s.deliver(reply) }
	id, ok := sessionID(at1(args, at))
	if !ok {
		f.ask(l, args, answer)
		return handled
	}
	s.calling = true
	find := s.w.taker.blockedLink
	if pin {
		find = s.w.taker.linkOf
	}
	find(id, func(serverID int64) {
		s.calling = false
		if s.closed {
			return
		}
		args[at] = linkID(serverID)
		if pin {
			s.redirect = redirect{id, serverID}
		}
		s.ask(l, cmd, args, answer)
	})
	return handled
}

// unblockMuted is clientUnblock for a client that has turned replies off.
func (f *frame) unblockMuted() next { return f.sendTranslated(2, f.s.w.taker.blockedLink) }

// trackingMuted is clientTracking for such a client.
func (f *frame) trackingMuted() next {
	if at := redirectAt(f.Args); at > 0 {
		return f.sendTranslated(at, f.s.w.taker.linkOf)
	}
	return f.sendMuted()
}

// sendTranslated is askTranslated for such a client.
func (f *frame) sendTranslated(at int, find func(id uint64, done func(serverID int64))) next {
	s := f.s
	id, ok := sessionID(at1(f.Args, at))
	if !ok {
		return f.pinned()
	}
	if n := f.sessionKnown(id, find); n != goOn {
		return n
	}
	to, args := s.again.to, slices.Clone(f.Args)
	args[at] = linkID(to.serverID)
	f.Command = resp.Command{Args: args, Inline: true}
	n := f.pinned()
	if n == handled && f.b == clientTracking {
		s.redirect = to // the server's agreement is unknown
	}
	return n
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
		return f.askTranslated(at, true)
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
