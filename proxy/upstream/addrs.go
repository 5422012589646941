package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// AddrSet is the set of local addresses of open connections, as the server's CLIENT LIST shows
// them. Its mutex is held briefly only, so a loop may call List. The zero value is empty.
type AddrSet struct {
	mu    sync.Mutex
	addrs map[*listedConn]string
}

// listedConn is a connection that leaves its set on Close.
type listedConn struct {
	net.Conn
	set *AddrSet
}

// Add adds conn and returns it wrapped: its Close removes it from the set.
func (s *AddrSet) Add(conn net.Conn) net.Conn {
	c := &listedConn{Conn: conn, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addrs == nil {
		s.addrs = make(map[*listedConn]string)
	}
	s.addrs[c] = conn.LocalAddr().String()
	return c
}

// List returns the addresses of the connections that are open.
func (s *AddrSet) List() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.addrs))
	for _, a := range s.addrs {
		out = append(out, a)
	}
	return out
}

// ControlAddrs returns the local addresses of the open control connections, which distinguish them
// from clients. On a unix socket, where the server shows one address for all, only their number is
// of use.
func (u *Upstream) ControlAddrs() []string { return u.controlAddrs.List() }

// dialControl dials like Dial, so that a control connection tests the path of the data connections.
func (u *Upstream) dialControl(ctx context.Context) (net.Conn, error) {
	conn, err := u.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return u.controlAddrs.Add(conn), nil
}

// Close closes the connection and removes it from the set.
func (c *listedConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.addrs, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// SyscallConn lets go-redis see before a command that the server has closed the connection.
func (c *listedConn) SyscallConn() (syscall.RawConn, error) {
	below := c.Conn
	if s, ok := below.(interface{ NetConn() net.Conn }); ok {
		below = s.NetConn() // while a connection is at rest, TLS has nothing to say on it either
	}
	raw, ok := below.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return raw.SyscallConn()
}
