package main

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// A killRelay stands between a proxy and its server. It numbers the pieces that pass in either
// direction on the links by which the trash is reached, and at one of them kills the proxy.
type killRelay struct {
	*local.Relay
	target string
	marks  [][]byte // by which the counted links are recognized

	mu    sync.Mutex
	at    point
	seen  int
	links []string // addresses of the connections to the server so far
	kill  func()   // nil: not armed
	fired bool
	owed  int // counted links on which the last piece went to the server
}

// point is one place of a conversation: before the piece of that number passes, or when a half of
// it has.
type point struct {
	piece int
	half  bool
}

func (p point) next() point {
	if p.half {
		return point{p.piece + 1, false}
	}
	return point{p.piece, true}
}

// trashMarks identify the proxy's own requests for the trash.
var trashMarks = [][]byte{[]byte("eVaL"), []byte("dRyRuN")}

func startKillRelay(t *testing.T, target string) *killRelay {
	t.Helper()
	r := &killRelay{target: target, marks: trashMarks}
	var err error
	if r.Relay, err = local.StartRelay(r.dial, r.carry); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// arm has kill called at a point. Pieces count from now on.
func (r *killRelay) arm(at point, kill func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.seen, r.kill, r.fired = at, 0, kill, false
}

// disarm ends that, and reports whether the proxy was killed.
func (r *killRelay) disarm() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kill = nil
	return r.fired
}

// answered reports whether the server's last pieces have passed, too.
func (r *killRelay) answered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owed == 0
}

// forget has settle look at later links only.
func (r *killRelay) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links = nil
}

func (r *killRelay) dial() (net.Conn, error) {
	server, err := net.Dial("tcp", r.target)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.links = append(r.links, server.LocalAddr().String())
	}
	return server, err
}

// carry passes bytes between one link and the server until either side ends.
func (r *killRelay) carry(p *local.Pair) {
	l := &killLink{r: r}
	p.Pass(l.filter(true), l.filter(false))
	r.mu.Lock()
	defer r.mu.Unlock()
	l.owe(false)
}

// killLink is one relayed link. Guarded by the relay's mutex.
type killLink struct {
	r      *killRelay
	marked bool // it carries a trash request
	owes   bool // its last piece went to the server
}

func (l *killLink) owe(owes bool) {
	switch {
	case owes && !l.owes:
		l.r.owed++
	case !owes && l.owes:
		l.r.owed--
	}
	l.owes = owes
}

// filter counts the pieces of one direction, which asks or answers. Where the proxy dies at one, only
// the result of it still passes.
func (l *killLink) filter(asks bool) local.Filter {
	return func(piece []byte) (pass []byte, more bool) {
		r := l.r
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fired && r.kill != nil {
			return nil, false // nothing passes any more
		}
		for _, mark := range r.marks {
			l.marked = l.marked || bytes.Contains(piece, mark)
		}
		if !l.marked || len(piece) == 0 {
			return piece, true
		}
		l.owe(asks)
		if r.kill == nil {
			return piece, true
		}
		if r.seen < r.at.piece {
			r.seen++
			return piece, true
		}
		r.fired = true
		r.kill()
		if r.at.half {
			return piece[:len(piece)/2], false
		}
		return nil, false
	}
}

// settle waits until the server has executed everything that reached it.
func (r *killRelay) settle(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	r.Cut(func(*local.Pair) bool { return true })
	proxytest.Poll(t, "the dead proxy's links end", func() bool {
		clients, _ := srv.MustDo("CLIENT", "LIST").(string)
		r.mu.Lock()
		defer r.mu.Unlock()
		open, _ := r.Conns()
		return open == 0 && !slices.ContainsFunc(r.links, func(addr string) bool {
			return strings.Contains(clients, "addr="+addr+" ")
		})
	})
}
