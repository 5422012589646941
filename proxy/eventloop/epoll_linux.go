package eventloop

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The work for one connection before the others get their turn.
const (
	// minEvents to maxEvents ready connections are reported by one wait: as many as take
	// dispatchTime. Then the turn flushes its output, so that the server can work, before it reads
	// the other connections. So when hundreds of clients act at once (connect, leave, send code), a
	// command waits for a part of that work only. The kernel first reports the connections that it
	// has not reported for longest.
	minEvents, maxEvents = 16, 512
	dispatchTime         = int64(time.Millisecond)
	// maxReads is the number of reads of a connection that fills the read buffer.
	maxReads = 4
	// maxWrites is the number of write calls of one flush of a connection.
	maxWrites = 16
	// maxPieces is the number of chunks of one writev. unix.Writev places up to eight on the stack.
	maxPieces = 8
	// maxDrain is the number of reads that fetch a peer's last input after a write has failed.
	maxDrain = 64
)

const bestDriver = driverEpoll

// wakeSlot marks the events of the eventfd.
const wakeSlot = -1

// epoll is the driver for raw descriptors, and the transport of their connections.
//
// It is level-triggered: epoll reports unread input again, so one read per event suffices, without
// a second one that returns EAGAIN. Interest follows lazily. A pause costs nothing until input
// arrives; only then is EPOLLIN withdrawn.
//
// Epoll reports EPOLLERR and EPOLLHUP unasked. The driver acts on them only at the end of input, so
// the last input of a vanished peer is delivered. A paused link that hangs up leaves the epoll set
// until it is resumed.
type epoll struct {
	l      *Loop
	fd     int
	events []unix.EpollEvent
	most   int // the maximum number of events of the next wait
	ready  int // of events, found by wait
	pieces [maxPieces][]byte

	mu     sync.Mutex
	wakeFD int // guarded by mu; -1 once freed
}

func newEpoll(l *Loop) (driver, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventloop: %w", os.NewSyscallError("epoll_create1", err))
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventloop: %w", os.NewSyscallError("eventfd", err))
	}
	// Edge-triggered: each wake-up is reported once, so the counter needs no read.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeSlot}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &ev); err != nil {
		unix.Close(wake)
		unix.Close(fd)
		return nil, fmt.Errorf("eventloop: %w", os.NewSyscallError("epoll_ctl", err))
	}
	return &epoll{l: l, fd: fd, wakeFD: wake, events: make([]unix.EpollEvent, maxEvents), most: 2 * minEvents}, nil
}

func (p *epoll) wait(ns int64) error {
	ms := -1
	if ns >= 0 {
		ms = int(min((ns+999_999)/1_000_000, math.MaxInt32))
	}
	n, err := unix.EpollWait(p.fd, p.events[:p.most], ms)
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		p.ready = 0
		return fmt.Errorf("eventloop: %w", os.NewSyscallError("epoll_wait", err))
	}
	p.ready = n
	return nil
}

func (p *epoll) dispatch() {
	for i := range p.events[:p.ready] {
		ev := &p.events[i]
		if ev.Fd == wakeSlot {
			continue
		}
		c := p.l.slots[ev.Fd]
		if c != nil && c.gen == ev.Pad {
			p.event(c, ev.Events)
		}
	}
	if p.ready > minEvents {
		p.adapt(p.l.clock() - p.l.now)
	}
}

// adapt sizes the next turn for dispatchTime, from the time spent on this one.
func (p *epoll) adapt(spent int64) {
	switch {
	case spent > dispatchTime:
		p.most = max(int(int64(p.ready)*dispatchTime/spent), minEvents)
	case p.ready == p.most && spent < dispatchTime/2:
		p.most = min(2*p.most, maxEvents)
	}
}

func (p *epoll) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wakeFD < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// It fails only when the counter is full; the loop is being woken then.
	_, _ = unix.Write(p.wakeFD, one[:])
}

func (p *epoll) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	unix.Close(p.wakeFD)
	unix.Close(p.fd)
	p.wakeFD = -1
}

// adopt duplicates the descriptor and closes nc, which takes it out of Go's poller. A type that
// only embeds a TCPConn may buffer bytes, so it is bridged.
func (p *epoll) adopt(c *Conn, nc net.Conn) error {
	if s, ok := nc.(*Secure); ok {
		return p.adoptSecure(c, s)
	}
	sc, err := rawConn(nc)
	if err != nil {
		return err
	}
	if sc == nil {
		newBridge(c, nc)
		return nil
	}
	if err := p.adoptRaw(c, sc); err != nil {
		return err
	}
	nc.Close()
	return nil
}

// rawConn returns the descriptor of nc; nil: nc is no plain TCP or unix connection.
func rawConn(nc net.Conn) (syscall.RawConn, error) {
	switch nc := nc.(type) {
	case *net.TCPConn:
		return nc.SyscallConn()
	case *net.UnixConn:
		return nc.SyscallConn()
	}
	return nil, nil
}

// adoptRaw gives c a duplicate of the descriptor and watches it.
func (p *epoll) adoptRaw(c *Conn, sc syscall.RawConn) error {
	fd, err := duplicate(sc)
	if err != nil {
		return err
	}
	c.fd, c.t = int32(fd), p
	if err := p.watch(c, unix.EPOLL_CTL_ADD, unix.EPOLLIN); err != nil {
		unix.Close(fd)
		return err
	}
	return nil
}

// duplicate returns a new descriptor of the same socket, which Go has made non-blocking.
func duplicate(sc syscall.RawConn) (int, error) {
	var fd int
	var err error
	ctl := func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }
	if cerr := sc.Control(ctl); cerr != nil {
		return -1, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// watch changes the events watched on c's descriptor.
func (p *epoll) watch(c *Conn, op int, interest uint32) error {
	ev := unix.EpollEvent{Events: interest, Fd: c.slot, Pad: c.gen}
	if err := unix.EpollCtl(p.fd, op, int(c.fd), &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.interest = interest
	return nil
}

// want changes the interest if it differs. If the kernel refuses, c breaks.
func (p *epoll) want(c *Conn, interest uint32) {
	if interest == c.interest {
		return
	}
	op := unix.EPOLL_CTL_MOD
	if c.state&stateDetached != 0 {
		op = unix.EPOLL_CTL_ADD
		c.state &^= stateDetached
	}
	if err := p.watch(c, op, interest); err != nil {
		p.broke(c, err)
	}
}

func (p *epoll) resume(c *Conn) {
	if c.state&stateBroken != 0 {
		p.l.attendLater(c)
	}
	if c.state&stateEOF == 0 {
		p.want(c, c.interest|unix.EPOLLIN)
	}
}

func (p *epoll) halfClose(c *Conn) error {
	if err := unix.Shutdown(int(c.fd), unix.SHUT_WR); err != nil {
		return err
	}
	p.want(c, c.interest|unix.EPOLLIN)
	return nil
}

func (p *epoll) drained(c *Conn) { p.want(c, c.interest&^unix.EPOLLOUT) }

func (p *epoll) keepAlive(c *Conn, idle time.Duration) error {
	fd := int(c.fd)
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil ||
		family == unix.AF_UNIX {
		return err
	}
	ka := keepAlive(idle)
	if !ka.Enable {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	}
	for _, o := range [...]struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, wholeSeconds(ka.Idle)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, wholeSeconds(ka.Interval)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, ka.Count},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func wholeSeconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}

// close also removes the descriptor from the epoll set, since it is the socket's only one.
func (p *epoll) close(c *Conn) {
	unix.Close(int(c.fd))
	c.fd = -1
}
