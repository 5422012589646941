package proxy

import (
	"bytes"

	"holdfast/policy"
)

// WAIT and WAITAOF refer to the last write on their own connection, but the session's writes may
// have gone by a shared link. So the session gets its own link, with one small write first, the
// mark: replicas that have it have every write answered before it. From then on the session's
// writes go by that link, too.
//
// The mark changes nothing: it is an empty message to a channel or, for users without permission
// for the channel, SWAPDB of a database with itself. A user who may WAIT need not be allowed either. So
// the link logs in as the control user for it, and as the session's own user again before it
// carries the session's commands. The user default makes the mark itself where the server allows it:
// its links may have logged in with a password that the server no longer accepts.
//
// The rejected design waits on a link of the control user: CLIENT UNBLOCK, for instance, would then
// address another connection than the client's.

// waitMark is the state of the mark on the session's own link.
type waitMark uint8

const (
	markNone waitMark = iota
	markPublish
	markSwap // likewise, by SWAPDB
	markMade
)

// waitChannel is the channel of the message.
const waitChannel = "holdfast:wait"

// markCommands make the mark.
var markCommands = map[waitMark][]string{
	markPublish: {"pUbLiSh", waitChannel, ""},
	markSwap:    {"sWaPdB", "0", "0"},
}

// waitAcks carries out WAIT and WAITAOF.
func (f *frame) waitAcks() next {
	s := f.s
	if s.tx != nil || s.mark == markMade {
		return f.sendTo(s.pin, modeForward, nil)
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	if n := s.keepLink(); n != goOn {
		return n
	}
	if n := s.awaitLink(s.pin); n != goOn {
		return n
	}
	if s.mark == markNone {
		if n := f.beginMark(); n != goOn {
			return n // it is presented again once the link is the session's user's again
		}
	}
	w := &waiter{s: s, cmd: f.cmd, args: cloneArgs(f.Args)}
	w.proceed(nil)
	return handled
}

// beginMark has the control user make the mark, if the session's own user should not or cannot.
func (f *frame) beginMark() next {
	s := f.s
	if s.ident.key != defaultKey {
		s.mark = markPublish
		s.markAsControl()
		return s.awaitLink(s.pin)
	}
	if n := s.awaitLink(s.w.privileged()); n != goOn {
		return n
	}
	s.chooseMark(markPublish)
	return waitCall
}

// chooseMark asks the server whether the user default may make the mark by that command or a later
// one. A refused attempt would leave a line in ACL LOG. An error means that the control user may
// not ask.
func (s *session) chooseMark(m waitMark) {
	ask := append([]string{"aCl", "dRyRuN", defaultUser}, markCommands[m]...)
	later(s, nil).askString(s.w.privileged(), ask, func(reply []byte, broken bool) {
		switch {
		case isError(reply, broken) || bytes.HasPrefix(reply, []byte("+OK")):
			s.mark = m
		case m == markPublish && !s.w.up.Info().Cluster:
			s.chooseMark(markSwap)
		default:
			s.mark = markPublish
			s.markAsControl()
		}
	})
}

// markAsControl has the link make the mark as the control user. If that user cannot log in, the
// session's own user makes it. The login back is sent after all other replies: otherwise its error
// would be dropped (askOutside), and the link would stay the control user's. The user default first
// logs in as itself, so that the login back is known to work.
func (s *session) markAsControl() {
	user, password := s.w.up.Login()
	if user == "" {
		user = defaultUser
	}
	if user == s.ident.userName() {
		return // it has no other permissions
	}
	if password == "" {
		password = anyPassword // a user without one accepts any
	}
	back := s.pin.becomeSelf(s.ident)
	asSelf := func(*link) []prepStep { return nil } // if the login is refused, the mark is made as this user
	made := func(l *link, _ []byte) {
		s.mark = markMade
		l.first(back)
	}
	swap := prepStep{args: markCommands[markSwap], must: true, done: made,
		instead: func(*link) []prepStep { return []prepStep{back} }}
	write := []prepStep{
		{args: []string{"aUtH", user, password}, must: true, instead: asSelf},
		{args: markCommands[markPublish], must: true, done: made,
			instead: func(*link) []prepStep { return []prepStep{swap} }},
	}
	if s.ident.key != defaultKey {
		s.pin.extend(write)
		return
	}
	s.pin.extend([]prepStep{{args: back.args, must: true, instead: asSelf,
		done: func(l *link, _ []byte) { l.first(write...) }}})
}

// waiter is a WAIT or WAITAOF of a session whose mark is not made yet.
type waiter struct {
	s    *session
	cmd  *policy.Command
	args [][]byte
}

// proceed makes the mark as the session's own user, and then sends the command. refused is the
// answer to an earlier attempt.
func (w *waiter) proceed(refused []byte) {
	s := w.s
	if s.mark == markMade {
		s.ask(s.pin, w.cmd, w.args, func(reply []byte, _ bool) { s.deliver(reply) })
		return
	}
	later(s, nil).askString(s.pin, markCommands[s.mark], func(reply []byte, broken bool) {
		switch {
		case !isError(reply, broken):
			s.mark = markMade
			w.proceed(nil)
		case !broken && s.mark == markPublish && bytes.HasPrefix(reply, []byte("-NOPERM")):
			s.mark = markSwap
			w.proceed(bytes.Clone(reply))
		case !broken && refused != nil:
			s.deliver(refused)
		default:
			s.deliver(reply)
		}
	})
}

// markAgain has the next WAIT make the mark again: another connection has written for the session.
func (c *connState) markAgain() { c.mark = markNone }
