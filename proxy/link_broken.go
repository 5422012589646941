package proxy

import (
	"errors"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// fail ends the link: every outstanding request is answered once, in order. A nil cause: the server
// closed it.
func (l *link) fail(cause error) {
	if l.closed {
		return
	}
	cause = l.cutOff(cause)
	if l.ended = cause; cause == nil {
		l.ended = errClosed
	}
	ready, opening, unused, connected := l.ready, l.opening(), l.unused(), l.conn != nil
	l.close()
	l.wayLost(cause, opening)
	if l.side == nil && !l.retiring {
		l.w.durable.LinkBroke(&l.Origin)
	}
	if l.streaming && l.reqs.len() > 0 {
		// The client has a part of this reply: only the rest of it may follow.
		if s := l.reqs.front().s; s != nil {
			s.close(telemetry.CloseUpstream)
		}
	}
	sent := l.requestBytesSent()
	for l.reqs.len() > 0 {
		r := *l.reqs.front()
		l.reqs.pop()
		l.answerBroken(&r, cause, sent)
	}
	if !ready {
		for _, s := range l.stalled {
			if s.wait == waitLink {
				s.again.lost = causeOf(cause)
			}
		}
	}
	if s := l.owner; s != nil {
		s.lostPin(l, unused)
	}
	l.wakeStalled()
	if cause != errRefused {
		l.w.linkBroke(l, cause)
	}
	switch {
	case l.probes:
	case connected: // ready or not: the user may have been deleted while the link logged in
		l.ident.doubt()
	default:
		l.ident.doubtLater()
	}
}

// wayLost notes in the outage that a link ended against the proxy's will. opening: it was never
// ready, so this was a failed attempt.
func (l *link) wayLost(cause error, opening bool) {
	w := l.w
	switch cause.(type) {
	case errDown, errNotNow: // no attempt was made, or it is noted already; the server is there
		return
	}
	switch {
	case cause == errRefused || cause == errDoubted || l.retiring || l.conn == nil || l.up != w.up:
	case opening:
		w.outage.failed(l, causeOf(cause))
	default:
		w.outage.lost(causeOf(cause))
	}
}

// errClosed stands for the end of a link that the server closed.
var errClosed = errors.New("closed by the server")

func causeOf(cause error) error {
	switch c := cause.(type) {
	case nil:
		return errClosed
	case errDown:
		return c.cause
	}
	return cause
}

// errorOf is the error reply to a command whose link failed: the proxy's, or in the server's words.
func errorOf(cause error, e executed) []byte {
	switch c := cause.(type) {
	case errDown:
		if noWay(c.cause) {
			return resp.AppendOwnError(nil, textUpstreamDown(c.cause))
		}
		return errorOf(c.cause, notExecuted)
	case errNotNow:
		return resp.AppendError(nil, string(c))
	case errTurnedAway:
		return resp.AppendError(nil, string(c))
	}
	return resp.AppendOwnError(nil, textUpstreamLost(cause, e))
}

// requestBytesSent returns the number of request bytes that the kernel has taken, or an upper bound
// where that is unknown.
func (l *link) requestBytesSent() uint64 {
	if l.conn == nil {
		return 0
	}
	sent := l.conn.Sent()
	if !l.counted && l.w.srv.driver() == "portable" {
		sent = l.conn.Queued() // Sent lags behind the writing goroutine
	}
	return max(sent, l.injected) - l.injected
}

// answerBroken answers one request of a broken link.
func (l *link) answerBroken(r *request, cause error, sent uint64) {
	if r.mode == modeLocal {
		r.s.deliver(r.call.local)
		r.s.answered()
		return
	}
	if l.raw { // the client reads a raw stream: no text may interrupt it
		if r.s != nil {
			r.s.answered()
		}
		return
	}
	e := maybeExecuted
	if r.end > sent {
		e = notExecuted
	}
	reply := errorOf(cause, e)
	if r.hold != nil {
		r.hold.Drop() // its outcome is unknown, as the reply says
		r.hold = nil
	}
	if r.mode == modeCall {
		r.call.done(reply, true) // done answers the client, too
	} else if r.s != nil && r.mode != modeSwallow {
		r.s.deliver(reply)
		if r.mode == modeChecked {
			r.call.done(reply, true)
		}
	}
	if r.s != nil {
		l.w.countUpstream(r)
		r.s.answered()
	}
}
