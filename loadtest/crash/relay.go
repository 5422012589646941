package main

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A relay is the network before a server: it can be cut, stalled and slowed down, can lead new
// connections elsewhere, as a load balancer does, and can lie (lie.go). The replication link of a
// journal or a replica, known by its PSYNC, can be treated apart from all others.
type relay struct {
	addr     string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	target  string
	pairs   map[*pair]struct{}
	closed  bool
	stalled [2]chan struct{} // by sort, closed when it goes on; nil: not stalled
	delay   time.Duration    // on the way to replicas
	lie     *lie             // nil: none
}

// The sorts of connections.
const (
	replication = iota
	ordinary
)

// A pair is one relayed connection.
type pair struct {
	client, server net.Conn
	psync          atomic.Bool
}

func (p *pair) close() {
	p.client.Close()
	p.server.Close()
}

func (p *pair) sort() int {
	if p.psync.Load() {
		return replication
	}
	return ordinary
}

func startRelay(addr, target string) (*relay, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &relay{addr: ln.Addr().String(), listener: ln, target: target,
		pairs: map[*pair]struct{}{}}
	r.running.Go(r.accept)
	return r, nil
}

// stop breaks every connection and joins the goroutines.
func (r *relay) stop() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.listener.Close()
	r.calm()
	r.cut(func(*pair) bool { return true })
	r.running.Wait()
}

// accept relays each connection.
func (r *relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.relay(c) })
	}
}

func (r *relay) relay(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	s, err := net.DialTimeout("tcp", target, patience)
	if err != nil {
		return
	}
	p := &pair{client: c, server: s}
	defer p.close()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.pairs[p] = struct{}{}
	r.mu.Unlock()
	var replies sync.WaitGroup
	replies.Go(func() { r.pass(p, s, c, false) })
	r.pass(p, c, s, true)
	replies.Wait()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
}

// pass copies one direction until either end is gone, and then ends both.
func (r *relay) pass(p *pair, from, to net.Conn, requests bool) {
	defer p.close()
	buf := make([]byte, 64<<10)
	var liar rewriter
	for {
		n, err := from.Read(buf)
		data := buf[:n]
		if requests && !p.psync.Load() && bytes.Contains(data, []byte("PSYNC\r\n")) {
			p.psync.Store(true)
		}
		l := r.hold(p, requests)
		if l != nil && !p.psync.Load() {
			data = liar.rewrite(l, data, requests)
		}
		if len(data) > 0 {
			if _, err := to.Write(data); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold keeps the bytes read for as long as the network does, and returns the lie in force.
func (r *relay) hold(p *pair, requests bool) *lie {
	r.mu.Lock()
	gate, delay, lie := r.stalled[p.sort()], time.Duration(0), r.lie
	if p.sort() == replication && !requests {
		delay = r.delay
	}
	r.mu.Unlock()
	if gate != nil {
		<-gate
	}
	time.Sleep(delay)
	return lie
}

// cut breaks the connections selected by which.
func (r *relay) cut(which func(*pair) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		if which(p) {
			p.close()
		}
	}
}

// stall lets nothing through on connections of a sort until calm.
func (r *relay) stall(sort int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stalled[sort] == nil {
		r.stalled[sort] = make(chan struct{})
	}
}

// slow makes the way to replicas take longer, from now on.
func (r *relay) slow(delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = delay
}

// calm ends every stall. Held bytes go on, unless their connection has been cut meanwhile.
func (r *relay) calm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, gate := range r.stalled {
		if gate != nil {
			close(gate)
			r.stalled[i] = nil
		}
	}
}

// lead takes new connections to another server.
func (r *relay) lead(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// tell puts a lie in force; nil ends it.
func (r *relay) tell(l *lie) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lie = l
}
