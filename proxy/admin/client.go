package admin

import (
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
	quit   bool // close once the reply is written
	// result is what the audit log says came of the command, unless that failed.
	result string
}

func (s *Server) newClient(nc net.Conn, id uint64) *client {
	addr := nc.RemoteAddr().String()
	if addr == "" || addr == "@" {
		addr = "unix"
	}
	return &client{server: s, id: id, addr: addr, proto: 2, authed: *s.password.Load() == ""}
}

// authenticate checks a password, in a time that does not tell how much of it is right. Without
// a password configured the default user needs none, as in Redis.
func (c *client) authenticate(user, password string) error {
	want := *c.server.password.Load()
	if want == "" && user == "default" {
		return nil
	}
	got, sum := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(got[:], sum[:]) == 0 || user != "default" || want == "" {
		c.server.log.Warn("console: wrong password", "addr", c.addr)
		return errWrongPass
	}
	c.authed = true
	return nil
}
