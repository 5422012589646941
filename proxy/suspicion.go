package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// With sentinels or candidates, the primary can be in doubt while its links still work: a failover has begun, and
// it would take and acknowledge writes that its successor will not have. So from the first sign,
// commands that may write wait unbegun (unbegun.go), like those of an outage, and for as long:
// upstream.hold. Reads go on. Its answers to earlier ones are believed for a moment only (withheld.go).
//
// The wait ends with the move to the new primary (switchTo), or when the sign is withdrawn. When it
// has lasted for upstream.hold, the nature of the doubt decides:
//
//   - A fact, such as that most sentinels name another server: commands that may write are answered
//     -UPSTREAM, not executed, until the doubt ends.
//   - The sign of one sentinel: they go on. The server is still the primary by its own account and
//     by a majority, and one sentinel must not stop the writes for ever.
//
// A transaction that was begun before cannot move to another server. Its session ends at the move,
// or here when its EXEC is refused.

// suspicion is a doubt of the primary. It belongs to an outage.
type suspicion struct {
	why     string // "": none
	certain bool   // a fact, and not a sign
	planned bool   // a handover of the proxy's own, in which the server's word is good
	since   int64  // loop time
	signed  int64  // loop time since which it is not planned
}

func (o *outage) suspects() bool { return o.doubt.why != "" }

// suspect takes over a doubt, but for its times; without a reason there is none.
func (o *outage) suspect(now suspicion) {
	if now.why == "" {
		o.trust()
		return
	}
	now.since, now.signed = o.doubt.since, o.doubt.signed
	if !now.planned && (!o.suspects() || o.doubt.planned) {
		now.signed = o.w.loop.Now()
	}
	if !o.suspects() || now.certain && !o.doubt.certain && !o.suspends() {
		now.since = o.w.loop.Now()
		if o.on {
			now.since = o.since
		}
	}
	o.doubt = now
	o.decide()
	o.arm()
}

// trust ends the doubt.
func (o *outage) trust() {
	if o.suspects() {
		o.doubt = suspicion{}
		o.decide()
		o.waiting.wake(waitUpstream)
	}
}

// heldUntil is the loop time until which commands wait for the end of the doubt.
func (o *outage) heldUntil() int64 { return o.doubt.since + o.hold }

// suspends reports whether commands that may write wait.
func (o *outage) suspends() bool {
	return o.suspects() && !o.w.draining && o.w.loop.Now() < o.heldUntil()
}

// concerns reports whether a session's next frame has to be looked at by withoutLink.
func (o *outage) concerns(s *session) bool {
	return o.on || o.suspects() || s.again.lost != nil
}

// reconsider is tick's part while the links work.
func (o *outage) reconsider() {
	if o.suspends() {
		o.arm()
		return
	}
	o.giveUp()
	o.decide()
	o.w.log.Warn("the primary is still in doubt, and upstream.hold is over", "worker", o.w.id,
		"reason", o.doubt.why, "hold", time.Duration(o.hold), "refused", o.doubt.certain)
}

// mutates reports whether a command may write, or begins what ends in a write on the same connection.
func mutates(cmd *policy.Command, b behaviour) bool {
	switch b {
	case multi, exec, watch:
		return true
	}
	return cmd.Name == "" || cmd.RunsCode() || isHeldByPause(cmd)
}

// doubted decides on a frame that may write while the primary is in doubt.
func (f *frame) doubted() next {
	s, o := f.s, &f.s.w.outage
	switch {
	case o.suspends() && !s.eof:
		o.add(s)
		return waitUpstream
	case !o.doubt.certain && !o.suspends():
		return goOn
	}
	transaction := s.tx != nil
	s.again.lost = nil
	s.refuseUnsent(f.cmd, f.b, resp.AppendOwnError(nil, textDoubted))
	if transaction {
		s.endLater(telemetry.CloseUpstream) // the server would go on with it
	}
	return handled
}
