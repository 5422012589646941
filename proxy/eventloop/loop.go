package eventloop

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"
)

// DefaultReadBuffer is the size in bytes of a loop's shared read buffer.
const DefaultReadBuffer = 64 << 10

// yieldEvery is the interval, in nanoseconds, at which the loop offers its processor to other
// goroutines. The point is that Go's monitor thread sees the goroutine change. A goroutine that
// runs for 10 ms without a change is preempted by signals and loses its processor in its next
// system call, again and again at the monitor's fastest pace, which cost a tenth of the CPU here.
const yieldEvery = int64(8 * time.Millisecond)

// Options configure a Loop. The zero value is usable.
type Options struct {
	// Driver is "epoll", "portable", or "" for the best that this system has.
	Driver string

	// ReadBuffer is the size in bytes of the read buffer that all connections of the loop share. 0:
	// DefaultReadBuffer.
	ReadBuffer int

	// Logger takes errors that have no handler. nil: slog.Default().
	Logger *slog.Logger

	// BeforeFlush, if set, runs on the loop once a turn, after all events, posted functions and
	// timers and before output is flushed. It may Write: that output leaves in the same turn.
	BeforeFlush func()
}

func (o Options) withDefaults() (Options, error) {
	switch o.Driver {
	case "", driverEpoll, driverPortable:
	default:
		return o, fmt.Errorf("%w: %q", ErrDriver, o.Driver)
	}
	if o.ReadBuffer < 0 {
		return o, fmt.Errorf("eventloop: ReadBuffer is %d bytes", o.ReadBuffer)
	}
	if o.ReadBuffer == 0 {
		o.ReadBuffer = DefaultReadBuffer
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

// Loop is an event loop. The package comment describes a turn.
//
// Invariants:
//
//   - A Handler is never called from inside a call of its owner: events that Write, Flush, ResumeRead or
//     CloseAfterFlush discover are reported later in the turn, or in the next one.
//   - A function whose Post returned true runs exactly once, provided that Run is called.
//   - The wait does not block while output is dirty, while a connection asked for attention, or
//     while the mailbox has mail.
//   - An event of a connection that was closed since the kernel reported it, in the same
//     batch, is dropped: it carries slot and generation, and the generation is outdated. The
//     descriptor number, which may already belong to a new connection, is not looked at.
//
// A goroutine per connection was measured and rejected: each park costs a read that returns EAGAIN
// and a wake-up, which at one command a turn is more than the proxying itself.
type Loop struct {
	// Immutable after New.
	opts   Options
	clock  func() int64 // monotonic, in nanoseconds since New
	driver driver

	// For any goroutine.
	mail    mailbox
	bridges sync.WaitGroup // reader and writer goroutines of bridged connections

	// The loop's goroutine only.
	now      int64
	yieldAt  int64 // on the loop's clock
	slots    []*Conn
	free     []int32 // unused indexes of slots
	gen      int32
	dirty    [priorities][]*Conn // output to flush at the end of the turn
	flushing []*Conn             // swapped with a dirty list while that is flushed
	later    []*Conn             // connections that asked for attention in the next turn
	laterRun []*Conn
	timers   timerHeap
	pool     pool
	readBuf  []byte
	readMax  int    // of clients' connections; 0: all of readBuf
	cipher   []byte // the read buffer of TLS connections; nil before the first
	sealing  sealing
	stats    Stats
	names    addrCache
	stopped  bool
}

// New prepares a loop. Its resources are freed when Run returns, so Run must be called, if need be
// after Stop. The error wraps ErrDriver, or is the system's when epoll cannot be set up.
func New(o Options) (*Loop, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	epoch := time.Now()
	l := &Loop{opts: o, clock: func() int64 { return int64(time.Since(epoch)) }}
	l.readBuf = make([]byte, o.ReadBuffer)
	if l.driver, err = newDriver(l, o.Driver); err != nil {
		return nil, err
	}
	return l, nil
}

// Run runs the loop on the calling goroutine until Stop. On return all connections are closed, each
// reported to its handler by OnClose with ErrStopped, and every goroutine of the loop has ended.
// The error is the driver's when waiting for events fails, nil after Stop.
func (l *Loop) Run() error {
	var err error
	for err == nil && !l.mail.stopping() {
		err = l.turn()
	}
	l.shutdown()
	return err
}

func (l *Loop) turn() error {
	if err := l.driver.wait(l.patience()); err != nil {
		return err
	}
	l.mail.awake()
	l.now = l.clock()
	l.stats.Turns++
	if l.now >= l.yieldAt {
		l.yieldAt = l.now + yieldEvery
		runtime.Gosched()
	}
	l.driver.dispatch()
	l.attend()
	l.mail.run()
	l.timers.run(l.now)
	if l.opts.BeforeFlush != nil {
		l.opts.BeforeFlush()
	}
	l.flush()
	return nil
}

// patience returns how long, in nanoseconds, the next wait may block: 0 not at all, negative
// without limit. Unless it is 0, posters wake the loop from then on.
func (l *Loop) patience() int64 {
	for i := range l.dirty {
		if len(l.dirty[i]) > 0 {
			return 0
		}
	}
	if len(l.later) > 0 || !l.mail.trySleep() {
		return 0
	}
	if len(l.timers.heap) == 0 {
		return -1
	}
	return max(0, l.timers.heap[0].when-l.clock())
}

// shutdown closes the mailbox, runs the functions accepted before, and closes every connection.
func (l *Loop) shutdown() {
	l.mail.close()
	l.stopped = true
	l.mail.run()
	for _, c := range l.slots {
		if c != nil {
			c.fail(ErrStopped)
		}
	}
	l.bridges.Wait()
	l.timers = timerHeap{}
	l.pool = pool{}
	l.driver.free()
}

// LimitReads bounds one read of a client's connection, in bytes; 0: the whole read buffer. It does
// not bound bridged connections. For the loop's goroutine only.
func (l *Loop) LimitReads(n int) { l.readMax = n }

// Stop makes Run return after the current turn. It may be called from any goroutine, more than
// once, and before Run.
func (l *Loop) Stop() {
	if l.mail.stop() {
		l.driver.wake()
	}
}

// Post runs f on the loop soon: in this turn or the next. It may be called from any goroutine and
// does not block. It returns false, and drops f, once the loop has stopped.
func (l *Loop) Post(f func()) bool {
	ok, wake := l.mail.post(f)
	if wake {
		l.driver.wake()
	}
	return ok
}

// Now is the loop's monotonic clock in nanoseconds, as it was when the turn started.
func (l *Loop) Now() int64 { return l.now }

// Conns counts the open connections, those that CloseAfterFlush is still closing included.
func (l *Loop) Conns() int { return len(l.slots) - len(l.free) }

// Stats counts a loop's work since New.
type Stats struct {
	Turns   uint64 // waits for events that returned
	Reads   uint64 // read calls, those that found nothing included
	Writes  uint64 // write and writev calls
	BytesIn uint64 // of plaintext, under TLS
}

// Stats returns the counters. A portable connection's reads and writes are counted when the loop
// learns of them.
func (l *Loop) Stats() Stats { return l.stats }

// Add hands nc to the loop, which owns it from then on, on error too. h is called for its events.
// Where the driver works on descriptors, nc's is duplicated and nc closed, so that Go's own poller
// does not watch it; an nc that is not a plain *net.TCPConn or *net.UnixConn, or a *Secure over one
// whose handshake is done, is bridged.
// TCP_NODELAY is set, and for sessions a keepalive of SessionKeepAlive.
func (l *Loop) Add(nc net.Conn, h Handler, pri Priority) (*Conn, error) {
	if l.stopped {
		nc.Close()
		return nil, ErrStopped
	}
	if err := tune(nc, pri); err != nil {
		nc.Close()
		return nil, fmt.Errorf("eventloop: add %s: %w", nc.RemoteAddr(), err)
	}
	c := &Conn{loop: l, h: h, pri: pri, fd: -1}
	c.remote, c.local = l.names.of(nc)
	l.occupy(c)
	if err := l.driver.adopt(c, nc); err != nil {
		l.vacate(c)
		nc.Close()
		return nil, fmt.Errorf("eventloop: add %s: %w", c.remote, err)
	}
	return c, nil
}

// occupy gives c a slot and a generation, which identify it in the driver's events.
func (l *Loop) occupy(c *Conn) {
	l.gen++
	c.gen = l.gen
	if n := len(l.free); n > 0 {
		c.slot = l.free[n-1]
		l.free = l.free[:n-1]
		l.slots[c.slot] = c
		return
	}
	c.slot = int32(len(l.slots))
	l.slots = append(l.slots, c)
}

func (l *Loop) vacate(c *Conn) {
	l.slots[c.slot] = nil
	l.free = append(l.free, c.slot)
}

// attend calls attend for the connections that asked for it, outside any call of their owners.
func (l *Loop) attend() {
	if len(l.later) == 0 {
		return
	}
	l.later, l.laterRun = l.laterRun[:0], l.later
	for _, c := range l.laterRun {
		c.state &^= stateLater
		if c.state&stateClosed == 0 {
			c.t.attend(c)
		}
	}
	clear(l.laterRun)
}

func (l *Loop) attendLater(c *Conn) {
	if c.state&stateLater == 0 {
		c.state |= stateLater
		l.later = append(l.later, c)
	}
}
