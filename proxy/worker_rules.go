package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// What a worker knows of rules, limits and the server, and how it takes over what is new.

// rules is what a worker knows of commands and rules: replaced as a whole.
type rules struct {
	policy     *policy.Policy
	routes     *policy.Routes // nil: none
	labels     *telemetry.Labels
	behaviours []behaviour
	classes    []telemetry.Class
	trash      *trashPlan
}

func newRules(p *policy.Policy, routes *policy.Routes, trash *trashPlan) *rules {
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

// setRules puts new rules, or a new command table, in force. Outstanding requests point to
// commands of the old table: they are looked up again, so that they count where they belong.
func (w *worker) setRules(r *rules) {
	w.rules = *r
	w.counters.Relabel(r.labels)
	w.routesChanged()
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
		if w.trash.hides(int(s.db)) {
			s.endLater(telemetry.CloseUpstream) // its database is there no more
		}
	}
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

// learn takes over what the server says of itself.
func (w *worker) learn(info *upstream.Info) {
	w.frames.MaxBulk = w.limits.MaxBulk
	if n := info.ProtoMaxBulk; n > 0 && (n < w.frames.MaxBulk || w.frames.MaxBulk == 0) {
		w.frames.MaxBulk = n
	}
	if info.AuthRequired && !w.anonFrames.Unauthenticated {
		w.renewAnonymous()
	}
	anon := w.frames
	anon.Unauthenticated = info.AuthRequired
	if old := w.anonFrames; old != nil && info.AuthRequired && !old.Unauthenticated {
		w.renewAnonymous() // somebody else set a password
	}
	w.anonFrames = &anon
	w.setGuard(w.guard) // who logs in may be another matter now
}

// renewAnonymous gives clients that connect from now on links of their own. The server asks for
// a password when a connection is made: links from before it had one would let anybody in.
func (w *worker) renewAnonymous() {
	old := w.anonymous
	w.anonymous = w.identity(identityKey{generation: old.key.generation + 1})
	w.anonymous.refs++ // it never goes away
	w.release(old)
}
