package policy

import (
	"fmt"
	"slices"
	"time"
)

// RouteSpec is one route as configured: which writes are acknowledged only when they are proven
// durable. A write is on the route if every condition holds; one element of a list is enough, and
// an absent condition always holds.
type RouteSpec struct {
	// Name identifies the route in errors, logs and metrics. It must be unique and not empty.
	Name string

	// Keys is globs over keys, as KEYS has them. One key of several is enough. A write that
	// reaches keys which it does not name (FLUSHALL, FUNCTION LOAD) reaches all of them. A script
	// or a function is asked for the keys that it declares.
	Keys []string

	Users     []string // globs over the user's name
	Listeners []string // addresses of listeners, as configured
	Databases []int    // numbers of databases; one that MOVE, COPY or SWAPDB names is enough

	// Scripts makes every call of a script or a function meet the condition on keys, whatever it
	// declares. Those that cannot write (EVAL_RO and its kin) are on no route.
	Scripts bool

	// Demand is the required proof. It must not be zero.
	Demand Demand

	// Timeout is how long the proof may take, from the server's reply on; 0 means
	// DefaultRouteTimeout.
	Timeout time.Duration

	CloseOnTimeout  bool // close the client then, rather than answer -UNCONFIRMED
	PassUnavailable bool // let writes through while the demand is unavailable
}

// DefaultRouteTimeout is how long a proof may take where a route does not say.
const DefaultRouteTimeout = time.Second

// Route is one route in force. It is immutable.
type Route struct {
	Index int // its place among the routes, from 0
	Spec  RouteSpec
}

// check finds every fault of the spec.
func (s *RouteSpec) check(fail failure) {
	if s.Demand.IsZero() {
		fail("ack", -1, "must ask for something: journal, replicas or aof")
	}
	if s.Demand.Replicas < 0 {
		fail("ack.replicas", -1, "must not be negative, got %d", s.Demand.Replicas)
	}
	if s.Demand.AOFReplicas < 0 {
		fail("ack.aof.replicas", -1, "must not be negative, got %d", s.Demand.AOFReplicas)
	}
	if s.Timeout < 0 {
		fail("timeout", -1, "must not be negative, got %v", s.Timeout)
	}
	if s.Scripts && len(s.Keys) == 0 {
		fail("scripts", -1, "says which scripts meet the condition on keys, and there is none")
	}
	if i := slices.Index(s.Users, ""); i >= 0 {
		fail("users", i, "must not be empty")
	}
	if i := slices.Index(s.Listeners, ""); i >= 0 {
		fail("listeners", i, "must not be empty")
	}
	for i, db := range s.Databases {
		if db < 0 {
			fail("databases", i, "must not be negative, got %d", db)
		}
	}
}

// routeFailures gathers the faults of one route.
func routeFailures(index int, name string, errs *[]error) failure {
	return func(field string, item int, format string, args ...any) {
		*errs = append(*errs, &RouteError{name, index, field, item, fmt.Sprintf(format, args...)})
	}
}
