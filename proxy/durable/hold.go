package durable

import (
	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// Hold is one command on a durable route, from the time it is sent until its last reference is
// gone.
type Hold struct {
	// Span is the command's, if it is sampled. It ends when the client has its reply.
	Span *telemetry.SpanRecord

	p      *Pipeline
	gate   *Gate   // nil until the reply has come, and once no session waits for it
	origin *Origin // of the link that carried it
	terms  *terms
	plan   *plan // of the terms, or of the part of their demand that was available
	ack    *Ack
	epoch  uint64 // the lineage's epoch when it was sent
	seq    uint64 // its sequence number among all held replies; 0: not answered yet
	began  int64  // loop time of the reply

	from uint64 // the reply in the gate
	size int

	strict, exec bool  // see wrote
	refs         uint8 // queues and gates that it is in

	missing uint8 // unproven parts: a bit for each kind of the plan, and needsOrigin
	settled bool
	outcome telemetry.HoldOutcome
	instead []byte // takes the place of the reply
	closes  bool   // the connection ends instead
}

// needsOrigin in Hold.missing: it is unknown yet whether the link led to the server that the fences
// asked, see lineage.go.
const needsOrigin = 1 << 7

// Sent describes a write as it is sent.
type Sent struct {
	Due    *policy.Match // its routes' demand; not kept
	Origin *Origin       // of the link that carries it
	Ack    *Ack          // takes the outcome

	Exec   bool // it is EXEC: it has written if its reply is an array
	Strict bool // it may have written even if its reply is an error
}

// Hold makes a hold for a command that was just sent. nil: its reply is not held, since no proof is
// available and its routes let such writes pass.
func (p *Pipeline) Hold(s Sent) *Hold {
	t := p.terms(s.Due)
	pl := t.plan
	if t.match.Pass {
		if missing := p.monitor.Now().Lacks(t.match.Demand); !missing.IsZero() {
			demand := without(t.match.Demand, missing)
			if demand.IsZero() {
				t.route.Outcomes[telemetry.HoldPassed]++
				*s.Ack = Ack{terms: t, outcome: telemetry.HoldPassed}
				return nil
			}
			pl = p.plan(demand)
		}
	}
	h := p.take()
	h.p, h.origin, h.terms, h.plan, h.ack = p, s.Origin, t, pl, s.Ack
	h.epoch, h.exec, h.strict = p.epoch, s.Exec, s.Strict
	if pl.demand.Journal && p.journal != nil {
		p.journal.Hurry()
	}
	return h
}

// without removes the kinds in missing from a demand.
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

// wrote reports whether a command with this reply may have changed anything. Code may write before
// it ends in an error; a transaction ran if its reply is an array.
func (h *Hold) wrote(reply []byte) bool {
	switch {
	case len(reply) == 0:
		return true
	case h.exec:
		return reply[0] == '*' && reply[1] != '-'
	}
	return h.strict || reply[0] != '-'
}

// bit is the place of a kind in Hold.missing.
func (h *Hold) bit(f *fencer) uint8 {
	for i, k := range h.plan.kinds {
		if k == f {
			return 1 << i
		}
	}
	return 0
}

// unwait removes an unsettled hold from the waiting counts of the kinds in bits.
func (h *Hold) unwait(bits uint8) {
	for i, f := range h.plan.kinds {
		if h.missing&bits&(1<<i) != 0 {
			f.live--
		}
	}
}

// take returns a hold for a command about to be sent.
func (p *Pipeline) take() *Hold {
	if k := len(p.spare.holds); k > 0 {
		h := p.spare.holds[k-1]
		p.spare.holds = p.spare.holds[:k-1]
		return h
	}
	return &Hold{}
}

// Drop gives up a hold whose reply never comes, or need not be held.
func (h *Hold) Drop() {
	p := h.p
	if h.Span != nil {
		p.env.RecordSpan(*h.Span)
	}
	*h = Hold{}
	if len(p.spare.holds) < sparesKept {
		p.spare.holds = append(p.spare.holds, h)
	}
}

// unref is called by each queue that drops a hold.
func (p *Pipeline) unref(h *Hold) {
	if h.refs--; h.refs == 0 {
		h.Drop()
	}
}
