package policy

import "slices"

// routeQuery gathers the routes that one request is on.
type routeQuery struct {
	*Routes
	req *Request
	cmd *Command // of the routes' own table
	writer
	named bool    // it changes only keys that it names
	about ruleSet // the routes about the client; nil: all may be
	found Match
}

func (q *routeQuery) match() {
	if q.kind == mayRead {
		var reads bool
		if reads, q.named = mayReads[q.cmd.Name](q.cmd, q.req.Args); reads {
			return
		}
	}
	keyless := q.keyless
	if q.clients && q.req.Client != nil {
		known := q.clientRoutes(q.req.Client)
		keyless, q.about = known.keyless, known.about
	}
	q.take(keyless)
	if len(q.keyed) > 0 {
		q.matchKeys()
	}
}

// matchKeys takes the routes that the request's keys are on.
func (q *routeQuery) matchKeys() {
	if at := q.key; at > 0 && at < len(q.req.Args) {
		q.matchKey(q.req.Args[at])
		return
	}
	k := keySets.Get().(*keySet)
	switch {
	case q.findKeys(k):
		q.take(q.keyed)
	case q.kind == writeCode:
		q.take(q.scripts)
		fallthrough
	default:
		for _, key := range k.keys {
			q.matchKey(q.req.Args[key.Pos])
		}
	}
	k.release()
}

// findKeys finds the keys that the request names, and reports whether it may change others. Scripts
// are trusted to declare their keys; any other command without keys changes all.
func (q *routeQuery) findKeys(k *keySet) (others bool) {
	complete := false
	k.keys, complete = q.cmd.Keys(q.req.Args, k.keys[:0])
	if q.kind == writeCode {
		return !complete
	}
	return !complete && !q.named || q.cmd.unnamed || len(k.keys) == 0
}

func (q *routeQuery) matchKey(key []byte) {
	for node, at := &q.index.root, 0; node != nil; node, at = node.child(key, at) {
		for i := range node.here {
			if g := &node.here[i]; g.matches(key[at:]) {
				q.takeOne(g.route)
			}
		}
	}
}

// take takes routes whose condition on keys holds, if the others do.
func (q *routeQuery) take(routes []int) {
	for _, i := range routes {
		q.takeOne(i)
	}
}

func (q *routeQuery) takeOne(i int) {
	if q.about != nil && !q.about.has(i) || !q.conds[i].routesDatabase(q.req, q.cmd, q.kind) {
		return
	}
	q.found.add(&q.matches[i])
}

// routesDatabase reports whether the request may touch one of the route's databases. Code can
// SELECT any, unless its calls are known.
func (c *conditions) routesDatabase(req *Request, cmd *Command, kind writeKind) bool {
	if len(c.databases) == 0 {
		return true
	}
	if s := req.Script; kind == writeCode && s != nil && !s.Opaque && !s.calls("select") {
		return req.AnyDB || slices.Contains(c.databases, req.DB)
	}
	return c.database(req, cmd, true) != no
}

// clientRoutes are the routes about a client, and the inputs they were derived from.
type clientRoutes struct {
	routes  *Routes
	about   ruleSet
	keyless []int
}

// clientRoutes returns the routes about a known client.
func (r *Routes) clientRoutes(c *Client) *clientRoutes {
	k := &c.routed
	if k.routes == r {
		return k
	}
	*k = clientRoutes{routes: r, about: newRuleSet(len(r.all))}
	for i := range r.conds {
		if r.conds[i].client(&c.id) {
			k.about.add(i)
			if len(r.all[i].Spec.Keys) == 0 {
				k.keyless = append(k.keyless, i)
			}
		}
	}
	return k
}
