package tap

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"time"

	"holdfast/journal"
)

// Run keeps the journal attached until the context ends, which is no error, or the journal fails.
func (t *Tap) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer t.enter(Stopped)
	t.life = ctx
	if err := t.lookBack(); err != nil {
		cancel()
		return err
	}
	t.work.Go(func() { t.keepBases(ctx) })
	t.work.Go(func() { t.endWithJournal(ctx, cancel) })
	t.work.Go(func() { t.keepMark(ctx) })
	defer t.work.Wait()
	defer cancel()
	return t.stayAttached(ctx)
}

// endWithJournal ends the tap with its journal: the primary may send nothing for a while, and
// should see at once that its replica is gone.
func (t *Tap) endWithJournal(ctx context.Context, cancel func()) {
	select {
	case <-ctx.Done():
	case <-t.opts.Journal.Failed():
		cancel()
	}
}

// lookBack restores the tap's state from the journal.
func (t *Tap) lookBack() error {
	if err := t.refreshCovered(); err != nil {
		return err
	}
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	cur, ok := view.Current()
	if !ok || !t.Covered() {
		return nil
	}
	t.lastBase, err = view.BaseFor(cur.ID, cur.End)
	return err
}

// stayAttached makes one connection after another.
func (t *Tap) stayAttached(ctx context.Context) error {
	pause := t.opts.BackoffMin
	var f forks
	var lost time.Time // break of the last link that streamed
	for {
		began := time.Now()
		err := t.attempt(ctx)
		if jerr := t.opts.Journal.Err(); jerr != nil {
			return jerr
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, journal.ErrClosed) {
			return err
		}
		if t.Attached() {
			lost = time.Now()
		}
		t.stats.update(func(s *Stats) { s.LastErr = err })
		t.enter(Connecting)
		t.report(err)
		if time.Since(began) > t.opts.BackoffMax || errors.Is(err, errRedirected) {
			pause = t.opts.BackoffMin
		}
		if time.Since(lost) < eagerFor && isDown(err) {
			if !t.backOff(ctx, min(eagerPause, pause)) {
				return t.opts.Journal.Err()
			}
			continue
		}
		if !t.backOff(ctx, max(f.after(err), pause/2+rand.N(pause/2+1))) {
			return t.opts.Journal.Err()
		}
		pause = min(2*pause, t.opts.BackoffMax)
	}
}

// A server that was just there may be restarting. The size of the file that it loads is visible
// only until the first write, so the tap tries to be the first to connect.
const (
	eagerFor   = 10 * time.Second
	eagerPause = 20 * time.Millisecond
)

// isDown reports whether a connection ended, or could not be made, for lack of a server.
func isDown(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.ENOENT) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// backOff waits before the next attempt, unless another primary is named; false means that the
// context ended.
func (t *Tap) backOff(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.moved:
	case <-timer.C:
	}
	return true
}

// report logs why the tap is not attached.
func (t *Tap) report(err error) {
	t.again.Tell(t.log, slog.LevelWarn, notAttached, err, "primary", t.address())
}

const notAttached = "journal: not attached"

// refreshCovered works out whether a base leads to the end of the current timeline.
func (t *Tap) refreshCovered() error {
	t.coverage.Lock()
	defer t.coverage.Unlock()
	return t.refreshCoveredLocked()
}

func (t *Tap) refreshCoveredLocked() error {
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	cur, ok := view.Current()
	if !ok {
		return nil
	}
	_, err = view.BaseFor(cur.ID, cur.End)
	if err != nil {
		cur.ID = 0
	}
	t.cover(cur.ID)
	if errors.Is(err, journal.ErrNoBase) || errors.Is(err, journal.ErrGap) {
		return nil
	}
	return err
}

// attempt makes one connection, from its beginning to its end, which always has a reason.
func (t *Tap) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.mu.Lock()
	t.redirect = func() { cancel(errRedirected) }
	t.mu.Unlock()
	t.stats.update(func(s *Stats) { s.Connects++ })
	err := t.connection(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
