package upstream

import (
	"net"
	"sync"
)

// addrSet is the local addresses of the open control connections.
type addrSet struct {
	mu    sync.Mutex
	addrs map[*trackedConn]string
}

// trackedConn is a control connection that is in an addrSet until it is closed.
type trackedConn struct {
	net.Conn
	set *addrSet
}

func (s *addrSet) track(nc net.Conn) net.Conn {
	c := &trackedConn{Conn: nc, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addrs == nil {
		s.addrs = map[*trackedConn]string{}
	}
	s.addrs[c] = nc.LocalAddr().String()
	return c
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.addrs, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// ControlAddrs returns the local addresses of the open control connections, as the server's CLIENT
// LIST shows them, so that they can be told from those of clients. It never blocks for long and
// may be called from a loop.
func (u *Upstream) ControlAddrs() []string {
	u.controlAddrs.mu.Lock()
	defer u.controlAddrs.mu.Unlock()
	out := make([]string, 0, len(u.controlAddrs.addrs))
	for _, a := range u.controlAddrs.addrs {
		out = append(out, a)
	}
	return out
}
