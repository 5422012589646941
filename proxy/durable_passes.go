package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/audit"
)

// passPause is the minimum time between two lines in the audit log about one route that lets writes
// pass.
const passPause = int64(time.Second)

// passes paces the audit log while a route lets writes without an available proof pass, possibly
// every write of every client. The first write has its line at once. After that, one line a second
// describes the first write since the last line, with the number of writes since.
type passes struct {
	w      *worker
	routes map[string]*passedWrites
	ticks  bool // a call of tell is scheduled
}

// passedWrites is the writes of one route that are not logged yet.
type passedWrites struct {
	until int64 // earliest loop time of the next line
	entry audit.Entry
	count int
}

// note adds a command that passes.
func (p *passes) note(f *frame) {
	if !p.w.srv.audit.On() {
		return
	}
	rule := policy.Rule{Name: "route " + f.due.Route.Spec.Name, Action: policy.Allow}
	r := p.routes[rule.Name]
	switch {
	case r == nil:
		if p.routes == nil {
			p.routes = map[string]*passedWrites{}
		}
		p.routes[rule.Name] = &passedWrites{until: p.w.loop.Now() + passPause}
		f.audit(&rule, passed, "")
		p.tick()
		return
	case r.count == 0:
		r.entry = f.auditEntry(&rule, passed)
	}
	r.count++
}

// tick schedules tell.
func (p *passes) tick() {
	if !p.ticks {
		p.ticks = true
		p.w.loop.AfterFunc(time.Duration(passPause), func() { p.ticks = false; p.tell(false) })
	}
}

// tell writes the due lines, or with all every line. It forgets a route without a recent write,
// whose next write then has its line at once again.
func (p *passes) tell(all bool) {
	now := p.w.loop.Now()
	for name, r := range p.routes {
		switch {
		case now < r.until && !all:
		case r.count == 0:
			delete(p.routes, name)
		default:
			r.entry.Count = r.count
			p.w.srv.audit.Put(r.entry)
			r.count, r.until = 0, now+passPause
		}
	}
	if len(p.routes) > 0 && !all {
		p.tick()
	}
}
