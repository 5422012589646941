package proxy

import (
	"bytes"

	"holdfast/policy"
	"holdfast/proxy/guard"
	"holdfast/proxy/resp"
)

// Opaque code also runs as the guard's user when its connection matters: in a transaction, between
// WATCH and UNWATCH, on a link of the session's own. There the link logs in as the guard's user
// while that code runs, and as the client's own user for everything else. AUTH keeps watched keys,
// CLIENT TRACKING and the selected database. Its reply comes before the code is sent, so a failed
// AUTH never lets code run as another user.
//
// MULTI queues AUTH like any command, so AUTH must precede it, before the rest is known. The proxy
// remembers the sent part of the transaction, and when code arrives that needs the guard:
//
//	client            link
//	MULTI             MULTI
//	SET k v           SET k v
//	EVAL (opaque)     DISCARD, AUTH guard, MULTI   each must be answered with OK
//	                  SET k v                      whose answer the client has
//	                  EVAL (opaque)
//	EXEC              EXEC
//
// The server has executed nothing so far, so this equals a transaction that began there. It is
// impossible if the transaction holds a command that the guard's user may not run, or a step of the
// trash: then the code is judged as without a guard, and a later such command is refused.
//
// DISCARD would lose watched keys. So if keys are watched, MULTI itself is sent as the guard's
// user, provided that clients of the identity have sent opaque code before (expectsCode); the first
// code in such a transaction is refused, and may be tried again.
//
// The rejected design queues AUTH inside the transaction, before and after the code. If that AUTH
// fails when EXEC runs it, the code runs as the client's user.

// resend is the frames that moving a transaction to the guard's user sends again.
type resend struct {
	frames [][]byte
	size   int
	fixed  string // why the transaction cannot move; "": it can move
	failed bool   // the server has refused a command, so that EXEC aborts
}

// resendMax bounds the frames of a resend, in bytes.
const resendMax = 256 << 10

// reasons why the guard does not bind opaque code; each completes "its code is opaque, and …".
const (
	whyNoGuard  = "the guard's user is not there"
	whyUser     = "the guard is for the user default"
	whyWatch    = "the transaction watches keys"
	whyLarge    = "the transaction is too large before it"
	whyRefused  = "a command of the transaction was refused"
	whyMuted    = "CLIENT REPLY is off"
	whyMessages = "the connection has subscriptions"
	whyUnsure   = "the transaction has AUTH"
	whyOnce     = "CLIENT CACHING or ASKING is about the next command"
)

// noteSent notes a command of the transaction sent to its own user's link.
func (t *transaction) noteSent(f *frame) {
	switch {
	case t.resend.fixed != "" || f.s.pin.guard != nil:
	case f.needsSelf(policy.Verdict{}):
		t.fix(whyBeside(f.cmd.Name))
	default:
		t.resend.record(&f.Command)
	}
}

// record remembers the frame.
func (t *resend) record(c *resp.Command) {
	switch {
	case t.fixed != "":
		return
	case t.size+len(c.Raw) > resendMax:
		t.fix(whyLarge)
		return
	case c.Inline:
		t.frames = append(t.frames, resp.AppendCommand(nil, c.Args...))
	default:
		t.frames = append(t.frames, bytes.Clone(c.Raw))
	}
	t.size += len(c.Raw)
}

func (t *resend) fix(why string) { *t = resend{fixed: why} }

// fix keeps the transaction with its user. Without a transaction it does nothing.
func (t *transaction) fix(why string) {
	if t != nil {
		t.resend.fix(why)
	}
}

// noteError notes an error reply to a request. The cause, such as a lack of memory, may be gone
// when the command is sent again.
func (t *transaction) noteError(r *request) {
	t.resend.failed = t.resend.failed || r.end > t.from
}

// guarded reports whether a session's link is logged in as the current guard's user.
func (l *link) guarded(now *guard.User) bool {
	return l != nil && l.guard != nil && guard.Same(l.guard, now)
}

// unguardedWhy returns the reason why the guard cannot bind the code in hand; "" if it can.
func (f *frame) unguardedWhy() string {
	s := f.s
	w, l := s.w, s.pin
	switch {
	case !w.guardsIdentity(s.ident):
		return whyUser
	case w.guard == nil || !w.guard.On(w.up):
		return whyNoGuard
	case s.tx == nil && s.held&^holdNoMulti == 0 || l == nil:
		return "" // on the script lane
	case s.muted != replyOn:
		return whyMuted
	case s.userUnsure:
		return whyUnsure
	case l.raw || l.sub.active && l.proto != 3:
		return whyMessages
	case s.pin.guarded(s.w.guard):
		return ""
	case s.tx == nil && s.onceSet():
		return whyOnce
	case s.tx == nil:
		return ""
	case s.held&holdWatch != 0:
		return whyWatch
	}
	return s.tx.resend.fixed
}

// onceSet reports whether the last command set state for the next command only, which AUTH would
// consume.
func (a *activity) onceSet() bool {
	return a.last != nil && (a.last.Name == "client|caching" || a.last.Name == "asking")
}

// needsGuard reports whether the command in hand was let pass because the guard binds its code.
func (f *frame) needsGuard() bool {
	cmd, script := f.cmd, f.asked.Script
	return cmd.Effects.Has(policy.EffectScript) && (script == nil || script.Opaque) &&
		f.guardOf() != nil
}

// needsSelf reports whether a command must not use a link of the guard's user: a command that this
// user may not run, one that the proxy carries out as the client's user, or one that concerns the
// connection and its user.
func (f *frame) needsSelf(v policy.Verdict) bool {
	s, cmd := f.s, f.cmd
	switch f.b {
	case auth, hello, clientID, clientName, clientInfo, clientList, clientKill, clientUnblock,
		clientTracking, clientRedirect:
		return true
	case selectDB, otherDB:
		if s.w.trash.Hidden != nil {
			return true
		}
	case script:
		if f.staysInSight() {
			return true
		}
	}
	g := s.w.guard
	return v.Effective() == policy.Trash || cmd.Name == "acl|whoami" ||
		g == nil || g.Policy.Refuses(cmd)
}

// fitUser logs the session's link in as the user of the command in hand.
func (f *frame) fitUser() next {
	s, cmd, b, v := f.s, f.cmd, f.b, f.verdict
	l, needs := s.pin, f.needsGuard() || f.expectsCode()
	switch {
	case v.Effective() == policy.Deny || !s.keepsLink() && l.guard == nil,
		!needs && l.guard == nil, needs && s.pin.guarded(s.w.guard):
		return goOn
	case !s.keepsLink(): // on its way back
		return s.letGo()
	case s.tx != nil && !needs:
		if b == exec || b == discard || !f.needsSelf(v) {
			return goOn
		}
		return f.refuse(textBesideOpaque(cmd.Name))
	case s.outstanding > 0:
		return waitOrder
	case s.tx != nil:
		s.pin.moveTx(s.tx, s.w.guard)
	case needs:
		l.extend([]prepStep{l.becomeGuard(s.w.guard)})
	default:
		l.extend([]prepStep{l.becomeSelf(s.ident)})
	}
	return goOn
}

// expectsCode reports whether a transaction that is about to begin may hold opaque code and could
// not move to the guard's user later, since keys are watched. With a trash it is not expected: the
// trash acts as the client's user, and would be refused.
func (f *frame) expectsCode() bool {
	s := f.s
	return f.b == multi && s.ident.opaque && s.tx == nil && s.held&holdWatch != 0 &&
		s.w.trash.Hidden == nil && f.unguardedWhy() == ""
}

// becomeSelf is the step by which a pinned link logs in as its identity again.
func (l *link) becomeSelf(i *identity) prepStep {
	l.guard = nil
	ways := i.logins()
	args := ways[min(l.login, len(ways)-1)]
	if args == nil {
		args = []string{"aUtH", defaultUser, anyPassword} // without a password, any is accepted
	}
	return prepStep{args: args, must: true}
}

// moveTx moves the open transaction to the guard's user. Nothing is outstanding.
func (l *link) moveTx(tx *transaction, to *guard.User) {
	steps := []prepStep{{args: []string{"dIsCaRd"}, must: true}, l.becomeGuard(to),
		{args: []string{"mUlTi"}, must: true}}
	for _, frame := range tx.resend.frames {
		// A command that the server refuses now makes EXEC abort, as a first refusal would have.
		l.last(prepStep{frame: frame})
	}
	if tx.resend.failed {
		l.last(prepStep{args: []string{impossible}})
	}
	tx.fix(whyNoGuard) // it cannot move a second time, to another guard
	l.prepare(steps)
}

// forgetGuard makes EXEC abort if its transaction belongs to a guard that is no longer in force.
func (l *link) forgetGuard(now *guard.User) {
	if l.guard != nil && !l.guarded(now) {
		l.inject(impossible)
	}
}

// unguardedErrors is unguarded for each error in the reply to EXEC.
func (d *disguise) unguardedErrors(reply []byte) []byte {
	if d.guard == nil || !bytes.Contains(reply, []byte(d.guard.Name)) {
		return reply
	}
	out := make([]byte, 0, len(reply))
	for len(reply) > 0 {
		n := bytes.IndexByte(reply, '\n') + 1
		if n == 0 {
			return append(out, reply...)
		}
		line := reply[:n]
		switch line[0] {
		case '-':
			line = d.unguarded(line)
		case '$', '=':
			v, ok := parseLength(line[1:])
			if end := n + v + 2; ok && end <= len(reply) {
				n, line = end, reply[:end]
			}
		}
		out, reply = append(out, line...), reply[n:]
	}
	return out
}

// parseLength reads the length of a bulk; false: it is null.
func parseLength(line []byte) (n int, ok bool) {
	for _, c := range trimCRLF(line) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
