package proxy

import (
	"bytes"
	"math"
	"strconv"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// lane returns the session's lane of a kind, from its cache.
func (s *session) lane(kind laneKind) *lane {
	if ln := s.lanes[kind]; ln != nil {
		return ln
	}
	key := laneKey{kind: kind, proto: s.proto, db: s.db}
	switch kind {
	case laneLobby:
		key.db = 0
	case laneScript, laneHeldScript:
		key.name = s.name
	}
	ln := s.ident.lane(key)
	if ln.by == 0 {
		ln.by = s.id
	}
	s.lanes[kind] = ln
	return ln
}

func (i *identity) lane(key laneKey) *lane {
	ln := i.lanes[key]
	if ln == nil {
		ln = &lane{key: key, ident: i}
		i.lanes[key] = ln
	}
	return ln
}

// lobbyForward sends a command that must not queue behind ordinary ones.
func (f *frame) lobbyForward() next {
	return f.forwardShared(laneLobby)
}

// askLink is the link on which the session queries or changes its connection's state: its pinned
// link if that keeps the state, otherwise the lobby.
func (s *session) askLink() (*link, next) {
	l := s.pin
	if !s.keepsLink() {
		if s.outstanding > 0 {
			return nil, waitOrder
		}
		l = s.lane(laneLobby).pick(s.w)
	}
	return l, s.awaitLink(l)
}

// ask sends a command and reads the reply itself; the session goes on only after done has run. done
// answers the client; it does not run if the client has gone. A nil command is the proxy's own, and
// is not counted.
func (s *session) ask(l *link, cmd *policy.Command, args [][]byte, done func([]byte, bool)) {
	later(s, cmd).ask(l, args, done)
}

// ask is ask for the command in hand.
func (f *frame) ask(l *link, args [][]byte, done func([]byte, bool)) {
	f.askThen(l, args, func() {}, done)
}

// askThen is ask with a function that runs on the reply, or when the link breaks, even if the
// client has gone.
func (f *frame) askThen(l *link, args [][]byte, always func(), done func([]byte, bool)) {
	s, cmd := f.s, f.cmd
	if l.closed { // the link may have changed since the last step
		s.calling = false
		always()
		done(resp.AppendOwnError(nil, textUpstreamLost(errClosed, notExecuted)), true)
		s.w.wakeUp(s)
		return
	}
	l.send(resp.AppendCommand(nil, args...))
	s.calling = true
	f.noteSent(l, modeCall, &call{done: func(reply []byte, broken bool) {
		always()
		s.called(func() {
			done(reply, broken)
			if broken && cmd != nil {
				s.endUnchanged(s.w.behaviours[cmd.ID])
			}
		})
	}})
}

// called ends a call: done runs unless the client has gone, and then the session goes on unless done
// has begun another call.
func (s *session) called(done func()) {
	s.calling = false
	if !s.closed {
		done()
	}
	if !s.calling {
		s.w.wakeUp(s)
	}
}

// askAs is ask for a client's command: frames are copied only if the call needs them.
func (f *frame) askAs(done func([]byte, bool)) next {
	l, n := f.s.askLink()
	if n != goOn {
		return n
	}
	f.ask(l, f.Args, done)
	return handled
}

func isError(reply []byte, broken bool) bool { return broken || len(reply) == 0 || reply[0] == '-' }

// selectDB lets the server check the database, and keeps it for the session's further commands.
func (f *frame) selectDB() next {
	s := f.s
	db, ok := parseDB(f.Args)
	args, hidden := cloneArgs(f.Args), f.hidden
	return f.askAs(func(reply []byte, broken bool) {
		if hidden && isError(reply, broken) {
			reply = s.w.trash.OutOfRange(args, reply)
		} else if ok && !isError(reply, broken) {
			s.setDB(db)
			s.expect()
		}
		s.deliver(reply)
	})
}

func parseDB(args [][]byte) (int32, bool) {
	if len(args) != 2 {
		return 0, false
	}
	n, err := strconv.Atoi(string(args[1]))
	return int32(n), err == nil && n >= 0 && n <= math.MaxInt32
}

// clientName carries out CLIENT SETNAME, SETINFO and GETNAME.
func (f *frame) clientName() next {
	s, cmd := f.s, f.cmd
	args := cloneArgs(f.Args)
	return f.askAs(func(reply []byte, broken bool) {
		switch {
		case isError(reply, broken):
		case cmd.Name != "client|getname":
			s.noteName(args)
		case s.name == "":
			reply = resp.AppendNull(nil, int(s.proto))
		default:
			reply = resp.AppendBulkString(nil, s.name)
		}
		s.deliver(reply)
	})
}

// applyName applies a CLIENT SETNAME or SETINFO.
func applyName(args [][]byte, name *string, lib *library) {
	switch {
	case len(args) == 3 && resp.EqualFold(args[1], "setname"):
		*name = string(args[2])
	case len(args) == 4 && resp.EqualFold(args[2], "lib-name"):
		lib.name = string(args[3])
	case len(args) == 4 && resp.EqualFold(args[2], "lib-ver"):
		lib.version = string(args[3])
	}
}

// authenticate carries out AUTH on a connection without identity, and resets it afterwards, so that
// the server checks the credential for every client.
func (f *frame) authenticate() next {
	s := f.s
	if s.outstanding > 0 {
		return waitOrder
	}
	if s.w.back.awaitsTurn(s) {
		return waitTurn
	}
	if n := s.awaitLink(s.w.outside()); n != goOn {
		return n
	}
	if n := s.w.door.room.await(s, unreadAuth); n != goOn {
		return n
	}
	args := cloneArgs(f.Args)
	f.askOutside(args, unreadAuth, func(reply []byte, broken bool) {
		if broken || !bytes.HasPrefix(reply, []byte("+OK")) {
			s.w.back.noteAway(s)
			s.deliver(reply)
			return
		}
		reply = bytes.Clone(reply)
		s.logIn(credentialOf(args), func() { s.deliver(reply) })
	})
	return handled
}

// askOutside asks on a connection without a login, and resets it afterwards.
//
// Servers since 7.2 drop the error of a failed login while replies to earlier commands wait to be
// written (addAuthErrReply), as happens when several clients log in at once. Then RESET's reply
// comes in the login's place, and stands for the refusal.
//
// unread is the largest size of the reply, for which doorRoom accounts.
func (f *frame) askOutside(args [][]byte, unread int, done func([]byte, bool)) {
	w := f.s.w
	l := w.outside()
	w.door.room.take(unread)
	f.askThen(l, args, func() { w.door.room.give(unread) }, done)
	if !l.closed {
		l.resetBehind()
	}
}

// resetBehind resets the connection after the request just sent.
func (l *link) resetBehind() {
	l.reqs.at(l.reqs.len() - 1).call.reset = true
	l.inject("rEsEt")
}

var (
	replyReset     = resp.AppendSimple(nil, "RESET")
	replyWrongPass = resp.AppendError(nil, textWrongPass)
)

// droppedLogin gives the oldest request the refusal that the server dropped; reply is the following
// RESET's.
func (l *link) droppedLogin(reply []byte, typ byte) {
	r := *l.reqs.front()
	l.reqs.pop()
	l.answered = r.end
	l.carryOut(&r, replyWrongPass)
	if !l.closed {
		l.complete(reply, typ)
	}
}

// outside is the link for requests about clients that are not logged in.
func (w *worker) outside() *link {
	return w.stranger.lane(laneKey{kind: laneLobby, proto: 2}).pick(w)
}

// credentialOf reads the credential of an AUTH command.
func credentialOf(args [][]byte) credential {
	if len(args) == 2 {
		return credential{defaultUser, string(args[1])}
	}
	return credential{string(args[1]), string(args[2])}
}

// helloArgs are the arguments of a HELLO.
type helloArgs struct {
	proto   uint8 // 0: not given
	auth    *credential
	name    string
	setName bool
}

func parseHello(args [][]byte) (h helloArgs) {
	if len(args) > 1 {
		if n, err := strconv.Atoi(string(args[1])); err == nil {
			h.proto = uint8(n)
		}
	}
	for i := 2; i < len(args); i++ {
		switch {
		case resp.EqualFold(args[i], "auth") && i+2 < len(args):
			h.auth = &credential{string(args[i+1]), string(args[i+2])}
			i += 2
		case resp.EqualFold(args[i], "setname") && i+1 < len(args):
			h.name, h.setName = string(args[i+1]), true
			i++
		}
	}
	return h
}

// hello carries out HELLO: protocol version, user and name in one.
func (f *frame) hello() next {
	s := f.s
	if s.outstanding > 0 {
		return waitOrder
	}
	h := parseHello(f.Args)
	l := s.lane(laneLobby).pick(s.w)
	outside := h.auth != nil || s.login < loginIn
	if outside {
		l = s.w.outside()
	}
	if s.w.back.awaitsTurn(s) {
		return waitTurn
	}
	if n := s.awaitLink(l); n != goOn {
		return n
	}
	if outside {
		if n := s.w.door.room.await(s, unreadHello); n != goOn {
			return n
		}
	}
	args := cloneArgs(f.Args)
	done := func(reply []byte, broken bool) {
		if isError(reply, broken) {
			s.w.back.noteAway(s)
			s.deliver(reply)
			return
		}
		if h.auth == nil && s.login < loginIn { // HELLO needs the mark, even if no login is required
			s.deliver(resp.AppendError(nil, textHelloFirst))
			return
		}
		reply = bytes.Clone(s.rewriteHello(reply))
		s.applyHello(h, func() { s.deliver(reply) })
	}
	if outside {
		if h.auth == nil {
			s.w.outside().inject("rEsEt") // the server decides again whether to let it in
		}
		f.askOutside(args, unreadHello, done)
		return handled
	}
	f.ask(l, args, done)
	l.inject("hElLo", strconv.Itoa(int(s.proto)))
	return handled
}

// applyHello keeps the settings of an accepted HELLO, and then runs next.
func (s *session) applyHello(h helloArgs, next func()) {
	s.apply(h)
	s.expect()
	if h.auth == nil {
		next()
		return
	}
	s.logIn(*h.auth, next)
}

// rewriteHello replaces the link's id in the reply by the session's.
func (s *session) rewriteHello(reply []byte) []byte {
	from, to := helloID(reply)
	if from == 0 {
		return reply
	}
	out := append([]byte(nil), reply[:from]...)
	out = strconv.AppendUint(out, s.id, 10)
	return append(out, reply[to:]...)
}

// helloID locates the connection's id in a reply to HELLO; zeros: it has none.
func helloID(reply []byte) (from, to int) {
	mark := []byte("$2\r\nid\r\n:")
	i := bytes.Index(reply, mark)
	if i < 0 {
		return 0, 0
	}
	i += len(mark)
	j := bytes.IndexByte(reply[i:], '\r')
	if j < 0 {
		return 0, 0
	}
	return i, i + j
}

// resetConnection carries out RESET, which no ACL can forbid: the session drops the same state as
// the server's RESET does, and gives up its link.
func (f *frame) resetConnection() next {
	s, cmd := f.s, f.cmd
	if len(f.Args) != 1 {
		if s.pin != nil {
			return f.sendTo(s.pin, modeForward, nil)
		}
		return f.lobbyForward()
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	s.muted = replyOn
	l := s.pin
	if l == nil {
		s.forgetConnection()
		s.w.countOutcome(cmd, telemetry.OutcomeLocal)
		return handled
	}
	// The server forgets first: a later PUBLISH to a channel of this session no longer counts it as
	// a subscriber.
	f.ask(l, f.Args, func([]byte, bool) {
		s.pin, l.owner = nil, nil
		l.abandon()
		s.forgetConnection()
	})
	return handled
}

// forgetConnection gives the session a new connection's state, and answers RESET.
func (s *session) forgetConnection() {
	s.held, s.tx = 0, nil
	s.reset()
	s.w.changeIdentity(s, s.w.stranger.key)
	s.login = loginUnknown
	s.w.door.knock(s)
	s.deliver(resp.AppendSimple(nil, "RESET"))
}

// dataLink returns the link of the session's next ordinary command, unless it has to wait.
func (s *session) dataLink() (*link, next) {
	l := s.cur
	switch {
	case s.keepsLink() || l != nil && l == s.pin:
		return s.pin, goOn
	case l == nil:
		return s.lane(s.window.lane()).pick(s.w), goOn
	case l.lane == nil || l.lane.key.kind != s.window.lane() || l.lane.ident != s.ident:
		return nil, waitOrder
	}
	return l, goOn
}
