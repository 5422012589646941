package admin

import (
	"errors"
	"io"
	"net"
	"time"

	"holdfast/proxy/resp"
)

// Limits of a request. The console's own commands are tiny. The limits suffice for any operator,
// and bound the cost of a hundred hostile clients.
const (
	maxArgs  = 1024
	maxBulk  = 64 << 10
	maxFrame = 128 << 10

	readSize     = 4 << 10
	writeTimeout = 10 * time.Second
	lingerTime   = time.Second
	lingerBytes  = 1 << 20
)

// errProtocol ends a connection after the client got its protocol error.
var errProtocol = errors.New("admin: protocol error")

// framedConn stands between a connection and redcon, whose own reader must not see untrusted bytes:
// a bulk length near the largest integer makes it index out of range, which ends the process, and
// its buffer grows without a limit. Read returns whole, bounded frames only, one at a time and
// re-encoded, so that redcon reads exactly the checked bytes. framedConn answers a violation in
// Redis's words, and redcon sees the end of the stream.
//
// One goroutine uses it: redcon reads and writes from the same one.
type framedConn struct {
	net.Conn
	client  *client
	scan    resp.CommandScanner
	scratch resp.Scratch
	in      []byte // received; in[off:] is not yet a frame
	off     int
	frame   []byte // the unread rest of the current frame

	// Its place: guarded by places.mu.
	places *places
	host   string // immutable
	known  bool
	used   time.Time // time of its arrival, or of its last command
}

// SetReadDeadline implements net.Conn: a client that has not logged in has less time.
func (c *framedConn) SetReadDeadline(t time.Time) error {
	if c.places != nil {
		t = c.places.deadline(c, t)
	}
	return c.Conn.SetReadDeadline(t)
}

// Read implements io.Reader.
func (c *framedConn) Read(p []byte) (int, error) {
	for len(c.frame) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.frame)
	c.frame = c.frame[n:]
	return n, nil
}

// next finds a frame in the received bytes, or receives more.
func (c *framedConn) next() error {
	lim := resp.Limits{MaxArgs: maxArgs, MaxBulk: maxBulk, Unauthenticated: !c.client.authed}
	cmd, n, err := c.scan.Scan(c.in[c.off:], &lim, &c.scratch)
	if err != nil {
		return c.refuse("ERR " + err.Error())
	}
	c.off += n
	if cmd != nil {
		c.frame = resp.AppendCommand(nil, cmd.Args...)
		if len(c.frame) > maxFrame {
			return c.refuse(string(errTooLarge))
		}
		return nil
	}
	if len(c.in)-c.off > maxFrame {
		return c.refuse(string(errTooLarge))
	}
	return c.receive()
}

// receive moves the half-read frame to the front and appends newly read bytes.
func (c *framedConn) receive() error {
	if c.off > 0 {
		c.in = c.in[:copy(c.in, c.in[c.off:])]
		c.off = 0
	}
	if len(c.in) == 0 && cap(c.in) > readSize {
		c.in = nil // an idle client keeps no large buffer
	}
	have := len(c.in)
	if cap(c.in)-have < readSize {
		grown := make([]byte, have, max(2*cap(c.in), have+readSize))
		copy(grown, c.in)
		c.in = grown
	}
	n, err := c.Conn.Read(c.in[have:cap(c.in)])
	c.in = c.in[:have+n]
	if n > 0 {
		return nil
	}
	return err
}

// refuse answers with an error and ends the connection. It lingers briefly, because a close with
// unread bytes in the kernel is a reset, which can overtake the answer.
func (c *framedConn) refuse(text string) error {
	c.in = nil
	if _, err := c.Write(resp.AppendError(nil, text)); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		deadline := time.Now().Add(lingerTime)
		if err := c.SetReadDeadline(deadline); err == nil {
			// The error does not matter: the client had time to read the answer.
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	return errProtocol
}

// Write bounds the time for which a client that does not read can block its goroutine.
func (c *framedConn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
