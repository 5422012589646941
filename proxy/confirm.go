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
	"holdfast/proxy/resp"
)

// A rule with the action confirm holds a command back until a person has approved it: the client
// is answered -CONFIRM with a token; the operator looks at SHOW PENDING and runs APPROVE with it;
// then the same command of the same user in the same database passes once. What is compared is
// every argument, byte for byte, so nothing else can slip through on an approval, and a second
// copy behind the first in a pipeline asks for one of its own.

const (
	pendingFor  = 10 * time.Minute // how long a command waits for a person
	approvedFor = 5 * time.Minute  // and a person's approval for the command
	// maxPending and maxPendingUser bound what waits, in all and of one user, so that nobody can
	// fill memory, or crowd out others.
	maxPending     = 1000
	maxPendingUser = 100
)

// pendingKey is what an approval is for: user, database and arguments.
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

// approvals is what waits for a person, and what a person has approved. There is one for all
// workers; a mutex protects it, which only commands that a rule holds back take.
type approvals struct {
	mu      sync.Mutex
	byKey   map[pendingKey]*pending
	byToken map[string]*pending
}

// pending is one command that waits.
type pending struct {
	admin.Pending
	key     pendingKey
	expires time.Time
}

func newApprovals() *approvals {
	return &approvals{byKey: map[pendingKey]*pending{}, byToken: map[string]*pending{}}
}

// use takes the approval of a command, if there is one.
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

// ask notes a command that waits and returns its token, the same one while it waits; "" when there
// is no room. what describes the command.
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

// decide carries out APPROVE and REJECT; nil when nothing of that token waits.
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

// list is everything that waits, the oldest first.
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

// forget drops all that waits or was approved.
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

// tokenLetters are 32 that are not taken for each other when they are read aloud or typed.
const tokenLetters = "abcdefghjkmnpqrstuvwxyz123456789"

// newToken is 40 random bits as two groups of four letters.
func newToken() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it cannot fail
	for i := range b {
		b[i] = tokenLetters[b[i]%byte(len(tokenLetters))]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// approved reports whether a person has let this command pass, which uses that up.
func (s *session) approved(c *resp.Command, cmd *policy.Command, r *policy.Rule) bool {
	if s.held&holdMulti != 0 {
		return false
	}
	if s.again.waited {
		return s.again.approved
	}
	user, db := s.whoAndWhere()
	key := pendingKeyOf(user, db, c.Args)
	token, ok := s.w.srv.approvals.use(key, time.Now())
	if ok {
		s.again.approved = true
		s.note(c, cmd, r, approved, token)
	}
	return ok
}

// whoAndWhere is the user and the database that an approval is for. What only the connection knows
// has a name of its own, so that an approval for what is known never covers it.
func (s *session) whoAndWhere() (user string, db int32) {
	user, db = s.ident.userName(), s.db
	if s.userUnsure {
		user = unsureUser
	}
	if s.dbUnsure {
		db = -1
	}
	return user, db
}

// unsureUser is who logged in where the proxy could not see whether he was let in.
const unsureUser = "(unknown)"

// confirm answers a command that a person has to approve.
func (s *session) confirm(c *resp.Command, cmd *policy.Command, r *policy.Rule) bool {
	name := commandName(cmd, c.Args)
	if s.held&holdMulti != 0 {
		s.note(c, cmd, r, denied, "")
		return s.refuse1(cmd, textNotInMulti(name, r.Name))
	}
	user, db := s.whoAndWhere()
	key := pendingKeyOf(user, db, c.Args)
	token := s.w.srv.approvals.ask(key, time.Now(), func() admin.Pending {
		return admin.Pending{
			Rule: r.Name, User: user, Addr: s.conn.RemoteAddr(), Name: s.name, DB: int(db),
			Command: describeCommand(cmd, c.Args),
		}
	})
	s.note(c, cmd, r, held, token)
	return s.refuse1(cmd, textConfirm(name, r.Name, token))
}

// Pending implements admin.Backend.
func (srv *Server) Pending(context.Context) ([]admin.Pending, error) {
	return srv.approvals.list(time.Now()), nil
}

// Approve implements admin.Backend.
func (srv *Server) Approve(_ context.Context, token, by string) (*admin.Pending, error) {
	p := srv.approvals.decide(token, true, time.Now())
	srv.auditDecision(p, "approve", token, by)
	return p, nil
}

// Reject implements admin.Backend.
func (srv *Server) Reject(_ context.Context, token, by string) (*admin.Pending, error) {
	p := srv.approvals.decide(token, false, time.Now())
	srv.auditDecision(p, "reject", token, by)
	return p, nil
}
