package proxy

import (
	"holdfast/proxy/durable"
	"holdfast/proxy/resp"
)

// HOLDFAST ACK tells a client the proof of its last write, and the time that it took. It is
// answered once all earlier commands are answered and proven, so a client that sends it after a
// write gets the result for that write.

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
		s.reply(ackReply(s.ack, int(s.proto)))
	}
	return handled
}

// ackReply is a reply like that of HGETALL; nil: no route ever asked.
func ackReply(a *durable.Ack, proto int) []byte {
	if a == nil {
		a = &durable.Ack{}
	}
	out := resp.AppendMap(nil, 5, proto)
	field := func(name, value string) {
		out = resp.AppendBulkString(resp.AppendBulkString(out, name), value)
	}
	field("state", a.State())
	field("route", a.Route())
	field("demand", a.Demand().String())
	field("proven", a.Proven().String())
	return resp.AppendInt(resp.AppendBulkString(out, "held_us"), a.Took().Microseconds())
}
