package proxy

import (
	"bytes"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// Some of what rules allow is more than the client's own user may do on the server: to move a
// database aside, for instance, takes SWAPDB. Such commands go by links of the control user, for
// which the configuration has name and password. Before one acts for a client, the server was asked
// whether the client's own user may run what the client sent.

// privileged returns the link of the control user for the next command.
func (w *worker) privileged() *link {
	return w.controlIdentity().lane(laneKey{kind: laneScript, proto: 2}).pick(w)
}

// controlIdentity is the control user, as the configuration names him now.
func (w *worker) controlIdentity() *identity {
	user, password := w.up.Login()
	key := identityKey{user: user, password: password, authed: password != "", single: user == "",
		control: true}
	if w.control == nil || w.control.key != key {
		if w.control != nil {
			w.release(w.control)
		}
		w.control = w.identity(key)
		w.control.refs++
	}
	return w.control
}

// askPrivileged sends a command for no session and hands the reply to done.
func (w *worker) askPrivileged(args []string, done func(reply []byte, broken bool)) {
	l := w.privileged()
	l.send(resp.AppendCommandStrings(nil, args...))
	r := l.reqs.push()
	r.mode, r.call, r.start, r.end = modeCall, &call{done: done}, w.loop.Now(), l.queued
}

// askString is ask for a command of the proxy's own, which is counted as cmd, if not nil.
func (s *session) askString(l *link, cmd *policy.Command, args []string, done func([]byte, bool)) {
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	s.ask(l, cmd, list, done)
}

// permitted asks the server whether the session's user may run a command. next runs if so; else the
// client has got the answer that the server would have given, or a refusal. Nothing of the session
// may be outstanding.
func (s *session) permitted(cmd *policy.Command, args [][]byte, rule string, next func()) {
	user := s.ident.userName()
	dryrun := func() {
		ask := append([][]byte{[]byte("aCl"), []byte("dRyRuN"), []byte(user)}, args...)
		s.ask(s.w.privileged(), nil, ask, func(reply []byte, broken bool) {
			switch {
			case broken:
				s.refuseNow(cmd, s.notAsked(reply))
			case bytes.HasPrefix(reply, []byte("+OK")):
				next()
			case isError(reply, false):
				s.refuseNow(cmd, resp.AppendError(nil, textNoDryRun(commandName(cmd, args), rule,
					string(trimCRLF(reply[1:])))))
			default:
				s.refuseNow(cmd, noPermission(reply))
			}
		})
	}
	if s.ident.key.authed || s.held&holdMulti != 0 || s.ownLinkOnly() {
		dryrun() // or the session's own link carries it out
		return
	}
	// The server may want a login first. That depends on the connection, so one of the session's
	// own is asked.
	l := s.pin
	if l == nil {
		l = s.lane(laneLobby).pick(s.w)
	}
	s.askString(l, nil, []string{"pInG"}, func(reply []byte, _ bool) {
		if bytes.HasPrefix(reply, []byte("-NOAUTH")) || bytes.HasPrefix(reply, []byte("-UPSTREAM")) {
			s.refuseNow(cmd, bytes.Clone(reply))
			return
		}
		dryrun()
	})
}

// notAsked is the answer when the link broke before the command itself was sent.
func (s *session) notAsked(reply []byte) []byte {
	if !bytes.Contains(reply, []byte("may have been executed")) {
		return bytes.Clone(reply)
	}
	return resp.AppendError(nil, textUpstreamLost(s.w.up.Address(), nil, notExecuted))
}

// noPermission is the error for what ACL DRYRUN says. Redis 7.0 begins the two with another letter.
func noPermission(reply []byte) []byte {
	v, _, err := resp.Parse(reply)
	text := string(v.Str)
	if err != nil || text == "" {
		text = "this user has no permissions to run the command"
	}
	if rest, ok := strings.CutPrefix(text, "This user"); ok {
		text = "this user" + rest
	}
	return resp.AppendError(nil, "NOPERM "+text)
}

// refuseNow answers a command with an error, after a conversation about it.
func (s *session) refuseNow(cmd *policy.Command, reply []byte) {
	if s.held&holdMulti != 0 {
		if s.pin != nil {
			s.pin.send(resp.AppendCommandStrings(nil, "hOlDfAsT.dEnIeD"))
			s.noteSent(s.pin, cmd, modeReplace, &call{local: reply})
		}
		return
	}
	s.answerNow(reply)
	s.w.countDenied(cmd)
}

// answerNow gives a reply after a conversation, unless the client wants none.
func (s *session) answerNow(reply []byte) {
	if s.muted != replyOn && s.swallowReply() {
		return
	}
	s.deliver(reply)
}
