package tap

import (
	"context"
	"errors"
	"time"
)

// forkRetryMax bounds the pause after a failed snapshot that the replication connection needs. It
// is shorter than that of further bases: without this one nothing is recorded.
const forkRetryMax = time.Minute

// snapshotFailed says that a connection ended with its initial snapshot. The server has forked for
// it, so the pause before the next attempt is longer than after other errors.
type snapshotFailed struct{ err error }

// Error implements error.
func (e *snapshotFailed) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *snapshotFailed) Unwrap() error { return e.err }

// forks paces the attempts that make the server fork.
type forks struct{ pause time.Duration }

// after is the least pause after an attempt that ended with err.
func (f *forks) after(err error) time.Duration {
	var failed *snapshotFailed
	if !errors.As(err, &failed) {
		f.pause = 0
		return 0
	}
	f.pause = min(max(2*f.pause, baseRetryMin), forkRetryMax)
	return f.pause
}

// noteBase keeps the reason that a base failed; nil: it succeeded. A history that changed
// meanwhile, and a tap that ends, are no failures.
func (t *Tap) noteBase(ctx context.Context, err error) {
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrMoved)) {
		return
	}
	t.stats.update(func(s *Stats) {
		switch {
		case err == nil:
			s.BaseErr, s.BaseFailing, s.BaseSince = nil, 0, time.Time{}
		case s.BaseFailing == 0:
			s.BaseSince = time.Now()
			fallthrough
		default:
			s.BaseErr = err
			s.BaseFailing++
		}
	})
	t.opts.OnChange()
}

// failing reports that the last base failed.
func (t *Tap) failing() bool {
	t.stats.mu.Lock()
	defer t.stats.mu.Unlock()
	return t.stats.s.BaseErr != nil
}
