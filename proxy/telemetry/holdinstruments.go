package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
)

// holdInstruments show durable routes; a proxy without any shows none of them.
var holdInstruments = []instrument{
	{name: "holdfast.route.held", kind: gauge,
		help:    "Replies that are held now until their write is proven, by route.",
		collect: routePoints(func(r *RouteCounters) int64 { return r.Held })},
	{name: "holdfast.route.commands", kind: counter,
		help:    "Commands that a route asks a proof for, by how they ended.",
		collect: holdPoints},
	{name: "holdfast.route.late", kind: counter,
		help:    "Commands whose proof came after their client was told that there is none.",
		collect: routePoints(func(r *RouteCounters) int64 { return int64(r.Late) })},
	{name: "holdfast.hold.duration", unit: unitSeconds, kind: histogram,
		help:    "For how long replies were held, by what had to be proven.",
		collect: holdDurations},

	{name: "holdfast.fences", kind: counter,
		help:    "Fences, by kind and outcome.",
		collect: fencePoints},
	{name: "holdfast.fence.proven", kind: counter,
		help: "Held replies that fences have proven; by fences it is how many share one.",
		collect: ofFences(func(f *FenceCounters) int64 {
			return int64(f.Holds)
		})},
	{name: "holdfast.fence.duration", unit: unitSeconds, kind: histogram,
		help:    "From the beginning of a fence to its end.",
		collect: fenceDurations},
	{name: "holdfast.fences.in_flight", kind: gauge,
		help:    "Fences that have begun and not ended.",
		collect: ofFences(func(f *FenceCounters) int64 { return f.InFlight })},
	{name: "holdfast.fence.waiting", kind: gauge,
		help:    "Held replies that no fence of the kind has proven yet.",
		collect: ofFences(func(f *FenceCounters) int64 { return f.Waiting })},
	{name: "holdfast.fence.oldest", unit: unitSeconds, kind: gauge,
		help:    "For how long the oldest of these has waited.",
		collect: oldestPoints},

	{name: "holdfast.proof.available", kind: gauge,
		help:    "1 while the proofs of a kind that a route asks for can be had.",
		collect: proofPoints},
	{name: "holdfast.proof.unavailable", unit: unitSeconds, kind: counter,
		help:    "For how long they could not be had.",
		collect: unavailablePoints},
}

// routePoints has one point for each route. The policy ensures that names are unique.
func routePoints(get func(*RouteCounters) int64) collectFunc {
	return func(v *view, p *points) {
		for i, r := range v.sum.Routes {
			p.add(get(r), text("route", v.sum.labels.Routes[i]))
		}
	}
}

func holdPoints(v *view, p *points) {
	for i, r := range v.sum.Routes {
		route := text("route", v.sum.labels.Routes[i])
		for o, n := range r.Outcomes {
			p.add(int64(n), route, attribute.Stringer("outcome", HoldOutcome(o)))
		}
	}
}

func ofFences(get func(*FenceCounters) int64) collectFunc {
	return func(v *view, p *points) {
		for _, f := range v.sum.Fences {
			p.add(get(f), attribute.String("kind", f.Kind))
		}
	}
}

func fencePoints(v *view, p *points) {
	for _, f := range v.sum.Fences {
		for o, n := range f.Outcomes {
			p.add(int64(n), attribute.String("kind", f.Kind),
				attribute.Stringer("outcome", FenceOutcome(o)))
		}
	}
}

func holdDurations(v *view, p *points) {
	for _, d := range v.sum.Demands {
		p.addHistogram(&d.Hold, attribute.String("demand", d.Demand))
	}
}

func fenceDurations(v *view, p *points) {
	for _, f := range v.sum.Fences {
		p.addHistogram(&f.Round, attribute.String("kind", f.Kind))
	}
}

func oldestPoints(v *view, p *points) {
	for _, f := range v.sum.Fences {
		p.addFloat(float64(f.Oldest)/1e9, attribute.String("kind", f.Kind))
	}
}

func proofPoints(v *view, p *points) {
	for _, s := range v.snap.Proofs {
		p.add(flag(s.Available), attribute.String("kind", s.Kind))
	}
}

func unavailablePoints(v *view, p *points) {
	for _, s := range v.snap.Proofs {
		p.addFloat(s.Unavailable.Seconds(), attribute.String("kind", s.Kind))
	}
}
