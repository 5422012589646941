package main

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/proxy/proxytest"
)

// A killRelay stands between a proxy and its server. It numbers the pieces that pass in either
// direction on the links by which the trash is reached, and at one of them kills the proxy.
type killRelay struct {
	addr   string
	target string
	listen net.Listener
	marks  [][]byte // by which the counted links are recognized

	mu    sync.Mutex
	conns map[net.Conn]struct{} // both ends of each relayed connection
	at    point
	seen  int
	links []string // addresses of the connections to the server so far
	kill  func()   // nil: not armed
	fired bool
	owed  int // counted links on which the last piece went to the server

	running sync.WaitGroup
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
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &killRelay{addr: listen.Addr().String(), target: target, listen: listen,
		conns: map[net.Conn]struct{}{}, marks: trashMarks}
	r.running.Add(1)
	go r.accept()
	t.Cleanup(func() {
		listen.Close()
		r.cutAll()
		r.running.Wait()
	})
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

// cutAll ends every connection of this moment.
func (r *killRelay) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

func (r *killRelay) accept() {
	defer r.running.Done()
	for {
		client, err := r.listen.Accept()
		if err != nil {
			return
		}
		r.running.Add(1)
		go r.relay(client)
	}
}

// relay passes bytes between one link and the server until either side ends.
func (r *killRelay) relay(client net.Conn) {
	defer r.running.Done()
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		client.Close()
		return
	}
	r.mu.Lock()
	r.conns[client], r.conns[server] = struct{}{}, struct{}{}
	r.links = append(r.links, server.LocalAddr().String())
	r.mu.Unlock()
	l := &killLink{r: r}
	var both sync.WaitGroup
	both.Go(func() { l.copy(server, client, true) })
	both.Go(func() { l.copy(client, server, false) })
	both.Wait()
	r.mu.Lock()
	l.owe(false)
	delete(r.conns, client)
	delete(r.conns, server)
	r.mu.Unlock()
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

// copy passes what comes from one end to the other, and ends both.
func (l *killLink) copy(to io.WriteCloser, from io.ReadCloser, asks bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if pass, ends := l.judge(buf[:n], asks); ends {
				_, _ = to.Write(pass)
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// judge counts a piece, which asks or answers. Where the proxy dies at it, the result is what of it
// still passes.
func (l *killLink) judge(piece []byte, asks bool) (pass []byte, ends bool) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fired && r.kill != nil {
		return nil, true // nothing passes any more
	}
	for _, mark := range r.marks {
		l.marked = l.marked || bytes.Contains(piece, mark)
	}
	if !l.marked {
		return nil, false
	}
	l.owe(asks)
	if r.kill == nil {
		return nil, false
	}
	if r.seen < r.at.piece {
		r.seen++
		return nil, false
	}
	r.fired = true
	r.kill()
	if r.at.half {
		return piece[:len(piece)/2], true
	}
	return nil, true
}

// settle waits until the server has executed everything that reached it.
func (r *killRelay) settle(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	r.cutAll()
	proxytest.Poll(t, "the dead proxy's links end", func() bool {
		clients, _ := srv.MustDo("CLIENT", "LIST").(string)
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.conns) == 0 && !slices.ContainsFunc(r.links, func(addr string) bool {
			return strings.Contains(clients, "addr="+addr+" ")
		})
	})
}
