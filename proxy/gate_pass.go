package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// passPause is the least time between two lines in the audit log about one route that lets writes
// pass.
const passPause = int64(time.Second)

// passes paces the audit log while a route lets writes pass whose proof cannot be had: that may be
// every write of every client. The first has its line at once. Of what follows, one line a second
// describes the first, and its count says for how many it stands.
type passes struct {
	w      *worker
	routes map[string]*passed1
	ticks  bool // tell will be called
}

// passed1 is what was not told yet of one route.
type passed1 struct {
	until int64 // loop time before which nothing is told
	entry auditEntry
	count int
}

// note takes a command that passes.
func (p *passes) note(s *session, c *resp.Command, cmd *policy.Command) {
	if p.w.srv.audits.Load() == nil {
		return
	}
	rule := policy.Rule{Name: "route " + s.due.Route.Spec.Name, Action: policy.Allow}
	r := p.routes[rule.Name]
	switch {
	case r == nil:
		if p.routes == nil {
			p.routes = map[string]*passed1{}
		}
		p.routes[rule.Name] = &passed1{until: p.w.loop.Now() + passPause}
		s.audit(c, cmd, &rule, passed, "")
		p.tick()
		return
	case r.count == 0:
		r.entry = s.auditEntry(c, cmd, &rule, passed)
	}
	r.count++
}

// tick has tell be called in a while.
func (p *passes) tick() {
	if !p.ticks {
		p.ticks = true
		p.w.loop.AfterFunc(time.Duration(passPause), func() { p.ticks = false; p.tell(false) })
	}
}

// tell writes what is due, or with all everything. A route of which nothing has passed for a while
// is forgotten, so that the next has its line at once again.
func (p *passes) tell(all bool) {
	a, now := p.w.srv.audits.Load(), p.w.loop.Now()
	for name, r := range p.routes {
		switch {
		case now < r.until && !all:
		case r.count == 0:
			delete(p.routes, name)
		default:
			r.entry.Count = r.count
			if a != nil {
				a.put(r.entry)
			}
			r.count, r.until = 0, now+passPause
		}
	}
	if len(p.routes) > 0 && !all {
		p.tick()
	}
}
