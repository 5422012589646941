// Package approvals holds commands for an operator's approval. A rule with the action confirm has
// the client answered with a token; the operator reads SHOW PENDING and runs APPROVE with the token;
// then the same command of the same user in the same database passes once. All arguments are
// compared byte for byte, so an approval covers no other command. A second copy in a pipeline needs
// an approval of its own.
//
// It knows neither rules nor connections. A Book may be used from any goroutine.
package approvals

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

	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
)

const (
	pendingFor  = 10 * time.Minute // how long a command waits for approval
	approvedFor = 5 * time.Minute  // how long an approval waits for the command
	// maxPending and maxPendingUser bound the waiting commands, in all and per user, so that no
	// user can fill memory or crowd out others.
	maxPending     = 1000
	maxPendingUser = 100
)

// A Key is the scope of an approval: a hash of user, database and arguments.
type Key [sha256.Size]byte

// KeyOf makes the key of a command. A negative database stands for one that is not known.
func KeyOf(user string, db int32, args [][]byte) (k Key) {
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
	return Key(h.Sum(nil))
}

// A Recorder takes the audit log's entry about an operator's decision. It never waits.
type Recorder interface{ Note(e audit.Entry) }

// A Book holds the commands that wait for approval and those approved. It implements
// admin.ApprovalBackend. Only commands that a rule holds take its mutex.
type Book struct {
	decisions Recorder

	mu      sync.Mutex
	byKey   map[Key]*pending
	byToken map[string]*pending
}

// pending is one held command.
type pending struct {
	admin.Pending
	key     Key
	expires time.Time
}

// New makes a book whose decisions go to r.
func New(r Recorder) *Book {
	return &Book{decisions: r, byKey: map[Key]*pending{}, byToken: map[string]*pending{}}
}

// Use consumes the approval of a command, if there is one, and returns its token.
func (b *Book) Use(key Key) (token string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.byKey[key]
	if p == nil || !p.Approved || !time.Now().Before(p.expires) {
		return "", false
	}
	b.drop(p)
	return p.Token, true
}

// Ask notes a command that waits and returns its token, which stays the same while it waits; "": no
// room. what describes the command; the book adds the token and the times.
func (b *Book) Ask(key Key, what func() admin.Pending) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.expire(now)
	p := b.byKey[key]
	if p == nil {
		p = &pending{Pending: what(), key: key}
		if !b.room(p.User) {
			return ""
		}
		p.Token, p.Since = newToken(), now
		b.byKey[key], b.byToken[p.Token] = p, p
	}
	p.Asked++
	if !p.Approved {
		p.expires = now.Add(pendingFor)
	}
	return p.Token
}

// room reports whether one more command of the user may wait.
func (b *Book) room(user string) bool {
	n := 0
	for _, p := range b.byKey {
		if p.User == user {
			n++
		}
	}
	return len(b.byKey) < maxPending && n < maxPendingUser
}

// Approve implements admin.ApprovalBackend.
func (b *Book) Approve(_ context.Context, token, by string) (*admin.Pending, error) {
	return b.decide("approve", token, by), nil
}

// Reject implements admin.ApprovalBackend.
func (b *Book) Reject(_ context.Context, token, by string) (*admin.Pending, error) {
	return b.decide("reject", token, by), nil
}

// decide carries out a decision and has it recorded; nil: no command has that token.
func (b *Book) decide(verdict, token, by string) *admin.Pending {
	p := b.settle(token, verdict == "approve")
	e := audit.Entry{Verdict: verdict, Token: token, Operator: by, Result: "OK"}
	if p == nil {
		e.Result = "nothing waits under this token"
	} else {
		e.Rule, e.Command, e.User, e.Client = p.Rule, p.Command, p.User, p.Addr
		e.Name, e.DB, e.Token = p.Name, p.DB, p.Token
	}
	b.decisions.Note(e)
	return p
}

// settle carries out APPROVE and REJECT; nil: no command with that token.
func (b *Book) settle(token string, approve bool) *admin.Pending {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.expire(now)
	p := b.byToken[strings.ToLower(token)]
	switch {
	case p == nil:
		return nil
	case approve:
		p.Approved, p.expires = true, now.Add(approvedFor)
	default:
		b.drop(p)
	}
	out := p.Pending
	return &out
}

// Pending implements admin.ApprovalBackend.
func (b *Book) Pending(context.Context) ([]admin.Pending, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.expire(now)
	out := make([]admin.Pending, 0, len(b.byKey))
	for _, p := range b.byKey {
		v := p.Pending
		v.Age, v.Left = now.Sub(v.Since), p.expires.Sub(now)
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b admin.Pending) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Token, b.Token))
	})
	return out, nil
}

func (b *Book) expire(now time.Time) {
	for _, p := range b.byKey {
		if !now.Before(p.expires) {
			b.drop(p)
		}
	}
}

// Forget drops all waiting and approved commands: they concerned another server's data.
func (b *Book) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.byKey)
	clear(b.byToken)
}

func (b *Book) drop(p *pending) {
	delete(b.byKey, p.key)
	delete(b.byToken, p.Token)
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
