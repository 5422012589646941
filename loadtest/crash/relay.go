package main

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/proxy/proxytest/local"
)

// A relay is the network before a server: it can be cut, stalled and slowed down, can lead new
// connections elsewhere, as a load balancer does, and can lie (lie.go). The replication link of a
// journal or a replica, known by its PSYNC, can be treated apart from all others.
type relay struct {
	*local.Relay

	mu      sync.Mutex
	target  string
	stalled [2]chan struct{} // by sort, closed when it goes on; nil: not stalled
	delay   time.Duration    // on the way to replicas
	lie     *lie             // nil: none
}

// The sorts of connections.
const (
	replication = iota
	ordinary
)

// A way is the server's side of a relayed connection.
type way struct {
	net.Conn
	psync atomic.Bool
}

func (w *way) sort() int {
	if w.psync.Load() {
		return replication
	}
	return ordinary
}

func startRelay(target string) (*relay, error) {
	r := &relay{target: target}
	var err error
	r.Relay, err = local.StartRelay(r.dial, r.carry)
	return r, err
}

// stop breaks every connection and joins the goroutines.
func (r *relay) stop() {
	r.Refuse()
	r.calm()
	r.Close()
}

func (r *relay) dial() (net.Conn, error) {
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	c, err := net.DialTimeout("tcp", target, patience)
	if err != nil {
		return nil, err
	}
	return &way{Conn: c}, nil
}

func (r *relay) carry(p *local.Pair) {
	w := p.Server.(*way)
	p.Pass(r.filter(w, true), r.filter(w, false))
}

// filter treats one direction of a connection.
func (r *relay) filter(w *way, requests bool) local.Filter {
	var liar rewriter
	return func(data []byte) ([]byte, bool) {
		if requests && !w.psync.Load() && bytes.Contains(data, []byte("PSYNC\r\n")) {
			w.psync.Store(true)
		}
		l := r.hold(w, requests)
		if l != nil && !w.psync.Load() {
			data = liar.rewrite(l, data, requests)
		}
		return data, true
	}
}

// hold keeps the bytes read for as long as the network does, and returns the lie in force.
func (r *relay) hold(w *way, requests bool) *lie {
	r.mu.Lock()
	gate, delay, lie := r.stalled[w.sort()], time.Duration(0), r.lie
	if w.sort() == replication && !requests {
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
func (r *relay) cut(which func(*way) bool) {
	r.Cut(func(p *local.Pair) bool { return which(p.Server.(*way)) })
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
