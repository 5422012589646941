package proxy

import (
	"bytes"
	"strings"

	"holdfast/proxy/resp"
)

// Some actions of rules need more permissions than the client's own user has: moving a database
// aside, for instance, takes SWAPDB. Such commands go by links of the control user, whose name and
// password are in the configuration. Before one acts for a client, the server is asked whether the
// client's own user may run the client's command.

// privileged returns the link of the control user for the next command.
func (w *worker) privileged() *link {
	return w.controlIdentity().lane(laneKey{kind: laneScript, proto: 2}).pick(w)
}

// controlIdentity is the identity of the configuration's present control user.
func (w *worker) controlIdentity() *identity {
	user, password := w.up.Login()
	key := identityKey{user: user, password: password, authed: password != "", control: true}
	if w.control == nil || w.control.key != key {
		if w.control != nil {
			w.release(w.control)
		}
		w.control = w.identity(key)
		w.control.refs++
	}
	return w.control
}

// askPrivileged sends a command without a session and hands the reply to done.
func (w *worker) askPrivileged(args []string, done func(reply []byte, broken bool)) {
	w.privileged().ask(done, args...)
}

// askString is ask for one of the proxy's own commands, which counts as the frame's.
func (f *frame) askString(l *link, args []string, done func([]byte, bool)) {
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	f.ask(l, list, done)
}

// permission is the conversation before the control user carries out a command for a client: may
// the client's own user run it?
type permission struct {
	*frame // kept
	then   func()
}

// permitted asks the server whether the session's user may run the command with these arguments. If
// so, then runs; else the client gets the server's usual answer, or a refusal. The session must
// have no outstanding commands.
func (f *frame) permitted(args [][]byte, then func()) {
	s := f.s
	p := &permission{frame: f.kept(), then: then}
	user := s.ident.userName()
	ask := append([][]byte{[]byte("aCl"), []byte("dRyRuN"), []byte(user)}, args...)
	s.ask(s.w.privileged(), nil, ask, p.answered)
}

// answered takes the reply to ACL DRYRUN.
func (p *permission) answered(reply []byte, broken bool) {
	switch {
	case broken:
		p.refuseNow(notAsked(reply))
	case bytes.HasPrefix(reply, []byte("+OK")):
		p.then()
	case isError(reply, false):
		p.refuseNow(resp.AppendOwnError(nil, textNoDryRun(commandName(p.cmd, p.Args), p.rule.Name,
			string(trimCRLF(reply[1:])))))
	default:
		p.refuseNow(noPermission(reply))
	}
}

// notAsked is the reply if the link broke before the command itself was sent.
func notAsked(reply []byte) []byte {
	if !bytes.Contains(reply, []byte("may have been executed")) {
		return bytes.Clone(reply)
	}
	return resp.AppendOwnError(nil, textUpstreamLost(errClosed, notExecuted))
}

// noPermission turns ACL DRYRUN's refusal into the command's error. Redis 7.0 begins the two with
// different letters.
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
func (f *frame) refuseNow(reply []byte) {
	s := f.s
	if s.tx != nil {
		if s.pin != nil {
			s.tx.fix(whyRefused)
			s.pin.send(resp.AppendCommandStrings(nil, impossible))
			f.noteSent(s.pin, modeReplace, &call{local: reply})
		}
		return
	}
	s.answerNow(reply)
	s.w.countDenied(s, f.cmd, f.rule)
}
