package proxy

import (
	"slices"
	"strconv"

	"holdfast/proxy/telemetry"
)

// maxIdlePins is how many pinned links an identity keeps at rest.
const maxIdlePins = 64

// borrow lends a pinned link to s, with the session's database. It returns nil at the limit on
// pinned links; s is then woken when one is given back. short: it is for a transaction, see
// pinPool.
func (i *identity) borrow(s *session, short bool) *link {
	w := s.w
	if !w.mayLend(short) {
		w.awaitPin(s, short)
		return nil
	}
	if n := i.bestIdle(s); n >= 0 {
		l := i.idle[n]
		i.idle = append(i.idle[:n], i.idle[n+1:]...)
		l.lastActive = w.loop.Now()
		var steps []prepStep
		if l.guard != nil {
			steps = append(steps, l.becomeSelf(i))
		}
		if l.db != s.db {
			l.db = s.db
			steps = append(steps, l.selectStep())
		}
		if steps != nil {
			l.extend(steps)
		}
		i.took(s)
		return l
	}
	if w.pins.made >= w.limits.PinnedLinks {
		w.retireIdlePin()
	}
	i.took(s)
	return i.openPin(s.proto, s.db, hostOf(s.conn.RemoteAddr()))
}

// openPin opens another pinned link, for a client of that host.
func (i *identity) openPin(proto uint8, db int32, host string) *link {
	i.w.pins.made++
	l := i.w.makeLink(i, laneKey{proto: proto, db: db})
	l.host = host
	i.w.room.open(l)
	return l
}

// bestIdle is the index of the link at rest that suits s best: one of its protocol version, with
// its database if possible; -1 when there is none.
func (i *identity) bestIdle(s *session) int {
	best := -1
	for n := len(i.idle) - 1; n >= 0; n-- {
		switch l := i.idle[n]; {
		case l.proto != s.proto:
		case l.db == s.db && l.guard == nil:
			return n
		case best < 0:
			best = n
		}
	}
	return best
}

func selectArgs(db int32) []string { return []string{"sElEcT", strconv.Itoa(int(db))} }

// rest takes back a clean pinned link: no outstanding requests, no state but its database.
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
	if l.retiring || i.isLeft() || len(i.idle) >= maxIdlePins {
		l.retire()
		return
	}
	i.idle = append(i.idle, l)
	w.wakePinWaiter()
}

// isLeft reports whether no session has had the identity for pinIdle: its pinned links are closed
// then.
func (i *identity) isLeft() bool { return i.refs == 0 && i.w.loop.Now()-i.leftAt > pinIdle }

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
	l.w.pins.made--
	l.w.wakePinWaiter()
}

// abandon closes a pinned link whose session has gone; no client is left to answer.
//
// The session's commands still reach the server before the end of the connection, as they would if
// the client had closed its own.
func (l *link) abandon() {
	switch {
	case l.closed:
	case !l.ready && len(l.backlog) > 0:
		l.orphan = true // becomeReady calls abandon again
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

// keepLink gives the session its pinned link for good: from now on the connection itself keeps all
// state, and first gets the state that the proxy kept.
func (s *session) keepLink() next {
	if n := s.takePin(false); n != goOn {
		return n
	}
	if s.held&holdState != 0 {
		return goOn
	}
	s.held |= holdState
	if s.tx != nil {
		return goOn // a command sent now would be queued into the client's transaction
	}
	s.nameLink()
	return goOn
}

// nameLink gives the session's pinned link the client's name and library.
func (s *session) nameLink() {
	var steps []prepStep
	l := s.pin
	if l.name != s.name {
		l.name = s.name
		steps = append(steps, l.nameStep())
	}
	if l.lib != s.lib {
		l.lib = s.lib
		steps = append(steps, setInfoSteps(s.lib)...)
	}
	if len(steps) > 0 {
		l.extend(steps)
	}
}

func setInfoSteps(lib library) []prepStep {
	return []prepStep{
		{args: []string{"cLiEnT", "sEtInFo", "lib-name", lib.name}},
		{args: []string{"cLiEnT", "sEtInFo", "lib-ver", lib.version}},
	}
}

// extend adds steps to the preparation of a link, whether that is under way, over or not begun. If
// requests are outstanding, the steps are sent after them; steps that must succeed wait for the
// replies, and the link is not ready until then.
func (l *link) extend(steps []prepStep) {
	switch {
	case l.ready && mustAny(steps):
		l.begin(nil)
		l.last(steps...)
		l.prepareIfIdle()
	case l.ready:
		for _, st := range steps {
			l.inject(st.args...)
		}
	default:
		l.last(steps...)
	}
}

// prepareIfIdle sends the steps that waited for replies.
func (l *link) prepareIfIdle() {
	if !l.ready && len(l.prep) == 0 && len(l.later) > 0 && l.reqs.len() == 0 {
		l.prepare(l.takeLater())
	}
}

// mustAny reports whether a step must succeed before commands follow. Names need not: commands
// follow them at once, so that a SUBSCRIBE reaches the server before later commands of other
// clients.
func mustAny(steps []prepStep) bool {
	return slices.ContainsFunc(steps, func(st prepStep) bool { return st.must })
}

// lostPin is called when the session's pinned link broke, after its outstanding requests were
// answered. The connection's state is gone, so a client that relied on it is disconnected, as it
// would be without a proxy. An unused link has no state: the command in hand starts over.
func (s *session) lostPin(l *link, unused bool) {
	s.pin = nil
	l.owner = nil
	if unused {
		s.held &= holdNoMulti
		s.tx = nil
	}
	if s.tx != nil || s.held&^holdNoMulti != 0 || l.raw {
		s.held, s.tx = 0, nil
		s.endLater(telemetry.CloseUpstream)
	}
	s.w.wakeUp(s)
}

// serverLeft is called when the session's pinned link is on its way out.
func (s *session) serverLeft() {
	switch {
	case s.pin.raw:
		s.close(telemetry.CloseUpstream)
	case s.keepsLink():
		s.endLater(telemetry.CloseUpstream)
	case s.outstanding == 0:
		s.givePinBack()
	}
}

// letGo makes sure that no new command goes by a pinned link on its way out: the command waits for
// the link's outstanding replies.
func (s *session) letGo() next {
	if s.outstanding > 0 {
		return waitOrder
	}
	s.givePinBack()
	return goOn
}

// takePin ensures that the session has a pinned link. The frame waits for outstanding commands on
// another link (invariant 1), or for a free link. short: the link is for a transaction.
func (s *session) takePin(short bool) next {
	if s.pin != nil {
		return goOn
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	l := s.ident.borrow(s, short)
	if l == nil {
		return waitPin
	}
	s.pin, l.owner = l, s
	return goOn
}

// expect prepares ready links for a session with a new identity, protocol version or database.
func (s *session) expect() {
	w := s.w
	if w.limits.ReadyLinks > 0 && s.pin == nil && !s.closed && s.ident != w.stranger {
		r := s.ident.readyFor(s.proto, s.db)
		s.ident.fill(r)
	}
}

// ownLinkOnly reports whether only the session's own link can interpret the command: its selected
// database, the effect of unanswered commands before it, or whether a subscriber may send it.
func (s *session) ownLinkOnly() bool {
	return s.pin != nil && s.held&holdState != 0 &&
		(s.muted != replyOn || s.dbUnsure || s.userUnsure || s.pin.sub.active)
}
