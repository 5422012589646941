package tap

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"holdfast/journal"
)

const (
	baseCheckEvery = time.Second     // interval of the check
	baseRetryMin   = time.Second     // after a failure; doubles
	baseRetryMax   = 5 * time.Minute //
	catchUpEvery   = 5 * time.Millisecond
)

// snapshotRequest asks the base goroutine for a base now.
type snapshotRequest struct {
	ctx  context.Context
	done chan snapshotResult // has room for one
}

type snapshotResult struct {
	base journal.Base
	err  error
}

// Snapshot takes a base now and returns when it is durable. One is taken at a time.
func (t *Tap) Snapshot(ctx context.Context) (journal.Base, error) {
	req := snapshotRequest{ctx: ctx, done: make(chan snapshotResult, 1)}
	select {
	case t.snapshots <- req:
	case <-ctx.Done():
		return journal.Base{}, ctx.Err()
	}
	select {
	case r := <-req.done:
		return r.base, r.err
	case <-ctx.Done():
		return journal.Base{}, ctx.Err()
	}
}

// keepBases takes bases when they are due or requested, until the context ends.
func (t *Tap) keepBases(ctx context.Context) {
	ticker := time.NewTicker(baseCheckEvery)
	defer ticker.Stop()
	retry, notBefore := baseRetryMin, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case req := <-t.snapshots:
			base, err := t.snapshotFor(ctx, req.ctx)
			req.done <- snapshotResult{base, err}
			continue
		case <-t.recheck:
		case <-ticker.C:
		}
		if time.Now().Before(notBefore) || !t.Attached() || !t.baseDue() {
			continue
		}
		if _, err := t.takeBase(ctx); err != nil {
			notBefore, retry = time.Now().Add(retry), min(2*retry, baseRetryMax)
			continue
		}
		retry = baseRetryMin
	}
}

// snapshotFor takes a requested base; the requester may give up.
func (t *Tap) snapshotFor(ctx, asked context.Context) (journal.Base, error) {
	if !t.Attached() {
		return journal.Base{}, ErrDetached
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(asked, cancel)
	defer stop()
	return t.takeBase(ctx)
}

// baseDue reports whether a base must be taken: none leads here, or the newest one is too old or
// too far away.
func (t *Tap) baseDue() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.Covered() {
		return t.committing == 0
	}
	p := t.opts.Base
	// The newest base may be an ancestor's: offsets go on when a timeline continues another one.
	behind := t.opts.Journal.Received().Offset - t.lastBase.Offset
	if t.early(behind) || t.failing() { // which stands until one comes
		return true
	}
	return p.Every > 0 && time.Since(t.lastBase.Time) >= p.Every || p.Bytes > 0 && behind >= p.Bytes
}

// earlyBytes is the least stream that justifies a base before its time.
const earlyBytes = 64 << 20

// early reports whether a base would save space on a disk that fills: the stream since the newest
// one is longer than that base, so that a fresh one lets retention drop more at disk.stop than the
// fresh one takes. The caller holds mu.
func (t *Tap) early(behind int64) bool {
	j := t.opts.Journal
	return j.State() == journal.StateWarn && behind > max(t.lastBase.Size, earlyBytes) &&
		j.RoomFor(t.lastBase.Size) == nil
}

// takeBase takes a base over a connection of its own and counts the outcome.
func (t *Tap) takeBase(ctx context.Context) (journal.Base, error) {
	t.stats.update(func(s *Stats) { s.BaseRunning = true })
	base, err := t.fetchBase(ctx)
	t.stats.update(func(s *Stats) {
		s.BaseRunning = false
		if err != nil {
			s.BaseErrors++
		} else {
			s.Bases++
		}
	})
	t.noteBase(ctx, err)
	if err != nil && ctx.Err() == nil {
		t.again.Tell(t.log, slog.LevelWarn, "journal: taking a base failed", err)
	}
	return base, err
}

// fetchBase asks the primary for a snapshot alone (REPLCONF rdb-only). Its offset is one of the
// stream that the replication connection receives anyway, which is where the two are joined.
//
// A snapshot that can wait is not begun where the last one would not fit: it would fill the disk,
// force retention to drop all it may, stop the acknowledgements, and fail in the end.
func (t *Tap) fetchBase(ctx context.Context) (journal.Base, error) {
	t.mu.Lock()
	size := t.lastBase.Size
	t.mu.Unlock()
	if t.Covered() {
		if err := t.opts.Journal.RoomFor(size); err != nil {
			return journal.Base{}, err
		}
	}
	words := t.openLog(ctx)
	base, err := t.snapshotAlone(ctx)
	return base, words.explain(err)
}

// snapshotAlone is fetchBase's connection.
func (t *Tap) snapshotAlone(ctx context.Context) (journal.Base, error) {
	snapshot := func(*primaryInfo) psync { return psync{"?", -1, false} }
	l, err := t.connect(ctx, snapshot, "rdb-only", "1")
	if err != nil {
		return journal.Base{}, err
	}
	defer l.close()
	if !l.answer.full {
		return journal.Base{}, fmt.Errorf("%w: +CONTINUE to PSYNC ?", ErrHandshake)
	}
	tl, began, err := t.awaitOffset(ctx, l.answer)
	if err != nil {
		return journal.Base{}, err
	}
	w, db, err := t.receiveBase(l)
	if err != nil {
		return journal.Base{}, err
	}
	info := journal.BaseInfo{Timeline: tl, Offset: l.answer.offset, DB: db, Time: began}
	return t.commitBase(ctx, w, info)
}

// awaitOffset waits until the journal has received everything below the snapshot's offset. The time
// of that arrival is the snapshot's, on the same clock as the stream's.
func (t *Tap) awaitOffset(ctx context.Context, a answer) (journal.TimelineID, time.Time, error) {
	t.Hurry()
	deadline := time.Now().Add(t.opts.Timeout)
	ticker := time.NewTicker(catchUpEvery)
	defer ticker.Stop()
	for {
		cur, ok := t.opts.Journal.Current()
		if !ok || cur.ReplID != a.replID || cur.Start > a.offset {
			return 0, time.Time{}, fmt.Errorf("%w: base at %d of %s, journal at %d of %s", ErrMoved,
				a.offset, a.replID, cur.End, cur.ReplID)
		}
		if cur.End >= a.offset {
			return cur.ID, time.Now(), nil
		}
		if time.Now().After(deadline) {
			return 0, time.Time{}, fmt.Errorf("%w: the stream has not come to offset %d", ErrMoved,
				a.offset)
		}
		select {
		case <-ctx.Done():
			return 0, time.Time{}, ctx.Err()
		case <-ticker.C:
		}
	}
}

// receiveBase streams a snapshot into a new base, checks it against the primary's announcement, and
// returns the writer and the database that the stream has selected there.
func (t *Tap) receiveBase(l *link) (*journal.BaseWriter, int, error) {
	w, err := t.opts.Journal.NewBase()
	if err != nil {
		return nil, 0, err
	}
	if t.Covered() {
		w.Wait()
	}
	h, err := readSnapshot(l.Conn, t.opts.Timeout, w)
	if err == nil && h.Placed() && (h.ReplID != l.answer.replID || h.Offset != l.answer.offset) {
		err = fmt.Errorf("%w: announced at %d of %s, but it says %d of %s", ErrSnapshot,
			l.answer.offset, l.answer.replID, h.Offset, h.ReplID)
	}
	if err != nil {
		w.Abort()
		return nil, 0, err
	}
	return w, h.StreamDB, nil
}

// commitBase makes a base durable. From then on the stream behind it is covered, if its timeline is
// still the current one.
func (t *Tap) commitBase(ctx context.Context, w *journal.BaseWriter, info journal.BaseInfo) (
	journal.Base, error,
) {
	base, err := w.Commit(ctx, info)
	if err != nil {
		return base, err
	}
	t.mu.Lock()
	t.lastBase = base
	t.mu.Unlock()
	t.log.Info("journal: base taken", "timeline", base.Timeline, "offset", base.Offset,
		"bytes", base.Size, "file", base.File)
	return base, t.refreshCovered()
}

func (t *Tap) addCommitting(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committing += n
}
