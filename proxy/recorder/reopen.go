package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/seldom"
	"holdfast/journal/tap"
	"holdfast/proxy/upstream"
)

// A failed disk can recover: a cable, a controller, a file system that was mounted read-only and is
// mounted read-write again. The journal itself does not try again after its second error: it is
// sure only of its durable position. So it is closed and reopened, which recovers the folder as
// after a crash, and the tap asks the server's backlog for the stream from that position. If the
// backlog no longer has it, the tap records the gap. Earlier confirmations hold, and there are no
// new ones meanwhile.

// retryMost is the longest pause between attempts.
const retryMost = time.Minute

// run keeps a tap attached and the journal open. It is a goroutine, ended and joined by detach.
func (r *Recorder) run(ctx context.Context, t *tap.Tap, up upstream.Options, done chan struct{}) {
	defer close(done)
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { r.scrub.run(ctx, r) })
	beside.Go(func() { r.logRoom(ctx) })
	beside.Go(func() { r.repairs.guardRole(ctx, r) })
	for t != nil {
		err := t.Run(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		r.log.Error("journal: nothing is recorded until it can be opened again", "error", err)
		t = r.resume(ctx, r.options().Retry, up)
	}
}

// resume retries until the journal works again, and returns its new tap; nil if the context ends,
// or if only a person can help.
func (r *Recorder) resume(ctx context.Context, pause time.Duration, up upstream.Options) *tap.Tap {
	if pause <= 0 {
		pause = time.Second
	}
	var said seldom.Log
	for ; ; pause = min(2*pause, max(pause, retryMost)) {
		if ctxtime.Sleep(ctx, pause) != nil {
			return nil
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
				"you have looked at it and restarted the proxy", "error", err)
			return nil
		}
		said.Tell(r.log, slog.LevelError, "journal: cannot be opened again yet", err, "next", 2*pause)
	}
}

// failure says why the journal failed and why it could not be reopened.
func (r *Recorder) failure() error {
	err := r.journal.Load().Err()
	if why := r.closed.Load(); err != nil && why != nil {
		return fmt.Errorf("%w; since then: %w", err, *why)
	}
	return err
}

// again reopens a failed journal, and makes a new tap.
func (r *Recorder) again(up upstream.Options) (*tap.Tap, error) {
	o := r.options()
	if old := r.journal.Load(); old.Err() != nil {
		_ = old.Close() // its error is known already; closing frees the folder
		if err := r.openOrMove(o); err != nil {
			return nil, err
		}
		r.reopens.Add(1)
	}
	return r.newTap(o, up)
}
