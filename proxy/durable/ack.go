package durable

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// Ack is the outcome of a session's last write. The zero Ack: no route demands a proof of it.
type Ack struct {
	terms   *terms // the routes' demand; nil: none
	plan    *plan  // the part of it that was required; nil: none
	outcome telemetry.HoldOutcome
	took    int64 // nanoseconds
}

// State returns the word for the outcome.
func (a *Ack) State() string {
	switch {
	case a.terms == nil:
		return "none"
	case a.outcome == telemetry.HoldConfirmed && a.plan.demand != a.terms.match.Demand:
		return "passed"
	case a.outcome == telemetry.HoldConfirmed, a.outcome == telemetry.HoldPassed:
		return a.outcome.String()
	}
	return "unconfirmed"
}

// Route returns the route's name; "": none.
func (a *Ack) Route() string {
	if a.terms == nil {
		return ""
	}
	return a.terms.match.Route.Spec.Name
}

// Demand is the routes' demand.
func (a *Ack) Demand() policy.Demand {
	if a.terms == nil {
		return policy.Demand{}
	}
	return a.terms.match.Demand
}

// Proven lists the proofs that were obtained.
func (a *Ack) Proven() policy.Demand {
	if a.terms == nil || a.outcome != telemetry.HoldConfirmed {
		return policy.Demand{}
	}
	return a.plan.demand
}

// Took is how long the reply was held.
func (a *Ack) Took() time.Duration { return time.Duration(a.took) }
