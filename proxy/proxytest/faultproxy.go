package proxytest

import (
	"io"
	"net"
	"strings"
	"testing"

	"holdfast/proxy/proxytest/local"
)

// FaultProxy is a TCP relay in front of a server, for network faults. Without a fault it passes
// bytes on unchanged. It is safe for concurrent use.
type FaultProxy struct {
	Faults       // Arm, Clear, Fired
	*local.Relay // Addr, Refuse, Conns
	t            testing.TB
}

// StartFaultProxy starts a relay to an address as Server.Addr has it, on a free loopback port. It
// ends with the test.
func StartFaultProxy(t testing.TB, target string) *FaultProxy {
	t.Helper()
	p := &FaultProxy{t: t}
	network, address := netAddr(target)
	dial := func() (net.Conn, error) {
		conn, err := net.DialTimeout(network, address, startTimeout)
		if err != nil {
			return nil, err
		}
		return p.Wrap(conn), nil
	}
	var err error
	if p.Relay, err = local.StartRelay(dial, carry); err != nil {
		t.Fatalf("start fault proxy: %v", err)
	}
	t.Cleanup(p.Relay.Close)
	return p
}

// Accept listens again after Refuse, on the same address.
func (p *FaultProxy) Accept() {
	p.t.Helper()
	if err := p.Relay.Accept(); err != nil {
		p.t.Fatalf("fault proxy listens again: %v", err)
	}
}

// CutAll closes every current connection.
func (p *FaultProxy) CutAll() { p.Cut(func(*local.Pair) bool { return true }) }

// carry passes bytes in both directions, each until its own end.
func carry(p *local.Pair) {
	pr := &pair{client: p.Client, server: p.Server.(*FaultConn)}
	done := make(chan struct{})
	go pr.requests(done)
	pr.replies()
	<-done
}

// pair is one relayed connection.
type pair struct {
	client net.Conn
	server *FaultConn
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
