package proxy

import (
	"bytes"
	"strconv"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// A delete budget bounds the number of keys deleted within a window. Replies give the count: of DEL
// and similar commands, and of expiry times in the past; a flush counts the keys that existed just
// before. Above the budget a breaker opens, and requests that delete are answered -THROTTLED until
// it closes by itself or an operator resets it.
//
// No request deletes more keys than the budget has left: the number that a flush takes, a request
// names or a transaction deletes in all is compared before it is sent. If a request names more, the
// server is asked how many of the keys exist. A request for one key may be the one that opens the
// breaker.
//
// Keys moved to the trash count as well: for the application they are gone. Readable code that
// calls a deleting command counts the keys that the request declares, at least one; deletes by
// opaque code do not count.

// deletion is a request in flight that deletes.
type deletion struct {
	cmd     *policy.Command
	args    [][]byte
	emptied int64 // by a flush
	index   int   // in its transaction
	most    int64 // maximum number of keys that it deletes
}

// mayDelete reports whether the budgets apply to the request in hand.
func (f *frame) mayDelete() bool {
	s, cmd := f.s, f.cmd
	return cmd.MayDelete(f.Args, s.w.unixMilli()) ||
		cmd.RunsCode() && s.w.policy.CodeDeletes(&f.asked)
}

// withinBudget checks a request that deletes against the budgets. If it passes, its deletes will be
// counted. A flush first waits for the number of keys that it takes.
func (f *frame) withinBudget() next {
	s, cmd := f.s, f.cmd
	srv := s.w.srv
	all := srv.budgets.inForce()
	if all == nil || !f.mayDelete() {
		return goOn
	}
	if n := f.logsSaved(); n != goOn {
		return n
	}
	now := srv.budgets.clock()
	for _, b := range all {
		if retry, ok := b.Check(&s.client, now); !ok {
			b.throttled.Add(1)
			f.auditBudget(b)
			text := textBudget(commandName(cmd, f.Args), b.Name, retry)
			return f.refuse(text)
		}
	}
	d := &deletion{cmd: cmd, emptied: s.again.emptied}
	switch {
	case cmd.Effects.Any(policy.EffectFlush):
		if !s.again.sized {
			return f.sizeUp()
		}
		d.emptied = max(1, d.emptied)
		d.most = d.emptied
	case cmd.RunsCode():
		keys, _ := cmd.Keys(f.Args, nil)
		d.emptied = max(1, int64(len(keys)))
		d.most = d.emptied
	default:
		keys, _ := cmd.Keys(f.Args, nil)
		if d.most = int64(len(keys)); s.again.counted {
			d.most = s.again.exist
		}
	}
	if n := f.boundedBy(all, d); n != goOn {
		return n
	}
	if d.emptied == 0 {
		d.args = cloneArgs(f.Args)
	}
	f.deleting = d
	return goOn
}

// boundedBy compares a request's maximum with the rest of each budget.
func (f *frame) boundedBy(all budgets, d *deletion) next {
	s, cmd := f.s, f.cmd
	now, queued := s.w.srv.budgets.clock(), s.tx.mayDelete()
	for _, b := range all {
		left, counts := b.Left(&s.client, now)
		switch {
		case !counts || d.most+queued+s.deletesInFlight <= left:
		case s.outstanding > 0 && (s.deletesInFlight > 0 || d.most > 1 || queued > 0):
			return waitOrder // then the exact count of the sent ones is known
		case d.most <= 1 && queued == 0:
		case d.emptied == 0 && !s.again.counted && f.countKeys():
			return waitCall
		default:
			b.throttled.Add(1)
			f.auditBudget(b)
			text := textOverBudget(commandName(cmd, f.Args), b.Name, d.most+queued, left)
			return f.refuse(text)
		}
	}
	return goOn
}

// countKeys asks how many of a request's keys exist; the frame is presented again then. It returns
// false if it cannot ask; then all keys count. Nothing is outstanding.
func (f *frame) countKeys() bool {
	s, cmd := f.s, f.cmd
	if s.dbUnsure || s.userUnsure || s.muted != replyOn && s.pin != nil {
		return false
	}
	keys, complete := cmd.Keys(f.Args, nil)
	if !complete {
		return false
	}
	args := [][]byte{[]byte("eXiStS")}
	for _, k := range keys {
		args = append(args, bytes.Clone(f.Args[k.Pos]))
	}
	s.ask(s.lane(laneData).pick(s.w), nil, args, func(reply []byte, broken bool) {
		s.again.counted, s.again.exist = true, int64(len(keys))
		if v, _, err := resp.Parse(reply); err == nil && !broken && v.Type == ':' {
			s.again.exist = v.Int
		}
	})
	return true
}

// sizeUp asks for the number of keys that a flush takes. The frame is presented again then.
func (f *frame) sizeUp() next {
	s, cmd := f.s, f.cmd
	if s.outstanding > 0 {
		return waitOrder
	}
	l := s.pin
	switch {
	case l == nil:
		l = s.lane(laneData).pick(s.w)
	case s.tx != nil || s.muted != replyOn: // its own link would queue it, or not answer
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
	return waitCall
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

// watchReply counts the deletes in the reply to the request in hand.
func (f *frame) watchReply(m mode, k *call) (mode, *call) {
	s := f.s
	d := f.deleting
	f.deleting = nil
	if m != modeForward || k != nil {
		return m, k
	}
	if tx := s.tx; tx != nil {
		tx.queueDeletion(d)
		return m, k
	}
	s.deletesInFlight += d.most
	return modeChecked, &call{done: func(reply []byte, broken bool) {
		s.deletesInFlight -= d.most
		if v, _, err := resp.Parse(reply); err == nil && !broken {
			s.w.srv.budgets.deleted(s, d.count(&v))
		}
	}}
}

// unanswered returns the count of a request whose reply the client has turned off.
func (d *deletion) unanswered() int64 {
	keys, _ := d.cmd.Keys(d.args, nil)
	return max(d.emptied, int64(len(keys)))
}

// count returns the number of keys that a request has deleted, by its reply.
func (d *deletion) count(v *resp.Value) int64 {
	switch {
	case v.Type == '-' || v.Type == '!':
		return 0
	case d.args == nil:
		return d.emptied
	}
	return d.cmd.Deleted(d.args, v.Int, v.Null)
}

// countDeletions counts the deletes of a transaction. reply is nil if it was too large to read:
// then the requested deletes count.
func (t *transaction) countDeletions(s *session, reply []byte, broken bool) {
	queued := t.deletions
	for _, d := range queued {
		s.deletesInFlight -= d.most
	}
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
	s.w.srv.budgets.deleted(s, sum)
}

// deleted notes n deleted keys.
func (k *budgetBook) deleted(s *session, n int64) {
	if n <= 0 {
		return
	}
	for _, b := range k.inForce() {
		b.deleted.Add(uint64(n))
		if b.Count(&s.client, n, k.clock()) {
			b.trips.Add(1)
			s.w.log.Warn("a delete budget is used up; deletes are refused", "budget", b.Name,
				"for", b.Open, "user", s.ident.userName(), "client", s.conn.RemoteAddr())
		}
	}
}

// auditBudget notes a budget's refusal in the audit log.
func (f *frame) auditBudget(b *budget) {
	r := &policy.Rule{Name: "budget " + b.Name, Action: policy.Deny}
	if !f.s.again.waited {
		f.audit(r, throttled, "")
	}
}
