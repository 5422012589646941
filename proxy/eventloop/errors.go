package eventloop

import "errors"

var (
	// ErrStopped: OnClose reports it for connections open when the loop stopped, and Add returns it
	// from then on.
	ErrStopped = errors.New("eventloop: loop stopped")

	// ErrDriver: Options.Driver names a driver that this system does not have.
	ErrDriver = errors.New("eventloop: no such driver")

	// ErrPeerGone: the peer closed both directions, and the kernel gives no further reason.
	ErrPeerGone = errors.New("eventloop: peer closed the connection")

	// errUnread ends a TLS connection whose peer asks crypto/tls for answers and does not read them.
	errUnread = errors.New("eventloop: the peer reads no answers to its TLS messages")
)
