package proxytest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// FaultProxy is a TCP relay in front of a server, for network faults. Without a fault it passes
// bytes on unchanged. It is safe for concurrent use.
type FaultProxy struct {
	Faults        // Arm, Clear, Fired
	Addr   string // its address: "127.0.0.1:…"

	t      testing.TB
	target string

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	pairs    map[*pair]struct{}
	accepted int

	running sync.WaitGroup // accepting and relaying goroutines
}

// pair is one relayed connection.
type pair struct {
	client net.Conn
	server *FaultConn
}

// StartFaultProxy starts a relay to an address as Server.Addr has it, on a free loopback port. It
// ends with the test.
func StartFaultProxy(t testing.TB, target string) *FaultProxy {
	t.Helper()
	p := &FaultProxy{t: t, target: target, pairs: make(map[*pair]struct{})}
	var err error
	for range startAttempts {
		var port int
		if port, err = FreePort(); err != nil {
			break
		}
		p.Addr = loopback(port)
		if err = p.listen(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("start fault proxy: %v", err)
	}
	t.Cleanup(func() {
		p.Refuse()
		p.running.Wait()
	})
	return p
}

// Refuse stops listening and breaks every connection, like a server that is down.
func (p *FaultProxy) Refuse() {
	p.mu.Lock()
	listener := p.listener
	p.listener = nil
	p.mu.Unlock()
	if listener != nil {
		listener.Close()
	}
	p.CutAll()
}

// Accept listens again after Refuse, on the same address.
func (p *FaultProxy) Accept() {
	p.t.Helper()
	if err := p.listen(); err != nil {
		p.t.Fatalf("fault proxy listens again: %v", err)
	}
}

// CutAll closes every current connection.
func (p *FaultProxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pair.client.Close()
		pair.server.Close()
	}
}

// Conns returns the number of open connections, and of all connections so far.
func (p *FaultProxy) Conns() (open, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs), p.accepted
}

func (p *FaultProxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.running.Add(1)
	go p.accept(l)
	return nil
}

// accept relays each connection of a listener until that is closed.
func (p *FaultProxy) accept(l net.Listener) {
	defer p.running.Done()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		p.running.Add(1)
		go p.relay(l, client)
	}
}

// relay connects one client with the server and returns when both directions have ended.
func (p *FaultProxy) relay(l net.Listener, client net.Conn) {
	defer p.running.Done()
	defer client.Close()
	network, address := netAddr(p.target)
	conn, err := net.DialTimeout(network, address, startTimeout)
	if err != nil {
		return // the client sees the end, as if the server died
	}
	pr := &pair{client: client, server: p.Wrap(conn)}
	defer pr.server.Close()
	if !p.add(l, pr) {
		return
	}
	defer p.remove(pr)
	done := make(chan struct{})
	go pr.requests(done)
	pr.replies()
	<-done
}

// add counts a connection, unless its listener was closed while it was being made.
func (p *FaultProxy) add(l net.Listener, pr *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != l {
		return false
	}
	p.pairs[pr] = struct{}{}
	p.accepted++
	return true
}

func (p *FaultProxy) remove(pr *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, pr)
}

// requests copies from the client to the server until either ends. After the end of the server's
// side it still reads the client's bytes, because closing with unread bytes would send a reset.
func (pr *pair) requests(done chan<- struct{}) {
	defer close(done)
	_, err := io.Copy(struct{ io.Writer }{pr.server}, struct{ io.Reader }{pr.client})
	if err == nil {
		closeWrite(pr.server.Conn)
		return
	}
	pr.server.Close()
	_, _ = io.Copy(io.Discard, pr.client)
}

// replies copies from the server to the client until either ends. Only replies ends the direction
// to the client, so that bytes read before a cut arrive.
func (pr *pair) replies() {
	_, err := io.Copy(struct{ io.Writer }{pr.client}, struct{ io.Reader }{pr.server})
	if err != nil {
		pr.server.Close()
	}
	if pr.server.wasReset.Load() {
		setReset(pr.client)
		pr.client.Close()
		return
	}
	closeWrite(pr.client)
}

// closeWrite ends one direction of a connection. Ending it twice is no error.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// netAddr splits an address of the configuration for net.Dial.
func netAddr(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}
