package durable

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// Ack is the outcome of a session's last write. The zero Ack: no route demands a proof of it.
type Ack struct {
	route   *policy.Route
	demand  policy.Demand // the routes' demand
	proof   policy.Demand // the part of it that was required
	outcome telemetry.HoldOutcome
	took    int64 // nanoseconds
}

// State returns the word for the outcome.
func (a *Ack) State() string {
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

// Route returns the route's name; "": none.
func (a *Ack) Route() string {
	if a.route == nil {
		return ""
	}
	return a.route.Spec.Name
}

// Demand is the routes' demand.
func (a *Ack) Demand() policy.Demand { return a.demand }

// Proven lists the proofs that were obtained.
func (a *Ack) Proven() policy.Demand {
	if a.route == nil || a.outcome != telemetry.HoldConfirmed {
		return policy.Demand{}
	}
	return a.proof
}

// Took is how long the reply was held.
func (a *Ack) Took() time.Duration { return time.Duration(a.took) }
