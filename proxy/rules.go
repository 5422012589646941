package proxy

import (
	"net/netip"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// ruled carries out a rule's verdict. A command that goes on does so as if there were no rule,
// possibly replaced by another in the frame.
func (f *frame) ruled() next {
	s, cmd, v := f.s, f.cmd, f.verdict
	if v.Shadow != nil {
		f.note(v.Shadow, observed, "")
	}
	r := v.Rule
	f.rule = r
	if v.Observed {
		f.note(r, observed, "")
		s.w.counters.Commands[cmd.ID].Observed++
		return goOn
	}
	if v.Action == policy.Confirm && f.approved(r) {
		return goOn
	}
	if retry, ok := f.withinLimit(r); !ok {
		f.note(r, throttled, "")
		return f.refuse(textThrottled(commandName(cmd, f.Args), r.Name, retry))
	}
	switch v.Action {
	case policy.Allow:
		f.note(r, allowed, "")
		return goOn
	case policy.Rewrite:
		return f.rewrite(r)
	case policy.Confirm:
		return f.confirm(r)
	case policy.Trash:
		return f.toTrash(r)
	}
	if f.unseen() {
		return f.refuse(textNoScript)
	}
	f.note(r, denied, "")
	text := textDeniedFor(commandName(cmd, f.Args), r.Name, f.codeReason())
	return f.refuse(text)
}

// ruling is the outcome of a rule's decision.
type ruling uint8

const (
	allowed ruling = iota
	denied
	observed
	rewritten
	held     // for an operator's approval
	approved // by an operator
	trashed
	throttled
	passed // sent without the proof that its route asks for
)

// again holds the state of a waiting frame for its next presentation, so that it counts once, and
// takes from a limit once.
type again struct {
	waited bool           // it was presented before, and judged
	read   bool           // it has waited for its code to be read from the server
	script *policy.Script // the scan of its source, from another goroutine

	retry  time.Duration
	passed bool // within the limit of its rule
	// approved: an operator has approved it.
	approved bool

	// listed is its reason for being in a waitList; proofBy is the loop time until which it waits
	// for a proof.
	listed  next
	proofBy int64

	patient    bool     // it has waited for subscriptions
	knocked    bool     // it has waited for clients at the door
	subscribed bool     // publishers wait for it
	starved    bool     // it has waited too long for a pinned link
	saved      bool     // the logs were read for it
	lost       error    // why its link could not be opened; nil: none was tried
	to         redirect // the state of the session that it names
	mayMute    bool     // the server carries out its CLIENT REPLY
	refusal    []byte   // or refuses it, with this reply

	sized    bool   // INFO keyspace was requested, since a flush takes keys
	keyspace []byte // the answer; nil: none
	counted  bool   // the number of existing keys among those that a request names was requested
	exist    int64  // the answer
}

// note counts and logs a rule's decision on a command. Call it before you let the command wait.
func (f *frame) note(r *policy.Rule, is ruling, ref string) {
	s := f.s
	if s.again.waited {
		return
	}
	n := &s.w.counters.Rules[r.Index]
	switch is {
	case allowed:
		n.Allowed++
	case denied:
		n.Denied++
	case observed:
		n.Observed++
	case rewritten:
		n.Rewritten++
	case held:
		n.Held++
	case approved:
		n.Approved++
	case trashed:
		n.Trashed++
	case throttled:
		n.Throttled++
	}
	switch is {
	case denied, held, throttled, observed:
		f.tellHit(r, is == observed)
	}
	f.audit(r, is, ref)
}

// withinLimit takes one from the rule's limit. retry is the time until the next.
func (f *frame) withinLimit(r *policy.Rule) (retry time.Duration, ok bool) {
	s := f.s
	if r.Limit == nil {
		return 0, true
	}
	if a := &s.again; !a.waited {
		a.retry, a.passed = s.w.srv.limits.Take(r, &f.asked, s.w.loop.Now())
	}
	return s.again.retry, s.again.passed
}

// refuse answers a command with one of the proxy's own errors; in MULTI it makes EXEC abort. The
// client's next commands queue behind those of others.
func (f *frame) refuse(text string) next {
	s := f.s
	n := f.refuseInPlace(text)
	if s.tx == nil || s.pin == nil {
		s.w.back.take(s)
	}
	return n
}

// refuseInPlace is refuse for a command that breaks no rule: the client keeps its place. What follows a
// MULTI must not be executed by itself: half of a payment would be.
func (f *frame) refuseInPlace(text string) next {
	s := f.s
	if s.tx != nil && s.pin != nil {
		return f.refuseInMulti(resp.AppendOwnError(nil, text))
	}
	if f.b == multi {
		s.held |= holdNoMulti
	}
	if s.outstanding == 0 && s.muted == replyOn {
		s.w.encode = resp.AppendOwnError(s.w.encode[:0], text)
		s.deliver(s.w.encode)
	} else {
		s.reply(resp.AppendOwnError(nil, text))
	}
	s.w.countDenied(s, f.cmd, f.rule)
	return handled
}

// commandName is a command's name in texts: the client's own word for an unknown one.
func commandName(cmd *policy.Command, args [][]byte) string {
	if cmd.Name != "" {
		return cmd.Name
	}
	return string(short(args[0]))
}

// impossible is a command that no server knows.
const impossible = "hOlDfAsT.DeNiEd"

// refuseInMulti makes the server's EXEC abort, as it does after any command that it refuses
// itself: a command that cannot exist takes the place of the refused one, and the rule's text the
// place of its error.
func (f *frame) refuseInMulti(text []byte) next {
	s, l := f.s, f.s.pin
	if n := s.awaitRoom(l); n != goOn {
		return n
	}
	s.tx.fix(whyRefused)
	l.send(resp.AppendCommandStrings(nil, impossible))
	f.noteSent(l, modeReplace, &call{local: text})
	return handled
}

// judge puts the command to the policy. It waits if code must be read first.
func (f *frame) judge() next {
	s, w := f.s, f.s.w
	r := &f.asked // field by field: a literal would be copied
	r.Cmd, r.Args, r.Script = f.cmd, f.Args, nil
	r.DB, r.AnyDB, r.Now = int(s.db), s.dbUnsure, w.unixMilli()
	if r.Client = &s.client; s.userUnsure {
		r.Client = nil
	}
	if !f.cmd.RunsCode() {
		f.verdict = w.policy.Decide(&f.asked)
	} else if n := f.learnCode(); n != goOn {
		return n
	} else {
		f.verdict = f.judgeCode()
	}
	f.judged = true
	return goOn
}

// unixMilli is this loop iteration's Unix time, in milliseconds.
func (w *worker) unixMilli() int64 { return w.epoch + w.loop.Now()/int64(time.Millisecond) }

// setClock reads the time of day again: it may have been set.
func (w *worker) setClock() {
	w.epoch = time.Now().UnixMilli() - w.loop.Now()/int64(time.Millisecond)
}

// identityOf gives rules the properties of a new session.
func identityOf(s *session) policy.Identity {
	id := policy.Identity{User: s.ident.userName(), Listener: s.listener.name, Session: s.id}
	if ap, err := netip.ParseAddrPort(s.conn.RemoteAddr()); err == nil {
		id.Addr = ap.Addr().Unmap()
	}
	return id
}
