package eventloop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// How long an Acceptor waits after an error, doubling: out of descriptors is the usual one, and it
// passes when somebody disconnects.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Listen listens on "tcp" or "unix" addresses. A unix socket file that nobody answers at, which an
// ended process has left behind, is replaced. Add sets the keepalive, so none is set here.
func Listen(network, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), network, addr)
	if err == nil || network != "unix" || !abandoned(addr) {
		return ln, err
	}
	if err := os.Remove(addr); err != nil {
		return nil, fmt.Errorf("eventloop: stale socket: %w", err)
	}
	return lc.Listen(context.Background(), network, addr)
}

// abandoned says whether path is a socket at which nobody listens.
func abandoned(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		nc.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Acceptor accepts connections on one goroutine and hands them to loops in turn.
type Acceptor struct {
	// Immutable after Accept.
	ln    net.Listener
	loops []*Loop
	add   func(l *Loop, nc net.Conn)
	log   *slog.Logger
	done  chan struct{} // closed by Stop
	ended chan struct{} // closed when the goroutine has ended

	stop sync.Once
}

// Accept starts accepting on ln, which it owns from now on. Each connection is posted to the next
// of loops, where add runs and takes it over. It goes on, with a pause, after any error but that ln
// is closed; errors go to log, which may be nil for slog.Default().
func Accept(ln net.Listener, loops []*Loop, add func(l *Loop, nc net.Conn),
	log *slog.Logger) *Acceptor {
	if log == nil {
		log = slog.Default()
	}
	a := &Acceptor{
		ln: ln, loops: loops, add: add, log: log,
		done: make(chan struct{}), ended: make(chan struct{}),
	}
	go a.run()
	return a
}

// Stop closes the listener. Connections that were accepted before are still handed over.
func (a *Acceptor) Stop() {
	a.stop.Do(func() {
		close(a.done)
		a.ln.Close()
	})
}

// Wait blocks until accepting has ended.
func (a *Acceptor) Wait() { <-a.ended }

// run is the acceptor's goroutine: stopped by Stop, joined by Wait.
func (a *Acceptor) run() {
	defer close(a.ended)
	pause := minAcceptPause
	for i := 0; ; {
		nc, err := a.ln.Accept()
		if err == nil {
			pause = minAcceptPause
			a.hand(a.loops[i], nc)
			i = (i + 1) % len(a.loops)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		a.log.Warn("accept failed", "listener", a.ln.Addr().String(), "err", err,
			"pause", pause)
		if !a.rest(pause) {
			return
		}
		pause = min(2*pause, maxAcceptPause)
	}
}

func (a *Acceptor) hand(l *Loop, nc net.Conn) {
	if !l.Post(func() { a.add(l, nc) }) {
		nc.Close()
	}
}

// rest waits for d; false means that Stop was called.
func (a *Acceptor) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.done:
		return false
	}
}
