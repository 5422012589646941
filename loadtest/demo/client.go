package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// replyTimeout bounds the wait for one reply.
const replyTimeout = 60 * time.Second

// client is a pipelining client: commands gather in a buffer until flush.
type client struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func dial(addr string) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, replyTimeout)
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 64<<10)}, nil
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

// errReply is an error that came as a reply.
type errReply string

func (e errReply) Error() string { return string(e) }

// reply reads one reply of RESP2: string, int64, []any, nil or errReply.
func (c *client) reply() (any, error) {
	if err := c.SetReadDeadline(time.Now().Add(replyTimeout)); err != nil {
		return nil, err
	}
	return c.value()
}

func (c *client) value() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	typ, text := line[0], line[1:max(1, len(line)-2)]
	switch typ {
	case '+':
		return text, nil
	case '-':
		return errReply(text), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reply %q", line)
	case typ == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case typ == '$':
		p := make([]byte, n+2)
		_, err := io.ReadFull(c.r, p)
		return string(p[:n]), err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = c.value(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// must is do where a reply that is an error is an error.
func (c *client) must(args ...string) (any, error) {
	v, err := c.do(args...)
	if e, ok := v.(errReply); ok && err == nil {
		err = fmt.Errorf("%s: %w", args[0], e)
	}
	return v, err
}
