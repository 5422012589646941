package eventloop

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// maxRecord is the maximum plaintext of one TLS record (RFC 8446, section 5.1).
const maxRecord = 16 << 10

// maxUnread bounds the unsent messages of crypto/tls itself, such as answers to key updates, to a
// peer that does not read. Above it the connection is closed.
const maxUnread = 16 << 10

// Secure is a TLS connection that a loop can take over. Before Add it is an ordinary net.Conn; do
// its handshake on a goroutine outside the loops. After Add crypto/tls does no I/O of its own: it
// reads from the loop's buffer, and the loop writes its output. On the portable driver it remains a
// net.Conn, below a bridge.
type Secure struct {
	*tls.Conn
	pipe *tlsPipe
}

// Server makes nc the server's side of a TLS connection.
func Server(nc net.Conn, config *tls.Config) *Secure {
	p := &tlsPipe{Conn: nc}
	return &Secure{tls.Server(p, config), p}
}

// Client makes nc the client's side of a TLS connection.
func Client(nc net.Conn, config *tls.Config) *Secure {
	p := &tlsPipe{Conn: nc}
	return &Secure{tls.Client(p, config), p}
}

// NetConn returns the connection below TLS.
func (s *Secure) NetConn() net.Conn { return s.pipe.Conn }

// Shake does the handshake; the end of ctx breaks it off. It holds a place in turns while it
// computes, and releases it while it waits for the peer: so many handshakes can wait, and few
// compute at a time. nil turns: no limit.
func (s *Secure) Shake(ctx context.Context, turns chan struct{}) error {
	if turns != nil {
		turns <- struct{}{}
		defer func() { <-turns }()
	}
	s.pipe.turns = turns
	err := s.HandshakeContext(ctx)
	s.pipe.turns = nil
	return err
}

// WaitsSince returns the time at which Shake began to wait for the peer; zero: it does not wait.
// Any goroutine may call it.
func (s *Secure) WaitsSince() time.Time {
	if at := s.pipe.waits.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// tlsPipe is the net.Conn below crypto/tls. It belongs first to the goroutine of the handshake and
// later to the loop. In between, a reader and a writer may use Secure, like every net.Conn.
type tlsPipe struct {
	net.Conn
	turns chan struct{} // during Shake
	waits atomic.Int64  // start of a Read during Shake, in nanoseconds since 1970; 0: no such Read

	// From Add on.
	looped bool
	in     []byte // read from the socket, for crypto/tls to read
	out    []byte // written by crypto/tls, for the socket
}

// errAgain: the loop has read no more input yet. It is temporary, so crypto/tls does not end the
// connection (Conn.readRecordOrCCS).
var errAgain net.Error = againError{}

type againError struct{}

func (againError) Error() string   { return "eventloop: nothing to read now" }
func (againError) Timeout() bool   { return false }
func (againError) Temporary() bool { return true }

func (p *tlsPipe) Read(b []byte) (int, error) {
	if !p.looped {
		if p.turns == nil {
			return p.Conn.Read(b)
		}
		<-p.turns
		p.waits.Store(time.Now().UnixNano())
		n, err := p.Conn.Read(b)
		p.waits.Store(0)
		p.turns <- struct{}{}
		return n, err
	}
	if len(p.in) == 0 {
		return 0, errAgain
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

func (p *tlsPipe) Write(b []byte) (int, error) {
	if !p.looped {
		return p.Conn.Write(b)
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// crypto/tls sets a deadline around close_notify, which the loop does not wait for.

func (p *tlsPipe) SetWriteDeadline(t time.Time) error {
	if p.looped {
		return nil
	}
	return p.Conn.SetWriteDeadline(t)
}

// secure is TLS on a connection of a loop: a machine between ciphertext and plaintext that does no
// I/O.
//
//	socket → feed → in → crypto/tls → open → OnData
//	Conn.out → seal → crypto/tls → out → socket → accepted
//
// It seals one record at a time, from the front of the Conn's output. The plaintext stays in the
// output until the kernel has taken the whole record: a peer cannot read a part of a record, so
// Conn.Sent is exact. A slow reader costs the memory of one record in addition.
type secure struct {
	tls  *tls.Conn
	pipe *tlsPipe
	more bool // crypto/tls, or in, may hold plaintext that needs no further input

	plain  int  // bytes of the Conn's output sealed in out
	mark   int  // end of that record in out
	lent   bool // out is the loop's buffer
	closed bool // close_notify is in out or was sent
}

func newSecure(s *Secure) *secure {
	s.pipe.looped, s.pipe.Conn = true, nil
	return &secure{tls: s.Conn, pipe: s.pipe, more: true}
}

// feed takes ciphertext. p stays in use until open or hold returns.
func (s *secure) feed(p []byte) {
	if len(s.pipe.in) == 0 {
		s.pipe.in = p
	} else {
		s.pipe.in = append(s.pipe.in, p...)
	}
	s.more = true
}

// open fills buf with plaintext. With an error, buf[:n] is the plaintext before it; errAgain: no
// more for now.
func (s *secure) open(buf []byte) (n int, err error) {
	for n < len(buf) {
		var k int
		if k, err = s.tls.Read(buf[n:]); k == 0 && err != nil {
			break
		}
		n += k
	}
	if err == errAgain {
		s.more = false
	}
	return n, err
}

// hold copies unread ciphertext out of the loop's buffer.
func (s *secure) hold() {
	if len(s.pipe.in) > 0 {
		s.pipe.in = append([]byte(nil), s.pipe.in...)
	}
}

// seal makes a record of the front of the output, unless a record is still unsent; false: no
// output. buf is the loop's.
func (s *secure) seal(out *output, buf *sealing) (bool, error) {
	if s.plain > 0 {
		return true, nil
	}
	p := buf.front(out)
	if len(p) == 0 {
		return len(s.pipe.out) > 0, nil
	}
	if len(s.pipe.out) == 0 {
		s.pipe.out, s.lent = buf.record[:0], true
	}
	n, err := s.tls.Write(p)
	if s.lent {
		buf.record = s.pipe.out[:0] // which may have grown
	}
	s.plain, s.mark = n, len(s.pipe.out)
	return true, err
}

// accepted drops n bytes of sent ciphertext, and returns the number of output bytes whose record is
// now whole in the kernel.
func (s *secure) accepted(n int) (plain int) {
	s.pipe.out = s.pipe.out[n:]
	if len(s.pipe.out) == 0 {
		s.pipe.out, s.lent = nil, false
	}
	if s.plain == 0 {
		return 0
	}
	if s.mark -= n; s.mark > 0 {
		return 0
	}
	plain, s.plain, s.mark = s.plain, 0, 0
	return plain
}

// keep gives the loop's buffer back before another connection needs it.
func (s *secure) keep() {
	if s.lent {
		s.pipe.out, s.lent = append([]byte(nil), s.pipe.out...), false
	}
}

// goodbye appends close_notify to the ciphertext, once.
func (s *secure) goodbye() {
	if s.closed {
		return
	}
	s.closed = true
	_ = s.tls.CloseWrite() // it fails on a broken connection, which is reported elsewhere
}

// sealing is a loop's memory for making records.
type sealing struct {
	plain  []byte // gathered from small chunks
	record []byte
}

// front returns the front of the output, at most one record. It joins small chunks, since each
// record has a cost.
func (b *sealing) front(out *output) []byte {
	k := out.head
	if k == nil {
		return nil
	}
	p := k.buf[k.off:]
	if len(p) >= maxRecord || k.next == nil {
		return p[:min(len(p), maxRecord)]
	}
	b.plain = b.plain[:0]
	for ; k != nil && len(b.plain) < maxRecord; k = k.next {
		p := k.buf[k.off:]
		b.plain = append(b.plain, p[:min(len(p), maxRecord-len(b.plain))]...)
	}
	return b.plain
}
