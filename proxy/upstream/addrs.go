package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// addrSet is the local addresses of the open control connections. Its mutex is held for moments
// only, so that ControlAddrs may be called from a loop.
type addrSet struct {
	mu    sync.Mutex
	addrs map[*controlConn]string
}

// controlConn is a connection of this package's own, in the set until it is closed.
type controlConn struct {
	net.Conn
	set *addrSet
}

// ControlAddrs returns the local addresses of the open control connections, as the server's CLIENT
// LIST shows them, so that they can be told from those of clients. On a unix socket, where the
// server shows the same for all, their number is all that they say.
func (u *Upstream) ControlAddrs() []string {
	u.controlAddrs.mu.Lock()
	defer u.controlAddrs.mu.Unlock()
	out := make([]string, 0, len(u.controlAddrs.addrs))
	for _, a := range u.controlAddrs.addrs {
		out = append(out, a)
	}
	return out
}

// dialControl dials as for data, so that a control connection proves the way that data takes.
func (u *Upstream) dialControl(ctx context.Context) (net.Conn, error) {
	conn, err := u.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &controlConn{Conn: conn, set: &u.controlAddrs}
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if c.set.addrs == nil {
		c.set.addrs = make(map[*controlConn]string)
	}
	c.set.addrs[c] = conn.LocalAddr().String()
	return c, nil
}

// Close takes the connection out of the set.
func (c *controlConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.addrs, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// SyscallConn lets go-redis see before a command that the server has closed the connection.
func (c *controlConn) SyscallConn() (syscall.RawConn, error) {
	raw, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return raw.SyscallConn()
}
