package durable

import (
	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// terms are a match of routes with the parts of the Pipeline that it leads to. All holds of equal
// matches share one, so a hold costs no lookup by a demand and carries no copy of it.
type terms struct {
	match    policy.Match
	plan     *plan // proves match.Demand
	route    *telemetry.RouteCounters
	timeouts *timeoutQueue
}

// book finds the terms of a match. A reload of the routes begins a new one; earlier holds keep their
// terms.
type book struct {
	latest []*terms // by Route.Index: the last terms of matches that name the route
	all    map[policy.Match]*terms
}

func newBook(routes *policy.Routes) book {
	return book{latest: make([]*terms, len(routes.All())), all: map[policy.Match]*terms{}}
}

// terms returns the terms of m, new or known.
func (p *Pipeline) terms(m *policy.Match) *terms {
	i := m.Route.Index
	if i < len(p.book.latest) {
		if t := p.book.latest[i]; t != nil && t.match == *m {
			return t
		}
	}
	t := p.book.all[*m]
	if t == nil {
		t = &terms{match: *m, plan: p.plan(m.Demand), route: p.RouteCounters(m.Route),
			timeouts: p.expiry.queue(m.Timeout)}
		p.book.all[*m] = t
	}
	if i < len(p.book.latest) {
		p.book.latest[i] = t
	}
	return t
}
