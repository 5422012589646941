package eventloop

import (
	"net"
	"time"
)

const (
	driverEpoll    = "epoll"
	driverPortable = "portable"
)

// driver waits for events on behalf of one loop. All methods but wake are the loop's only.
type driver interface {
	// adopt takes nc over and sets c.t. On error nc is still the caller's.
	adopt(c *Conn, nc net.Conn) error
	// wait blocks until there are events, wake is called, or ns nanoseconds have passed; 0 does
	// not block, negative has no limit.
	wait(ns int64) error
	// dispatch delivers the events that wait found.
	dispatch()
	// wake ends the current or the next wait. It may be called from any goroutine, even after free.
	wake()
	// free releases the driver once all connections are closed.
	free()
}

// transport is how a connection reaches its peer: the epoll driver, or a bridge of its own. The
// methods may not call the handler, except attend.
type transport interface {
	// flush sends as much of c.out, which is not empty, as the peer takes. It accounts for it by
	// Loop.wrote, and sets stateWaiting and stateStalled if output is left.
	flush(c *Conn)
	// drained is called once the output is empty after a stall.
	drained(c *Conn)
	// resume has input delivered again after a pause.
	resume(c *Conn)
	// attend is called in the turn after Loop.attendLater, outside any call of the owner.
	attend(c *Conn)
	// halfClose shuts the sending side and has input read, to be discarded.
	halfClose(c *Conn) error
	// close frees the descriptor. It does not block.
	close(c *Conn)
	// keepAlive sets the TCP keepalive idle time, 0 for off.
	keepAlive(c *Conn, idle time.Duration) error
}

func newDriver(l *Loop, name string) (driver, error) {
	if name == "" {
		name = bestDriver
	}
	if name == driverEpoll {
		return newEpoll(l)
	}
	return newPortable(l), nil
}
