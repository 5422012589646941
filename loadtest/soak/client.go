package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// replyTimeout bounds the wait for one reply: a proxy that lost one must not hang the soak.
const replyTimeout = 20 * time.Second

// client is a minimal Redis client: it writes given bytes, even half a command, and reads single
// replies.
type client struct {
	net.Conn
	tcp *net.TCPConn // below TLS, if there is TLS
	r   *bufio.Reader
}

func dial(addr string) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, replyTimeout)
	if err != nil {
		return nil, err
	}
	// Small: an idle soak holds 10,000 of these.
	return &client{Conn: c, tcp: c.(*net.TCPConn), r: bufio.NewReaderSize(c, 64)}, nil
}

// dial opens a connection to the proxy, by TLS if it has TLS.
func (s *stack) dial() (*client, error) {
	c, err := dial(s.proxy.Addr)
	if err != nil || s.tls == nil {
		return c, err
	}
	secure := tls.Client(c.tcp, s.tls)
	c.Conn = secure
	c.r.Reset(secure)
	return c, secure.Handshake()
}

// send writes whole commands, each a line of words.
func (c *client) send(commands ...string) error {
	var b strings.Builder
	for _, command := range commands {
		harness.WriteCommand(&b, strings.Fields(command)...)
	}
	_, err := io.WriteString(c, b.String())
	return err
}

// line reads one line without its end.
func (c *client) line() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(replyTimeout)); err != nil {
		return "", err
	}
	s, err := c.r.ReadString('\n')
	return strings.TrimSuffix(s, "\r\n"), err
}

// expect reads a reply of one line and compares it.
func (c *client) expect(want string) error {
	got, err := c.line()
	if err == nil && got != want {
		err = fmt.Errorf("got reply %q, want %q", got, want)
	}
	return err
}

// bulk sends one command and returns its bulk reply.
func (c *client) bulk(args ...string) (string, error) {
	var b strings.Builder
	harness.WriteCommand(&b, args...)
	if _, err := io.WriteString(c, b.String()); err != nil {
		return "", err
	}
	head, err := c.line()
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
	if err != nil || n < 0 {
		return "", fmt.Errorf("got %q, want a bulk reply", head)
	}
	p := make([]byte, n+2)
	_, err = io.ReadFull(c.r, p)
	return string(p[:max(0, len(p)-2)]), err
}
