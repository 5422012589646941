package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// HOLDFAST ACK tells a client the proof of its last write, and the time that it took. It is
// answered once all earlier commands are answered and proven, so a client that sends it after a
// write gets the result for that write.

// ack is the outcome of a session's last write. The zero ack: no route demands a proof of it.
type ack struct {
	route   *policy.Route
	demand  policy.Demand // the routes' demand
	proof   policy.Demand // the part of it that was required
	outcome telemetry.HoldOutcome
	took    int64 // nanoseconds
}

// noteAck stores the outcome of a held reply.
func (s *session) noteAck(h *hold, took int64) {
	if s.ack == nil {
		s.ack = &ack{}
	}
	*s.ack = ack{h.match.Route, h.match.Demand, h.plan.demand, h.outcome, took}
}

// notePassed stores that a write was not held although a route demands a proof.
func (f *frame) notePassed() {
	s := f.s
	if s.ack == nil {
		s.ack = &ack{}
	}
	*s.ack = ack{route: f.due.Route, demand: f.due.Demand, outcome: telemetry.HoldPassed}
}

// state returns the word for the write's outcome.
func (a *ack) state() string {
	switch {
	case a.route == nil:
		return "none"
	case a.outcome == telemetry.HoldConfirmed && a.proof != a.demand:
		return "passed"
	case a.outcome == telemetry.HoldConfirmed, a.outcome == telemetry.HoldPassed:
		return a.outcome.String()
	}
	return "unconfirmed"
}

// holdfast carries out the proxy's own command. Any other command proceeds.
func (f *frame) holdfast() next {
	s := f.s
	if !resp.EqualFold(f.Args[0], "holdfast") {
		return goOn
	}
	switch {
	case len(f.Args) != 2 || !resp.EqualFold(f.Args[1], "ack"):
		s.reply(resp.AppendError(nil, textHoldfast))
	case s.tx != nil || s.held&holdRefused != 0:
		s.reply(resp.AppendError(nil, textHoldfastMulti))
	case s.outstanding > 0:
		return waitOrder
	case s.gate != nil:
		return waitGate
	default:
		s.reply(s.ackReply())
	}
	return handled
}

// ackReply is a reply like that of HGETALL.
func (s *session) ackReply() []byte {
	a := s.ack
	if a == nil {
		a = &ack{}
	}
	out := resp.AppendMap(nil, 5, int(s.proto))
	field := func(name, value string) {
		out = resp.AppendBulkString(resp.AppendBulkString(out, name), value)
	}
	route := ""
	if a.route != nil {
		route = a.route.Spec.Name
	}
	field("state", a.state())
	field("route", route)
	field("demand", a.demand.String())
	field("proven", a.proven())
	out = resp.AppendInt(resp.AppendBulkString(out, "held_us"), a.took/1000)
	return out
}

// proven names the proofs that were obtained.
func (a *ack) proven() string {
	if a.route == nil || a.outcome != telemetry.HoldConfirmed {
		return policy.Demand{}.String()
	}
	return a.proof.String()
}
