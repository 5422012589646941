package proxy

import (
	"bytes"

	"holdfast/policy"
)

// Reads behind a stuck command are resent by another link: reading twice changes nothing. A
// session's requests move together, and only if all of them on that link are reads, so that they
// are answered in their order and see the session's own writes. Later replies to them on the first
// link are dropped.
//
// One of these reads may itself be the cause, and would stop the next link, too. So requests that
// moved before, and the request whose reply is due, do not go by the lane again but by two links
// outside it, half of the sessions each: after a few rounds the culprit is alone.

// movesMax bounds the times that a request is resent.
const movesMax = 8

// sentLog keeps the newest unanswered request bytes of a shared link, to resend them. It is small:
// a request that does not fit is not moved.
type sentLog struct {
	buf  []byte
	from uint64 // position of buf[0] in the link's request stream
}

const (
	logMax   = 64 << 10
	logFrame = 8 << 10 // larger frames are not kept
)

// add keeps a frame that ends at end; answered is the end of the newest answered request.
func (g *sentLog) add(frame []byte, end, answered uint64) {
	start := end - uint64(len(frame))
	if answered >= start || len(frame) > logFrame {
		g.buf, g.from = g.buf[:0], start
	}
	if len(frame) > logFrame {
		g.from = end
		return
	}
	if len(g.buf)+len(frame) > logMax {
		g.trim(start, answered)
	}
	g.buf = append(g.buf, frame...)
}

// trim drops the answered bytes. If they are less than half, it drops all: the log is not worth
// frequent copying.
func (g *sentLog) trim(start, answered uint64) {
	if n := int64(answered - g.from); n > logMax/2 && n <= int64(len(g.buf)) {
		g.buf = g.buf[:copy(g.buf, g.buf[n:])]
		g.from = answered
		return
	}
	g.buf, g.from = g.buf[:0], start
}

// cut returns the bytes from one position to another; nil if they have been dropped.
func (g *sentLog) cut(from, to uint64) []byte {
	if from < g.from || to > g.from+uint64(len(g.buf)) || from >= to {
		return nil
	}
	return g.buf[from-g.from : to-g.from]
}

// moveReads resends, by other links, the requests that may be sent twice.
func (l *link) moveReads() {
	l.stall.emptied = true
	if l.reqs.len() == 0 {
		return
	}
	due := l.reqs.front().s
	stay := map[*session]bool{}
	from := l.answered
	for i := range l.reqs.len() {
		r := l.reqs.at(i)
		if r.s != nil && (!l.movable(r, from) || l.streaming && r.s == due) {
			stay[r.s] = true
		}
		from = r.end
	}
	m := mover{lane: l.lane, to: map[*session]*link{}}
	from = l.answered
	for i := range l.reqs.len() {
		r := l.reqs.at(i)
		if r.s != nil && !stay[r.s] {
			m.move(r, l.stall.log.cut(from, r.end), r.moved > 0 || r.s == due)
		}
		from = r.end
	}
}

// mover chooses the link on which each session goes on.
type mover struct {
	lane   *lane
	to     map[*session]*link
	beside [2]*link
	turn   int
}

// move resends one request. aside: by a link outside the lane.
func (m *mover) move(r *request, frame []byte, aside bool) {
	to := m.to[r.s]
	switch {
	case to != nil:
	case aside:
		m.turn ^= 1
		if m.beside[m.turn] == nil {
			m.beside[m.turn] = m.lane.openBeside()
		}
		to = m.beside[m.turn]
	default:
		to = m.lane.pick(m.lane.ident.w)
	}
	m.to[r.s] = to
	to.send(frame)
	n := to.reqs.push()
	*n = *r
	n.end = to.queued
	n.moved++
	n.s.cur = to
	r.s, r.cmd, r.mode = nil, nil, modeSwallow
}

// openBeside opens a link that takes no new commands, and is closed once its own are answered.
func (ln *lane) openBeside() *link {
	w := ln.ident.w
	l := w.makeLink(ln.ident, ln.key)
	l.lane, l.stall.parked = ln, true // before it counts
	ln.parked = append(ln.parked, l)
	w.room.open(l)
	return l
}

// movable reports whether a request can be resent.
func (l *link) movable(r *request, from uint64) bool {
	return r.mode == modeForward && r.moved < movesMax && r.cmd != nil && r.hold == nil && r.call == nil &&
		l.w.readsOnly(r.cmd) && l.stall.log.cut(from, r.end) != nil
}

// readsOnly reports whether a command only reads, so that executing it twice does no harm. For code
// and module commands that holds if the server restricts them to reads.
func (w *worker) readsOnly(cmd *policy.Command) bool {
	if b := w.behaviours[cmd.ID]; b != plain && b != script || isHeldByPause(cmd) {
		return false
	}
	return cmd.Flags.Has(policy.FlagReadonly) || cmd.Name == "ping" || cmd.Name == "echo"
}

// isPassing reports whether an error says that the server executes nothing for the moment.
func isPassing(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("-BUSY")) || bytes.HasPrefix(reply, []byte("-LOADING"))
}
