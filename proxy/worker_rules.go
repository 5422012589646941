package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/trash"
	"holdfast/proxy/upstream"
)

// A worker's copy of rules, limits and the server's state, and how it takes over new ones.

// rules is a worker's set of commands and rules, replaced as a whole.
type rules struct {
	policy     *policy.Policy
	routes     *policy.Routes // nil: none
	labels     *telemetry.Labels
	behaviours []behaviour
	classes    []telemetry.Class
	trash      *trash.Plan
}

func newRules(p *policy.Policy, routes *policy.Routes, trash *trash.Plan) *rules {
	if len(routes.All()) == 0 {
		routes = nil
	}
	t := p.Table()
	r := &rules{policy: p, routes: routes, labels: &telemetry.Labels{}, trash: trash}
	r.behaviours = behavioursOf(t)
	r.classes = make([]telemetry.Class, t.Len())
	r.labels.Commands = make([]string, t.Len())
	for _, c := range t.All() {
		r.classes[c.ID] = classOf(c, r.behaviours[c.ID])
		r.labels.Commands[c.ID] = c.Name
	}
	for _, rule := range p.Rules() {
		r.labels.Rules = append(r.labels.Rules, rule.Name)
	}
	for _, route := range routes.All() {
		r.labels.Routes = append(r.labels.Routes, route.Spec.Name)
	}
	return r
}

// setRules puts new rules, or a new command table, in force. Outstanding requests point to commands
// of the old table, which it looks up again, so that they are counted right.
func (w *worker) setRules(r *rules) {
	w.rules = *r
	w.counters.Relabel(r.labels)
	w.setRoutes()
	for l := range w.links {
		for i := 0; i < l.reqs.len(); i++ {
			if q := l.reqs.at(i); q.cmd != nil {
				q.cmd = w.command(q.cmd.Name)
			}
		}
	}
	for _, s := range w.sessions {
		if s.last != nil {
			s.last = w.command(s.last.Name)
		}
		if w.trash.Hides(int(s.db)) {
			s.endLater(telemetry.CloseUpstream) // its database is hidden now
		}
	}
}

// setRoutes puts the routes among the rules in force.
func (w *worker) setRoutes() {
	t := w.trash
	w.durable.SetRoutes(w.routes, durable.Mark{
		DB: t.Mark, Count: w.id == 0 && t.Reserved == nil && t.Hides(int(t.Mark)),
	})
}

func (w *worker) command(name string) *policy.Command {
	if c := w.policy.Table().ByName(name); c != nil {
		return c
	}
	return w.policy.Table().Unknown()
}

// setLimits puts new limits in force.
func (w *worker) setLimits(l Limits) {
	w.limits = &l
	w.frames = resp.Limits{MaxArgs: l.MaxArgs, MaxBulk: l.MaxBulk, MaxInline: l.MaxInline}
	w.learn(w.up.Info())
}

// learn takes over the server's INFO.
func (w *worker) learn(info *upstream.Info) {
	w.frames.MaxBulk = w.limits.MaxBulk
	if n := info.ProtoMaxBulk; n > 0 && (n < w.frames.MaxBulk || w.frames.MaxBulk == 0) {
		w.frames.MaxBulk = n
	}
	w.srv.logs.learn(info)
	w.frames.Dialect = resp.DialectOf(info.Server, info.VersionNum)
	w.room.setLimits(w.limits, info, w.srv.opts.Workers)
	w.anonFrames = w.frames
	w.anonFrames.Unauthenticated = true
	if info.Up {
		w.outage.look()
	}
	w.durable.Sighted(info)
}
