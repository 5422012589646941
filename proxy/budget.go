package proxy

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// A delete budget bounds how many keys are deleted in a while. What is deleted is counted from
// replies: of DEL and its like, of times in the past, of flushes by how many keys there were just
// before. When there were too many, a breaker opens, and requests that delete are answered
// -THROTTLED until it closes by itself or an operator resets it.
//
// What goes to the trash counts as well: for the application it is gone. Code that can be read, and
// calls something that deletes, counts as many keys as the request declares, and one at the least;
// what opaque code deletes does not count.

// budget is one budget with what became of it since the start; it outlives reloads that leave it
// as it is.
type budget struct {
	*policy.Budget
	spec                      policy.BudgetSpec
	deleted, throttled, trips atomic.Uint64
}

// budgets is all of them; it is replaced as a whole, and never changed.
type budgets []*budget

// newBudgets makes the budgets of specs, and takes over from old what is the same.
func newBudgets(specs []policy.BudgetSpec, old budgets) (budgets, error) {
	made, err := policy.NewBudgets(specs, limitersPerRule)
	if err != nil {
		return nil, err
	}
	var out budgets
	for i, m := range made {
		b := &budget{Budget: m, spec: specs[i]}
		for _, o := range old {
			if sameBudget(&o.spec, &b.spec) {
				b = o
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func sameBudget(a, b *policy.BudgetSpec) bool {
	return a.Name == b.Name && a.Keys == b.Keys && a.Window == b.Window && a.Open == b.Open &&
		a.Per == b.Per && slices.Equal(a.Users, b.Users)
}

// budgetsInForce is nil where there are none, so that a request costs one load.
func (srv *Server) budgetsInForce() budgets {
	if p := srv.budgets.Load(); p != nil {
		return *p
	}
	return nil
}

func (srv *Server) setBudgets(b budgets) {
	if len(b) == 0 {
		srv.budgets.Store(nil)
		return
	}
	srv.budgets.Store(&b)
}

// clock is the same for all loops, as budgets need it.
func (srv *Server) clock() int64 { return int64(time.Since(srv.startedAt)) }

// deletion is a request that deletes, on its way.
type deletion struct {
	cmd     *policy.Command
	args    [][]byte
	emptied int64 // by a flush
	index   int   // in its transaction
}

// mayDelete reports whether the request in hand is one for the budgets.
func (s *session) mayDelete(c *resp.Command, cmd *policy.Command) bool {
	return cmd.MayDelete(c.Args, s.w.unixMilli()) ||
		cmd.RunsCode() && s.w.policy.CodeDeletes(&s.w.asked)
}

// withinBudget puts a request that deletes to the budgets. done is false when it may go on; what
// it deletes is then counted. size has a flush wait until it is known how much it takes.
func (s *session) withinBudget(c *resp.Command, cmd *policy.Command, size bool) (done, ok bool) {
	srv := s.w.srv
	all := srv.budgetsInForce()
	if all == nil || !s.mayDelete(c, cmd) {
		return false, true
	}
	now := srv.clock()
	for _, b := range all {
		if retry, ok := b.Check(&s.client, now); !ok {
			b.throttled.Add(1)
			s.auditBudget(c, cmd, b)
			text := textBudget(commandName(cmd, c.Args), b.Name, retry)
			return true, s.refuse1(cmd, text)
		}
	}
	d := &deletion{cmd: cmd, emptied: s.again.emptied}
	switch {
	case cmd.Effects.Any(policy.EffectFlush):
		if size && !s.again.sized {
			s.sizeUp(cmd)
			return true, false
		}
		d.emptied = max(1, d.emptied)
	case cmd.RunsCode():
		keys, _ := cmd.Keys(c.Args, nil)
		d.emptied = max(1, int64(len(keys)))
	default:
		d.args = cloneArgs(c.Args)
	}
	s.deleting = d
	return false, true
}

// sizeUp asks how many keys a flush is about to take. The frame is presented again then.
func (s *session) sizeUp(cmd *policy.Command) {
	if s.outstanding > 0 {
		s.wait = waitOrder
		return
	}
	l := s.pin
	switch {
	case l == nil:
		l = s.lane(laneData).pick(s.w)
	case s.held&holdMulti != 0 || s.muted != replyOn: // its own link would queue it, or not answer
		l = s.w.privileged()
	}
	one := int32(-1)
	if cmd.Name == "flushdb" && !s.dbUnsure {
		one = s.db
	}
	s.ask(l, nil, [][]byte{[]byte("iNfO"), []byte("keyspace")}, func(reply []byte, _ bool) {
		s.again.sized = true
		if v, _, err := resp.Parse(reply); err == nil && v.Type != '-' {
			s.again.emptied = keysIn(v.Str, one)
		}
	})
}

// keysIn adds up the keys of one database, or of all with -1, in a reply to INFO keyspace.
func keysIn(info []byte, db int32) (sum int64) {
	for line := range bytes.Lines(info) {
		name, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":keys="))
		if !ok || db >= 0 && string(name) != "db"+strconv.Itoa(int(db)) {
			continue
		}
		digits, _, _ := bytes.Cut(rest, []byte(","))
		n, _ := strconv.ParseInt(string(digits), 10, 64)
		sum += n
	}
	return sum
}

// watchReply has the reply to the request in hand counted, whatever else becomes of it.
func (s *session) watchReply(m mode, k *call) (mode, *call) {
	d := s.deleting
	s.deleting = nil
	if m != modeForward || k != nil {
		return m, k
	}
	if s.held&holdMulti != 0 {
		d.index = s.queuedCommands
		s.queuedDeletions = append(s.queuedDeletions, d)
		return m, k
	}
	return modeChecked, &call{done: func(reply []byte, broken bool) {
		if v, _, err := resp.Parse(reply); err == nil && !broken {
			s.countDeleted(d.count(&v))
		}
	}}
}

// unanswered is how many keys a request counts for whose reply the client has turned off.
func (d *deletion) unanswered() int64 {
	keys, _ := d.cmd.Keys(d.args, nil)
	return max(d.emptied, int64(len(keys)))
}

// count is how many keys a request has deleted, by its reply.
func (d *deletion) count(v *resp.Value) int64 {
	switch {
	case v.Type == '-' || v.Type == '!':
		return 0
	case d.args == nil:
		return d.emptied
	}
	return d.cmd.Deleted(d.args, v.Int, v.Null)
}

// transactionRan counts what a transaction has deleted. reply is nil if it was too large to read:
// then what was asked for counts.
func (s *session) transactionRan(queued []*deletion, reply []byte, broken bool) {
	if broken || len(queued) == 0 {
		return
	}
	var v resp.Value
	if reply != nil {
		var err error
		if v, _, err = resp.Parse(reply); err != nil || v.Type != '*' || v.Null {
			return
		}
	}
	sum := int64(0)
	for _, d := range queued {
		switch {
		case reply == nil:
			sum += d.unanswered()
		case d.index < len(v.Elems):
			sum += d.count(&v.Elems[d.index])
		}
	}
	s.countDeleted(sum)
}

// countDeleted notes n deleted keys.
func (s *session) countDeleted(n int64) {
	if n <= 0 {
		return
	}
	srv := s.w.srv
	for _, b := range srv.budgetsInForce() {
		b.deleted.Add(uint64(n))
		if b.Count(&s.client, n, srv.clock()) {
			b.trips.Add(1)
			s.w.log.Warn("a delete budget is used up; deletes are refused", "budget", b.Name,
				"for", b.Open, "user", s.ident.userName(), "client", s.conn.RemoteAddr())
		}
	}
}

// auditBudget notes in the audit log what a budget refused.
func (s *session) auditBudget(c *resp.Command, cmd *policy.Command, b *budget) {
	r := &policy.Rule{Name: "budget " + b.Name, Action: policy.Deny}
	if !s.again.waited {
		s.audit(c, cmd, r, throttled, "")
	}
}

// Budgets implements admin.Backend.
func (srv *Server) Budgets(context.Context) ([]admin.Budget, error) {
	var out []admin.Budget
	for _, b := range srv.budgetsInForce() {
		v := admin.Budget{
			Name: b.Name, Keys: b.Keys, Window: b.Window, Per: b.Per.String(),
			Deleted: b.deleted.Load(), Throttled: b.throttled.Load(), Trips: b.trips.Load(),
		}
		for _, st := range b.States(srv.clock()) {
			v.Breakers = append(v.Breakers, admin.Breaker{
				Who: st.Who, Deleted: st.Deleted, Open: st.Open, Trips: st.Trips,
			})
		}
		out = append(out, v)
	}
	return out, nil
}

// ResetBudget implements admin.Backend.
func (srv *Server) ResetBudget(_ context.Context, name, user string) (open int, err error) {
	for _, b := range srv.budgetsInForce() {
		if b.Name == name {
			return b.Reset(user, srv.clock()), nil
		}
	}
	return 0, fmt.Errorf("no budget is called %q: see SHOW BUDGETS", name)
}

// budgetCounts is what metrics show.
func (srv *Server) budgetCounts() []telemetry.BudgetCount {
	var out []telemetry.BudgetCount
	for _, b := range srv.budgetsInForce() {
		out = append(out, telemetry.BudgetCount{
			Name: b.Name, Deleted: b.deleted.Load(), Throttled: b.throttled.Load(),
			Trips: b.trips.Load(),
		})
	}
	return out
}
