package proxy

import (
	"bytes"
	"math"
	"strconv"

	"holdfast/policy"
	"holdfast/proxy/resp"
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
	case laneScript:
		key.name = s.name
	}
	ln := s.ident.lane(key)
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
func (s *session) lobbyForward(c *resp.Command, cmd *policy.Command) bool {
	return s.forwardShared(c, cmd, laneLobby)
}

// askLink is where the session asks about or changes its own connection: its pinned link where
// that keeps the state, otherwise the lobby. nil means that the command has to wait.
func (s *session) askLink() *link {
	if s.held != 0 {
		return s.pin
	}
	if s.outstanding > 0 {
		s.wait = waitOrder
		return nil
	}
	return s.lane(laneLobby).pick(s.w)
}

// ask sends a command of which the proxy reads the reply, and lets the session go on only once
// done has run. done gives the client its answer; it does not run when the client has gone. A
// command that is nil is the proxy's own, and counts nowhere.
func (s *session) ask(l *link, cmd *policy.Command, args [][]byte, done func([]byte, bool)) {
	if cmd != nil {
		cmd = s.w.command(cmd.Name) // the table may be another one since the last step
	}
	if l.closed { // likewise the link
		s.waitCallOn = false
		done(resp.AppendError(nil, textUpstreamLost(l.up.Address(), nil, notExecuted)), true)
		s.w.wakeUp(s)
		return
	}
	l.send(resp.AppendCommand(nil, args...))
	s.wait, s.waitCallOn = waitCall, true
	s.noteSent(l, cmd, modeCall, &call{done: func(reply []byte, broken bool) {
		s.waitCallOn = false
		if !s.closed {
			done(reply, broken)
		}
		if !s.waitCallOn {
			s.w.wakeUp(s)
		}
	}})
}

// askAs is ask for a command of a client: frames are copied only where the call needs them.
func (s *session) askAs(c *resp.Command, cmd *policy.Command, done func([]byte, bool)) bool {
	l := s.askLink()
	if l == nil {
		return false
	}
	s.ask(l, cmd, c.Args, done)
	return true
}

// isError reports whether a reply refuses the command.
func isError(reply []byte, broken bool) bool { return broken || len(reply) == 0 || reply[0] == '-' }

// selectDB lets the server check the database, and keeps it for the session's further commands.
func (s *session) selectDB(c *resp.Command, cmd *policy.Command) bool {
	db, ok := parseDB(c.Args)
	return s.askAs(c, cmd, func(reply []byte, broken bool) {
		if !isError(reply, broken) && ok {
			s.db = db
			s.forgetLanes()
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

func (s *session) forgetLanes() { s.lanes = [3]*lane{} }

// clientName carries out CLIENT SETNAME, SETINFO and GETNAME.
func (s *session) clientName(c *resp.Command, cmd *policy.Command) bool {
	args := cloneArgs(c.Args)
	return s.askAs(c, cmd, func(reply []byte, broken bool) {
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

// noteName keeps what an accepted CLIENT SETNAME or SETINFO set.
func (s *session) noteName(args [][]byte) {
	switch {
	case len(args) == 3 && resp.EqualFold(args[1], "setname"):
		s.name = string(args[2])
		s.client.SetName(s.name)
		s.forgetLanes()
	case len(args) == 4 && resp.EqualFold(args[2], "lib-name"):
		s.lib.name = string(args[3])
	case len(args) == 4 && resp.EqualFold(args[2], "lib-ver"):
		s.lib.version = string(args[3])
	}
}

// authenticate carries out AUTH: on a connection of no identity, which is then reset, so that the
// server checks the credential anew for every client.
func (s *session) authenticate(c *resp.Command, cmd *policy.Command) bool {
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	args := cloneArgs(c.Args)
	s.askAnonymous(cmd, args, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			s.w.changeIdentity(s, authKey(args))
		}
		s.deliver(reply)
	})
	return true
}

// askAnonymous asks on the lobby of the identity that nobody proved.
func (s *session) askAnonymous(cmd *policy.Command, args [][]byte, done func([]byte, bool)) {
	l := s.w.anonymous.lane(laneKey{kind: laneLobby, proto: 2}).pick(s.w)
	s.ask(l, cmd, args, done)
	l.inject("rEsEt")
}

func authKey(args [][]byte) identityKey {
	if len(args) == 2 {
		return identityKey{password: string(args[1]), authed: true, single: true}
	}
	return identityKey{user: string(args[1]), password: string(args[2]), authed: true}
}

// helloArgs is what a HELLO asks for.
type helloArgs struct {
	proto   uint8 // 0: not given
	auth    *identityKey
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
			h.auth = &identityKey{user: string(args[i+1]), password: string(args[i+2]), authed: true}
			i += 2
		case resp.EqualFold(args[i], "setname") && i+1 < len(args):
			h.name, h.setName = string(args[i+1]), true
			i++
		}
	}
	return h
}

// hello carries out HELLO: protocol version, user and name in one.
func (s *session) hello(c *resp.Command, cmd *policy.Command) bool {
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	args := cloneArgs(c.Args)
	h := parseHello(args)
	done := func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			s.applyHello(h)
			reply = s.rewriteHello(reply)
		}
		s.deliver(reply)
	}
	if h.auth != nil {
		s.askAnonymous(cmd, args, done)
		return true
	}
	l := s.lane(laneLobby).pick(s.w)
	s.ask(l, cmd, args, done)
	l.inject("hElLo", strconv.Itoa(int(s.proto)))
	return true
}

// applyHello keeps what an accepted HELLO set.
func (s *session) applyHello(h helloArgs) {
	if h.proto != 0 {
		s.proto = h.proto
	}
	if h.setName {
		s.name = h.name
		s.client.SetName(s.name)
	}
	if h.auth != nil {
		s.w.changeIdentity(s, *h.auth)
	}
	s.forgetLanes()
}

// rewriteHello puts the session's id where the reply has the id of a link.
func (s *session) rewriteHello(reply []byte) []byte {
	mark := []byte("$2\r\nid\r\n:")
	i := bytes.Index(reply, mark)
	if i < 0 {
		return reply
	}
	i += len(mark)
	j := bytes.IndexByte(reply[i:], '\r')
	if j < 0 {
		return reply
	}
	out := append([]byte(nil), reply[:i]...)
	out = strconv.AppendUint(out, s.id, 10)
	return append(out, reply[i+j:]...)
}

// resetConnection carries out RESET, which no ACL can forbid: the session forgets everything that
// the server's RESET makes a connection forget, and lets go of its link.
func (s *session) resetConnection(c *resp.Command, cmd *policy.Command) bool {
	if len(c.Args) != 1 {
		if s.pin != nil {
			return s.sendTo(s.pin, c, cmd, modeForward, nil)
		}
		return s.lobbyForward(c, cmd)
	}
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	s.muted = replyOn
	l := s.pin
	if l == nil {
		s.forgetConnection()
		s.w.countLocal(cmd)
		return true
	}
	// The server forgets first: whoever publishes next to a channel of this session is not told
	// of a subscriber any more.
	s.ask(l, cmd, c.Args, func([]byte, bool) {
		s.pin, l.owner = nil, nil
		l.abandon()
		s.forgetConnection()
	})
	return true
}

// forgetConnection makes the session what a new one is, and says so.
func (s *session) forgetConnection() {
	s.held, s.marked, s.redirect = 0, false, redirect{}
	s.forgetQueued()
	s.dbUnsure, s.userUnsure = false, false
	s.proto, s.db, s.name = 2, 0, ""
	s.client.SetName("")
	s.w.changeIdentity(s, s.w.anonymous.key)
	s.deliver(resp.AppendSimple(nil, "RESET"))
}

// waitMark is the channel to which a marker is published, see waitAcks.
const waitMark = "holdfast:wait"

// waitAcks carries out WAIT and WAITAOF. They speak of the last write of the connection that they
// come by; the session's writes may have gone by a shared link. So the session gets a link of
// its own, on which one small write is made first: replicas that have it have all that was
// answered before it. From then on the session's writes go by that link, too.
func (s *session) waitAcks(c *resp.Command, cmd *policy.Command) bool {
	if s.held&holdMulti != 0 || s.marked {
		return s.sendTo(s.pin, c, cmd, modeForward, nil)
	}
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	if !s.keepLink() {
		return false
	}
	args := cloneArgs(c.Args)
	mark := [][]byte{[]byte("pUbLiSh"), []byte(waitMark), nil}
	s.ask(s.pin, cmd, mark, func(reply []byte, broken bool) {
		if isError(reply, broken) {
			s.deliver(reply)
			return
		}
		s.marked = true
		s.ask(s.pin, cmd, args, func(reply []byte, _ bool) { s.deliver(reply) })
	})
	return true
}
