package takeover

import "errors"

var (
	// ErrUnsupported: this system has no abstract unix sockets.
	ErrUnsupported = errors.New("takeover: only Linux can hand sockets over")
	// ErrGone: the other process has ended, or has closed the connection.
	ErrGone = errors.New("takeover: the other process has gone")
	// ErrForeign: the other process belongs to another user.
	ErrForeign = errors.New("takeover: the other process runs as another user")
)

// A Refusal is the old process's reason against a takeover. It serves on.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return "the running proxy refuses: " + r.Text }
