package replay

import "errors"

var (
	// ErrNoPoint means that nothing in the journal is what the selector asks for: no such command,
	// no such timeline, an offset or a time outside of what is held.
	ErrNoPoint = errors.New("no such point")
	// ErrSkip means that a skip is not within what is replayed.
	ErrSkip = errors.New("nothing to skip there")
	// ErrNotEmpty means that the target holds data and Force was not given.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrRecorded means that the target is the server that the journal records and that Force was not
	// given.
	ErrRecorded = errors.New("the target is the server that this journal records")
	// ErrTarget means that the target cannot be restored as it is: it is a replica, a cluster
	// node, still loading, or refuses a command.
	ErrTarget = errors.New("the target cannot be restored")
	// ErrTooSmall means that the target has come to the point and would evict keys as a primary, so
	// that it was not made one.
	ErrTooSmall = errors.New("the target's maxmemory is too small")
	// ErrRejected means that the target came for the data again and again without loading it; its
	// log says why. A server does not load snapshots of a newer format than its own.
	ErrRejected = errors.New("the target does not load the snapshot")
	// ErrExists means that an export would overwrite something.
	ErrExists = errors.New("the folder is not empty")
)
