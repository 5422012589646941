package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"holdfast/proxy/proxytest/local"
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
	var b []byte
	for _, command := range commands {
		b = local.AppendCommand(b, strings.Fields(command)...)
	}
	_, err := c.Write(b)
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
