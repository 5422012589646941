package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
)

// client is one connection to the console. Its goroutine alone touches it.
type client struct {
	server *Server
	id     uint64
	addr   string
	authed bool
	proto  int // 2 or 3
	name   string
	quit   bool   // close once the reply is written
	host   string // of its address, for attempts
	// result is the command's result in the audit log, unless it failed.
	result string
}

func (s *Server) newClient(nc net.Conn, id uint64) *client {
	addr := nc.RemoteAddr().String()
	if addr == "" || addr == "@" {
		addr = "unix"
	}
	return &client{server: s, id: id, addr: addr, host: HostOf(nc.RemoteAddr()), proto: 2, authed: *s.password.Load() == ""}
}

// authenticate checks a password, when it is its address's turn. Without a password configured the
// default user needs none, as in Redis.
func (c *client) authenticate(ctx context.Context, user, password string) error {
	if *c.server.password.Load() == "" && user == "default" {
		return nil
	}
	right, err := c.server.opts.Attempts.Check(ctx, c.host, func() bool { return c.proves(user, password) })
	switch {
	case right:
		c.authed = true
		return nil
	case err != nil:
		return err
	}
	return errWrongPass
}

// proves reports whether a password is right, in constant time.
func (c *client) proves(user, password string) bool {
	want := *c.server.password.Load()
	if !SamePassword(password, want) || user != "default" {
		c.server.log.Warn("console: wrong password", "addr", c.addr)
		return false
	}
	return true
}

// SamePassword reports whether a password is the configured one, in constant time. An empty one configured is
// never right.
func SamePassword(got, want string) bool {
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1 && want != ""
}
