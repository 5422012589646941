package accept

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/proxy/eventloop"
)

// Defaults of Options.
const (
	DefaultRoom     = 1024
	DefaultTime     = 10 * time.Second
	DefaultPatience = 500 * time.Millisecond
)

// lookAgain is the interval at which a connection without room looks for peers that hang.
const lookAgain = 20 * time.Millisecond

// Options configure a Listener.
type Options struct {
	TLS *tls.Config // nil: plain

	// From are the peers whose connections begin with a header of the PROXY protocol; all others are
	// refused. Empty: there are no headers.
	From []netip.Prefix

	// Room bounds the connections between accept and loop; 0 is DefaultRoom.
	Room int
	// Time bounds one handshake; 0 is DefaultTime.
	Time time.Duration
	// Patience bounds each wait for a peer while other connections find no room; 0 is
	// DefaultPatience.
	Patience time.Duration
	// Turns bounds, by its capacity, the handshakes that compute at once. Several listeners may
	// share it; nil is no limit.
	Turns chan struct{}
	// Failed is called on the handshake's goroutine for each failure; nil: failures are only
	// counted.
	Failed func(remote net.Addr, o Outcome, err error)
}

// Listener hands out connections whose handshake is done: those of its listener, *eventloop.Secure
// with TLS, and either in a *Proxied where a header names another client.
type Listener struct {
	net.Listener
	opts   Options
	counts [NumOutcomes]atomic.Uint64

	room   chan struct{} // has an element for each connection between accept and loop
	ready  chan accepted
	done   chan struct{} // closed by Close
	close  sync.Once
	work   sync.WaitGroup // run
	greets sync.WaitGroup // greet

	mu      sync.Mutex
	shaking map[*greeting]struct{} // those whose handshake is not done
	closed  bool
}

// greeting is a connection on its way.
type greeting struct {
	nc      net.Conn
	secure  *eventloop.Secure // over nc; nil: plain
	reading atomic.Int64      // nanoseconds since 1970 when the header began to be read; 0: it is not
}

// waitsSince is when the peer began to be waited for; zero: it is not.
func (g *greeting) waitsSince() time.Time {
	if at := g.reading.Load(); at != 0 {
		return time.Unix(0, at)
	}
	if g.secure != nil {
		return g.secure.WaitsSince()
	}
	return time.Time{}
}

type accepted struct {
	nc  net.Conn
	err error
}

// Wrap starts to accept on ln and takes ownership of it.
func Wrap(ln net.Listener, o Options) *Listener {
	o.Room = cmp.Or(o.Room, DefaultRoom)
	o.Time = cmp.Or(o.Time, DefaultTime)
	o.Patience = cmp.Or(o.Patience, DefaultPatience)
	if o.Turns == nil {
		o.Turns = make(chan struct{}, o.Room)
	}
	l := &Listener{Listener: ln, opts: o, room: make(chan struct{}, o.Room),
		shaking: make(map[*greeting]struct{}), ready: make(chan accepted), done: make(chan struct{})}
	l.work.Add(1)
	go l.run()
	return l
}

// Count returns the number of handshakes with outcome o.
func (l *Listener) Count(o Outcome) uint64 { return l.counts[o].Load() }

// Accept returns the next connection that is ready, or an error of the listener below.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.nc, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and breaks off the handshakes in progress.
func (l *Listener) Close() (err error) {
	l.close.Do(func() {
		close(l.done)
		err = l.Listener.Close()
		l.mu.Lock()
		l.closed = true
		for g := range l.shaking {
			g.nc.Close()
		}
		l.mu.Unlock()
		l.work.Wait()
		l.greets.Wait()
	})
	return err
}

// Retire closes the listener below. The handshakes in progress go on, and Accept still returns their connections;
// behind the last one it returns net.ErrClosed.
func (l *Listener) Retire() error { return l.Listener.Close() }

// run accepts, on a goroutine that Close ends and joins.
func (l *Listener) run() {
	defer l.work.Done()
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				l.greets.Wait() // what Retire leaves; Close has cut them off
			}
			if !l.give(accepted{err: err}) {
				return
			}
			continue
		}
		if !l.enter(nc) {
			nc.Close()
			return
		}
	}
}

// give hands something to Accept; false: the listener is closed.
func (l *Listener) give(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.done:
		return false
	}
}

// enter waits for room for a connection, takes it from a peer that hangs where there is none, and
// begins the handshake. False: the listener is closed.
func (l *Listener) enter(nc net.Conn) bool {
	for {
		select {
		case l.room <- struct{}{}:
			return l.begin(nc)
		default:
		}
		l.breakOff()
		again := time.NewTimer(lookAgain)
		select {
		case l.room <- struct{}{}:
			again.Stop()
			return l.begin(nc)
		case <-again.C:
		case <-l.done:
			again.Stop()
			return false
		}
	}
}

// begin begins a handshake that has its room.
func (l *Listener) begin(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	g := &greeting{nc: nc}
	if l.opts.TLS != nil {
		g.secure = eventloop.Server(nc, l.opts.TLS)
	}
	l.shaking[g] = struct{}{}
	l.greets.Add(1)
	go l.greet(g)
	return true
}

// breakOff ends the handshake that has waited for its peer for longest, if that is too long.
func (l *Listener) breakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest *greeting
	since := time.Now().Add(-l.opts.Patience)
	for g := range l.shaking {
		if at := g.waitsSince(); !at.IsZero() && at.Before(since) {
			longest, since = g, at
		}
	}
	if longest != nil {
		longest.nc.Close()
		delete(l.shaking, longest)
	}
}

// greet is the way of one connection, a goroutine of its own; Close joins it.
func (l *Listener) greet(g *greeting) {
	defer l.greets.Done()
	defer func() { <-l.room }()
	nc, err := l.shake(g)
	l.mu.Lock()
	delete(l.shaking, g) // it may be gone
	ending := l.closed
	l.mu.Unlock()
	if err != nil {
		g.nc.Close()
		if !ending {
			l.failed(g.nc.RemoteAddr(), err)
		}
		return
	}
	l.counts[OK].Add(1)
	if !l.give(accepted{nc: nc}) {
		g.nc.Close()
	}
}

// shake reads the header and does the handshake, as far as there are any.
func (l *Listener) shake(g *greeting) (nc net.Conn, err error) {
	if err := g.nc.SetDeadline(time.Now().Add(l.opts.Time)); err != nil {
		return nil, err
	}
	remote := ""
	if len(l.opts.From) > 0 {
		if !trusted(g.nc.RemoteAddr(), l.opts.From) {
			return nil, errUntrusted
		}
		g.reading.Store(time.Now().UnixNano())
		remote, err = readHeader(g.nc)
		g.reading.Store(0)
		if err != nil {
			return nil, err
		}
	}
	nc = g.nc
	if g.secure != nil {
		nc = g.secure
		if err := g.secure.Shake(context.Background(), l.opts.Turns); err != nil {
			return nil, err
		}
	}
	if remote != "" {
		nc = &Proxied{Conn: nc, Remote: remote}
	}
	return nc, g.nc.SetDeadline(time.Time{})
}

func (l *Listener) failed(remote net.Addr, err error) {
	o := judge(err)
	l.counts[o].Add(1)
	if l.opts.Failed != nil {
		l.opts.Failed(remote, o, err)
	}
}
