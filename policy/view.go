package policy

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// view is a policy's view of one kind of client in one database: all clients for whom the same
// rules' conditions on the client and the database hold. Results for the first of them serve all,
// in any goroutine.
type view struct {
	about ruleSet // the rules that are about such clients
	inDB  ruleSet // the rules that are about such databases

	plans []atomic.Pointer[plan] // by Command.ID; nil: no such client has sent it yet
}

// views are the views of a policy.
//
// The mutex is taken for a look-up when a client is new, changes its identity or selects a
// database.
type views struct {
	mu    sync.Mutex
	byKey map[string]*view
}

// maxViews bounds the views that a policy caches for later clients. There are few kinds of clients;
// if a client makes many by renaming itself, their views are recomputed.
const maxViews = 64

// viewOf returns the policy's view of a client in a database.
func (p *Policy) viewOf(c *Client, db int) *view {
	if k := &c.seen; k.policy == p && k.db == db {
		return k.view
	}
	return p.lookAround(c, db)
}

// lookAround is viewOf for a client without a cached view.
func (p *Policy) lookAround(c *Client, db int) *view {
	v := &view{about: newRuleSet(len(p.rules)), inDB: newRuleSet(len(p.rules))}
	for i, r := range p.rules {
		if r.cond == nil || r.cond.client(&c.id) {
			v.about.add(i)
		}
		if r.cond == nil || len(r.cond.databases) == 0 || slices.Contains(r.cond.databases, db) {
			v.inDB.add(i)
		}
	}
	v = p.views.same(v, len(p.decisions))
	c.seen = seen{p, db, v}
	return v
}

// same returns the cached view that equals v, or caches v itself.
func (s *views) same(v *view, commands int) *view {
	var key []byte
	for _, set := range []ruleSet{v.about, v.inDB} {
		for _, word := range set {
			key = binary.LittleEndian.AppendUint64(key, word)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byKey[string(key)]; known != nil {
		return known
	}
	if s.byKey == nil || len(s.byKey) >= maxViews {
		s.byKey = make(map[string]*view)
	}
	v.plans = make([]atomic.Pointer[plan], commands)
	s.byKey[string(key)] = v
	return v
}

// plan returns the plan for a command that rules with conditions concern.
func (v *view) plan(d *decision, cmd *Command) *plan {
	if pl := v.plans[cmd.ID].Load(); pl != nil {
		return pl
	}
	pl := d.newPlan(v, cmd)
	v.plans[cmd.ID].Store(pl) // of two that are made at once, either will do
	return pl
}
