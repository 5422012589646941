package policy

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// view is how a policy looks to clients of one kind in one database: to all for whom the same rules
// hold as far as they ask who the client is, and which database it is in. What is worked out for
// the first of them serves all, in whatever goroutine.
type view struct {
	about ruleSet // the rules that are about such clients
	inDB  ruleSet // the rules that are about such databases

	plans []atomic.Pointer[plan] // by Command.ID; nil: none of them has sent that yet
}

// views is the views of a policy.
//
// The mutex is taken where a client is new, or has become somebody else, or selected a database,
// and for as long as it takes to look a view up.
type views struct {
	mu    sync.Mutex
	byKey map[string]*view
}

// maxViews is how many views a policy keeps for clients to come. There are few kinds of clients; if
// somebody makes many by calling himself this and that, they are worked out anew.
const maxViews = 64

// viewOf returns how the policy looks to a client in a database.
func (p *Policy) viewOf(c *Client, db int) *view {
	if k := &c.seen; k.policy == p && k.db == db {
		return k.view
	}
	return p.lookAround(c, db)
}

// lookAround is viewOf for a client of whom that is not known yet.
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

// same returns the view that is like v, which is v itself if there was none.
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

// plan returns the plan for a command that rules with conditions are about.
func (v *view) plan(d *decision, cmd *Command) *plan {
	if pl := v.plans[cmd.ID].Load(); pl != nil {
		return pl
	}
	pl := d.newPlan(v, cmd)
	v.plans[cmd.ID].Store(pl) // of two that are made at once, either will do
	return pl
}
