package proxy

import (
	"net/netip"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// ruled carries out a rule's verdict. done is false when the command is to go on as if there
// were no rule, possibly as another one: then c holds that, and is to be looked up again. With
// done, ok is what dispatch returns.
func (s *session) ruled(c *resp.Command, cmd *policy.Command, v policy.Verdict) (done, ok bool) {
	if v.Shadow != nil {
		s.note(c, cmd, v.Shadow, observed, "")
	}
	r := v.Rule
	if v.Observed {
		s.note(c, cmd, r, observed, "")
		s.w.counters.Commands[cmd.ID].Observed++
		return false, true
	}
	if v.Action == policy.Confirm && s.approved(c, cmd, r) {
		return false, true
	}
	if retry, ok := s.withinLimit(r); !ok {
		s.note(c, cmd, r, throttled, "")
		return true, s.refuse1(cmd, textThrottled(commandName(cmd, c.Args), r.Name, retry))
	}
	switch v.Action {
	case policy.Allow:
		s.note(c, cmd, r, allowed, "")
		return false, true
	case policy.Rewrite:
		return s.rewrite(c, cmd, r)
	case policy.Confirm:
		return true, s.confirm(c, cmd, r)
	case policy.Trash:
		return s.trash(c, cmd, r)
	}
	if s.unseen(cmd, v) {
		return true, s.refuse1(cmd, textNoScript)
	}
	s.note(c, cmd, r, denied, "")
	text := textDeniedFor(commandName(cmd, c.Args), r.Name, s.codeReason(cmd, v))
	return true, s.refuse1(cmd, text)
}

// ruling is what became of a command that a rule decided.
type ruling uint8

const (
	allowed ruling = iota
	denied
	observed
	rewritten
	held     // until a person approves
	approved // by one
	trashed
	throttled
	passed // sent though the proof that its route asks for could not be had
)

// again is what is remembered of a frame that has to wait, for when it is presented again: it
// counts once, and takes from a limit once.
type again struct {
	waited bool // it was presented before, and decided
	// reading: it waits for its code to be read from the server; read: it has waited for that.
	reading, read bool

	retry  time.Duration
	passed bool // the limit of its rule
	// approved: a person has let it pass.
	approved bool

	sized   bool  // it was asked how many keys a flush takes
	emptied int64 // the answer
}

// note counts what a rule did about a command, and has the log say so. Whoever lets the command
// wait does so after this.
func (s *session) note(c *resp.Command, cmd *policy.Command, r *policy.Rule, is ruling, ref string) {
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
		s.w.tellHit(s, cmd, r, is == observed)
	}
	s.audit(c, cmd, r, is, ref)
}

// withinLimit takes one from the rule's limit. retry says when there will be one again.
func (s *session) withinLimit(r *policy.Rule) (retry time.Duration, ok bool) {
	if r.Limit == nil {
		return 0, true
	}
	if a := &s.again; !a.waited {
		a.retry, a.passed = s.w.srv.limits.Take(r, &s.w.asked, s.w.loop.Now())
	}
	return s.again.retry, s.again.passed
}

// refuse1 answers a command with an error of the proxy's own, in MULTI in such a way that EXEC
// aborts. What the client sends next waits behind that of others.
func (s *session) refuse1(cmd *policy.Command, text string) bool {
	ok := s.refuseInPlace(cmd, text)
	if s.held&holdMulti == 0 || s.pin == nil {
		s.takeBackseat()
	}
	return ok
}

// refuseInPlace is refuse1 for what no rule is against: the client keeps its place.
func (s *session) refuseInPlace(cmd *policy.Command, text string) bool {
	if s.held&holdMulti != 0 && s.pin != nil {
		return s.refuseInMulti(cmd, resp.AppendError(nil, text))
	}
	if s.outstanding == 0 && s.muted == replyOn {
		s.w.encode = resp.AppendError(s.w.encode[:0], text)
		s.deliver(s.w.encode)
	} else {
		s.reply(resp.AppendError(nil, text))
	}
	s.w.countDenied(cmd)
	return true
}

// commandName is how a command is called in texts: an unknown one by the client's own word.
func commandName(cmd *policy.Command, args [][]byte) string {
	if cmd.Name != "" {
		return cmd.Name
	}
	return string(short(args[0]))
}

// refuseInMulti makes the server's EXEC abort, as it does after any command that it refuses
// itself: a command that cannot exist takes the place of the refused one, and the rule's text the
// place of its error.
func (s *session) refuseInMulti(cmd *policy.Command, text []byte) bool {
	l := s.pin
	if l.full() {
		l.stalled = append(l.stalled, s)
		s.wait = waitRoom
		return false
	}
	l.send(resp.AppendCommandStrings(nil, "hOlDfAsT.dEnIeD"))
	s.noteSent(l, cmd, modeReplace, &call{local: text})
	return true
}

// judge puts a command to the policy. The request stays in w.asked until the next one, for limits.
// Where code has to be read first, s.again.reading is set and there is no verdict.
func (s *session) judge(c *resp.Command, cmd *policy.Command) policy.Verdict {
	w := s.w
	w.asked = policy.Request{
		Cmd: cmd, Args: c.Args, Client: &s.client, DB: int(s.db), AnyDB: s.dbUnsure,
		Now: w.unixMilli(),
	}
	if s.userUnsure {
		w.asked.Client = nil
	}
	s.again.reading = false
	if !cmd.RunsCode() {
		return w.policy.Decide(&w.asked)
	}
	if !s.learnCode(c, cmd) {
		return policy.Verdict{}
	}
	return s.judgeCode(cmd)
}

// unixMilli is the time of day as of this turn, in milliseconds.
func (w *worker) unixMilli() int64 { return w.epoch + w.loop.Now()/int64(time.Millisecond) }

// setClock takes the time of day anew, which may have been changed.
func (w *worker) setClock() {
	w.epoch = time.Now().UnixMilli() - w.loop.Now()/int64(time.Millisecond)
}

// identityOf is what rules can ask about a new session.
func identityOf(s *session) policy.Identity {
	id := policy.Identity{User: s.ident.userName(), Listener: s.listener.name, Session: s.id}
	if ap, err := netip.ParseAddrPort(s.conn.RemoteAddr()); err == nil {
		id.Addr = ap.Addr().Unmap()
	}
	return id
}
