package eventloop

import "errors"

var (
	// ErrStopped is what OnClose reports for connections that were open when the loop stopped,
	// and what Add returns from then on.
	ErrStopped = errors.New("eventloop: loop stopped")

	// ErrDriver says that Options.Driver names a driver that this system does not have.
	ErrDriver = errors.New("eventloop: no such driver")

	// ErrPeerGone is what OnClose reports when the peer closed both directions and the kernel
	// keeps no error that would say more.
	ErrPeerGone = errors.New("eventloop: peer closed the connection")
)
