package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
)

// A rule with the action confirm holds a command for approval: the client is answered -CONFIRM with
// a token; the operator reads SHOW PENDING and runs APPROVE with the token; then the same command
// of the same user in the same database passes once. All arguments are compared byte for byte, so
// an approval covers no other command. A second copy in a pipeline needs an approval of its own.

const (
	pendingFor  = 10 * time.Minute // how long a command waits for approval
	approvedFor = 5 * time.Minute  // how long an approval waits for the command
	// maxPending and maxPendingUser bound the waiting commands, in all and per user, so that no
	// user can fill memory or crowd out others.
	maxPending     = 1000
	maxPendingUser = 100
)

// pendingKey is a hash of user, database and arguments, the scope of an approval.
type pendingKey [sha256.Size]byte

func pendingKeyOf(user string, db int32, args [][]byte) (k pendingKey) {
	h := sha256.New()
	var n [8]byte
	part := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	part([]byte(user))
	part(binary.BigEndian.AppendUint32(nil, uint32(db)))
	for _, a := range args {
		part(a)
	}
	return pendingKey(h.Sum(nil))
}

// approvals holds the commands that wait for approval and those approved. All workers share it;
// only commands that a rule holds take its mutex.
type approvals struct {
	mu      sync.Mutex
	byKey   map[pendingKey]*pending
	byToken map[string]*pending
}

// pending is one held command.
type pending struct {
	admin.Pending
	key     pendingKey
	expires time.Time
}

func newApprovals() *approvals {
	return &approvals{byKey: map[pendingKey]*pending{}, byToken: map[string]*pending{}}
}

// use consumes the approval of a command, if there is one.
func (a *approvals) use(key pendingKey, now time.Time) (token string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.byKey[key]
	if p == nil || !p.Approved || !now.Before(p.expires) {
		return "", false
	}
	a.drop(p)
	return p.Token, true
}

// ask notes a command that waits and returns its token, which stays the same while it waits; "": no
// room. what describes the command.
func (a *approvals) ask(key pendingKey, now time.Time, what func() admin.Pending) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now)
	p := a.byKey[key]
	if p == nil {
		p = &pending{Pending: what(), key: key}
		if !a.room(p.User) {
			return ""
		}
		p.Token, p.Since = newToken(), now
		a.byKey[key], a.byToken[p.Token] = p, p
	}
	p.Asked++
	if !p.Approved {
		p.expires = now.Add(pendingFor)
	}
	return p.Token
}

// room reports whether one more command of the user may wait.
func (a *approvals) room(user string) bool {
	n := 0
	for _, p := range a.byKey {
		if p.User == user {
			n++
		}
	}
	return len(a.byKey) < maxPending && n < maxPendingUser
}

// decide carries out APPROVE and REJECT; nil: no command with that token.
func (a *approvals) decide(token string, approve bool, now time.Time) *admin.Pending {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now)
	p := a.byToken[strings.ToLower(token)]
	switch {
	case p == nil:
		return nil
	case approve:
		p.Approved, p.expires = true, now.Add(approvedFor)
	default:
		a.drop(p)
	}
	out := p.Pending
	return &out
}

// list returns the waiting commands, oldest first.
func (a *approvals) list(now time.Time) []admin.Pending {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now)
	out := make([]admin.Pending, 0, len(a.byKey))
	for _, p := range a.byKey {
		v := p.Pending
		v.Age, v.Left = now.Sub(v.Since), p.expires.Sub(now)
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b admin.Pending) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Token, b.Token))
	})
	return out
}

func (a *approvals) expire(now time.Time) {
	for _, p := range a.byKey {
		if !now.Before(p.expires) {
			a.drop(p)
		}
	}
}

// forget drops all waiting and approved commands.
func (a *approvals) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.byKey)
	clear(a.byToken)
}

func (a *approvals) drop(p *pending) {
	delete(a.byKey, p.key)
	delete(a.byToken, p.Token)
}

// tokenLetters are 32 characters that are hard to confuse when read aloud or typed.
const tokenLetters = "abcdefghjkmnpqrstuvwxyz123456789"

// newToken returns 40 random bits as two groups of four letters.
func newToken() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it cannot fail
	for i := range b {
		b[i] = tokenLetters[b[i]%byte(len(tokenLetters))]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// approved reports whether this command has an approval, and consumes it.
func (f *frame) approved(r *policy.Rule) bool {
	s := f.s
	if s.tx != nil {
		return false
	}
	if s.again.waited {
		return s.again.approved
	}
	user, db := f.whoAndWhere()
	key := pendingKeyOf(user, db, f.Args)
	token, ok := s.w.srv.approvals.use(key, time.Now())
	if ok {
		s.again.approved = true
		f.note(r, approved, token)
	}
	return ok
}

// whoAndWhere returns the user and the database of an approval. An unknown user or database has a
// name of its own, so that an approval for a known one never covers it.
func (f *frame) whoAndWhere() (user string, db int32) {
	s := f.s
	user, db = s.ident.userName(), s.db
	if s.userUnsure {
		user = unsureUser
	}
	if s.dbUnsure {
		db = -1
	}
	return user, db
}

// unsureUser stands for the user after a login whose reply the proxy could not see.
const unsureUser = "(unknown)"

// confirm answers a command that needs approval.
func (f *frame) confirm(r *policy.Rule) next {
	s, cmd := f.s, f.cmd
	name := commandName(cmd, f.Args)
	if s.tx != nil {
		f.note(r, denied, "")
		return f.refuse(textNotInMulti(name, r.Name))
	}
	user, db := f.whoAndWhere()
	key := pendingKeyOf(user, db, f.Args)
	token := s.w.srv.approvals.ask(key, time.Now(), func() admin.Pending {
		return admin.Pending{
			Rule: r.Name, User: user, Addr: s.conn.RemoteAddr(), Name: s.name, DB: int(db),
			Command: audit.Describe(cmd, f.Args),
		}
	})
	f.note(r, held, token)
	return f.refuse(textConfirm(name, r.Name, token))
}

// approvalConsole implements admin.ApprovalBackend.
type approvalConsole struct {
	approvals *approvals
	audit     *audit.Log
}

// Pending implements admin.ApprovalBackend.
func (c approvalConsole) Pending(context.Context) ([]admin.Pending, error) {
	return c.approvals.list(time.Now()), nil
}

// Approve implements admin.ApprovalBackend.
func (c approvalConsole) Approve(_ context.Context, token, by string) (*admin.Pending, error) {
	return c.decide("approve", token, by), nil
}

// Reject implements admin.ApprovalBackend.
func (c approvalConsole) Reject(_ context.Context, token, by string) (*admin.Pending, error) {
	return c.decide("reject", token, by), nil
}

// decide carries out an operator's decision and notes it; nil: no command has that token.
func (c approvalConsole) decide(verdict, token, by string) *admin.Pending {
	p := c.approvals.decide(token, verdict == "approve", time.Now())
	e := audit.Entry{Verdict: verdict, Token: token, Operator: by, Result: "OK"}
	if p == nil {
		e.Result = "nothing waits under this token"
	} else {
		e.Rule, e.Command, e.User, e.Client = p.Rule, p.Command, p.User, p.Addr
		e.Name, e.DB, e.Token = p.Name, p.DB, p.Token
	}
	c.audit.Note(e)
	return p
}
