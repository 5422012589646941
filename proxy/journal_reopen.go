package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/proxy/upstream"
)

// A disk that fails can work again: a cable, a controller, a file system that was mounted read-only
// and is mounted anew. The journal itself does not try after its second error: it knows what is
// durable and nothing else. So it is closed and opened again, which recovers the folder as after a
// crash, and the tap asks the server's backlog for everything behind what was durable. If that is
// gone, the tap records the gap. Nothing that was confirmed is affected, and nothing is confirmed
// meanwhile.

// retryMost is the longest pause between attempts.
const retryMost = time.Minute

// run is the goroutine that keeps a tap attached, and the journal open. Ended and joined by detach.
func (r *recorder) run(ctx context.Context, t *tap.Tap, up upstream.Options, done chan struct{}) {
	defer close(done)
	for t != nil {
		err := t.Run(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		_, o, _ := r.parts()
		r.log.Error("journal: nothing is recorded until it can be opened again", "error", err)
		t = r.resume(ctx, o.Retry, up)
	}
}

// resume tries until the journal works again, and answers its new tap. It is nil at the end of the
// context, or where only a person can help.
func (r *recorder) resume(ctx context.Context, pause time.Duration, up upstream.Options) *tap.Tap {
	if pause <= 0 {
		pause = time.Second
	}
	last := ""
	for ; ; pause = min(2*pause, max(pause, retryMost)) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		t, err := r.again(up)
		if err == nil {
			r.closed.Store(nil)
			r.log.Warn("journal: open again, and attaching", "times", r.reopens.Load())
			r.notify()
			return t
		}
		r.closed.Store(&err)
		var damage *journal.DamageError
		if errors.As(err, &damage) {
			r.log.Error("journal: damaged; it is left as it is, and nothing is recorded until "+
				"it was looked at and the proxy is started anew", "error", err)
			return nil
		}
		if text := err.Error(); text != last {
			last = text
			r.log.Error("journal: cannot be opened again yet", "error", err, "next", 2*pause)
		}
	}
}

// failure is why the journal has failed and why it could not be opened again.
func (r *recorder) failure() error {
	err := r.journal.Load().Err()
	if why := r.closed.Load(); err != nil && why != nil {
		return fmt.Errorf("%w; since then: %w", err, *why)
	}
	return err
}

// again opens the journal if it has failed, and makes a new tap.
func (r *recorder) again(up upstream.Options) (*tap.Tap, error) {
	_, o, _ := r.parts()
	if old := r.journal.Load(); old.Err() != nil {
		_ = old.Close() // its error is why we are here; what counts is that the folder is free
		if err := r.open(o); err != nil {
			return nil, err
		}
		r.reopens.Add(1)
	}
	return r.newTap(o, up)
}
