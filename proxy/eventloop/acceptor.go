package eventloop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/journal/seldom"
)

// An Acceptor's pause after an error, doubling. The usual error is a lack of descriptors, which
// ends when a client disconnects.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// maxHanded is the maximum number of connections on the way from an Acceptor to one loop. A loop
// takes them all in its next turn, before it reads its clients again, so this bounds the latency
// that a flood of connections adds to a command: some 50 µs per connection. Other connections wait
// in the kernel's queue.
const maxHanded = 8

// SplitAddress returns network and address, for package net, of an address in the form of the configuration:
// host:port or unix:/path.
func SplitAddress(address string) (network, addr string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// Listen listens on an address, host:port or unix:/path. It replaces the stale unix socket file of a dead
// process. Add sets the keepalive, so Listen sets none.
func Listen(address string) (net.Listener, error) {
	network, addr := SplitAddress(address)
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

// abandoned reports whether path is a socket without a listener.
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
	room  []chan struct{} // by loop: one element per connection on its way there
	add   func(l *Loop, nc net.Conn)
	log   *slog.Logger
	again seldom.Log
	done  chan struct{} // closed by Stop
	ended chan struct{} // closed when the goroutine has ended

	stop sync.Once
}

// Accept starts accepting on ln, which it owns from now on. Each connection is posted to the next
// of loops, where add runs and takes it over. After any error but a closed ln it pauses and accepts
// again. Errors go to log; nil: slog.Default().
func Accept(ln net.Listener, loops []*Loop, add func(l *Loop, nc net.Conn),
	log *slog.Logger) *Acceptor {
	if log == nil {
		log = slog.Default()
	}
	a := &Acceptor{
		ln: ln, loops: loops, add: add, log: log,
		done: make(chan struct{}), ended: make(chan struct{}),
	}
	for range loops {
		a.room = append(a.room, make(chan struct{}, maxHanded))
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

// Ended is closed when accepting has ended and every accepted connection is on its way to its loop.
func (a *Acceptor) Ended() <-chan struct{} { return a.ended }

// run is the acceptor's goroutine: stopped by Stop, joined by Wait.
func (a *Acceptor) run() {
	defer close(a.ended)
	pause := minAcceptPause
	for i := 0; ; {
		if i = a.takeRoom(i); i < 0 {
			return
		}
		nc, err := a.ln.Accept()
		if err == nil {
			pause = minAcceptPause
			a.hand(i, nc)
			i = (i + 1) % len(a.loops)
			continue
		}
		<-a.room[i]
		if errors.Is(err, net.ErrClosed) {
			return
		}
		a.again.Tell(a.log, slog.LevelWarn, "accept failed", err, "listener", a.ln.Addr().String())
		if !a.rest(pause) {
			return
		}
		pause = min(2*pause, maxAcceptPause)
	}
}

// takeRoom takes a place on the way to a loop: the first one free, beginning with loop i; if none
// is free it waits for one of loop i. It returns the loop, or -1 after Stop.
func (a *Acceptor) takeRoom(i int) int {
	for n := range a.loops {
		k := (i + n) % len(a.loops)
		select {
		case a.room[k] <- struct{}{}:
			return k
		default:
		}
	}
	select {
	case a.room[i] <- struct{}{}:
		return i
	case <-a.done:
		return -1
	}
}

// hand posts a connection to loop i. The caller has taken its place.
func (a *Acceptor) hand(i int, nc net.Conn) {
	l := a.loops[i]
	posted := l.Post(func() {
		<-a.room[i]
		a.add(l, nc)
	})
	if !posted {
		<-a.room[i]
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
