package tap

import (
	"context"
	"errors"
	"math/rand/v2"
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
	defer t.work.Wait()
	defer cancel()
	return t.stayAttached(ctx)
}

// endWithJournal ends the tap with its journal: the primary may have nothing to say for a while,
// and should see at once that nobody keeps what it sends.
func (t *Tap) endWithJournal(ctx context.Context, cancel func()) {
	select {
	case <-ctx.Done():
	case <-t.opts.Journal.Failed():
		cancel()
	}
}

// lookBack finds out what the journal has.
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
		t.stats.update(func(s *Stats) { s.LastErr = err })
		t.enter(Connecting)
		t.report(err)
		if time.Since(began) > t.opts.BackoffMax || errors.Is(err, errRedirected) {
			pause = t.opts.BackoffMin
		}
		if !t.backOff(ctx, pause/2+rand.N(pause/2+1)) {
			return t.opts.Journal.Err()
		}
		pause = min(2*pause, t.opts.BackoffMax)
	}
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

// report logs why the tap is not attached, once until that changes.
func (t *Tap) report(err error) {
	t.mu.Lock()
	again := t.reported == err.Error()
	t.reported = err.Error()
	t.mu.Unlock()
	if !again {
		t.log.Warn("journal: not attached", "primary", t.address(), "error", err)
	}
}

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

// attempt is one connection from its beginning to its end, which always has a reason.
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
