package proxy

import (
	"context"
	"maps"
	"slices"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
)

// routeConsole implements admin.RouteBackend.
type routeConsole struct {
	loops  *loops
	proofs *durable.Monitor
}

// Routes implements admin.RouteBackend.
func (c routeConsole) Routes(ctx context.Context) ([]admin.Route, error) {
	// One loop's routes and counters belong together. A reload may proceed through the loops
	// meanwhile, so the other loops' counters are matched by name.
	type part struct {
		routes []*policy.Route
		count  *telemetry.Counters
	}
	parts, err := gather(ctx, c.loops, func(w *worker) part {
		return part{w.routes.All(), w.counters.Clone()}
	})
	if err != nil {
		return nil, err
	}
	sum := parts[0].count
	for _, p := range parts[1:] {
		sum.Add(p.count)
	}
	now := c.proofs.Now()
	var out []admin.Route
	for i, r := range parts[0].routes {
		a := describeRoute(&r.Spec, sum.Routes[i])
		a.Why = now.Why(r.Spec.Demand)
		a.Available = a.Why == ""
		out = append(out, a)
	}
	return out, nil
}

func describeRoute(s *policy.RouteSpec, n *telemetry.RouteCounters) admin.Route {
	a := admin.Route{
		Name: s.Name, Keys: s.Keys, Users: s.Users, Listeners: s.Listeners, Databases: s.Databases,
		Scripts: s.Scripts, Demand: s.Demand.String(), Timeout: s.Timeout, OnTimeout: "error",
		Unavailable: "reject", Held: n.Held, Late: n.Late, Outcomes: map[string]uint64{},
		Confirmed: n.Outcomes[telemetry.HoldConfirmed], Passed: n.Outcomes[telemetry.HoldPassed],
		Rejected: n.Outcomes[telemetry.HoldRejected],
		HoldP50:  time.Duration(n.Hold.Quantile(0.5)), HoldP99: time.Duration(n.Hold.Quantile(0.99)),
	}
	if s.CloseOnTimeout {
		a.OnTimeout = "close"
	}
	if s.PassUnavailable {
		a.Unavailable = "pass"
	}
	for i, count := range n.Outcomes {
		outcome := telemetry.HoldOutcome(i)
		a.Outcomes[outcome.String()] = count
		if outcome.Unconfirmed() {
			a.Unconfirmed += count
		}
	}
	return a
}

// Fences implements admin.RouteBackend.
func (c routeConsole) Fences(ctx context.Context) ([]admin.Fences, error) {
	parts, err := gather(ctx, c.loops, (*worker).snapshot)
	if err != nil {
		return nil, err
	}
	snap := telemetry.Snapshot{Loops: parts}
	kinds := map[string]*admin.Fences{}
	of := func(kind string) *admin.Fences {
		if kinds[kind] == nil {
			kinds[kind] = &admin.Fences{Kind: kind, Outcomes: map[string]uint64{}}
		}
		return kinds[kind]
	}
	for _, f := range snap.Sum().Fences {
		a := of(f.Kind)
		a.InFlight, a.Waiting, a.Oldest = f.InFlight, f.Waiting, time.Duration(f.Oldest)
		a.Rounds, a.Proven = f.Round.Count(), f.Holds
		a.RoundP50 = time.Duration(f.Round.Quantile(0.5))
		a.RoundP99 = time.Duration(f.Round.Quantile(0.99))
		for i, n := range f.Outcomes {
			a.Outcomes[telemetry.FenceOutcome(i).String()] = n
		}
	}
	for _, s := range c.proofs.Snapshot() {
		a := of(s.Kind)
		a.Asked, a.Available, a.Unavailable = true, s.Available, s.Unavailable
		a.Why = s.Why
	}
	out := make([]admin.Fences, 0, len(kinds))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, *kinds[kind])
	}
	return out, nil
}
