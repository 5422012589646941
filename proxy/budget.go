package proxy

import (
	"bytes"
	"math"
	"strconv"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/trash"
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
// A transaction is compared again at its EXEC: its flushes may take more by then, and others may
// have used the budget up. DISCARD replaces an EXEC that is refused.
//
// Keys moved to the trash count as well: for the application they are gone. Readable code that
// calls a deleting command counts the keys that the request declares or its calls name, at least
// one, and all keys that its flushes take, whatever its reply: code that ends with an error has been
// executed up to there. Other deletes by code do not count.

// deletion is a request in flight that deletes.
type deletion struct {
	cmd     *policy.Command
	args    [][]byte
	emptied int64 // by a flush or code: counts whatever the reply
	flushes bool
	own     bool  // only the database db
	db      int32 // of a flush
	named   int64 // by code, in addition to its flush
	aside   bool  // to the trash, whose databases it does not reach
	index   int   // in its transaction
	most    int64 // maximum number of keys that it deletes
}

// deletion describes the deletes of the request in hand; nil: it has none.
func (f *frame) deletion() *deletion {
	s, cmd := f.s, f.cmd
	d := &deletion{cmd: cmd, db: s.db, aside: f.verdict.Effective() == policy.Trash}
	switch {
	case cmd.RunsCode():
		code, ok := s.w.policy.CodeDeletes(&f.asked)
		if !ok {
			return nil
		}
		d.named, d.flushes, d.own = code.Keys, code.Flushes, code.ItsOwn && !s.dbUnsure
		d.emptied = max(1, d.named)
	case !cmd.MayDelete(f.Args, s.w.unixMilli()):
		return nil
	case cmd.Effects.Any(policy.EffectFlush):
		d.flushes, d.own = true, cmd.Name == "flushdb" && !s.dbUnsure
	}
	return d
}

// size takes over the number of keys that a flush takes, from INFO keyspace. An unknown number is
// more than any budget has.
func (d *deletion) size(keyspace []byte, plan *trash.Plan) {
	if !d.flushes {
		return
	}
	if d.aside {
		keyspace = plan.HideKeyspace(keyspace)
	}
	n := int64(math.MaxInt32)
	if keyspace != nil {
		n = keysIn(keyspace, d.own, d.db)
	}
	d.emptied = max(1, n+d.named)
	d.most = d.emptied
}

// withinBudget checks a request that deletes against the budgets. If it passes, its deletes will be
// counted. A flush first waits for the number of keys that it takes.
func (f *frame) withinBudget() next {
	s, cmd := f.s, f.cmd
	srv := s.w.srv
	all := srv.budgets.inForce()
	if all == nil {
		return goOn
	}
	d := f.deletion()
	if d == nil {
		return goOn
	}
	if n := f.logsSaved(); n != goOn {
		return n
	}
	if text := f.usedUp(all); text != "" {
		return f.refuse(text)
	}
	switch {
	case d.flushes:
		if !s.again.sized {
			return f.sizeUp()
		}
		d.size(s.again.keyspace, s.w.trash)
	case d.emptied > 0:
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

// usedUp is the refusal of a delete whose budget is used up; "": none is.
func (f *frame) usedUp(all budgets) string {
	s := f.s
	for _, b := range all {
		if retry, ok := b.Check(&s.client, s.w.srv.budgets.clock()); !ok {
			b.throttled.Add(1)
			f.auditBudget(b)
			return textBudget(commandName(f.cmd, f.Args), b.Name, retry)
		}
	}
	return ""
}

// budgetAtExec compares a transaction with the budgets before its EXEC is sent.
func (f *frame) budgetAtExec() next {
	s := f.s
	all := s.w.srv.budgets.inForce()
	if f.cmd.Name != "exec" || all == nil || len(s.tx.deletions) == 0 {
		return goOn
	}
	sum := int64(0)
	for _, d := range s.tx.deletions {
		if d.flushes && !s.again.sized {
			return f.sizeUp()
		}
		d.size(s.again.keyspace, s.w.trash)
		sum += d.most
	}
	s.tx.deletes = sum
	text := f.usedUp(all)
	for _, b := range all {
		left, counts := b.Left(&s.client, s.w.srv.budgets.clock())
		switch {
		case text != "" || !counts || sum <= max(1, left-s.deletesInFlight):
		case s.deletesInFlight > 0:
			return waitOrder
		default:
			b.throttled.Add(1)
			f.auditBudget(b)
			text = textOverBudget("exec", b.Name, sum, left)
		}
	}
	if text == "" {
		return goOn
	}
	return f.discard(text)
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
	// A refused EXISTS would be a line in ACL LOG.
	may := append([][]byte{[]byte("aCl"), []byte("dRyRuN"), []byte(s.ident.userName())}, args...)
	s.ask(s.w.privileged(), nil, may, func(reply []byte, _ bool) {
		s.again.counted, s.again.exist = true, int64(len(keys))
		if !bytes.HasPrefix(reply, []byte("+OK")) {
			return
		}
		s.ask(s.lane(laneData).pick(s.w), nil, args, func(reply []byte, broken bool) {
			if v, _, err := resp.Parse(reply); err == nil && !broken && v.Type == ':' {
				s.again.exist = v.Int
			}
		})
	})
	return true
}

// sizeUp asks for the number of keys in each database. The frame is presented again then. The
// control user asks: the client's need not have the permission, and its link may queue the command or
// not answer it.
func (f *frame) sizeUp() next {
	s := f.s
	if s.outstanding > 0 {
		return waitOrder
	}
	later(s, nil).askString(s.w.privileged(), []string{"iNfO", "keyspace"}, func(reply []byte, broken bool) {
		s.again.sized = true
		if v, _, err := resp.Parse(reply); err == nil && !broken && v.Type != '-' {
			s.again.keyspace = append([]byte{}, v.Str...)
		}
	})
	return waitCall
}

// keysIn adds up the keys of one database, or of all, in a reply to INFO keyspace.
func keysIn(info []byte, one bool, db int32) (sum int64) {
	for line := range bytes.Lines(info) {
		name, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":keys="))
		if !ok || one && string(name) != "db"+strconv.Itoa(int(db)) {
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
	refused := v.Type == '-' || v.Type == '!'
	switch {
	case refused && (!d.cmd.RunsCode() || bytes.HasPrefix(v.Str, []byte("NOSCRIPT"))):
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
