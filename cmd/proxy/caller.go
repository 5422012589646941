package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"holdfast/proxy/certs"
	"holdfast/proxy/resp"
)

// A caller sends commands to a console or a listener of a proxy, in RESP2.
type caller struct {
	conn net.Conn
	r    *bufio.Reader
}

// callTimeout bounds each exchange: RELOAD waits for the new server.
const callTimeout = 30 * time.Second

// dialCaller connects and logs in if there is a password. An empty user is the server's default
// one, a nil dial opens a plain connection.
func dialCaller(ctx context.Context, dial certs.DialFunc, address, user, password string) (*caller, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	dialling, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dial(dialling, network, address)
	if err != nil {
		return nil, err
	}
	c := &caller{conn: conn, r: bufio.NewReader(conn)}
	login := []string{"AUTH", user, password}
	if user == "" {
		login = []string{"AUTH", password}
	}
	if user == "" && password == "" {
		return c, nil
	}
	if _, err := c.do(ctx, login...); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// A replyError is an error reply.
type replyError string

func (e replyError) Error() string { return string(e) }

// do sends a command and returns the text of its reply; of an array, its lines.
func (c *caller) do(ctx context.Context, words ...string) (string, error) {
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return "", err
	}
	if _, err := c.conn.Write(resp.AppendCommandStrings(nil, words...)); err != nil {
		return "", err
	}
	var reply []byte
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			return "", fmt.Errorf("no answer to %s: %w", words[0], err)
		}
		reply = append(reply, b)
		if c.r.Buffered() > 0 {
			more, _ := c.r.Peek(c.r.Buffered()) // already received
			reply = append(reply, more...)
			_, _ = c.r.Discard(len(more))
		}
		v, _, err := resp.Parse(reply)
		if errors.Is(err, resp.ErrIncomplete) {
			continue
		}
		if err != nil {
			return "", err
		}
		if v.Type == '-' {
			return "", replyError(v.Str)
		}
		return replyText(v), nil
	}
}

func replyText(v resp.Value) string {
	if len(v.Elems) == 0 {
		return string(v.Str)
	}
	lines := make([]string, len(v.Elems))
	for i, e := range v.Elems {
		lines[i] = replyText(e)
	}
	return strings.Join(lines, "\n")
}

func (c *caller) close() { _ = c.conn.Close() } // it only read

// dialable is the address of a listener as this machine reaches it.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
