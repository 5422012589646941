// Package wire is the part of the Redis protocol that the journal needs: connections that send
// commands and read replies, and the commands that a server sends to its primary.
//
// It knows RESP2 only, bounds everything that it reads, and leaves the bytes after a reply where
// they are, so that a connection can turn into a replication stream at any point. A Conn may be
// read by one goroutine while another writes.
package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// bufferBytes is the size of the read buffer. Larger reads bypass it.
	bufferBytes = 16 << 10
	maxLine     = 8 << 10
	maxBulk     = 64 << 20
	maxArray    = 1 << 16
	maxDepth    = 32 // COMMAND DOCS of some commands has more than ten
)

// ErrProtocol means that the other side sent something other than RESP, or too much of it.
var ErrProtocol = errors.New("protocol error")

// Error is an error reply, as the server worded it: "NOPERM this user has no permissions …".
type Error string

func (e Error) Error() string { return string(e) }

// Code is the first word of the error.
func (e Error) Code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

// DialFunc opens a connection; network is "tcp" or "unix".
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Endpoint is a server's address and our credentials there.
type Endpoint struct {
	Address  string // host:port, or unix: and a path
	Username string // empty: the default user
	Password string // empty, without a Username: no AUTH
	Name     string // of the connection in the server's CLIENT LIST; empty: none
	Dial     DialFunc
	// Serve is our TLS side for a server that connects to us, as a replica does; nil: none.
	Serve *tls.Config
}

// Conn is a connection to a server, or from one.
type Conn struct {
	net.Conn
	R *bufio.Reader // everything is read through it
}

// NewConn wraps an open connection.
func NewConn(c net.Conn) *Conn {
	return &Conn{Conn: c, R: bufio.NewReaderSize(c, bufferBytes)}
}

// Dial connects and authenticates. The context bounds both.
func Dial(ctx context.Context, e Endpoint) (*Conn, error) {
	network, address := "tcp", e.Address
	if path, ok := strings.CutPrefix(e.Address, "unix:"); ok {
		network, address = "unix", path
	}
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	nc, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := NewConn(nc)
	if err := c.logIn(ctx, e); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// logIn authenticates a connection, and names it.
func (c *Conn) logIn(ctx context.Context, e Endpoint) error {
	// With a name, AUTH succeeds even if the user default has no password.
	auth := []string{"AUTH", "default", e.Password}
	switch {
	case e.Username != "": // with nopass any password is accepted
		auth = []string{"AUTH", e.Username, e.Password}
	case e.Password == "":
		auth = nil
	}
	if auth != nil {
		if _, err := c.Do(ctx, auth...); err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
	}
	if e.Name == "" {
		return nil
	}
	// Every user may send HELLO. A server that refuses it has the connection without a name.
	_, err := c.Do(ctx, "HELLO", "2", "SETNAME", e.Name)
	if refused := Error(""); errors.As(err, &refused) {
		return nil
	}
	return err
}

// Do sends a command and returns its reply: a string for a status and a bulk string, an int64, a
// []any, or nil. An error reply is returned as an [Error]. The context bounds the whole exchange.
func (c *Conn) Do(ctx context.Context, args ...string) (any, error) {
	stop, err := c.Within(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := c.Send(args...); err != nil {
		return nil, err
	}
	return c.Reply()
}

// Within makes the context's end break the connection's reads and writes until stop is called,
// which leaves the connection without a deadline.
func (c *Conn) Within(ctx context.Context) (stop func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		c.SetDeadline(time.Unix(1, 0)) // fails on a closed connection only, which has the same effect
		close(done)
	})
	return func() {
		if !unhook() {
			<-done
			return
		}
		c.SetDeadline(time.Time{}) // as above
	}, nil
}

// Send writes one command.
func (c *Conn) Send(args ...string) error {
	_, err := c.Write(Append(nil, args...))
	return err
}

// Append appends the bytes of a command to b.
func Append(b []byte, args ...string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(args)), 10)
	b = append(b, '\r', '\n')
	for _, a := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(a)), 10)
		b = append(b, '\r', '\n')
		b = append(b, a...)
		b = append(b, '\r', '\n')
	}
	return b
}

// Line reads one line and strips its end, which may be a lone newline.
func (c *Conn) Line() (string, error) {
	var line []byte
	for {
		part, err := c.R.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return "", fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, maxLine)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", unexpected(err)
		}
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// Reply reads one reply, as [Conn.Do] returns it.
func (c *Conn) Reply() (any, error) { return c.reply(0) }

func (c *Conn) reply(depth int) (any, error) {
	line, err := c.Line()
	if err != nil {
		return nil, err
	}
	if line == "" || depth > maxDepth {
		return nil, fmt.Errorf("%w: a reply begins with %q", ErrProtocol, line)
	}
	switch line[0] {
	case '+':
		return line[1:], nil
	case '-':
		return nil, Error(line[1:])
	case ':':
		n, err := strconv.ParseInt(line[1:], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %q", ErrProtocol, line)
		}
		return n, nil
	case '$':
		return c.bulk(line)
	case '*':
		return c.array(line, depth)
	}
	return nil, fmt.Errorf("%w: a reply begins with %q", ErrProtocol, line[:1])
}

func (c *Conn) bulk(header string) (any, error) {
	n, err := strconv.Atoi(header[1:])
	if err != nil || n < -1 || n > maxBulk {
		return nil, fmt.Errorf("%w: a bulk string of %q bytes", ErrProtocol, header[1:])
	}
	if n == -1 {
		return nil, nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.R, b); err != nil {
		return nil, unexpected(err)
	}
	if string(b[n:]) != "\r\n" {
		return nil, fmt.Errorf("%w: a bulk string without its end", ErrProtocol)
	}
	return string(b[:n]), nil
}

func (c *Conn) array(header string, depth int) (any, error) {
	n, err := strconv.Atoi(header[1:])
	if err != nil || n < -1 || n > maxArray {
		return nil, fmt.Errorf("%w: an array of %q", ErrProtocol, header[1:])
	}
	if n == -1 {
		return nil, nil
	}
	out := make([]any, 0, min(n, 64))
	for range n {
		v, err := c.reply(depth + 1)
		var e Error
		if errors.As(err, &e) {
			v, err = e, nil // an error inside of an array, as in EXEC's reply
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Command reads one command as a server sends it to its primary: an array of bulk strings, or a
// line of words. An empty line is a command without arguments.
func (c *Conn) Command() ([]string, error) {
	line, err := c.Line()
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		return strings.Fields(line), nil
	}
	v, err := c.array(line, maxDepth-1)
	if err != nil {
		return nil, err
	}
	list, _ := v.([]any)
	args := make([]string, 0, len(list))
	for _, a := range list {
		s, ok := a.(string)
		if !ok {
			return nil, fmt.Errorf("%w: an argument that is no string", ErrProtocol)
		}
		args = append(args, s)
	}
	return args, nil
}

// Fields parses the reply of INFO.
func Fields(info string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(info) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			out[key] = value
		}
	}
	return out
}

// unexpected makes an EOF in the middle of a reply an io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
