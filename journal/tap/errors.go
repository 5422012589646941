package tap

import "errors"

var (
	// ErrRefused means that the primary answered PSYNC or an earlier command with an error; the
	// text has the primary's words.
	ErrRefused = errors.New("the primary refused replication")
	// ErrHandshake means that the primary's answer violates the protocol.
	ErrHandshake = errors.New("unexpected answer in the replication handshake")
	// ErrSnapshot means that a snapshot was cut short, or is not of the history and offset that the
	// primary announced.
	ErrSnapshot = errors.New("broken snapshot")
	// ErrBehind means that the server is a replica that lacks a part of the history that its primary
	// shares with the journal: it is catching up.
	ErrBehind = errors.New("the server is a replica that is behind its primary")
	// ErrDetached is returned by Snapshot while no primary is attached.
	ErrDetached = errors.New("no primary is attached")
	// ErrMoved means that the history changed while a base was being taken; the base is dropped and
	// another one is taken of the new history.
	ErrMoved = errors.New("the history changed while a base was taken")

	// errRedirected ends a connection because Redirect named another primary.
	errRedirected = errors.New("another primary was named")
)
