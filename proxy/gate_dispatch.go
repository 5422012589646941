package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// What dispatch does about routes, before a command is sent: which proof it needs, and whether that
// can be had at the moment.

// matchAgain is match for a command that is sent after a conversation about it.
func (s *session) matchAgain(cmd *policy.Command, args [][]byte) {
	if s.w.routes == nil {
		return
	}
	s.w.asked = policy.Request{Cmd: s.w.command(cmd.Name), Args: args, Client: &s.client, DB: int(s.db)}
	s.match()
}

// match notes what the routes ask of the command in hand, which is in w.asked.
func (s *session) match() {
	w := s.w
	w.asked.AnyDB = s.dbUnsure
	s.due = w.routes.Match(&w.asked)
	w.asked.AnyDB = false
	if s.due.Route == nil {
		if s.ack != nil && s.w.asked.Cmd.Flags.Has(policy.FlagWrite) {
			*s.ack = ack{}
		}
	}
}

// undurable refuses a command whose proof cannot be had, if its routes say so. done is false when
// it may be sent. In a transaction what the commands need is gathered for its EXEC.
func (s *session) undurable(c *resp.Command, cmd *policy.Command) (done, ok bool) {
	if s.held&holdRefused != 0 {
		return false, true // refused whatever it is
	}
	missing := s.w.srv.proofs.now.Load().lacks(s.due.Demand)
	if !missing.IsZero() {
		if !s.due.Pass {
			return true, s.refuseUndurable(c, cmd)
		}
		s.pass(c, cmd)
	}
	if s.held&holdMulti != 0 {
		s.queuedDue = s.queuedDue.With(s.due)
		s.due = policy.Match{}
	}
	return false, true
}

// refuseUndurable answers -NODURABLE. That is no fault of the client's, which has no more to send
// than on another day, and may have reads behind it.
func (s *session) refuseUndurable(c *resp.Command, cmd *policy.Command) bool {
	ok := s.refuseInPlace(cmd, s.textUndurable(cmd, c.Args))
	if ok {
		s.w.durable.routeCounters(s.due.Route).Outcomes[telemetry.HoldRejected]++
	}
	return ok
}

func (s *session) textUndurable(cmd *policy.Command, args [][]byte) string {
	why := s.w.srv.proofs.now.Load().why(s.due.Demand)
	return textNoDurable(commandName(cmd, args), s.due.Route.Spec.Name, why)
}

// pass notes that a command is sent though its proof cannot be had. For kinds that can be had its
// reply is held all the same.
func (s *session) pass(c *resp.Command, cmd *policy.Command) {
	if s.held&holdMulti == 0 {
		s.auditPass(c, cmd)
	}
}

func (s *session) auditPass(c *resp.Command, cmd *policy.Command) {
	if !s.again.waited {
		s.w.durable.passes.note(s, c, cmd)
	}
}

// dueAtExec makes what a transaction gathered due for its EXEC. done is true when it cannot be had,
// and the transaction was discarded.
func (s *session) dueAtExec(c *resp.Command, cmd *policy.Command) (done, ok bool) {
	if s.queuedDue.Route == nil || cmd.Name != "exec" {
		return false, true
	}
	s.due = s.queuedDue
	missing := s.w.srv.proofs.now.Load().lacks(s.due.Demand)
	switch {
	case missing.IsZero():
		return false, true
	case s.due.Pass:
		s.auditPass(c, cmd)
		return false, true
	}
	return true, s.discardUndurable(c, cmd)
}

// discardUndurable ends a transaction whose proof cannot be had: DISCARD takes the place of EXEC.
func (s *session) discardUndurable(c *resp.Command, cmd *policy.Command) bool {
	l, text := s.pin, resp.AppendError(nil, s.textUndurable(cmd, c.Args))
	if l.full() {
		l.stalled = append(l.stalled, s)
		s.wait = waitRoom
		return false
	}
	s.w.durable.routeCounters(s.due.Route).Outcomes[telemetry.HoldRejected]++
	s.due = policy.Match{}
	l.send(resp.AppendCommandStrings(nil, "dIsCaRd"))
	s.noteSent(l, cmd, modeCall, &call{done: func(reply []byte, broken bool) {
		l.checkEnded(reply)
		if broken {
			s.deliver(reply)
			return
		}
		s.deliver(text)
	}})
	s.forgetQueued()
	s.held &^= holdMulti | holdWatch
	return true
}

// hold makes a hold for the command that was just appended to l. nil: its reply is not held, since
// no proof of it can be had.
func (s *session) hold(l *link, cmd *policy.Command) *hold {
	w := s.w
	d := w.durable
	demand := s.due.Demand
	route := d.routeCounters(s.due.Route)
	if missing := w.srv.proofs.now.Load().lacks(demand); !missing.IsZero() && s.due.Pass {
		demand = without(demand, missing)
		if demand.IsZero() {
			route.Outcomes[telemetry.HoldPassed]++
			s.notePassed()
			return nil
		}
	}
	h := d.take()
	h.s, h.link, h.match, h.route, h.epoch = s, l, s.due, route, d.epoch
	h.plan, h.sent = d.plan(demand), w.loop.Now()
	h.exec = cmd.Name == "exec"
	h.strict = cmd.RunsCode() || cmd.Name == "" || cmd.Flags.Has(policy.FlagModule)
	if demand.Journal && w.recorder != nil {
		w.recorder.hurry()
	}
	return h
}

// without takes the kinds in missing out of a demand.
func without(d, missing policy.Demand) policy.Demand {
	if missing.Journal {
		d.Journal = false
	}
	if missing.Replicas > 0 {
		d.Replicas = 0
	}
	if missing.AOFLocal {
		d.AOFLocal = false
	}
	if missing.AOFReplicas > 0 {
		d.AOFReplicas = 0
	}
	return d
}

// forgetDue ends what match has begun.
func (s *session) forgetDue() {
	if s.due.Route != nil {
		s.due = policy.Match{}
	}
}
