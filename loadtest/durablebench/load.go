//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/loadtest/harness"
)

// load is an epoll loop with its clients. One goroutine runs it, on a thread of its own.
type load struct {
	epoll   int
	clients []*client // by the number that epoll gives back
	buf     []byte

	from, to time.Time // the measured interval
	result   measured
}

// measured holds the figures of a load between from and to.
type measured struct {
	good    int // commands acknowledged as expected
	bad     int // other answers
	problem string
	seconds float64
	times   *harness.Times
}

// patience bounds the time of a client without any reply.
const patience = 20 * time.Second

// newLoad connects n clients to addr.
func newLoad(addr string, n int, w work) (*load, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &load{epoll: fd, buf: make([]byte, 64<<10)}
	for i := range n {
		c, err := dial(addr, w, uint64(i))
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, c)
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.clients {
		_ = unix.Close(c.fd) // nothing is left to lose
	}
	_ = unix.Close(l.epoll)
}

// run sends until l.to, and closes the clients. It does not count commands in flight then.
func (l *load) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer l.close()
	l.result.times = &harness.Times{}
	now := time.Now()
	for _, c := range l.clients {
		if err := c.send(now); err != nil {
			return err
		}
	}
	heard := now
	events := make([]unix.EpollEvent, 256)
	for now.Before(l.to) {
		n, err := unix.EpollWait(l.epoll, events, 20)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		if now = time.Now(); n > 0 {
			heard = now
		}
		for _, e := range events[:max(n, 0)] {
			if err := l.serve(l.clients[e.Fd]); err != nil {
				return err
			}
		}
		if now.Sub(heard) > patience {
			return fmt.Errorf("no reply for %v", patience)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	l.result.seconds = l.to.Sub(l.from).Seconds()
	return nil
}

// serve reads a client once, and sends its next batch when it has all replies.
func (l *load) serve(c *client) error {
	n, err := unix.Read(c.fd, l.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return errors.New("a connection was closed")
	}
	good, bad, problem := c.take(l.buf[:n])
	now := time.Now()
	if now.After(l.from) && now.Before(l.to) {
		l.result.good += good
		l.result.bad += bad
		if bad > 0 {
			l.result.problem = problem
		}
		l.result.times.Add(now.Sub(c.sent), good)
	}
	if c.waiting > 0 {
		return c.flush()
	}
	return c.send(now)
}
