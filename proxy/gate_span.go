package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// recordSpan records the span of a command whose reply was held for took nanoseconds, with the
// fences that it waited for.
func (d *durability) recordSpan(h *hold, took int64) {
	rec := h.span
	h.span = nil
	rec.End = time.Now()
	rec.Duration += time.Duration(took)
	now := d.w.loop.Now()
	at := func(loopTime int64) time.Time { return rec.End.Add(time.Duration(loopTime - now)) }
	rec.Hold = &telemetry.HoldRecord{
		Start: at(h.began), Route: h.match.Route.Spec.Name, Demand: h.match.Demand.String(),
		Outcome: h.outcome,
	}
	for _, f := range h.plan.kinds {
		if last := f.latest; last.ended >= h.began {
			rec.Hold.Fences = append(rec.Hold.Fences, telemetry.FenceRecord{
				Kind: f.name, Start: at(last.began), End: at(last.ended), Outcome: last.outcome,
			})
		}
	}
	d.w.tel.RecordSpan(*rec)
}

// gauges sets the gauges of the fences' counters.
func (d *durability) gauges() {
	now := d.w.loop.Now()
	for _, f := range d.kinds {
		f.count.InFlight, f.count.Waiting, f.count.Oldest = int64(len(f.flights)), int64(f.live), 0
		for i := range f.waiting.len() {
			if h := f.waiting.at(i); !h.settled {
				f.count.Oldest = now - h.began
				break
			}
		}
	}
}

// routeCounters returns the counters of a route, even of one that a reload has replaced.
func (d *durability) routeCounters(r *policy.Route) *telemetry.RouteCounters {
	all := d.w.routes.All()
	if r.Index < len(all) && all[r.Index] == r {
		return d.w.counters.Routes[r.Index]
	}
	for i, x := range all {
		if x.Spec.Name == r.Spec.Name {
			return d.w.counters.Routes[i]
		}
	}
	return &d.nowhere
}
