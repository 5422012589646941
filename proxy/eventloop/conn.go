package eventloop

import "time"

// Handler receives the events of a connection. It is called on the loop only.
type Handler interface {
	// OnData delivers bytes just read, in order. p belongs to the loop and is valid during the call
	// only. It is not called while reading is paused, nor after Close or CloseAfterFlush.
	OnData(c *Conn, p []byte)

	// OnEOF reports that the peer has closed its sending side and that all its input was delivered.
	// c stays writable until it is closed. It is called at most once.
	OnEOF(c *Conn)

	// OnClose reports that the connection broke: err is the read or write error, ErrPeerGone, or
	// ErrStopped. Earlier input is delivered first, unless reading is paused: a broken session is
	// then reported at once, a broken link only once it is resumed and read to its end, since its
	// input is replies. c is closed already: Writes are dropped, Sent and Queued keep their values.
	// It is called at most once, and never once the owner has called Close or CloseAfterFlush.
	OnClose(c *Conn, err error)

	// OnDrain reports that the output became empty after a flush could not write all of it, or
	// after Buffered had reached DrainMark. So a handler that stops a source at a limit of
	// DrainMark or more always learns when to resume it, even if the next flush writes everything.
	// On a bridged connection a flush only passes output to the writer, so each flush counts as
	// incomplete.
	OnDrain(c *Conn)
}

// DrainMark is the output, in bytes, from which on OnDrain always follows once the output is empty.
const DrainMark = 16 << 10

// Priority orders the flushes of a turn.
type Priority uint8

const (
	// PriorityLink is for upstream connections: flushed first.
	PriorityLink Priority = iota
	// PrioritySession is for client connections.
	PrioritySession

	priorities = 2
)

// The bounds, in time and in input, of CloseAfterFlush's wait for the peer's close after the last
// byte was sent. Closing with unread input makes the kernel send a reset, which can overtake the
// last reply.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

type connState uint16

const (
	stateDirty    connState = 1 << iota // on a dirty list
	stateLater                          // on the list of connections to attend to
	statePaused                         // by PauseRead
	stateWaiting                        // output waits for the kernel, or for the writer goroutine
	stateStalled                        // a flush could not write everything: OnDrain is owed
	stateEOF                            // input read to its end
	stateBroken                         // c.err is set; OnClose is owed
	stateClosing                        // by CloseAfterFlush
	stateHalf                           // and its sending side is shut
	stateDetached                       // not in the epoll set
	stateClosed
)

// Conn is a connection of a loop. All methods are for the loop's goroutine only, and all may be
// called on a closed Conn, where they do nothing.
type Conn struct {
	loop   *Loop
	h      Handler
	t      transport
	out    output
	queued uint64
	sent   uint64
	err    error   // why the connection broke
	linger *Timer  // bounds CloseAfterFlush
	sec    *secure // TLS in the loop; nil: plain, or bridged
	remote string
	local  string

	slot     int32
	gen      int32
	fd       int32  // the epoll driver's, -1 if bridged
	interest uint32 // epoll events asked for
	drained  uint32 // bytes discarded while lingering
	state    connState
	pri      Priority
}

// Write appends a copy of p to the output, which is written at the end of the turn.
func (c *Conn) Write(p []byte) {
	if c.state&(stateClosed|stateBroken|stateClosing|stateDirty) != stateDirty && !c.touch(len(p)) {
		return
	}
	c.queued += uint64(len(p))
	if t := c.out.tail; t != nil && t.kind != chunkOwned && len(p) <= cap(t.buf)-len(t.buf) {
		t.buf = append(t.buf, p...)
		return
	}
	for len(p) > 0 {
		k := c.out.room(&c.loop.pool, c.pri == PriorityLink || len(p) > smallChunk)
		n := min(len(p), cap(k.buf)-len(k.buf))
		k.buf = append(k.buf, p[:n]...)
		p = p[n:]
	}
}

// WriteOwned appends p itself, without a copy. The caller must not change p afterwards. It pays for
// large frames only, since each p costs a writev element.
func (c *Conn) WriteOwned(p []byte) {
	if len(p) == 0 || !c.touch(len(p)) {
		return
	}
	c.queued += uint64(len(p))
	k := c.loop.pool.get(chunkOwned)
	k.buf = p
	c.out.push(k)
}

// touch prepares for n more bytes of output; false: c accepts no more output.
func (c *Conn) touch(n int) bool {
	if c.state&(stateClosed|stateBroken|stateClosing) != 0 || n == 0 {
		return false
	}
	c.loop.markDirty(c)
	return true
}

// Buffered counts the bytes of output that the kernel has not accepted yet.
func (c *Conn) Buffered() int { return int(c.queued - c.sent) }

// Queued counts all bytes ever accepted by Write and WriteOwned.
func (c *Conn) Queued() uint64 { return c.queued }

// Sent counts all bytes that the kernel ever accepted: a frame that ends at or before Sent may have
// reached the peer, one that begins at or after it has not. On a bridged connection it lags while
// a write is in progress, and is exact in OnClose, but for ErrStopped.
func (c *Conn) Sent() uint64 { return c.sent }

// Unacked counts the bytes that the kernel has accepted and the peer's kernel has not yet acknowledged. While it
// changes, the peer receives. 0 where the kernel is not asked: on a bridged connection, and outside of Linux.
func (c *Conn) Unacked() int {
	if c.fd < 0 || c.state&stateClosed != 0 {
		return 0
	}
	return unacked(int(c.fd))
}

// PauseRead stops OnData and OnEOF at once; input stays in the kernel.
func (c *Conn) PauseRead() { c.state |= statePaused }

// ResumeRead undoes PauseRead. Data is delivered in a later event, never during the call.
func (c *Conn) ResumeRead() {
	if c.state&statePaused == 0 {
		return
	}
	c.state &^= statePaused
	if c.state&(stateClosed|stateClosing) == 0 {
		c.t.resume(c)
	}
}

// ReadPaused says whether PauseRead is in force.
func (c *Conn) ReadPaused() bool { return c.state&statePaused != 0 }

// Flush writes as much output as the kernel takes now, instead of at the end of the turn.
func (c *Conn) Flush() {
	if c.out.head == nil || c.state&(stateClosed|stateBroken|stateWaiting) != 0 {
		return
	}
	c.loop.markDirty(c) // OnDrain and closing are settled at the end of the turn
	c.t.flush(c)
}

// Close closes the connection at once. Unsent output is dropped, and the handler gets no further
// calls. Closing twice does nothing.
func (c *Conn) Close() {
	if c.state&stateClosed != 0 {
		return
	}
	c.state |= stateClosed
	if c.linger != nil {
		c.linger.Stop()
	}
	c.out.release(&c.loop.pool)
	c.loop.vacate(c)
	c.t.close(c)
}

// CloseAfterFlush closes the connection once its output is sent, or after d, whichever is first; d
// <= 0 leaves it one attempt to flush. The handler gets no further calls, and Writes are dropped.
// After the last byte the sending side is shut and for at most a second input is discarded until
// the peer closes too, so that it reads the last reply instead of a reset.
func (c *Conn) CloseAfterFlush(d time.Duration) {
	if c.state&(stateClosed|stateClosing) != 0 {
		return
	}
	if c.state&stateBroken != 0 {
		c.Close()
		return
	}
	if d <= 0 {
		c.Flush()
		c.Close()
		return
	}
	c.state |= stateClosing
	c.linger = c.loop.AfterFunc(d, c.Close)
	c.loop.markDirty(c)
}

// Closed says whether the connection is closed. It is false while CloseAfterFlush is at work.
func (c *Conn) Closed() bool { return c.state&stateClosed != 0 }

// RemoteAddr names the peer: "ip:port", "[v6]:port", or "/path:0" for a unix socket, as CLIENT
// LIST of Redis does.
func (c *Conn) RemoteAddr() string { return c.remote }

// SetRemoteAddr gives the peer the name of another one, for which it speaks.
func (c *Conn) SetRemoteAddr(addr string) { c.remote = addr }

// LocalAddr names our end in the same forms.
func (c *Conn) LocalAddr() string { return c.local }

// SetKeepAlive sets the TCP keepalive idle time; 0 turns it off. A third of it lies between
// probes, and three unanswered probes end the connection. It does nothing on other transports.
func (c *Conn) SetKeepAlive(idle time.Duration) error {
	if c.state&stateClosed != 0 {
		return nil
	}
	return c.t.keepAlive(c, idle)
}

// fail closes a broken connection and calls OnClose, unless the owner has closed it.
func (c *Conn) fail(err error) {
	if c.state&stateClosed != 0 {
		return
	}
	silent := c.state&stateClosing != 0
	c.Close()
	if !silent {
		c.h.OnClose(c, err)
	}
}

// mayRead says whether OnData and OnEOF may be called.
func (c *Conn) mayRead() bool {
	return c.state&(statePaused|stateClosed|stateClosing|stateEOF) == 0
}

// heedless reports whether a break is reported although reading is paused: the unread commands of a
// session that is gone need no answer.
func (c *Conn) heedless() bool {
	return c.state&statePaused != 0 && c.pri != PriorityLink
}

// holdsEnd reports whether c is a paused link, whose end is reported once it is resumed and read.
func (c *Conn) holdsEnd() bool {
	return c.pri == PriorityLink && c.state&(statePaused|stateEOF|stateClosing) == statePaused
}
