package replay

import "errors"

var (
	// ErrNoPoint means that nothing in the journal matches the selector: no such command, no such
	// timeline, an offset or a time outside of its range.
	ErrNoPoint = errors.New("no such point")
	// ErrBranches means that there are two ends, and that the one outside of the present history
	// has more. The text has when each ended, and how many keys it had.
	ErrBranches = errors.New("the end of which history")
	// ErrSkip means that a skip lies outside the replayed range.
	ErrSkip = errors.New("nothing to skip there")
	// ErrNotEmpty means that the target holds data and Force was not given.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrRecorded means that the target is the server that the journal records and that Force was
	// not given.
	ErrRecorded = errors.New("the target is the server that this journal records")
	// ErrTarget means that the target cannot be restored as it is: it is a replica, a cluster
	// node, still loading, or refuses a command.
	ErrTarget = errors.New("the target cannot be restored")
	// ErrTooSmall means that the target has come to the point and would evict keys as a primary, so
	// it was not promoted.
	ErrTooSmall = errors.New("the target's maxmemory is too small")
	// ErrRejected means that the target requested the data several times without loading it; its
	// log says why. A server does not load snapshots of a newer format than its own.
	ErrRejected = errors.New("the target does not load the snapshot")
	// ErrWatched means that sentinels watch the target and SentinelPaused was not given.
	ErrWatched = errors.New("sentinels watch the target")
	// ErrTaken means that the target is no longer our replica: it was restarted, promoted or given
	// another primary in the middle.
	ErrTaken = errors.New("the target was taken away")
	// ErrFeeding means that another proxy, or another repair, is feeding the server at this moment.
	ErrFeeding = errors.New("another feed of the server is under way")
	// ErrDiverged means that the target has come to the point and could not execute all of the
	// stream, so that its data differs from the recorded one. It was not promoted.
	ErrDiverged = errors.New("the target did not understand all of the stream")
	// ErrTail means that the journal lacks a part of the recorded server's stream, which a restore
	// to the end would lose.
	ErrTail = errors.New("the journal is behind the server")
	// ErrCounts means that the target has come to the point with a number of keys that contradicts
	// the journal. It was not promoted.
	ErrCounts = errors.New("the target holds another number of keys than the journal says")
	// ErrBackup means that a restore cannot continue from a backup; the text says why.
	ErrBackup = errors.New("cannot be continued from")
	// ErrExists means that an export would overwrite a file.
	ErrExists = errors.New("the folder is not empty")
)
