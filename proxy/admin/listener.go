package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/takeover"
)

// listen opens the console's address.
func (o *Options) listen() (net.Listener, error) {
	address := o.Address
	network, addr := eventloop.SplitAddress(address)
	ln, err := o.Listen(address)
	if err == nil && network == "unix" {
		if err = closeToOthers(ln, addr); err != nil {
			err = errors.Join(err, ln.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w on %s for the console: %w", ErrListen, address, err)
	}
	return ln, nil
}

// closeToOthers keeps other users from the console. The file of the service manager's socket has the mode that its unit
// gives it.
func closeToOthers(ln net.Listener, path string) error {
	if !takeover.Kept(ln) {
		return os.Chmod(path, 0o600)
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s has the mode %v, by which other users reach the console: set SocketMode=0600 in its socket unit",
			path, info.Mode().Perm())
	}
	return err
}

// Pauses of the accept loop after an error such as too many open files.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// clientListener gives clients their places and frames their input. redcon's own loop would retry a
// failing accept at once and for ever.
type clientListener struct {
	net.Listener
	places    *places
	strangers *strangerPace
	lastID    atomic.Uint64
	log       *slog.Logger
	again     seldom.Log
	ctx       context.Context // ends with Stop
	wrap      func(nc net.Conn, id uint64) *client
}

// Accept implements net.Listener. Its connections are *framedConn.
func (l *clientListener) Accept() (net.Conn, error) {
	wait := minAcceptPause
	for {
		if l.strangers.turn(l.ctx) != nil {
			return nil, net.ErrClosed
		}
		nc, err := l.Listener.Accept()
		switch {
		case err == nil:
			c := l.framed(nc)
			l.places.enter(c)
			return c, nil
		case errors.Is(err, net.ErrClosed):
			return nil, err
		default:
			l.again.Tell(l.log, slog.LevelWarn, "console cannot accept", err)
			if pause(l.ctx, wait) != nil {
				return nil, net.ErrClosed
			}
			wait = min(2*wait, maxAcceptPause)
		}
	}
}

func (l *clientListener) framed(nc net.Conn) *framedConn {
	c := l.wrap(nc, l.lastID.Add(1))
	return &framedConn{Conn: nc, client: c, host: c.host, places: l.places}
}
