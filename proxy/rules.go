package proxy

import (
	"net/netip"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// ruled carries out a rule's verdict. done is false when the command is to go on as if there
// were no rule; ok is then to be ignored, and otherwise what dispatch returns.
func (s *session) ruled(c *resp.Command, cmd *policy.Command, v policy.Verdict) (done, ok bool) {
	if !s.w.acts(s, cmd, v) {
		return false, true
	}
	name := commandName(cmd, c.Args)
	if retry, ok := s.withinLimit(v.Rule); !ok {
		return true, s.refuse1(cmd, textThrottled(name, v.Rule.Name, retry))
	}
	switch v.Action {
	case policy.Allow:
		return false, true
	}
	return true, s.refuse1(cmd, textDenied(name, v.Rule.Name))
}

// acts counts what the rules say of a command, and reports whether the rule is to be carried out.
func (w *worker) acts(s *session, cmd *policy.Command, v policy.Verdict) bool {
	hits := w.counters.Rules
	if v.Shadow != nil {
		hits[v.Shadow.Index].Observed++
		w.tellHit(s, cmd, v.Shadow, true)
	}
	n := &hits[v.Rule.Index]
	switch {
	case v.Observed:
		n.Observed++
		w.counters.Commands[cmd.ID].Observed++
		w.tellHit(s, cmd, v.Rule, true)
		return false
	case v.Action == policy.Allow:
		n.Allowed++
		return v.Rule.Limit != nil
	}
	n.Denied++
	w.tellHit(s, cmd, v.Rule, false)
	return true
}

// withinLimit takes one from the rule's limit. retry says when there will be one again.
func (s *session) withinLimit(r *policy.Rule) (retry time.Duration, ok bool) {
	if r.Limit == nil {
		return 0, true
	}
	return s.w.srv.limits.Take(r, &s.w.asked, s.w.loop.Now())
}

// refuse1 answers a command with an error of the proxy's own, in MULTI in such a way that EXEC
// aborts.
func (s *session) refuse1(cmd *policy.Command, text string) bool {
	reply := resp.AppendError(nil, text)
	if s.held&holdMulti != 0 && s.pin != nil {
		return s.refuseInMulti(cmd, reply)
	}
	s.reply(reply)
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
func (s *session) judge(c *resp.Command, cmd *policy.Command) policy.Verdict {
	w := s.w
	w.asked = policy.Request{
		Cmd: cmd, Args: c.Args, Client: &s.client, DB: int(s.db), Now: w.unixMilli(),
	}
	return w.policy.Decide(&w.asked)
}

// unixMilli is the time of day as of this turn, in milliseconds.
func (w *worker) unixMilli() int64 { return w.epoch + w.loop.Now()/int64(time.Millisecond) }

// setClock takes the time of day anew, which may have been changed.
func (w *worker) setClock() {
	w.epoch = time.Now().UnixMilli() - w.loop.Now()/int64(time.Millisecond)
}

// clientOf is what rules can ask about a new session.
func clientOf(s *session) policy.Client {
	c := policy.Client{User: s.ident.userName(), Listener: s.listener.name, Session: s.id}
	if ap, err := netip.ParseAddrPort(s.conn.RemoteAddr()); err == nil {
		c.Addr = ap.Addr().Unmap()
	}
	return c
}
