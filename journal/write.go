package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"holdfast/journal/segment"
)

// runWriter is the goroutine that owns the segment: no other goroutine writes to it or syncs it.
func (j *Journal) runWriter() {
	defer j.stopped.Done()
	defer close(j.watch.in)
	for j.take() {
		if err := j.commit(); err != nil {
			j.fail(err)
			return
		}
		j.publish()
	}
}

// take waits for work and moves it into j.batch. It returns false when the journal is closing and
// no work is left.
func (j *Journal) take() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.queue) == 0 && j.filling == nil {
		if j.closing {
			return false
		}
		j.work.Wait()
	}
	j.gatherLocked()
	j.gather.taken()
	if len(j.queue) < batchBlocks {
		j.queueLocked()
	}
	n := min(len(j.queue), batchBlocks)
	j.batch = append(j.batch[:0], j.queue[:n]...)
	rest := copy(j.queue, j.queue[n:])
	clear(j.queue[rest:])
	j.queue = j.queue[:rest]
	j.batchBytes = 0
	for _, b := range j.batch {
		j.batchBytes += int64(b.Len())
	}
	return true
}

// commit makes the batch durable, retrying in a new segment.
func (j *Journal) commit() error {
	if err := j.awaitRoom(); err != nil {
		return err
	}
	if j.mustRotate() {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	for tries := 1; ; tries++ {
		err := j.writeBatch()
		if err == nil {
			return nil
		}
		j.noteError(err)
		if tries > 1 && !isFull(err) {
			return err
		}
		if err := j.moveOn(); err != nil {
			return err
		}
	}
}

func (j *Journal) writeBatch() error {
	if err := j.out.Write(j.batch, j.opts.Now().UnixNano()); err != nil {
		return err
	}
	start := time.Now()
	err := j.out.Sync()
	j.noteFsync(time.Since(start))
	return err
}

// publish announces that the batch is durable.
func (j *Journal) publish() {
	j.mu.Lock()
	frames := uint64(0)
	var bytes int64
	for _, b := range j.batch {
		for i := range b.Frames() {
			f, payload := b.Frame(i)
			if f.Type == segment.Commit {
				continue
			}
			frames++
			bytes += j.enterLocked(f, payload)
		}
	}
	batch := j.settleLocked(frames, bytes)
	j.mu.Unlock()
	if batch != nil {
		defer func() { j.watch.in <- batch }()
	}
	if subs := j.subs.Load(); subs != nil {
		p := j.Durable()
		for _, s := range *subs {
			s.call(p)
		}
	}
}

// enterLocked enters a durable frame into the catalog, the segment's overview and the counters.
func (j *Journal) enterLocked(f segment.Frame, payload []byte) int64 {
	if err := j.catalog.apply(f, len(payload), payload); err != nil {
		// Append and record admit only frames that fit. Should one ever slip through, it is on disk
		// now; the log line is the only remedy left.
		j.opts.Logger.Error("journal: frame does not fit the catalog", "err", err)
	}
	j.segments[len(j.segments)-1].note(f, len(payload))
	if c := j.durable.Load(); f.Type == segment.Stream && c != nil {
		c.durable.Store(f.Offset + int64(len(payload)))
	}
	switch f.Type {
	case segment.Timeline, segment.Gap:
		t, _ := j.catalog.current()
		j.moveDurableLocked(t)
	case segment.Incident:
		j.holdLocked()
	case segment.Stream:
		return int64(len(payload))
	}
	return 0
}

// moveDurableLocked takes the durable position to a timeline that began, or over a gap.
func (j *Journal) moveDurableLocked(t Timeline) {
	c := j.durable.Load()
	if c == nil || c.id != t.ID {
		c = j.received.Load()
		if c.id != t.ID { // an even newer one was begun meanwhile
			c = &counter{id: t.ID, replID: t.ReplID}
		}
	}
	c.durable.Store(t.End)
	j.durable.Store(c)
}

// settleLocked counts the batch. Its blocks are free again, or go to the watch, which frees them.
func (j *Journal) settleLocked(frames uint64, bytes int64) (watched []*segment.Block) {
	end, _ := j.out.Synced()
	j.segments[len(j.segments)-1].Bytes = end
	j.written += frames
	j.stats.batches++
	j.stats.streamBytes += bytes
	j.pending -= j.batchBytes
	if j.watch.live {
		watched = slices.Clone(j.batch)
	}
	for i, b := range j.batch {
		if watched == nil {
			j.freeLocked(b)
		}
		j.batch[i] = nil
	}
	j.batch = j.batch[:0]
	j.wakeLocked()
	return watched
}

func (j *Journal) freeLocked(b *segment.Block) {
	b.Reset()
	if len(j.free) < freeBlocks {
		j.free = append(j.free, b)
	}
}

// fail latches the error after every remedy has failed, and wakes every waiter with it.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	j.err = fmt.Errorf("%w: %w", ErrFailed, err)
	j.opts.Logger.Error("journal: failed, nothing more is made durable", "err", err)
	close(j.failed)
	j.wakeLocked()
	j.mu.Unlock()
	j.noteState()
}

// noteError keeps the first error of the disk, and counts and logs each.
func (j *Journal) noteError(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.firstErr == nil {
		j.firstErr = err
	}
	j.stats.diskErrors++
	j.again.Tell(j.opts.Logger, slog.LevelError, "journal: disk error", err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
