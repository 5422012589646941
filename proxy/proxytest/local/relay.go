package local

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// A Relay stands before a server: it connects each of its clients with the server, and carry passes
// their bytes. It may be used from several goroutines.
type Relay struct {
	Addr  string // its address
	dial  func() (net.Conn, error)
	carry func(*Pair)

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	pairs    map[*Pair]struct{}
	accepted int

	running sync.WaitGroup // accepting and carrying goroutines
}

// Pair is one relayed connection.
type Pair struct {
	Client net.Conn
	Server net.Conn // as dial has returned it
}

// StartRelay starts a relay on a free loopback port. dial connects to the server; if it fails, the
// client sees the end of its connection. carry passes bytes until the connection has ended; then the
// relay closes both sides.
func StartRelay(dial func() (net.Conn, error), carry func(*Pair)) (*Relay, error) {
	r := &Relay{dial: dial, carry: carry, pairs: map[*Pair]struct{}{}}
	for range startAttempts {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = r.Accept(); !errors.Is(err, syscall.EADDRINUSE) {
			return r, err
		}
	}
	return nil, syscall.EADDRINUSE
}

// startAttempts is the number of ports to try when others take them meanwhile.
const startAttempts = 8

// Accept listens, again after Refuse at the same address.
func (r *Relay) Accept() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", r.Addr)
	if err != nil {
		return err
	}
	r.listener = l
	r.running.Go(func() { r.accept(l) })
	return nil
}

// Refuse stops listening and breaks every connection, like a server that is down.
func (r *Relay) Refuse() {
	r.mu.Lock()
	listener := r.listener
	r.listener = nil
	r.mu.Unlock()
	if listener != nil {
		listener.Close()
	}
	r.Cut(func(*Pair) bool { return true })
}

// Close is Refuse, and joins all goroutines.
func (r *Relay) Close() {
	r.Refuse()
	r.running.Wait()
}

// Cut closes the current connections that which selects.
func (r *Relay) Cut(which func(*Pair) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		if which(p) {
			p.Client.Close()
			p.Server.Close()
		}
	}
}

// Conns returns the number of open connections, and of all connections so far.
func (r *Relay) Conns() (open, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pairs), r.accepted
}

// accept relays each connection of a listener until that is closed.
func (r *Relay) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.serve(l, client) })
	}
}

// serve connects one client with the server and returns when both directions have ended.
func (r *Relay) serve(l net.Listener, client net.Conn) {
	defer client.Close()
	server, err := r.dial()
	if err != nil {
		return
	}
	defer server.Close()
	p := &Pair{Client: client, Server: server}
	if r.add(l, p) {
		defer r.remove(p)
		r.carry(p)
	}
}

// add counts a connection, unless its listener was closed while it was being made.
func (r *Relay) add(l net.Listener, p *Pair) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != l {
		return false
	}
	r.pairs[p] = struct{}{}
	r.accepted++
	return true
}

func (r *Relay) remove(p *Pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pairs, p)
}

// A Filter decides about bytes on their way: pass goes on instead of data, and without more it is the
// last of the connection. At the end of the connection data is empty. A Filter may wait, and change
// data, but not keep it.
type Filter func(data []byte) (pass []byte, more bool)

// Pass carries a connection through filters, one for each direction, until either side or a filter
// ends it; then it closes both sides. A nil filter changes nothing.
func (p *Pair) Pass(requests, replies Filter) {
	var both sync.WaitGroup
	both.Go(func() { p.copy(p.Server, p.Client, requests) })
	both.Go(func() { p.copy(p.Client, p.Server, replies) })
	both.Wait()
}

func (p *Pair) copy(to, from net.Conn, filter Filter) {
	defer p.Client.Close()
	defer p.Server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		data, more := buf[:n], true
		if filter != nil {
			data, more = filter(data)
		}
		if len(data) > 0 {
			if _, err := to.Write(data); err != nil {
				return
			}
		}
		if err != nil || !more {
			return
		}
	}
}
