package proxy

import ()

// WAIT and WAITAOF refer to the last write on their own connection, but the session's writes may
// have gone by a shared link. So the session gets its own link, with one small write first:
// replicas that have it have every write answered before it. From then on the session's writes go
// by that link, too.
//
// The write is a message to a channel. A user who may WAIT need not have the permission for that,
// so the link logs in as the control user for it, and as the session's own user again before it
// carries the session's commands. The rejected design waits on a link of the control user: CLIENT
// UNBLOCK, for instance, would then address another connection than the client's.

// waitMark is whether the session's own link has made that write.
type waitMark uint8

const (
	markNone waitMark = iota
	markTried
	markMade
)

// waitChannel is the channel of the message.
const waitChannel = "holdfast:wait"

// waitAcks carries out WAIT and WAITAOF.
func (f *frame) waitAcks() next {
	s, cmd := f.s, f.cmd
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
	if s.mark == markNone && s.ident.key != defaultKey {
		s.mark = markTried
		s.markAsControl()
		if n := s.awaitLink(s.pin); n != goOn {
			return n // it is presented again once the link is the session's user's again
		}
	}
	args := cloneArgs(f.Args)
	f.askString(s.pin, []string{"pUbLiSh", waitChannel, ""}, func(reply []byte, broken bool) {
		if isError(reply, broken) {
			s.deliver(reply)
			return
		}
		s.mark = markMade
		s.ask(s.pin, cmd, args, func(reply []byte, _ bool) { s.deliver(reply) })
	})
	return handled
}

// markAsControl has the link make the write as the control user. If that user cannot log in, the
// session's own user makes it. The login back is sent after all other replies: otherwise its error
// would be dropped (askOutside), and the link would stay the control user's.
func (s *session) markAsControl() {
	user, password := s.w.up.Login()
	if user == "" {
		user = defaultUser
	}
	if password == "" {
		password = anyPassword // a user without one accepts any
	}
	back := s.pin.becomeSelf(s.ident)
	asSelf := func(*link) []prepStep { return nil } // if the login is refused, the message goes as this user
	s.pin.extend([]prepStep{
		{args: []string{"aUtH", user, password}, must: true, instead: asSelf},
		{args: []string{"pUbLiSh", waitChannel, ""}, must: true,
			instead: func(*link) []prepStep { return []prepStep{back} },
			done: func(l *link, _ []byte) {
				s.mark = markMade
				l.later = append([]prepStep{back}, l.later...)
			}},
	})
}
