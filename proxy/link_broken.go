package proxy

import (
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// fail ends the link: every outstanding request is answered once, in order. cause nil means that
// the server closed it.
func (l *link) fail(cause error) {
	if l.closed {
		return
	}
	l.close()
	if d := l.w.durable; d != nil && l.side == nil && !l.retiring {
		d.linkBroke(l)
	}
	if l.streaming && l.reqs.len() > 0 {
		// The client has a part of this reply: nothing but the rest of it may follow.
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
	if s := l.owner; s != nil {
		s.lostPin(l)
	}
	l.wakeStalled()
	if cause != errRefused {
		l.w.linkBroke(l, cause)
	}
}

// requestBytesSent is how much of the request stream the kernel has taken, or more where that is
// not known.
func (l *link) requestBytesSent() uint64 {
	if l.conn == nil {
		return 0
	}
	sent := l.conn.Sent()
	if !l.counted && l.w.srv.driver() == "portable" {
		sent = l.conn.Queued() // Sent lags behind the goroutine that writes
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
	if l.raw {
		return // the client reads a stream of its own: no text may come into it
	}
	e := maybeExecuted
	if r.end > sent {
		e = notExecuted
	}
	var text string
	switch c := cause.(type) {
	case errDown:
		text = textUpstreamDown(l.up.Address(), c.cause, millis(c.wait))
	case errNotNow:
		text = string(c)
	default:
		text = textUpstreamLost(l.up.Address(), cause, e)
	}
	reply := resp.AppendError(nil, text)
	if r.hold != nil {
		l.w.durable.drop(r.hold) // nothing is known of it, and that is what the client is told
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
