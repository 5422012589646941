package page

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"holdfast/proxy/admin"
)

const (
	sessionIdle = 30 * time.Minute
	sessionLife = 12 * time.Hour
	maxSessions = 100 // the one that is unused for longest makes room
)

// sessions are the operators who have logged in. Only hashes of their ids are kept.
type sessions struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]*session
}

// session is one login.
type session struct {
	password string // that it was opened with: with a new one it ends
	began    time.Time
	used     time.Time
	notice   notice // for the next page
}

// A notice is the outcome of a change.
type notice struct {
	Text   string
	Failed bool
}

// open begins a session and returns its id, which no client has chosen or seen before.
func (s *sessions) open(password string) string {
	id := rand.Text() + rand.Text()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[[sha256.Size]byte]*session{}
	}
	var oldest [sha256.Size]byte
	for key, o := range s.list {
		if o.ended(now) {
			delete(s.list, key)
		} else if old := s.list[oldest]; old == nil || o.used.Before(old.used) {
			oldest = key
		}
	}
	if len(s.list) >= maxSessions {
		delete(s.list, oldest)
	}
	s.list[sha256.Sum256([]byte(id))] = &session{password: password, began: now, used: now}
	return id
}

// valid reports whether an id is that of a session under the password in force. seen: its reader is there.
func (s *sessions) valid(id, password string, seen bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, now := sha256.Sum256([]byte(id)), time.Now()
	o := s.list[key]
	switch {
	case o == nil:
		return false
	case o.ended(now) || o.password != password:
		delete(s.list, key)
		return false
	case seen:
		o.used = now
	}
	return true
}

func (o *session) ended(now time.Time) bool {
	return now.Sub(o.used) >= sessionIdle || now.Sub(o.began) >= sessionLife
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, sha256.Sum256([]byte(id)))
}

// tell leaves a notice for the session's next page; take returns it, once.
func (s *sessions) tell(id string, n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.list[sha256.Sum256([]byte(id))]; o != nil {
		o.notice = n
	}
}

func (s *sessions) take(id string) (n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.list[sha256.Sum256([]byte(id))]; o != nil {
		n, o.notice = o.notice, notice{}
	}
	return n
}

// A viewer holds the rights of a page's reader.
type viewer struct {
	Login bool // a password is configured, with which the reader has not logged in
	Acts  bool // it has logged in
	Names bool // it sees the names of users, clients and keys
}

// cookieName is that of the session's cookie. Under TLS the prefix keeps other hosts of the domain from
// setting it.
func (p *Page) cookieName() string {
	if p.opts.Secure {
		return "__Host-holdfast"
	}
	return "holdfast"
}

func (p *Page) setCookie(w http.ResponseWriter, id string) {
	c := &http.Cookie{Name: p.cookieName(), Value: id, Path: "/", HttpOnly: true, Secure: p.opts.Secure,
		SameSite: http.SameSiteStrictMode}
	if id == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// sessionOf is the id in a request's cookie, valid or not.
func (p *Page) sessionOf(r *http.Request) string {
	c, err := r.Cookie(p.cookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

// viewer judges the session with that id.
func (p *Page) viewer(id string, seen bool) viewer {
	password := p.opts.Password()
	if password == "" {
		return viewer{Names: p.opts.Local}
	}
	in := p.sessions.valid(id, password, seen)
	return viewer{Login: !in, Acts: in, Names: in}
}

// logIn checks a password, when it is its address's turn, and opens a session.
func (p *Page) logIn(ctx context.Context, host, password string) (id string, ok bool, err error) {
	want := p.opts.Password()
	ok, err = p.opts.Attempts.Check(ctx, host, func() bool { return admin.SamePassword(password, want) })
	if !ok || err != nil {
		return "", false, err
	}
	return p.sessions.open(want), true, nil
}
