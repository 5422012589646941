package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
)

// listen binds address. A socket file that a killed process left behind is replaced.
func listen(address string) (net.Listener, error) {
	network, addr := splitAddress(address)
	ln, err := eventloop.Listen(network, addr)
	if err == nil && network == "unix" {
		if err = os.Chmod(addr, 0o600); err != nil {
			err = errors.Join(err, ln.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w on %s for the console: %w", ErrListen, address, err)
	}
	return ln, nil
}

// Pauses of the accept loop after an error such as too many open files.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// clientListener bounds the number of clients and puts framing in front of each. redcon's own
// loop would retry a failing accept at once and for ever.
type clientListener struct {
	net.Listener
	max    int64
	count  atomic.Int64
	lastID atomic.Uint64
	log    *slog.Logger
	quit   <-chan struct{}
	wrap   func(nc net.Conn, id uint64) *client
}

// Accept implements net.Listener. Its connections are *framedConn.
func (l *clientListener) Accept() (net.Conn, error) {
	pause := minAcceptPause
	for {
		nc, err := l.Listener.Accept()
		switch {
		case err == nil && l.count.Add(1) <= l.max:
			return l.framed(nc), nil
		case err == nil:
			l.count.Add(-1)
			l.reject(nc)
		case errors.Is(err, net.ErrClosed):
			return nil, err
		default:
			l.log.Warn("console cannot accept", "err", err, "retry_in", pause)
			select {
			case <-l.quit:
				return nil, net.ErrClosed
			case <-time.After(pause):
			}
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

func (l *clientListener) framed(nc net.Conn) *framedConn {
	c := l.wrap(nc, l.lastID.Add(1))
	return &framedConn{Conn: nc, client: c}
}

// release gives back the place of a client that has gone.
func (l *clientListener) release() { l.count.Add(-1) }

// reject answers with an error. A fresh connection has room for it, so it does not wait.
func (l *clientListener) reject(nc net.Conn) {
	l.log.Warn("console client refused: too many", "addr", nc.RemoteAddr().String(), "max", l.max)
	_ = nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = nc.Write(resp.AppendError(nil, string(errMaxClients)))
	_ = nc.Close()
}
