package policy

import (
	"cmp"
	"errors"
	"time"
)

// Routes is a list of routes compiled against one command table. It is immutable.
//
// A write pays nothing for routes that it is not on. An index over their globs finds the routes by
// key; the routes about a client are computed when it is first seen and kept with it
// (clientRoutes). That leaves the client's routes without a condition on keys, and the databases of
// each route found.
type Routes struct {
	table   *Table
	all     []*Route
	conds   []conditions // by Route.Index
	matches []Match      // of each route alone, by Route.Index
	writes  []writer     // by Command.ID

	keyless []int    // the routes without a condition on keys, by Route.Index
	keyed   []int    // the others
	scripts []int    // those of keyed that every script is on
	index   keyIndex // of keyed
	clients bool     // some route has a condition on the client
}

// NewRoutes compiles routes against a table; nil means Builtin. For no routes it returns nil, which
// is as good as an empty list. The error joins every fault, each a *RouteError.
func NewRoutes(t *Table, specs []RouteSpec) (*Routes, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	if t == nil {
		t = Builtin()
	}
	r := &Routes{table: t, writes: make([]writer, t.Len())}
	var errs []error
	names := map[string]int{}
	for i, spec := range specs {
		fail := routeFailures(i, spec.Name, &errs)
		if first, taken := names[spec.Name]; spec.Name == "" {
			fail("name", -1, "must not be empty")
		} else if taken {
			fail("name", -1, "route #%d has the same name", first+1)
		} else {
			names[spec.Name] = i
		}
		spec.check(fail)
		spec.Timeout = cmp.Or(spec.Timeout, DefaultRouteTimeout)
		r.all = append(r.all, &Route{i, spec})
		r.conds = append(r.conds, conditions{
			users: compileGlobs(spec.Users), anyAddress: true, listeners: spec.Listeners,
			databases: spec.Databases,
		})
		r.matches = append(r.matches, r.all[i].match())
		r.place(i)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, cmd := range t.cmds {
		r.writes[cmd.ID] = newWriter(cmd)
	}
	return r, nil
}

// place files the newest route.
func (r *Routes) place(i int) {
	spec := &r.all[i].Spec
	r.clients = r.clients || r.conds[i].asksClient()
	if len(spec.Keys) == 0 {
		r.keyless = append(r.keyless, i)
		return
	}
	r.keyed = append(r.keyed, i)
	if spec.Scripts {
		r.scripts = append(r.scripts, i)
	}
	for _, text := range spec.Keys {
		r.index.add(text, i)
	}
}

// All returns the routes in order. The slice must not be changed. A nil receiver has none.
func (r *Routes) All() []*Route {
	if r == nil {
		return nil
	}
	return r.all
}

// Match is the combined demand of a request's routes. It is comparable; the zero Match asks for
// nothing.
type Match struct {
	Route   *Route        // the first of them, in the order of the file; nil: there is none
	Demand  Demand        // the strictest of each
	Timeout time.Duration // the shortest
	Close   bool          // one of them closes on timeout
	Pass    bool          // all of them let writes pass when the proof is unavailable
}

// With combines two matches, as for the commands of one transaction.
func (m Match) With(o Match) Match {
	m.add(&o)
	return m
}

func (m *Match) add(o *Match) {
	switch {
	case o.Route == nil:
		return
	case m.Route == nil:
		*m = *o
		return
	}
	if o.Route.Index < m.Route.Index {
		m.Route = o.Route
	}
	m.Demand = m.Demand.With(o.Demand)
	m.Timeout = min(m.Timeout, o.Timeout)
	m.Close, m.Pass = m.Close || o.Close, m.Pass && o.Pass
}

// match is the Match of one route.
func (r *Route) match() Match {
	s := &r.Spec
	return Match{r, s.Demand, s.Timeout, s.CloseOnTimeout, s.PassUnavailable}
}

// Match returns the combined demand of the request's routes. Only possible writes are on any: a
// read costs an array index. A nil receiver has no routes. It allocates nothing and keeps nothing
// of req. EXEC is on none: merge the matches of the queued commands (Match.With).
//
// Doubt falls on the strict side: an unknown client, database or key is taken to meet a route's
// condition.
func (r *Routes) Match(req *Request) Match {
	if r == nil {
		return Match{}
	}
	cmd := r.command(req.Cmd)
	w := r.writes[cmd.ID]
	if w.kind == notWrite {
		return Match{}
	}
	q := routeQuery{Routes: r, req: req, cmd: cmd, writer: w}
	q.match()
	return q.found
}

// Concerns reports whether requests of cmd may be on a route: it is false for commands that only
// read. A nil receiver has no routes.
func (r *Routes) Concerns(cmd *Command) bool {
	return r != nil && r.writes[r.command(cmd).ID].kind != notWrite
}

// command looks a command of another table up again, as when a reload overtakes a request.
func (r *Routes) command(cmd *Command) *Command {
	if cmd != nil && uint(cmd.ID) < uint(len(r.table.cmds)) && r.table.cmds[cmd.ID] == cmd {
		return cmd
	}
	for ; cmd != nil && cmd.Name != ""; cmd = cmd.Parent {
		if own := r.table.byName[cmd.Name]; own != nil {
			return own
		}
	}
	return r.table.cmds[0]
}
