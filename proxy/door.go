package proxy

import (
	"bytes"
	"slices"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// The door turns away, before any other work, the clients that the server would turn away: a client
// that the server answers -NOAUTH consumes no limit, budget, approval or link, and learns nothing
// about rules and routes.
//
// A server admits a connection by a mark set when the connection opens (or is RESET), or by a
// login. An old mark outlives a new password, and a connection without a mark needs a login only
// while the user default has a password. A session follows the same rules: the proxy asks the
// server when the session connects, and again for each piece of input of a session without a mark.
//
// The question is RESET and PING on a link without a login: RESET sets the mark again. One
// question, at the end of a turn, serves all sessions that came to the door in that turn. A client
// that is turned away takes a backseat (backseat.go): the input of strangers, failed logins
// included, takes a bounded share of the loop's and the server's time.
//
// A session whose certificate stands for a user has no mark, whatever the user default is: the
// question about it is that user's login (certificate.go).
//
// The rejected design reads the server's settings at intervals: a client that connects between two
// reads is judged by the older one.

// loginState is the state of a session's login. Up to loginAsking its input waits unread, since the
// server limits the frames of clients before their login; from loginOpen on it goes to the rules.
type loginState uint8

const (
	// loginUnknown: no question since the session connected, or since its RESET.
	loginUnknown loginState = iota
	loginAsking
	// loginFailed: no answer, valid for the input in hand.
	loginFailed
	// loginOut: the session has no mark.
	loginOut
	// loginDenied: the server has just required a login, valid for the input in hand.
	loginDenied
	// loginOpen: the session has no mark, and the server has just required no login, valid for the
	// input in hand.
	loginOpen
	// loginIn: the session has the mark.
	loginIn
)

// door asks the server about the sessions of a worker.
type door struct {
	w       *worker
	waiting []*session
	open    []*question // unanswered questions
	room    doorRoom
	noAuth  []byte // the server's newest -NOAUTH
	failure []byte // the last failure to ask
}

// question is a RESET and PING for some sessions, or a login for those of one certified user.
type question struct {
	w     *worker
	user  string // "": RESET and PING
	who   []*session
	link  *link
	shows bool // the user's certificate is shown to the server, instead of a password
	fresh bool // the link was opened for the question
	reset bool // the server has executed RESET
}

// knock queues a question about a session whose login state is unknown.
func (d *door) knock(s *session) {
	if s.login == loginUnknown {
		s.login = loginAsking
		d.waiting = append(d.waiting, s)
	}
}

// newInput drops a verdict that was for earlier input.
func (d *door) newInput(s *session) {
	switch s.login {
	case loginFailed:
		s.login = loginUnknown
		d.knock(s)
	case loginDenied, loginOpen:
		s.login = loginOut
	}
}

// ask asks one question for all waiting sessions of a user. It runs at the end of a turn.
func (d *door) ask() {
	for {
		q := d.next()
		if q == nil || !d.room.has(q.unread()) {
			return
		}
		d.waiting = slices.DeleteFunc(d.waiting, func(s *session) bool {
			if s.certified == q.user {
				q.who = append(q.who, s)
			}
			return s.certified == q.user
		})
		d.room.take(q.unread())
		d.open = append(d.open, q)
		d.w.beforeOwn(q.put)
	}
}

// next is the question about the session that has waited longest; nil: there is none to ask now. A
// question by a user's certificate costs the server a handshake, so a user has one at a time.
func (d *door) next() *question {
	for _, s := range d.waiting {
		cred, _ := d.w.vouched.Credential(s.certified)
		q := &question{w: d.w, user: s.certified, shows: cred.Certificate != nil}
		if !q.shows || !slices.ContainsFunc(d.open, func(x *question) bool { return x.shows && x.user == q.user }) {
			return q
		}
	}
	return nil
}

// unread is the maximum size of the replies, for doorRoom.
func (q *question) unread() int {
	switch {
	case q.shows:
		return 0 // on a link of the user
	case q.user != "":
		return unreadAuth
	}
	return unreadQuestion
}

// put sends the question.
func (q *question) put() {
	if q.user != "" {
		q.logIn()
		return
	}
	l := q.w.outside()
	q.link, q.fresh = l, l.commands == 0
	l.askFor(q.gotReset, "rEsEt")
	l.askFor(q.answered, "pInG")
}

// askFor sends a command that belongs to no session.
func (l *link) askFor(done func(reply []byte, broken bool), args ...string) {
	l.commands++
	l.ask(done, args...)
}

func (q *question) gotReset(reply []byte, _ bool) { q.reset = bytes.HasPrefix(reply, []byte("+RESET")) }

// answered takes the reply to PING.
func (q *question) answered(reply []byte, broken bool) {
	d := &q.w.door
	q.ended()
	switch {
	case broken:
		d.failure = bytes.Clone(reply)
	case bytes.HasPrefix(reply, []byte("-NOAUTH")):
		d.noAuth = bytes.Clone(reply)
	}
	if !broken && !q.reset {
		q.link.leaveLane() // the server has no RESET: each question needs a new connection
		if !q.fresh {
			d.waiting = append(d.waiting, q.who...)
			q.w.later(func() {}) // a turn, at whose end ask runs
			return
		}
	}
	q.settle(func(s *session) { d.judged(s, reply, broken) })
}

// ended takes an answered question off the list.
func (q *question) ended() {
	d := &q.w.door
	d.room.give(q.unread())
	d.open = slices.DeleteFunc(d.open, func(x *question) bool { return x == q })
}

// settle passes the verdict to all sessions of the question that are still there.
func (q *question) settle(judge func(*session)) {
	for _, s := range q.who {
		if !s.closed {
			judge(s)
			s.wake(waitDoor)
		}
	}
	q.w.wakePublishers()
}

// busy reports whether questions are unanswered: the sessions may have unread input.
func (d *door) busy() bool { return len(d.waiting)+len(d.open) > 0 }

// leaveLane removes a link from its lane, so that it gets no more commands.
func (l *link) leaveLane() {
	if !l.closed {
		l.retiring = true
		l.lane.remove(l)
	}
}

// judged applies the server's verdict about a session.
func (d *door) judged(s *session, reply []byte, broken bool) {
	marked := s.login == loginAsking
	switch {
	case s.login == loginIn:
	case broken:
		s.login = loginFailed
	case bytes.HasPrefix(reply, []byte("-NOAUTH")):
		s.login = loginDenied
	default: // any other reply is one to an admitted connection
		s.login = loginOpen
		if marked {
			s.login = loginIn
		}
		if s.ident != d.w.identities[defaultKey] {
			d.w.changeIdentity(s, defaultKey)
		}
	}
}

// atDoor handles a command of a session that is not admitted. A command that the server accepts
// before a login proceeds as usual.
func (f *frame) atDoor() next {
	s, cmd, b := f.s, f.cmd, f.b
	switch {
	case isHTTP(f.Args[0]):
		s.endHTTP()
		return handled
	case s.again.lost != nil && s.login < loginOut:
		s.refuseUnsent(cmd, b, errorOf(errDown{s.again.lost}, notExecuted))
		return handled
	case f.lacksMulti():
		return f.withoutMulti() // nothing of it is executed, for any client
	case s.login < loginOut && b != quit && b != resetConn && f.heldAtDoor():
		return waitUpstream
	case s.login < loginFailed:
		s.w.door.knock(s)
		return waitDoor
	case b == quit || b == resetConn:
		return goOn
	case s.login == loginFailed:
		s.refuseUnsent(cmd, b, s.w.door.failure)
		return handled
	case b == hello && parseHello(f.Args).auth == nil:
		return f.hello() // the server has its own refusal for it
	case cmd.Flags.Has(policy.FlagNoAuth):
		return goOn
	case s.outstanding > 0:
		return waitOrder
	case s.w.back.awaitsTurn(s):
		return waitTurn
	case s.login != loginDenied:
		s.w.door.waiting = append(s.w.door.waiting, s)
		return waitDoor
	}
	return f.turnAway()
}

// heldAtDoor makes a session wait while the server cannot be asked. It asks when the server is
// back.
func (f *frame) heldAtDoor() bool {
	s := f.s
	o := &s.w.outage
	if !o.holds() || s.eof || s.login != loginFailed && s.w.open > 0 {
		return false
	}
	if s.login == loginFailed {
		s.login = loginUnknown
	}
	o.add(s)
	return true
}

// turnAway answers a command as the server does before a login.
func (f *frame) turnAway() next {
	s, cmd := f.s, f.cmd
	w := s.w
	if s.keepsLink() || s.pin != nil {
		// It began a transaction while no login was required; the server would not let it finish.
		s.reply(w.door.noAuth)
		s.endLater(telemetry.CloseUpstream)
		return handled
	}
	if s.ident != w.stranger {
		w.changeIdentity(s, w.stranger.key)
	}
	if f.b == exec || f.misfit() { // an EXEC without MULTI executes nothing
		if n := s.w.door.room.await(s, unreadOther); n != goOn {
			return n
		}
		w.outside().inject("rEsEt")
		f.askOutside(cloneArgs(f.Args), unreadOther, func(reply []byte, _ bool) {
			s.w.back.noteAway(s)
			s.deliver(reply)
		})
		return handled
	}
	w.countOutcome(cmd, telemetry.OutcomeError)
	s.reply(w.door.noAuth)
	if s.w.back.noteAway(s); s.w.back.left <= 0 {
		s.w.back.queueUp(s)
	}
	return handled
}

// misfit reports whether the server does not know the command, or not with these arguments: its
// error precedes -NOAUTH. An unknown command that rules or routes may name is no misfit: the server
// might know it and, if the password was just removed, execute it.
func (f *frame) misfit() bool {
	s, cmd := f.s, f.cmd
	if known := cmd.Name != "" && (!cmd.IsContainer() || len(f.Args) == 1); known {
		return cmd.IsContainer() || !cmd.AcceptsArgs(len(f.Args))
	}
	w := s.w
	asked := policy.Request{Cmd: cmd, Args: f.Args, Client: &s.client, DB: int(s.db), Now: w.unixMilli()}
	if v := w.policy.Decide(&asked); v.Rule != nil || v.Shadow != nil || v.Effective() != policy.Allow {
		return false
	}
	return w.routes == nil || w.routes.Match(&asked).Route == nil
}
