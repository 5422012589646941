package eventloop

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// secureEpoll is the transport of TLS connections on raw descriptors. Reading differs in that input
// can wait in user space, where epoll does not see it: after a pause attend delivers it.
type secureEpoll struct{ *epoll }

// adoptSecure takes over a connection whose handshake is done.
func (p *epoll) adoptSecure(c *Conn, nc *Secure) error {
	below := nc.NetConn()
	sc, err := rawConn(below)
	if err != nil {
		return err
	}
	if sc == nil || !nc.ConnectionState().HandshakeComplete {
		newBridge(c, nc)
		return nil
	}
	if err := p.adoptRaw(c, sc); err != nil {
		return err
	}
	c.t, c.sec = secureEpoll{p}, newSecure(nc)
	below.Close()
	p.l.attendLater(c) // input that came with the end of the handshake
	return nil
}

// readSecure is read for TLS.
func (p *epoll) readSecure(c *Conn, hup bool) {
	l := p.l
	if l.cipher == nil {
		l.cipher = make([]byte, len(l.readBuf))
	}
	buf := l.cipher
	if c.pri == PrioritySession && l.readMax > 0 {
		buf = buf[:min(l.readMax, len(buf))]
	}
	for range maxReads {
		if c.sec.more && !p.open(c) {
			return
		}
		n, err := unix.Read(int(c.fd), buf)
		l.stats.Reads++
		if n <= 0 {
			p.readEnd(c, err, hup)
			return
		}
		c.sec.feed(buf[:n])
		if !p.open(c) || n < len(buf) {
			return
		}
	}
}

// open delivers the plaintext available without further input. False: do not read c now.
func (p *epoll) open(c *Conn) bool {
	s := c.sec
	for c.mayRead() {
		n, err := s.open(p.l.readBuf)
		if n > 0 {
			p.l.stats.BytesIn += uint64(n)
			c.h.OnData(c, p.l.readBuf[:n])
		}
		switch {
		case err == nil:
			continue
		case c.state&stateClosed != 0:
			return false
		case err == errAgain:
			return p.answer(c)
		case !c.mayRead(): // paused in the call: the error comes again
		case errors.Is(err, io.EOF):
			p.readEnd(c, nil, false)
			return false
		default:
			p.breakOff(c, err)
			return false
		}
	}
	s.hold()
	return false
}

// answer sends crypto/tls's own messages, as far as the kernel takes them: the rest precedes the
// next output.
func (p *epoll) answer(c *Conn) bool {
	s := c.sec
	if len(s.pipe.out) == 0 || s.plain > 0 || c.state&(stateBroken|stateWaiting) != 0 {
		return p.bounded(c)
	}
	n, err := unix.Write(int(c.fd), s.pipe.out)
	p.l.stats.Writes++
	if err == nil {
		s.accepted(n)
	}
	return p.bounded(c)
}

// bounded closes a connection whose peer asks crypto/tls for answers and reads none.
func (p *epoll) bounded(c *Conn) bool {
	if s := c.sec; len(s.pipe.out)-s.mark > maxUnread {
		c.fail(errUnread)
		return false
	}
	return true
}

// breakOff closes a connection whose peer broke the TLS protocol, with crypto/tls's alert.
func (p *epoll) breakOff(c *Conn, err error) {
	if s := c.sec; s.plain == 0 && len(s.pipe.out) > 0 {
		_, _ = unix.Write(int(c.fd), s.pipe.out) // the connection is closed in any case
	}
	c.fail(fmt.Errorf("read: %w", err))
}

// flush is epoll.flush, a record at a time.
func (t secureEpoll) flush(c *Conn) {
	l, s := t.l, c.sec
	if c.Buffered() >= DrainMark {
		c.state |= stateStalled
	}
	defer s.keep()
	for range maxWrites {
		some, err := s.seal(&c.out, &l.sealing)
		if err != nil {
			t.broke(c, err)
			return
		}
		if !some {
			return
		}
		want := len(s.pipe.out)
		n, err := unix.Write(int(c.fd), s.pipe.out)
		l.stats.Writes++
		if n > 0 {
			if plain := s.accepted(n); plain > 0 {
				l.wrote(c, plain)
				c.out.consume(&l.pool, plain)
			}
		}
		if !t.goesOn(c, n, want, err) {
			return
		}
	}
	c.state |= stateStalled
	l.markDirty(c)
}

func (t secureEpoll) resume(c *Conn) {
	if c.sec.more {
		t.l.attendLater(c)
	}
	t.epoll.resume(c)
}

func (t secureEpoll) attend(c *Conn) {
	if c.state&stateBroken == 0 {
		if c.sec.more {
			t.open(c)
		}
		return
	}
	t.epoll.attend(c)
}

func (t secureEpoll) halfClose(c *Conn) error {
	t.goodbye(c)
	return t.epoll.halfClose(c)
}

func (t secureEpoll) close(c *Conn) {
	if c.state&stateBroken == 0 {
		t.goodbye(c)
	}
	t.epoll.close(c)
	c.sec = nil
}

// goodbye sends close_notify, which marks the end of the stream, unless part of a record is unsent.
func (t secureEpoll) goodbye(c *Conn) {
	s := c.sec
	if s.closed || s.plain > 0 {
		return
	}
	s.goodbye()
	if len(s.pipe.out) > 0 {
		_, _ = unix.Write(int(c.fd), s.pipe.out) // a peer that does not read sees the end of TCP
	}
}
