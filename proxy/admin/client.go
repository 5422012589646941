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
	return &client{server: s, id: id, addr: addr, host: hostOf(nc), proto: 2, authed: *s.password.Load() == ""}
}

// authenticate checks a password, when it is its address's turn. Without a password configured the
// default user needs none, as in Redis.
func (c *client) authenticate(ctx context.Context, user, password string) error {
	if *c.server.password.Load() == "" && user == "default" {
		return nil
	}
	right, err := c.server.attempts.check(ctx, c.host, func() bool { return c.proves(user, password) })
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
	got, sum := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(got[:], sum[:]) == 0 || user != "default" || want == "" {
		c.server.log.Warn("console: wrong password", "addr", c.addr)
		return false
	}
	return true
}
