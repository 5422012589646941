package eventloop

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// firstBridgeRead is the size of a reader's buffer, which doubles, up to the loop's
	// ReadBuffer, when a read fills it.
	firstBridgeRead = 4 << 10
	// bridgePiece is the size of one write, so that Sent advances within a large frame.
	bridgePiece = 64 << 10
	// bridgeDrain is how long the input of a connection is still read after a write has failed.
	bridgeDrain = 50 * time.Millisecond
)

// bridge is the transport of a connection that is not a raw descriptor, or that no driver of this
// system can watch: a reader and a writer goroutine, which reach the loop by its mailbox.
//
// The reader reads one buffer, posts it, and waits until the loop has delivered it, so at most one
// buffer is in flight and a pause stops the reader. An idle writer gets the whole output; while it
// writes, new output gathers in the Conn.
//
// A connection breaks in one of two ways. In both, OnClose waits until reader and writer have
// stopped, so all input was delivered and Sent is exact:
//
//	read error    close nc, which ends a write in progress; await the writer
//	write error   let the reader continue for bridgeDrain; await its end
type bridge struct {
	// Immutable after newBridge.
	loop    *Loop
	c       *Conn
	nc      net.Conn
	onRead  func() // deliver, as a value that is allocated once
	onWrote func()

	done  chan struct{}  // closed by the loop: both goroutines end
	next  chan struct{}  // the loop to the reader: reuse the buffer
	work  chan writeWork // the loop to the writer, which is idle
	wrote atomic.Int64   // bytes accepted that the loop has not counted yet
	ended atomic.Bool    // the writer has finished its work, with err in writeErr
	mail  atomic.Bool    // onWrote is posted and has not begun

	// The writer's until ended is set, then the loop's.
	writeErr error

	// The reader's until it posts, the loop's until it sends to next.
	data    []byte
	readErr error

	// The loop's.
	arrived  bool // data and readErr are the loop's
	readDone bool // the reader has ended
	busy     bool // the writer has work
	sending  *chunk
}

// writeWork is output to write; without output it asks the writer to shut the sending side.
type writeWork struct {
	head *chunk
}

func newBridge(c *Conn, nc net.Conn) {
	b := &bridge{
		loop: c.loop, c: c, nc: nc,
		done: make(chan struct{}),
		next: make(chan struct{}, 1),
		work: make(chan writeWork, 1),
	}
	b.onRead, b.onWrote = b.readPosted, b.writePosted
	c.t = b
	c.loop.bridges.Add(2)
	go b.reader()
	go b.writer()
}

// reader runs until nc ends or the bridge is closed. The loop joins it by Loop.bridges.
func (b *bridge) reader() {
	defer b.loop.bridges.Done()
	limit := len(b.loop.readBuf)
	buf := make([]byte, min(firstBridgeRead, limit))
	for {
		n, err := b.nc.Read(buf)
		b.data, b.readErr = buf[:n], err
		if !b.loop.Post(b.onRead) || err != nil {
			return
		}
		select {
		case <-b.next:
		case <-b.done:
			return
		}
		if n == len(buf) && n < limit {
			buf = make([]byte, min(2*n, limit))
		}
	}
}

// writer runs until the bridge is closed. The loop joins it by Loop.bridges.
func (b *bridge) writer() {
	defer b.loop.bridges.Done()
	for {
		select {
		case w := <-b.work:
			if w.head == nil {
				b.writeErr = b.shutWrite()
			} else {
				b.writeErr = b.writeAll(w.head)
			}
			b.ended.Store(true)
			b.report()
		case <-b.done:
			return
		}
	}
}

func (b *bridge) writeAll(k *chunk) error {
	for ; k != nil; k = k.next {
		for p := k.buf[k.off:]; len(p) > 0; {
			n, err := b.nc.Write(p[:min(len(p), bridgePiece)])
			b.wrote.Add(int64(n))
			if err != nil {
				return err
			}
			p = p[n:]
			b.report()
		}
	}
	return nil
}

func (b *bridge) shutWrite() error {
	if s, ok := b.nc.(interface{ CloseWrite() error }); ok {
		return s.CloseWrite()
	}
	return errors.ErrUnsupported
}

// report posts onWrote, unless it is posted already.
func (b *bridge) report() {
	if b.mail.CompareAndSwap(false, true) {
		b.loop.Post(b.onWrote)
	}
}

// writePosted runs on the loop when the writer has made progress.
func (b *bridge) writePosted() {
	b.mail.Store(false) // before reading wrote and ended, so that later progress posts again
	ended := b.ended.Load()
	c := b.c
	if c.state&stateClosed != 0 {
		return // Sent keeps the value that OnClose saw
	}
	if n := b.wrote.Swap(0); n > 0 {
		b.loop.stats.Writes++
		b.loop.wrote(c, int(n))
	}
	if !ended || !b.busy {
		return
	}
	b.ended.Store(false)
	b.busy = false
	sent := output{head: b.sending}
	sent.release(&b.loop.pool)
	b.sending = nil
	switch {
	case c.state&stateBroken != 0: // reading failed while the writer was at work
		c.fail(c.err)
	case b.writeErr != nil:
		b.writeFailed(b.writeErr)
	default:
		c.state &^= stateWaiting
		b.loop.markDirty(c)
	}
}

// writeFailed lets the reader fetch the peer's last input, for bridgeDrain, before c is closed.
func (b *bridge) writeFailed(err error) {
	c := b.c
	c.state |= stateBroken
	c.err = err
	c.out.release(&b.loop.pool)
	if b.readDone || c.state&stateClosing != 0 || c.heedless() ||
		b.nc.SetReadDeadline(time.Now().Add(bridgeDrain)) != nil {
		c.fail(err)
	}
}

// readPosted runs on the loop when the reader has read something or has ended.
func (b *bridge) readPosted() {
	b.arrived = true
	b.loop.stats.Reads++
	b.loop.stats.BytesIn += uint64(len(b.data))
	b.deliver()
}

// deliver passes arrived input to the handler, as far as c may read, and releases the reader.
func (b *bridge) deliver() {
	c := b.c
	if !b.arrived || c.state&stateClosed != 0 {
		return
	}
	if b.readErr != nil && b.readErr != io.EOF && c.heedless() {
		b.readFailed(b.readErr)
		return
	}
	if len(b.data) > 0 {
		data := b.data
		switch {
		case c.state&stateHalf != 0:
			b.loop.discard(c, len(data))
		case c.mayRead():
			c.h.OnData(c, data)
		default:
			return
		}
		b.data = nil
		if c.state&stateClosed != 0 {
			return
		}
	}
	b.deliverEnd()
}

// deliverEnd acts on the end of input, if it has come, and otherwise releases the reader.
func (b *bridge) deliverEnd() {
	c := b.c
	switch {
	case b.readErr == nil:
		if c.mayRead() || c.state&stateHalf != 0 {
			b.arrived = false
			b.next <- struct{}{} // has room: the reader waits
		}
	case c.state&stateHalf != 0:
		c.Close()
	case c.state&stateClosing != 0:
		b.readDone, b.arrived = true, false
		if b.readErr != io.EOF {
			c.Close()
			return
		}
		c.state |= stateEOF
	case !c.mayRead():
	case b.readErr == io.EOF:
		b.readDone, b.arrived = true, false
		c.state |= stateEOF
		c.h.OnEOF(c)
		if c.state&stateBroken != 0 {
			c.fail(c.err)
		}
	default:
		b.readFailed(b.readErr)
	}
}

// readFailed closes c once the writer has stopped.
func (b *bridge) readFailed(err error) {
	c := b.c
	b.readDone, b.arrived = true, false
	if c.state&stateBroken == 0 {
		c.state |= stateBroken
		c.err = err
	}
	if b.busy && c.state&stateClosing == 0 {
		beneath(b.nc).Close()
		return
	}
	c.fail(c.err)
}

func (b *bridge) flush(c *Conn) {
	c.state |= stateWaiting | stateStalled
	b.sending = c.out.head
	c.out = output{}
	b.start(writeWork{head: b.sending})
}

func (b *bridge) start(w writeWork) {
	b.busy = true
	b.work <- w // has room: the writer is idle
}

func (b *bridge) drained(*Conn) {}

func (b *bridge) resume(c *Conn) { b.loop.attendLater(c) }

func (b *bridge) attend(*Conn) { b.deliver() }

func (b *bridge) halfClose(c *Conn) error {
	b.start(writeWork{})
	b.loop.attendLater(c) // to discard arrived input
	return nil
}

// close ends both goroutines. Output in the writer's hands stays there and is not reused.
func (b *bridge) close(*Conn) {
	close(b.done)
	beneath(b.nc).Close()
}

func (b *bridge) keepAlive(_ *Conn, idle time.Duration) error {
	if tc, ok := beneath(b.nc).(*net.TCPConn); ok {
		return tc.SetKeepAliveConfig(keepAlive(idle))
	}
	return nil
}
