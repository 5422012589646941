package proxy

import (
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/eventloop"
)

// An outage is a time in which a worker cannot reach the server: its last link broke, or a new one
// cannot be opened. It owns that time's state: its start, its cause, the time of the next attempt,
// the deadline of waiting commands, and the waiting sessions.
//
// Unsent commands wait unbegun (unbegun.go) until the outage ends or has lasted for upstream.hold;
// then they are answered -UPSTREAM, not executed. The clock starts with the outage and not with the
// command: in an outage of an hour, not every command waits. A client that leaves is noticed while
// it waits, unless it has sent so much that it is no longer read. A command sent before is answered
// at once when its link breaks, since it may have been executed.
//
// One link makes the attempts for all sessions, at the pace of the dialer, and only while a session
// waits; the sessions go on once it is ready. A server that accepts connections and closes them
// again is not back.
//
// A server that turns connections away with its own error (maxclients, protected mode) is up.
// Commands that need a new link get that error at once, and are not held.
//
// The rejected design queues commands on links that are being opened, after the rules and routes
// have passed them. A durable write would be executed though its proof is unavailable by then, and
// so would the command of a client that has given up and sent it elsewhere.
type outage struct {
	w       *worker
	hold    int64 // upstream.hold, nanoseconds
	on      bool
	since   int64 // loop time
	cause   error // why the last attempt failed, or the last link broke
	trying  *link // the attempt under way; nil: none
	waiting waitList
	timer   *eventloop.Timer
	told    seldom.Pace
	doubt   suspicion
}

// holdPace is the longest pause between attempts while commands wait.
const holdPace = int64(250 * time.Millisecond)

// errTurnedAway is the server's error to a new connection that it then closes. Clients get it, too.
type errTurnedAway string

func (e errTurnedAway) Error() string { return string(e) }

// failed notes that l could not be opened.
func (o *outage) failed(l *link, cause error) {
	w := o.w
	now := w.loop.Now()
	o.begin(min(l.opened, now), cause)
	w.dialer.failed(now, cause)
	if o.holds() {
		w.dialer.next = min(w.dialer.next, now+holdPace)
	}
	if o.trying == l {
		o.trying = nil
	}
	o.tell()
	o.arm()
}

// begin starts an outage, unless there is one.
func (o *outage) begin(at int64, cause error) {
	o.cause = cause
	if !o.on {
		o.on, o.since = true, at
	}
}

// lost notes that a ready link broke. Without the last one, the server is out of reach.
func (o *outage) lost(cause error) {
	if o.w.open > 0 || o.w.draining {
		return
	}
	o.begin(o.w.loop.Now(), cause)
}

// over ends the outage: a link is ready.
func (o *outage) over() {
	o.w.dialer.succeeded()
	o.end()
}

func (o *outage) end() {
	o.on, o.trying, o.cause = false, nil, nil
	o.waiting.wake(waitUpstream)
	if o.suspects() {
		o.arm() // the doubt has the timer again
	}
}

// setHold takes over another upstream.hold.
func (o *outage) setHold(d time.Duration) {
	if o.hold = int64(d); o.on || o.suspects() {
		o.arm()
	}
}

// until is the loop time at which waiting commands are answered.
func (o *outage) until() int64 { return o.since + o.hold }

// holds reports whether unsent commands should wait.
func (o *outage) holds() bool {
	_, away := o.cause.(errTurnedAway)
	return o.on && !away && !o.w.draining && o.w.loop.Now() < o.until()
}

// add has a session wait.
func (o *outage) add(s *session) {
	o.waiting.add(s, waitUpstream)
	o.arm()
}

// arm has tick run when the next attempt is due, or the deadline of the waiting commands.
func (o *outage) arm() {
	when := o.w.dialer.next
	if !o.on {
		when = o.heldUntil()
	} else if len(o.waiting.sessions) > 0 && (o.trying != nil || o.until() < when) {
		when = o.until()
	}
	after := time.Duration(max(when-o.w.loop.Now(), 0))
	if o.timer == nil {
		o.timer = o.w.loop.AfterFunc(after, o.tick)
		return
	}
	o.timer.Reset(after)
}

// tick makes the next attempt, or answers the commands at their deadline.
func (o *outage) tick() {
	if o.on && o.suspects() {
		o.decide()
	}
	switch {
	case !o.on && !o.suspects():
	case !o.on:
		o.reconsider()
	case len(o.waiting.sessions) == 0:
		if o.w.open > 0 {
			o.end() // the next command that needs a new link makes an attempt
		}
	case !o.holds():
		o.giveUp()
	default:
		if o.trying == nil && o.w.dialer.wait(o.w.loop.Now()) <= 0 {
			o.try()
		}
		o.arm()
	}
}

// look makes an attempt ahead of time: the server answers on its control connection.
func (o *outage) look() {
	if o.on && o.trying == nil && o.w.open == 0 {
		o.w.dialer.next = 0
		o.try()
	}
}

// try makes an attempt, by the link for requests about clients (outside). If that link is still
// open, and only new connections fail, it tries one more, and closes it again.
func (o *outage) try() {
	l := o.w.outside()
	if l.ready {
		l = o.w.stranger.openPin(2, 0, "")
		l.whenReady(func(l *link) {
			if o.trying == l {
				o.trying = nil
			}
			l.retire()
		})
	}
	if !l.closed {
		o.trying = l
	}
}

// giveUp answers the waiting commands.
func (o *outage) giveUp() {
	for _, s := range o.waiting.sessions {
		if s.wait == waitUpstream {
			s.again.lost = o.cause
			o.w.counters.HoldsExpired++
		}
	}
	o.waiting.wake(waitUpstream)
}

// tell logs the outage for operators; attempts that fail for the same reason share one line.
func (o *outage) tell() {
	why := reason(o.cause)
	if o.told.Passes(why, o.w.loop.Now(), time.Minute) {
		o.w.log.Warn("no connection to the upstream can be opened", "worker", o.w.id,
			"reason", why, "held", o.holds(), "open", o.w.open)
	}
}

// withoutLink decides on a frame during an outage, or after its link could not be opened. The frame
// goes on if there may be a link for it.
func (f *frame) withoutLink() next {
	s, cmd, b := f.s, f.cmd, f.b
	o, lost := &s.w.outage, s.again.lost
	if o.suspects() && mutates(f.cmd, f.b) {
		if n := f.doubted(); n != goOn {
			return n
		}
	}
	if noWay(lost) && !o.on {
		lost = nil // a link has been opened meanwhile: try again
	}
	s.again.lost = nil
	switch {
	case lost == nil && (!o.on || s.w.open > 0 || b == quit || b == resetConn):
		return goOn
	case o.holds() && (lost == nil || noWay(lost)) && !s.eof:
		o.add(s)
		return waitUpstream
	case lost == nil:
		return goOn
	}
	s.refuseUnsent(cmd, b, errorOf(errDown{lost}, notExecuted))
	return handled
}

// noWay reports whether a link failed because the server was out of reach, and not by the server's
// own error.
func noWay(cause error) bool {
	switch cause.(type) {
	case errNotNow, errTurnedAway:
		return false
	}
	return cause != nil
}
