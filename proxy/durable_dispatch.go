package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// Dispatch's part in durable routes, before a command is sent: the proof that the command needs,
// and the availability of that proof.

// matchAgain is match for a command sent after a conversation about it.
func (f *frame) matchAgain() {
	s := f.s
	if s.w.routes == nil {
		return
	}
	f.asked = policy.Request{
		Cmd: s.w.command(f.cmd.Name), Args: f.Args, Client: &s.client, DB: int(s.db), AnyDB: s.dbUnsure,
	}
	f.match()
}

// match notes the routes' demand on the command.
func (f *frame) match() {
	s := f.s
	f.due = s.w.routes.Match(&f.asked)
	if f.due.Route == nil {
		if s.ack != nil && f.asked.Cmd.Flags.Has(policy.FlagWrite) {
			*s.ack = durable.Ack{}
		}
	}
}

// undurable refuses a command whose proof is unavailable, if its routes reject such commands;
// otherwise it proceeds. In a transaction the commands' demands are collected for EXEC.
func (f *frame) undurable() next {
	s := f.s
	if !s.w.durable.CanProve(f.due.Demand) {
		if !f.due.Pass && f.awaitProof() {
			return waitProof
		}
		if !f.due.Pass {
			return f.refuseUndurable()
		}
		f.pass()
	}
	if s.tx != nil {
		s.tx.due = s.tx.due.With(f.due)
		f.due = policy.Match{}
	}
	return goOn
}

// refuseUndurable answers -NODURABLE, without a backseat: the refusal is no fault of the client,
// which sends no more than usual, and reads may follow the write.
func (f *frame) refuseUndurable() next {
	n := f.refuseInPlace(f.textUndurable())
	if n == handled {
		f.s.w.durable.RouteCounters(f.due.Route).Outcomes[telemetry.HoldRejected]++
	}
	return n
}

func (f *frame) textUndurable() string {
	why := f.s.w.durable.Why(f.due.Demand)
	return textNoDurable(commandName(f.cmd, f.Args), f.due.Route.Spec.Name, why)
}

// pass notes that a command is sent although its proof is unavailable. For available kinds its
// reply is still held.
func (f *frame) pass() {
	if f.s.tx == nil {
		f.auditPass()
	}
}

func (f *frame) auditPass() {
	if !f.s.again.waited {
		f.s.w.passes.note(f)
	}
}

// dueAtExec makes a transaction's collected demands due for its EXEC. If their proof is
// unavailable, the transaction is discarded.
func (f *frame) dueAtExec() next {
	s := f.s
	if s.tx.due.Route == nil || f.cmd.Name != "exec" {
		return goOn
	}
	f.due = s.tx.due
	switch {
	case s.w.durable.CanProve(f.due.Demand):
		return goOn
	case f.due.Pass:
		f.auditPass()
		return goOn
	case f.awaitProof():
		return waitProof
	}
	return f.discardUndurable()
}

// discardUndurable ends a transaction whose proof is unavailable.
func (f *frame) discardUndurable() next {
	route := f.due.Route
	n := f.discard(f.textUndurable())
	if n == handled {
		f.s.w.durable.RouteCounters(route).Outcomes[telemetry.HoldRejected]++
	}
	return n
}

// discard refuses a transaction: DISCARD replaces EXEC.
func (f *frame) discard(why string) next {
	s := f.s
	l, text := s.pin, resp.AppendOwnError(nil, why)
	if n := s.awaitRoom(l); n != goOn {
		return n
	}
	f.due = policy.Match{}
	l.send(resp.AppendCommandStrings(nil, "dIsCaRd"))
	f.noteSent(l, modeCall, &call{done: func(reply []byte, broken bool) {
		l.checkEnded(reply)
		if broken {
			s.deliver(reply)
			return
		}
		s.deliver(text)
	}})
	s.closeTx()
	return handled
}

// hold makes a hold for the command that was just appended to l. nil: its reply is not held, since
// no proof is available.
func (f *frame) hold(l *link) *durable.Hold {
	s, cmd := f.s, f.cmd
	if s.ack == nil {
		s.ack = &durable.Ack{}
	}
	return s.w.durable.Hold(durable.Sent{
		Due: &f.due, Origin: &l.Origin, Ack: s.ack, Exec: cmd.Name == "exec",
		Strict: cmd.RunsCode() || cmd.Name == "" || cmd.Flags.Has(policy.FlagModule),
	})
}
