package durable

import (
	"time"

	"holdfast/proxy/telemetry"
)

// recordSpan records the span of a command whose reply was held for took nanoseconds, with the
// fences that it waited for.
func (p *Pipeline) recordSpan(h *Hold, took int64) {
	rec := h.Span
	h.Span = nil
	rec.End = time.Now()
	rec.Duration += time.Duration(took)
	now := p.env.Now()
	at := func(loopTime int64) time.Time { return rec.End.Add(time.Duration(loopTime - now)) }
	rec.Hold = &telemetry.HoldRecord{
		Start: at(h.began), Route: h.terms.match.Route.Spec.Name, Demand: h.terms.match.Demand.String(),
		Outcome: h.outcome,
	}
	for _, f := range h.plan.kinds {
		if last := f.latest; last.ended >= h.began {
			rec.Hold.Fences = append(rec.Hold.Fences, telemetry.FenceRecord{
				Kind: f.name, Start: at(last.began), End: at(last.ended), Outcome: last.outcome,
			})
		}
	}
	p.env.RecordSpan(*rec)
}

// Gauges sets the gauges of the fences' counters.
func (p *Pipeline) Gauges() {
	now := p.env.Now()
	for _, f := range p.kinds {
		f.count.InFlight, f.count.Waiting, f.count.Oldest = int64(len(f.inFlight)), int64(f.live), 0
		for i := range f.waiting.Len() {
			if h := *f.waiting.At(i); !h.settled {
				f.count.Oldest = now - h.began
				break
			}
		}
	}
}
