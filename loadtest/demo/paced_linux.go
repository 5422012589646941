package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// paced is connections that send commands at a steady pace and read the answers.
//
// One goroutine drives them all from one epoll instance, without garbage: the load generator shares
// the processors with the measured processes, so it has to cost little, and must not pause by
// itself. A goroutine, a timer and a parked read for each connection took twice the time, and their
// scheduling showed in the figures.
// scheduling showed in the figures.
type paced struct {
	every time.Duration // from one burst of a connection to its next
	// burst appends the commands of a connection's next burst and returns their number; zero ends
	// the connection.
	burst func(conn, round int, out []byte) ([]byte, int)
	// answer gets the first line of each reply, which is valid during the call only.
	answer func(line []byte)
	took   func(time.Duration) // from the write of a burst to its last reply
	turn   func()              // called often; may be nil

	epoll, timer int
	conns        []*pacedConn
	open         int // connections that have not ended
	buf          []byte
}

// pacedConn is one of its connections. Its writes block, which bursts that fit into a socket's
// buffer never do; it is read when it is readable.
type pacedConn struct {
	fd      int
	in      []byte // the beginning of a reply
	out     []byte
	round   int
	waiting int       // outstanding replies
	sent    time.Time // of the burst
	due     time.Time // of the next one
	done    bool
}

// run opens n connections to addr, whose first bursts are spread over the interval, and goes on
// until all have ended, or ctx ends, which is no error.
func (p *paced) run(ctx context.Context, addr string, n int) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.prepare(); err != nil {
		return err
	}
	for range n {
		if err := p.connect(to); err != nil {
			return fmt.Errorf("connect to %s: %w", addr, err)
		}
	}
	begin := time.Now()
	for i, c := range p.conns {
		c.due = begin.Add(p.every * time.Duration(i) / time.Duration(n))
	}
	for p.open = n; p.open > 0 && ctx.Err() == nil; {
		if err := p.step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *paced) prepare() (err error) {
	p.buf = make([]byte, 64<<10)
	p.epoll, p.timer = -1, -1
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, p.timer, &ev)
}

func (p *paced) connect(to netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.conns = append(p.conns, &pacedConn{fd: fd})
	sa := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	if err := unix.Connect(fd, sa); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(p.conns) - 1)}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (p *paced) close() {
	for _, c := range p.conns {
		unix.Close(c.fd)
	}
	unix.Close(p.timer)
	unix.Close(p.epoll)
}

// step sends due bursts, waits, and reads replies.
func (p *paced) step() error {
	if p.turn != nil {
		p.turn()
	}
	if err := p.sendDue(time.Now()); err != nil || p.open == 0 {
		return err
	}
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(p.epoll, events[:], -1)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	for _, ev := range events[:n] {
		if ev.Fd < 0 {
			continue // the timer
		}
		if err := p.read(p.conns[ev.Fd]); err != nil {
			return err
		}
	}
	return nil
}

// sendDue sends the due bursts, and sets the timer for the next one.
func (p *paced) sendDue(now time.Time) error {
	next := now.Add(time.Second)
	for i, c := range p.conns {
		if c.done || c.waiting > 0 {
			continue
		}
		if c.due.After(now) {
			if c.due.Before(next) {
				next = c.due
			}
			continue
		}
		if err := p.send(i, c); err != nil {
			return err
		}
	}
	wait := unix.NsecToTimespec(max(1, int64(time.Until(next))))
	return unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: wait}, nil)
}

func (p *paced) send(i int, c *pacedConn) error {
	c.out, c.waiting = p.burst(i, c.round, c.out[:0])
	if c.waiting == 0 {
		c.done = true
		p.open--
		return nil
	}
	c.round++
	c.due = c.due.Add(p.every)
	c.sent = time.Now()
	n, err := unix.Write(c.fd, c.out)
	if err == nil && n < len(c.out) {
		err = fmt.Errorf("%d bytes of a burst of %d were written", n, len(c.out))
	}
	return err
}

func (p *paced) read(c *pacedConn) error {
	n, err := unix.Read(c.fd, p.buf)
	if err == unix.EINTR {
		return nil
	}
	if err == nil && n == 0 {
		err = unix.ECONNRESET
	}
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	now, data := time.Now(), p.buf[:n]
	if len(c.in) > 0 {
		c.in = append(c.in, data...)
		data = c.in
	}
	for c.waiting > 0 {
		line, size := cutReply(data)
		if size == 0 {
			break
		}
		p.answer(line)
		data = data[size:]
		if c.waiting--; c.waiting == 0 {
			p.took(now.Sub(c.sent))
		}
	}
	c.in = append(c.in[:0], data...)
	return nil
}
