package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// holdInstruments show durable routes; a proxy without any shows none of them.
var holdInstruments = []instrument{
	{name: "holdfast.route.held", kind: gauge,
		help:   "Replies that are held now until their write is proven, by route.",
		points: routePoints(func(r *RouteCounters) int64 { return r.Held })},
	{name: "holdfast.route.commands", kind: counter,
		help:   "Commands that a route asks a proof for, by how they ended.",
		points: holdPoints},
	{name: "holdfast.route.late", kind: counter,
		help:   "Commands whose proof came after their client was told that there is none.",
		points: routePoints(func(r *RouteCounters) int64 { return int64(r.Late) })},
	{name: "holdfast.hold.duration", unit: unitSeconds, kind: histogram,
		help:    "For how long replies were held, by what had to be proven.",
		latency: holdDurations},

	{name: "holdfast.fences", kind: counter,
		help:   "Fences, by kind and outcome.",
		points: fencePoints},
	{name: "holdfast.fence.proven", kind: counter,
		help: "Held replies that fences have proven; by fences it is how many share one.",
		points: ofFences(func(f *FenceCounters) int64 {
			return int64(f.Holds)
		})},
	{name: "holdfast.fence.duration", unit: unitSeconds, kind: histogram,
		help:    "From the beginning of a fence to its end.",
		latency: fenceDurations},
	{name: "holdfast.fences.in_flight", kind: gauge,
		help:   "Fences that have begun and not ended.",
		points: ofFences(func(f *FenceCounters) int64 { return f.InFlight })},
	{name: "holdfast.fence.waiting", kind: gauge,
		help:   "Held replies that no fence of the kind has proven yet.",
		points: ofFences(func(f *FenceCounters) int64 { return f.Waiting })},
	{name: "holdfast.fence.oldest", unit: unitSeconds, kind: gauge,
		help:   "For how long the oldest of these has waited.",
		floats: oldestPoints},

	{name: "holdfast.proof.available", kind: gauge,
		help:   "1 while the proofs of a kind that a route asks for can be had.",
		points: proofPoints},
	{name: "holdfast.proof.unavailable", unit: unitSeconds, kind: counter,
		help:   "For how long they could not be had.",
		floats: unavailablePoints},
}

// routePoints has one point for each route. The policy ensures that names are unique.
func routePoints(get func(*RouteCounters) int64) func(*view) points {
	return func(v *view) points {
		var p points
		for i, r := range v.sum.Routes {
			p.add(get(r), text("route", v.sum.labels.Routes[i]))
		}
		return p
	}
}

func holdPoints(v *view) points {
	var p points
	for i, r := range v.sum.Routes {
		route := text("route", v.sum.labels.Routes[i])
		for o, n := range r.Outcomes {
			p.add(int64(n), route, attribute.Stringer("outcome", HoldOutcome(o)))
		}
	}
	return p
}

func ofFences(get func(*FenceCounters) int64) func(*view) points {
	return func(v *view) points {
		var p points
		for _, f := range v.sum.Fences {
			p.add(get(f), attribute.String("kind", f.Kind))
		}
		return p
	}
}

func fencePoints(v *view) points {
	var p points
	for _, f := range v.sum.Fences {
		for o, n := range f.Outcomes {
			p.add(int64(n), attribute.String("kind", f.Kind),
				attribute.Stringer("outcome", FenceOutcome(o)))
		}
	}
	return p
}

func holdDurations(v *view) []metricdata.HistogramDataPoint[float64] {
	var dps []metricdata.HistogramDataPoint[float64]
	for _, d := range v.sum.Demands {
		dps = v.appendHistogram(dps, &d.Hold, attribute.String("demand", d.Demand))
	}
	return dps
}

func fenceDurations(v *view) []metricdata.HistogramDataPoint[float64] {
	var dps []metricdata.HistogramDataPoint[float64]
	for _, f := range v.sum.Fences {
		dps = v.appendHistogram(dps, &f.Round, attribute.String("kind", f.Kind))
	}
	return dps
}

func oldestPoints(v *view) []metricdata.DataPoint[float64] {
	var p []metricdata.DataPoint[float64]
	for _, f := range v.sum.Fences {
		p = append(p, float(float64(f.Oldest)/1e9, attribute.String("kind", f.Kind)))
	}
	return p
}

func proofPoints(v *view) points {
	var p points
	for _, s := range v.snap.Proofs {
		p.add(flag(s.Available), attribute.String("kind", s.Kind))
	}
	return p
}

func unavailablePoints(v *view) []metricdata.DataPoint[float64] {
	var p []metricdata.DataPoint[float64]
	for _, s := range v.snap.Proofs {
		p = append(p, float(s.Unavailable.Seconds(), attribute.String("kind", s.Kind)))
	}
	return p
}
