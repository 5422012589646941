package tap

import (
	"context"
	"net"
	"syscall"
	"time"
)

// Each read of the stream leads to an append, a write, an fsync and an acknowledgement, which cost
// far more than the bytes do. Unless a client waits for them, the tap leaves small reads some time
// to become larger: Options.Pace.
//
//	no waiter       read . . . . read . . . . read . . . .     one fsync per pace
//	Hurry           read read read read read read              one after the other

// The pause is worth little if each segment that arrives meanwhile wakes the runtime's poller, as
// it does with edge-triggered epoll, whether or not a goroutine waits: fifty times in ten
// milliseconds here. So SO_RCVLOWAT makes the socket signal only once it holds much; a read at the
// end of the pause takes any amount.

// A fast stream is read more often, so that it does not pile up in the primary's memory.

// pacing computes the next pause. It belongs to the goroutine that reads the stream.
type pacing struct {
	most, now time.Duration
	bytes     int // since the last pause
}

// paceLeast is the shortest pause.
const paceLeast = time.Millisecond

// next returns the length of the pause, and begins the next round.
func (p *pacing) next() time.Duration {
	if p.bytes > streamBuffer/2 {
		p.now = max(min(paceLeast, p.most), p.now/2)
	} else {
		p.now = min(p.most, 2*p.now)
	}
	p.bytes = 0
	return p.now
}

// hurryFor is the effect of one call of Hurry.
const hurryFor = time.Second

// Hurry says that a client waits for a write: for the next second the tap passes on everything at
// once. It never blocks and costs next to nothing while it is in force, so event loops may call it
// for every write. The primary's own request for an acknowledgement, which WAIT and WAITAOF cause,
// has the same effect.
func (t *Tap) Hurry() {
	now := time.Now().UnixNano()
	till := t.hurryTill.Load()
	if till-now > int64(hurryFor/2) {
		return
	}
	t.hurryTill.Store(now + int64(hurryFor))
	if till < now {
		poke(t.hurried)
	}
}

// linger pauses, unless a client is in a hurry. False means that the context ended.
func (t *Tap) linger(ctx context.Context, socket lowWater, p *pacing) bool {
	if p.most <= 0 || t.hurryTill.Load() > time.Now().UnixNano() {
		return true
	}
	socket.set(streamBuffer / 2)
	defer socket.set(1)
	timer := time.NewTimer(p.next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.hurried:
	case <-timer.C:
	}
	return true
}

// lowWater sets the number of bytes at which a socket signals. The zero value does nothing.
type lowWater struct{ raw syscall.RawConn }

// newLowWater works for any connection; those that are no sockets of the system are left alone.
func newLowWater(c net.Conn) lowWater {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return lowWater{raw}
		}
	}
	return lowWater{}
}

// set has no error: a failure costs time only, and a broken socket shows at the next read.
func (w lowWater) set(n int) {
	if w.raw != nil {
		w.raw.Control(func(fd uintptr) { setLowWater(fd, n) })
	}
}
