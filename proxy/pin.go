package proxy

import (
	"strconv"

	"holdfast/proxy/telemetry"
)

// maxIdlePins is how many pinned links an identity keeps at rest.
const maxIdlePins = 64

// borrow lends a pinned link to s, with the session's database. It returns nil when there are as
// many as the limits allow; s is then woken when one is given back.
func (i *identity) borrow(s *session) *link {
	w := s.w
	if n := i.bestIdle(s); n >= 0 {
		l := i.idle[n]
		i.idle = append(i.idle[:n], i.idle[n+1:]...)
		l.lastActive = w.loop.Now()
		if l.db != s.db {
			l.db = s.db
			l.prepare([]prepStep{l.selectStep()})
		}
		return l
	}
	if w.pinned >= w.limits.PinnedLinks {
		w.retireIdlePin()
	}
	if w.pinned >= w.limits.PinnedLinks {
		w.pinWaiters = append(w.pinWaiters, s)
		return nil
	}
	w.pinned++
	l := w.newLink(i, laneKey{proto: s.proto, db: s.db})
	return l
}

// bestIdle is the index of the link at rest that suits s best: one of its protocol version, with
// its database if possible; -1 when there is none.
func (i *identity) bestIdle(s *session) int {
	best := -1
	for n := len(i.idle) - 1; n >= 0; n-- {
		switch l := i.idle[n]; {
		case l.proto != s.proto:
		case l.db == s.db:
			return n
		case best < 0:
			best = n
		}
	}
	return best
}

func selectArgs(db int32) []string { return []string{"sElEcT", strconv.Itoa(int(db))} }

// rest takes a pinned link back that is clean: nothing outstanding, no state but its database.
func (i *identity) rest(l *link) {
	w := l.w
	l.owner = nil
	if l.closed {
		return
	}
	if l.conn != nil && l.conn.ReadPaused() {
		l.conn.ResumeRead()
	}
	l.lastActive = w.loop.Now()
	if l.retiring || i.refs == 0 || len(i.idle) >= maxIdlePins {
		l.retire()
		return
	}
	i.idle = append(i.idle, l)
	w.wakePinWaiter()
}

// forget takes a closed link out of the identity's lists.
func (i *identity) forget(l *link) {
	if l.lane != nil || l.side != nil {
		return
	}
	for n, x := range i.idle {
		if x == l {
			i.idle = append(i.idle[:n], i.idle[n+1:]...)
			break
		}
	}
	l.w.pinned--
	l.w.wakePinWaiter()
}

// abandon closes a pinned link whose session has gone; nobody is left to answer.
//
// What the session had sent still reaches the server, in front of the end of the connection, as
// it would if the client had closed its own.
func (l *link) abandon() {
	switch {
	case l.closed:
	case !l.ready && len(l.backlog) > 0:
		l.orphan = true // becomeReady comes back here
	case l.ready && l.conn.Buffered() > 0:
		l.conn.CloseAfterFlush(lingerTime)
		l.delist()
	default:
		l.close()
	}
}

// givePinBack returns the pinned link after its last reply.
func (s *session) givePinBack() {
	l := s.pin
	s.pin = nil
	if l.sub.active || l.raw || l.dirty {
		l.owner = nil
		l.abandon()
		return
	}
	s.ident.rest(l)
}

// keepLink makes the session's pinned link its own for good: from now on the connection itself
// keeps all state, beginning with what the proxy kept. It returns false when the session has to
// wait first.
func (s *session) keepLink() bool {
	if !s.takePin() {
		return false
	}
	if s.held&holdState != 0 {
		return true
	}
	s.held |= holdState
	if s.held&holdMulti != 0 {
		return true // a command sent now would be queued into the client's transaction
	}
	var steps []prepStep
	l := s.pin
	if l.name != s.name {
		l.name = s.name
		steps = append(steps, prepStep{args: []string{"cLiEnT", "sEtNaMe", s.name}})
	}
	if l.lib != s.lib {
		l.lib = s.lib
		steps = append(steps, setInfoSteps(s.lib)...)
	}
	if len(steps) > 0 {
		l.extend(steps)
	}
	return true
}

func setInfoSteps(lib library) []prepStep {
	return []prepStep{
		{args: []string{"cLiEnT", "sEtInFo", "lib-name", lib.name}},
		{args: []string{"cLiEnT", "sEtInFo", "lib-ver", lib.version}},
	}
}

// extend adds steps to the preparation of a link, whether that goes on, is over or has not begun.
// Where requests are outstanding the steps are sent behind them.
func (l *link) extend(steps []prepStep) {
	switch {
	case l.conn == nil:
		l.later = append(l.later, steps...)
	case l.ready && l.reqs.len() == 0:
		l.prepare(steps)
	case l.ready:
		for _, st := range steps {
			l.inject(st.args...)
		}
	default:
		l.later = append(l.later, steps...)
	}
}

// lostPin is called when the session's pinned link broke, after everything outstanding on it was
// answered. State that the connection had is gone, so a client that relied on it is disconnected,
// as it would be without a proxy.
func (s *session) lostPin(l *link) {
	s.pin = nil
	l.owner = nil
	if s.held&^holdRefused != 0 || l.raw {
		s.held = 0
		s.endLater(telemetry.CloseUpstream)
	}
	s.w.wakeUp(s)
}
