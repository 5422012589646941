package harness

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/proxy/proxytest/local"
)

// Client is a connection that sends commands and reads replies, one goroutine's own. Commands
// gather in a buffer until Flush.
type Client struct {
	net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	cmd     []byte // the newest command
	timeout time.Duration
}

// clientBuffer is the size of each of a client's two buffers, in bytes.
const clientBuffer = 64 << 10

// DialClient connects to host:port or unix:/path. timeout bounds this and the wait for each reply.
func DialClient(addr string, timeout time.Duration) (*Client, error) {
	network, address := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, address = "unix", path
	}
	c, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: c, r: bufio.NewReaderSize(c, clientBuffer), w: bufio.NewWriterSize(c, clientBuffer),
		timeout: timeout}, nil
}

// Put appends a command; an error shows at Flush.
func (c *Client) Put(args ...string) {
	c.cmd = local.AppendCommand(c.cmd[:0], args...)
	_, _ = c.w.Write(c.cmd)
}

// Flush sends what Put has gathered.
func (c *Client) Flush() error { return c.w.Flush() }

// Do sends one command and returns its reply.
func (c *Client) Do(args ...string) (any, error) {
	c.Put(args...)
	if err := c.Flush(); err != nil {
		return nil, err
	}
	return c.Reply()
}

// Must is Do where a reply that is an error is an error.
func (c *Client) Must(args ...string) (any, error) {
	v, err := c.Do(args...)
	if e, ok := v.(ErrReply); ok && err == nil {
		err = fmt.Errorf("%s: %w", args[0], e)
	}
	return v, err
}

// Info is one field of the server's INFO.
func (c *Client) Info(section, name string) (string, error) {
	v, err := c.Must("INFO", section)
	if err != nil {
		return "", err
	}
	text, _ := v.(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no %s in INFO %s", name, section)
}

// ErrReply is an error that came as a reply.
type ErrReply string

func (e ErrReply) Error() string { return string(e) }

// Reply reads one reply of RESP2, or of RESP3 without its rarer types: string, int64, []any, nil or
// ErrReply. Maps are lists.
func (c *Client) Reply() (any, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	return c.value()
}

func (c *Client) value() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(line[1:], "\r\n")
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return ErrReply(text), nil
	case '_':
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reply %q", line)
	case line[0] == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case line[0] == '$':
		p := make([]byte, n+2)
		_, err := io.ReadFull(c.r, p)
		return string(p[:n]), err
	case line[0] == '%':
		n *= 2
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = c.value(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
