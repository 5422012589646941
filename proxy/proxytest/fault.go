package proxytest

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is the direction of bytes between a client and a server.
type Direction int

const (
	Requests Direction = iota // from the client to the server
	Replies                   // from the server to the client
)

// Op is the action of a fault.
type Op int

const (
	Cut   Op = iota // closes both sides, once: the bytes before it arrive, then an orderly end
	Reset           // like Cut with a TCP reset, which may overtake the bytes before it
	Stall           // blocks all bytes until Clear
	Delay           // waits before each piece until Clear
	Split           // passes pieces of Size bytes until Clear, with Pause between them
)

// Fault is one failure on a connection to a server.
type Fault struct {
	Op Op
	On Direction
	// Trigger is a part of a request; the fault begins to count once these bytes have passed to
	// the server, on that connection only. Empty: at once, on every connection.
	Trigger string
	// After is the number of bytes that still pass in the direction On before the fault acts.
	After int
	// Size is the length of a piece for Split.
	Size int
	// Pause is the time of Delay and between the pieces of Split.
	Pause time.Duration
}

// once reports whether the fault acts a single time rather than until it is cleared.
func (f *Fault) once() bool { return f.Op == Cut || f.Op == Reset }

// Errors that a FaultConn returns for its faults.
var (
	errCut   = errors.New("proxytest: connection cut")
	errReset = errors.New("proxytest: connection reset")
)

// Faults holds the one fault that is in force for a group of connections. It is safe for
// concurrent use. The zero value has none.
type Faults struct {
	mu      sync.Mutex
	fault   *Fault
	cleared chan struct{} // closed when fault is no longer in force
	fired   int
}

// Arm puts a fault in force, instead of any other. A Cut or Reset acts once, on the first
// connection that reaches it; other faults last until Clear.
func (fs *Faults) Arm(f Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.disarm()
	fs.fault, fs.cleared = &f, make(chan struct{})
}

// Clear ends the fault in force; stalled bytes pass.
func (fs *Faults) Clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.disarm()
}

func (fs *Faults) disarm() {
	if fs.fault != nil {
		close(fs.cleared)
		fs.fault = nil
	}
}

// Fired returns how often a fault has acted since the beginning.
func (fs *Faults) Fired() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.fired
}

// Wrap puts a connection to a server under the faults.
func (fs *Faults) Wrap(conn net.Conn) *FaultConn {
	return &FaultConn{Conn: conn, faults: fs, closed: make(chan struct{})}
}

// FaultConn is a connection to a server with the faults of its group: writes are requests, reads
// are replies. One goroutine may read while another writes.
type FaultConn struct {
	net.Conn
	faults *Faults

	closeOnce sync.Once
	closed    chan struct{}
	wasReset  atomic.Bool // by a fault

	held []byte // read but not yet passed on; owned by the reader

	// Guarded by faults.mu.
	seen      *Fault // the fault of the fields below
	triggered bool
	tail      []byte // the end of the requests so far, which may contain the start of the trigger
	passed    int    // bytes since the trigger in the fault's direction
}

// Write lets requests through as far as the fault permits. It does not keep p.
func (c *FaultConn) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		v := c.permit(Requests, p)
		if err := c.hold(v); err != nil {
			return written, err
		}
		if v.n > 0 {
			w, err := c.Conn.Write(p[:v.n])
			written += w
			if err != nil {
				return written, err
			}
			p = p[v.n:]
		}
		if v.end != nil {
			return written, c.end(v.end)
		}
	}
	return written, nil
}

// Read lets replies through as far as the fault permits. A fault that permits none acts at the
// first byte that does not pass, so the server has answered by then.
func (c *FaultConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(c.held) == 0 {
			buf := make([]byte, len(p))
			n, err := c.Conn.Read(buf)
			if n == 0 {
				return 0, err
			}
			c.held = buf[:n] // an error with data recurs at the next read
		}
		v := c.permit(Replies, c.held[:min(len(p), len(c.held))])
		if err := c.hold(v); err != nil {
			return 0, err
		}
		n := copy(p, c.held[:v.n])
		c.held = c.held[n:]
		if v.end != nil {
			c.held = nil
			if err := c.end(v.end); n == 0 {
				return 0, err
			}
		}
		if n > 0 {
			return n, nil // after an end the next read finds the connection closed
		}
	}
}

// Close also ends a stall.
func (c *FaultConn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// verdict is the fate of the next bytes: a wait, then n of them pass, then the end.
type verdict struct {
	n       int
	stall   bool            // wait until cleared
	pause   time.Duration   // wait this long
	cleared <-chan struct{} // ends both waits
	end     *Fault          // close after the n bytes; nil for no end
}

// permit decides about p, which is not empty.
func (c *FaultConn) permit(dir Direction, p []byte) verdict {
	fs := c.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.fault
	if f == nil {
		return verdict{n: len(p)}
	}
	if c.seen != f {
		c.seen, c.passed, c.tail, c.triggered = f, 0, nil, f.Trigger == ""
	}
	free := 0 // bytes up to the end of the trigger: they pass and do not count
	if !c.triggered && dir == Requests {
		free = c.findTrigger(f, p)
	}
	if !c.triggered || f.On != dir {
		return verdict{n: len(p)}
	}
	n := min(len(p), free+max(0, f.After-c.passed))
	c.passed += n - free
	if f.once() {
		if c.passed < f.After {
			return verdict{n: n}
		}
		fs.fired++
		fs.disarm()
		return verdict{n: n, end: f}
	}
	if n > 0 {
		return verdict{n: n} // up to the fault's position; the rest gets another verdict
	}
	fs.fired++
	switch f.Op {
	case Delay:
		return verdict{n: len(p), pause: f.Pause, cleared: fs.cleared}
	case Split:
		return verdict{n: min(len(p), max(1, f.Size)), pause: f.Pause, cleared: fs.cleared}
	}
	return verdict{stall: true, cleared: fs.cleared}
}

// findTrigger looks for the trigger in the requests, p being the next of them, and returns how many
// bytes of p belong to it or come before it.
func (c *FaultConn) findTrigger(f *Fault, p []byte) int {
	all := append(c.tail, p...)
	i := bytes.Index(all, []byte(f.Trigger))
	if i < 0 {
		keep := min(len(all), len(f.Trigger)-1)
		c.tail = bytes.Clone(all[len(all)-keep:])
		return len(p)
	}
	c.triggered = true
	return i + len(f.Trigger) - len(c.tail)
}

// hold waits by the verdict. It returns an error if the connection is closed meanwhile.
func (c *FaultConn) hold(v verdict) error {
	var timer <-chan time.Time
	switch {
	case v.stall:
	case v.pause > 0:
		t := time.NewTimer(v.pause)
		defer t.Stop()
		timer = t.C
	default:
		return nil
	}
	select {
	case <-v.cleared:
		return nil
	case <-timer:
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// end closes the connection as the fault demands and returns the user's error.
func (c *FaultConn) end(f *Fault) error {
	if f.Op == Reset {
		c.wasReset.Store(true)
		setReset(c.Conn)
		c.Close()
		return errReset
	}
	c.Close()
	return errCut
}

// setReset makes the coming Close of a TCP connection a reset; other connections just close.
func setReset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection, which cannot be reset
	}
}
