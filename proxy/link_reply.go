package proxy

import (
	"bytes"
	"fmt"

	"holdfast/policy"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// replies holds the outstanding requests, and the part received of the oldest one's reply.
type replies struct {
	scan     resp.ReplyScanner
	reqs     ring
	locals   int    // requests of modeLocal in reqs
	queued   uint64 // request bytes sent or put into the backlog, in all
	answered uint64 // end of the newest answered request
	injected uint64 // bytes of preparation, which conn counts and queued does not
	weight   weight

	partial   []byte // the beginning of an incomplete reply
	streaming bool   // the head's reply is too large to gather: the client has parts of it
	withheld  []byte // input behind and with a reply that is not believed (withheld.go); nil: none
	raw       bool   // SYNC: input is passed through unread
	streams   bool   // with raw: the server or the replica has sent data
}

// unused reports whether the link has never carried a command, and has none in its backlog.
func (r *replies) unused() bool { return r.queued == 0 }

// await adds a request that was just sent.
func (r *replies) await(m mode) *request {
	q := r.reqs.push()
	q.mode, q.end = m, r.queued
	return q
}

// partly reports whether a part of the oldest request's reply has come.
func (r *replies) partly() bool { return r.scan.Started() || r.streaming }

// othersWait reports whether other clients than that of the oldest command wait for this link.
func (r *replies) othersWait() bool {
	due := r.reqs.front().s
	for i := range r.reqs.len() {
		if s := r.reqs.at(i).s; s != nil && s != due {
			return true
		}
	}
	return false
}

// OnData implements eventloop.Handler: it cuts p into replies and gives each to the request at the
// head of the queue.
//
// Consecutive whole replies to one session are written together, which makes a deep pipeline cheap.
func (l *link) OnData(_ *eventloop.Conn, p []byte) {
	l.w.counters.UpstreamBytesIn += uint64(len(p))
	if l.withheld != nil { // its client has read, and so the connection is read again
		l.withhold(p)
		return
	}
	l.read(p)
}

// read takes input.
func (l *link) read(p []byte) {
	w, received := l.w, len(p)
	l.lastActive = w.loop.Now()
	w.answered = w.answered || l.up == w.up
	if l.raw && l.ready && !l.refusesStream(p) {
		l.owner.deliver(p)
		l.pressure()
		return
	}
	if l.plain() {
		p = p[l.forwardRun(p):]
	}
	for len(p) > 0 && !l.closed && !l.withholds(p) {
		n, done, err := l.scan.Scan(p)
		if err != nil {
			l.malformed(err)
			break
		}
		if done {
			l.finish(p[:n])
		} else {
			l.gather(p[:n])
		}
		p = p[n:]
		if len(p) > 0 && !l.closed && l.plain() {
			p = p[l.forwardRun(p):]
		}
	}
	if l.weight.bytes += uint64(received); l.weight.bytes >= weighBytes && l.lane != nil {
		l.weight.sample(int64(l.commands) - int64(l.reqs.len()))
	}
	if !l.closed && len(l.stalled) > 0 && !l.full() {
		l.wakeStalled()
	}
	w.resume()
	if l.leaving() {
		l.retireIfDone()
	}
}

// malformed ends the link at bytes that are no reply.
func (l *link) malformed(err error) {
	l.w.counters.ReplyErrors++
	l.fail(fmt.Errorf("malformed reply: %w", err))
}

// refusesStream reports whether the first bytes of a stream are an error: then there is no stream,
// and its client goes on as before.
func (l *link) refusesStream(p []byte) bool {
	if l.streams {
		return false
	}
	l.streams = true
	if l.debug.armed {
		return !l.beginsDebugger(p[0])
	}
	l.raw = p[0] != '-'
	return !l.raw
}

// plain reports whether the fast path applies: the link is ready, no reply is half read, none is kept
// back, and none can be a push.
func (l *link) plain() bool {
	return l.ready && !l.scan.Started() && !l.closed && !l.w.outage.disbelieves() &&
		(l.lane != nil || l.proto == 2 && !l.sub.active)
}

// forwardRun hands the whole modeForward replies at the start of p to their sessions, and returns
// the number of bytes consumed. It stops before a reply that needs more care, and gathers the
// beginning of an incomplete last one.
func (l *link) forwardRun(p []byte) int {
	w := l.w
	now := w.loop.Now()
	pos, from := 0, 0
	var to *session
	var newest int64 // when the newest answered request was sent, and its command
	var cmd *policy.Command
	for pos < len(p) && l.reqs.len() > 0 {
		r := l.reqs.front()
		if r.mode > modeGated || p[pos] == '-' && (l.guard != nil || bytes.HasPrefix(p[pos:], replyReadonly)) {
			break
		}
		n, done, err := l.scan.Scan(p[pos:])
		if err != nil || !done {
			if to != nil {
				to.deliver(p[from:pos])
			}
			l.unfinished(p[pos:], err)
			w.watch.saw(newest, now, cmd)
			return len(p)
		}
		if r.s != to {
			if to != nil {
				to.deliver(p[from:pos])
			}
			to, from = r.s, pos
		}
		w.count(r, p[pos:pos+n], now)
		if p[pos] != '-' {
			newest, cmd = r.start, r.cmd
		}
		if r.hold != nil {
			if pos > from {
				to.deliver(p[from:pos])
			}
			gated{to}.answer(r.hold, p[pos:pos+n])
			from = pos + n
		}
		pos += n
		l.answered = r.end
		if to.outstanding == 1 || l.locals > 0 {
			// Deliver before the session learns that it has nothing outstanding, and before
			// a local reply takes its turn.
			if pos > from {
				to.deliver(p[from:pos])
			}
			to = nil
		}
		s := r.s
		l.reqs.pop()
		s.answered()
		if l.locals > 0 {
			l.emitLocals()
		}
	}
	if to != nil && pos > from {
		to.deliver(p[from:pos])
	}
	w.watch.saw(newest, now, cmd)
	l.pressure()
	return pos
}

// unfinished takes the beginning of a reply at the end of the input. err: it is none.
func (l *link) unfinished(p []byte, err error) {
	if err != nil {
		l.malformed(err)
		return
	}
	l.gather(p)
}

// gather keeps a part of a reply until the reply is whole or too large to keep.
func (l *link) gather(p []byte) {
	if l.streaming {
		l.stream(p)
		return
	}
	if len(l.partial)+len(p) > partialMax && l.streamable() {
		l.streaming = true
		l.stream(l.partial)
		l.partial = nil
		l.stream(p)
		return
	}
	if len(l.partial)+len(p) > callMax && !l.sub.active {
		if l.reqs.len() > 0 && l.reqs.front().hold != nil {
			l.letDrop()
			return
		}
		l.fail(fmt.Errorf("a reply that the proxy has to read is larger than %d bytes", callMax))
		return
	}
	l.partial = append(l.partial, p...)
}

// letDrop gives up a reply that is too large to hold, and its client with it.
func (r *replies) letDrop() {
	q := r.reqs.front()
	q.hold.Drop()
	q.hold, q.mode = nil, modeSwallow
	r.partial, r.streaming = nil, true
	if q.s != nil {
		q.s.close(telemetry.CloseOutputLimit)
	}
}

// streamable reports whether the reply in progress can be delivered, or dropped, in parts.
func (l *link) streamable() bool {
	if !l.ready || l.sub.active || l.reqs.len() == 0 || l.scan.Type() == '>' {
		return false
	}
	r := l.reqs.front()
	if r.hold != nil || r.call != nil && r.call.edit != nil {
		return false
	}
	m := r.mode
	return m == modeForward || m == modeChecked || m == modeSwallow || m == modeReplace
}

// stream passes on a part of the head's reply.
func (l *link) stream(p []byte) {
	if r := l.reqs.front(); r.mode == modeForward || r.mode == modeChecked {
		r.s.deliver(p)
		l.pressure()
	}
}

// finish handles the end p of a reply whose beginning may have been gathered.
func (l *link) finish(p []byte) {
	if l.streaming {
		l.stream(p)
		l.streaming = false
		l.complete(nil, l.scan.Type())
		return
	}
	reply := p
	if len(l.partial) > 0 {
		l.partial = append(l.partial, p...)
		reply = l.partial
		l.partial = nil
	}
	l.complete(reply, l.scan.Type())
	l.pressure()
}

// complete gives a whole reply (nil when it was streamed) to its recipient.
func (l *link) complete(reply []byte, typ byte) {
	if l.preparing() {
		if typ != '>' {
			l.prepared(reply)
		} else if l.owner != nil {
			l.push(reply, typ)
		}
		return
	}
	if l.owner != nil && reply != nil && l.push(reply, typ) {
		return
	}
	if l.reqs.len() == 0 {
		l.fail(fmt.Errorf("the server sent %q without being asked", trimCRLF(short(reply))))
		return
	}
	r := *l.reqs.front()
	if r.call != nil && r.call.reset && bytes.Equal(reply, replyReset) {
		l.droppedLogin(reply, typ)
		return
	}
	if r.mode == modeSubscribe && !l.confirm(&r, reply, typ) {
		return
	}
	from := l.answered
	l.reqs.pop()
	l.answered = r.end
	l.w.saw(r.start, r.cmd, reply)
	if !l.recall(&r, from, reply) {
		l.carryOut(&r, reply)
	}
	if !l.closed && l.locals > 0 {
		l.emitLocals()
	}
	if !l.closed && !l.ready {
		l.prepareIfIdle()
	}
}

// carryOut handles a reply according to the request's mode.
func (l *link) carryOut(r *request, reply []byte) {
	if r.s == nil {
		if r.mode == modeCall {
			r.call.done(reply, false)
		}
		return
	}
	l.w.count(r, reply, l.w.loop.Now())
	switch r.mode {
	case modeForward, modeSubscribe:
		if reply != nil {
			r.s.deliver(l.unguarded(reply))
		}
	case modeGated:
		gated{r.s}.answer(r.hold, l.unguarded(reply))
	case modeReplace:
		r.s.deliver(r.call.local)
	case modeCall:
		if r.hold != nil {
			gated{r.s}.answerBy(r.hold, func() { r.call.done(reply, false) })
		} else {
			r.call.done(reply, false)
		}
	case modeChecked:
		if r.call.edit != nil && reply != nil {
			reply = r.call.edit(reply)
		}
		if r.hold != nil {
			gated{r.s}.answer(r.hold, reply)
		} else if reply != nil {
			r.s.deliver(reply)
		}
		r.call.done(reply, false)
	}
	closes := r.call != nil && r.call.closes
	r.s.answered()
	if closes {
		r.s.endLater(telemetry.CloseClient)
	}
}

// emitLocals sends the local replies at the head of the queue.
func (r *replies) emitLocals() {
	for r.locals > 0 && r.reqs.len() > 0 && r.reqs.front().mode == modeLocal {
		q := *r.reqs.front()
		r.reqs.pop()
		r.locals--
		q.s.deliver(q.call.local)
		q.s.answered()
		if q.call.closes {
			q.s.endLater(telemetry.CloseClient)
		}
	}
}

// pressure stops reading a pinned link while its client does not read its output.
func (l *link) pressure() {
	if l.owner == nil || l.closed || l.owner.closed || l.owner.unread() <= pinnedHigh {
		return
	}
	// Output left after a flush waits for the client, so that OnDrain is sure to follow, or for the
	// gate, which returns to this link, too.
	if l.owner.conn.Flush(); l.owner.unread() > pinnedHigh {
		l.conn.PauseRead()
	}
}

func short(b []byte) []byte { return b[:min(len(b), 80)] }

func trimCRLF(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}
