package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// HOLDFAST ACK tells a client what proof its last write had, and how long that took. It is answered
// once everything before it is, proofs included; so a client that sends it behind a write learns
// about that one.

// ack is what became of a session's last write. The zero ack: no route asks for a proof of it.
type ack struct {
	route   *policy.Route
	demand  policy.Demand // what the routes asked for
	proof   policy.Demand // and what was to be proven of it
	outcome telemetry.HoldOutcome
	took    int64 // nanoseconds
}

// noteAck keeps what became of a held reply.
func (s *session) noteAck(h *hold, took int64) {
	if s.ack == nil {
		s.ack = &ack{}
	}
	*s.ack = ack{h.match.Route, h.match.Demand, h.plan.demand, h.outcome, took}
}

// notePassed keeps that a write was not held though a route asks for it.
func (s *session) notePassed() {
	if s.ack == nil {
		s.ack = &ack{}
	}
	*s.ack = ack{route: s.due.Route, demand: s.due.Demand, outcome: telemetry.HoldPassed}
}

// state is the word for what became of the write.
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

// holdfast carries out the proxy's own command; done is false when the command is another one.
func (s *session) holdfast(c *resp.Command) (done, ok bool) {
	if !resp.EqualFold(c.Args[0], "holdfast") {
		return false, true
	}
	switch {
	case len(c.Args) != 2 || !resp.EqualFold(c.Args[1], "ack"):
		s.reply(resp.AppendError(nil, textHoldfast))
	case s.held&(holdMulti|holdRefused) != 0:
		s.reply(resp.AppendError(nil, textHoldfastMulti))
	case s.outstanding > 0:
		s.wait = waitOrder
		return true, false
	case s.gate != nil:
		s.wait = waitGate
		return true, false
	default:
		s.reply(s.ackReply())
	}
	return true, true
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

// proven names what was proven.
func (a *ack) proven() string {
	if a.route == nil || a.outcome != telemetry.HoldConfirmed {
		return policy.Demand{}.String()
	}
	return a.proof.String()
}
