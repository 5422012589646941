//go:build linux

package main

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// client is one connection of the load. It belongs to its loop.
type client struct {
	fd      int
	work    work
	batch   *batch
	replies replies
	unsent  []byte // of the batch
	sent    time.Time
	waiting int // outstanding replies to the batch
	good    int // SETs with an OK but without WAIT's proof
}

// dial connects to an address of digits, and blocks until it has.
func dial(addr string, w work, seed uint64) (*client, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	sa := &unix.SockaddrInet4{Port: n}
	if copy(sa.Addr[:], net.ParseIP(host).To4()) != len(sa.Addr) {
		return nil, fmt.Errorf("%s is not an IPv4 address", host)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &client{fd: fd, work: w, batch: newBatch(w, seed)}
	for _, step := range []func() error{
		func() error { return unix.Connect(fd, sa) },
		func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) },
		func() error { return unix.SetNonblock(fd, true) },
	} {
		if err := step(); err != nil {
			_ = unix.Close(fd) // the error of the step says more
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
	}
	return c, nil
}

// send begins the next batch.
func (c *client) send(now time.Time) error {
	c.unsent, c.sent, c.waiting, c.good = c.batch.next(), now, c.work.replies(), 0
	return c.flush()
}

// flush writes as much as the socket takes. A batch is small, so that it nearly always takes all.
func (c *client) flush() error {
	for len(c.unsent) > 0 {
		n, err := unix.Write(c.fd, c.unsent)
		switch err {
		case nil:
			c.unsent = c.unsent[n:]
		case unix.EAGAIN:
			return nil // the loop tries again at the next event
		case unix.EINTR:
		default:
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// take counts the replies in data: SETs or GETs that they acknowledge, and others.
func (c *client) take(data []byte) (good, bad int, problem string) {
	for len(data) > 0 {
		one, rest, ok := c.replies.next(data)
		data = rest
		if !ok {
			return good, bad, problem
		}
		c.waiting--
		switch {
		case one.kind == '-':
			bad++
			problem = string(one.text)
		case c.work.wait == waitNever:
			good++
		case one.kind != ':':
			c.good++
		case string(one.text) != "0":
			good, c.good = good+c.good, 0
		default:
			bad, c.good = bad+c.good, 0
			problem = "WAIT was answered 0"
		}
	}
	return good, bad, problem
}
