package policy

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Routes is a list of routes compiled against one command table. It is immutable.
type Routes struct {
	table  *Table
	all    []*Route
	conds  []conditions // by Route.Index
	writes []writeKind  // by Command.ID
}

// NewRoutes compiles routes against a table; nil means Builtin. The error joins everything that is
// wrong, each a *RouteError.
func NewRoutes(t *Table, specs []RouteSpec) (*Routes, error) {
	if t == nil {
		t = Builtin()
	}
	r := &Routes{table: t, writes: make([]writeKind, t.Len())}
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
			databases: spec.Databases, keys: compileGlobs(spec.Keys),
		})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(specs) > 0 {
		for _, cmd := range t.cmds {
			r.writes[cmd.ID] = writeKindOf(cmd)
		}
	}
	return r, nil
}

// All returns the routes in order. The slice must not be changed. A nil receiver has none.
func (r *Routes) All() []*Route {
	if r == nil {
		return nil
	}
	return r.all
}

// Match is what the routes that a request is on ask for together. It is comparable; the zero Match
// asks for nothing.
type Match struct {
	Route   *Route        // the first of them, in the order of the file; nil: there is none
	Demand  Demand        // the strictest of each
	Timeout time.Duration // the shortest
	Close   bool          // one of them closes on timeout
	Pass    bool          // all of them let pass what cannot be had
}

// With is what two matches ask for together, as for the commands of one transaction.
func (m Match) With(o Match) Match {
	switch {
	case o.Route == nil:
		return m
	case m.Route == nil:
		return o
	}
	if o.Route.Index < m.Route.Index {
		m.Route = o.Route
	}
	m.Demand = m.Demand.With(o.Demand)
	m.Timeout = min(m.Timeout, o.Timeout)
	m.Close, m.Pass = m.Close || o.Close, m.Pass && o.Pass
	return m
}

// match is the Match of one route.
func (r *Route) match() Match {
	s := &r.Spec
	return Match{r, s.Demand, s.Timeout, s.CloseOnTimeout, s.PassUnavailable}
}

// Match returns what the routes that the request is on ask for. Only what may write is on any: a
// read costs an array index. A nil receiver has no routes. It allocates nothing and keeps nothing
// of req. EXEC is on none: merge the matches of what was queued (Match.With).
//
// Doubt falls on the strict side: what is not known (who asks, where, which keys) is taken to be
// what a route asks for.
func (r *Routes) Match(req *Request) Match {
	if r == nil || len(r.all) == 0 {
		return Match{}
	}
	cmd := r.command(req.Cmd)
	kind := r.writes[cmd.ID]
	if kind == notWrite || kind == mayRead && cmd.onlyReads(req.Args) {
		return Match{}
	}
	return r.match(req, cmd, kind)
}

// command finds a command of another table again, as when a reload overtakes a request.
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

func (r *Routes) match(req *Request, cmd *Command, kind writeKind) (m Match) {
	k := keySets.Get().(*keySet)
	k.findWritten(req.Args, cmd, kind)
	for i, route := range r.all {
		if r.on(i, req, cmd, kind, k) {
			m = m.With(route.match())
		}
	}
	k.release()
	return m
}

// on reports whether the request is on the route of that index.
func (r *Routes) on(i int, req *Request, cmd *Command, kind writeKind, k *keySet) bool {
	c := &r.conds[i]
	if req.Client != nil && !c.client(req.Client) || !c.routesDatabase(req, cmd, kind) {
		return false
	}
	if len(c.keys) == 0 || k.unnamed || kind == writeCode && r.all[i].Spec.Scripts {
		return true
	}
	for _, key := range k.keys {
		if c.keys.match(req.Args[key.Pos]) {
			return true
		}
	}
	return false
}

// routesDatabase reports whether the request may be about one of the route's databases.
func (c *conditions) routesDatabase(req *Request, cmd *Command, kind writeKind) bool {
	if len(c.databases) == 0 {
		return true
	}
	if s := req.Script; kind == writeCode && s != nil && !s.Opaque && !s.calls("select") {
		return req.AnyDB || slices.Contains(c.databases, req.DB)
	}
	return c.database(req, cmd, true) != no
}
