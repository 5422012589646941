package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience bounds the wait for one reply. Every held reply is answered long before, so that only a
// server that is stopped or cut off is met by it.
const patience = 4 * time.Second

// A client is a connection that sends commands and reads replies, one goroutine's own.
type client struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func dial(addr string) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReader(c), bufio.NewWriter(c)}, nil
}

// put appends a command; an error shows at flush.
func (c *client) put(args ...string) {
	fmt.Fprintf(c.w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.w, "$%d\r\n%s\r\n", len(a), a)
	}
}

func (c *client) flush() error { return c.w.Flush() }

// do sends one command and returns its reply.
func (c *client) do(args ...string) (any, error) {
	c.put(args...)
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.reply()
}

// must is do where a reply that is an error is an error.
func (c *client) must(args ...string) (any, error) {
	v, err := c.do(args...)
	if e, ok := v.(errReply); ok && err == nil {
		err = fmt.Errorf("%s: %w", args[0], e)
	}
	return v, err
}

// errReply is an error that came as a reply.
type errReply string

func (e errReply) Error() string { return string(e) }

// reply reads one reply: string, int64, []any, nil or errReply. Maps are lists.
func (c *client) reply() (any, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return c.value()
}

func (c *client) value() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(line[1:], "\r\n")
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return errReply(text), nil
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

// timedOut reports that nothing came within patience.
func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
