package eventloop

import (
	"os"

	"golang.org/x/sys/unix"
)

// event acts on the kernel's events for c.
func (p *epoll) event(c *Conn, ev uint32) {
	if ev&unix.EPOLLOUT != 0 && c.state&stateWaiting != 0 {
		c.state &^= stateWaiting
		p.l.markDirty(c)
	}
	if ev&^unix.EPOLLOUT == 0 {
		return
	}
	hup := ev&(unix.EPOLLERR|unix.EPOLLHUP) != 0
	switch {
	case c.mayRead():
		p.read(c, hup)
	case c.state&(stateHalf|stateClosed) == stateHalf:
		p.discard(c, hup)
	case hup:
		p.hangup(c)
	default:
		p.want(c, c.interest&^unix.EPOLLIN)
	}
}

// read delivers available input: one read, and more only while they fill the buffer.
func (p *epoll) read(c *Conn, hup bool) {
	if c.sec != nil {
		p.readSecure(c, hup)
		return
	}
	l, buf := p.l, p.l.readBuf
	if c.pri == PrioritySession && l.readMax > 0 {
		buf = buf[:min(l.readMax, len(buf))]
	}
	for range maxReads {
		n, err := unix.Read(int(c.fd), buf)
		l.stats.Reads++
		if n > 0 {
			l.stats.BytesIn += uint64(n)
			c.h.OnData(c, buf[:n])
			if n < len(buf) || !c.mayRead() {
				return
			}
			continue
		}
		p.readEnd(c, err, hup)
		return
	}
}

// readEnd acts on a read without data.
func (p *epoll) readEnd(c *Conn, err error, hup bool) {
	switch err {
	case nil:
		c.state |= stateEOF
		c.h.OnEOF(c)
		if c.state&stateClosed == 0 {
			p.want(c, c.interest&^unix.EPOLLIN)
		}
	case unix.EINTR:
	case unix.EAGAIN:
		if hup {
			p.hangup(c)
		}
	default:
		c.fail(os.NewSyscallError("read", err))
	}
}

// discard reads unwanted input until the peer closes, too.
func (p *epoll) discard(c *Conn, hup bool) {
	n, err := unix.Read(int(c.fd), p.l.readBuf)
	p.l.stats.Reads++
	switch {
	case n > 0:
		p.l.discard(c, n)
	case err == unix.EINTR || err == unix.EAGAIN && !hup:
	default:
		c.Close()
	}
}

// hangup acts on EPOLLERR and EPOLLHUP at the end of input, or when c may not read.
func (p *epoll) hangup(c *Conn) {
	if !c.holdsEnd() {
		c.fail(p.socketError(c))
		return
	}
	// The replies of a paused link still count: they and the end are read once it is resumed. Until
	// then epoll would report the hang-up again and again.
	if err := p.watch(c, unix.EPOLL_CTL_DEL, 0); err != nil {
		c.fail(err)
		return
	}
	c.state |= stateDetached
}

// socketError fetches the kernel's pending error.
func (p *epoll) socketError(c *Conn) error {
	code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if code == 0 {
		return ErrPeerGone
	}
	return os.NewSyscallError("socket", unix.Errno(code))
}

// flush writes until the output is empty, the kernel takes no more, or the others' turn has come.
func (p *epoll) flush(c *Conn) {
	l := p.l
	if c.Buffered() >= DrainMark {
		c.state |= stateStalled
	}
	for range maxWrites {
		n, want, err := p.write(c)
		l.stats.Writes++
		if n > 0 {
			l.wrote(c, n)
			c.out.consume(&l.pool, n)
		}
		if !p.goesOn(c, n, want, err) {
			return
		}
	}
	c.state |= stateStalled
	l.markDirty(c)
}

// goesOn acts on the result of a write of want bytes. False: the flush is over.
func (p *epoll) goesOn(c *Conn, n, want int, err error) bool {
	switch {
	case err == unix.EINTR:
		return true
	case err != nil && err != unix.EAGAIN:
		p.broke(c, os.NewSyscallError("write", err))
		return false
	case err != nil || n < want:
		c.state |= stateWaiting | stateStalled
		p.want(c, c.interest|unix.EPOLLOUT)
		return false
	}
	return c.out.head != nil
}

// write makes one call for the first chunks of the output. It returns the bytes written and the
// bytes offered.
func (p *epoll) write(c *Conn) (n, want int, err error) {
	k := c.out.head
	if k.next == nil {
		b := k.buf[k.off:]
		n, err = unix.Write(int(c.fd), b)
		return n, len(b), err
	}
	pieces := 0
	for ; k != nil && pieces < maxPieces; k = k.next {
		b := k.buf[k.off:]
		p.pieces[pieces] = b
		want += len(b)
		pieces++
	}
	n, err = unix.Writev(int(c.fd), p.pieces[:pieces])
	clear(p.pieces[:pieces])
	return n, want, err
}

// broke notes that writes to c fail. OnClose follows in the next turn, after the peer's last input.
func (p *epoll) broke(c *Conn, err error) {
	if c.state&stateBroken != 0 {
		return
	}
	c.state |= stateBroken
	c.err = err
	c.out.release(&p.l.pool)
	p.l.attendLater(c)
}

// attend reads a broken connection to its end and closes it. A paused link waits for its resume.
func (p *epoll) attend(c *Conn) {
	if c.state&stateBroken == 0 {
		return
	}
	for range maxDrain {
		before := p.l.stats.BytesIn
		if !c.mayRead() {
			break
		}
		p.read(c, false)
		if p.l.stats.BytesIn == before {
			break
		}
	}
	if !c.holdsEnd() {
		c.fail(c.err)
	}
}

func unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
