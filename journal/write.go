package journal

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"holdfast/journal/segment"
)

// runWriter is the goroutine that owns the segment: nobody else writes to it or syncs it.
func (j *Journal) runWriter() {
	defer j.stopped.Done()
	for j.take() {
		if err := j.commit(); err != nil {
			j.fail(err)
			return
		}
		j.publish()
	}
}

// take waits for work and moves it into j.batch. It answers false when the journal is closing and
// nothing is left.
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

// commit makes the batch durable, one way or another.
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

// publish tells the world that the batch is durable.
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
	j.settleLocked(frames, bytes)
	j.mu.Unlock()
	if subs := j.subs.Load(); subs != nil {
		p := j.Durable()
		for _, s := range *subs {
			s.call(p)
		}
	}
}

// enterLocked takes a durable frame into the catalog, the segment's overview and the counters.
func (j *Journal) enterLocked(f segment.Frame, payload []byte) int64 {
	if err := j.catalog.apply(f, len(payload), payload); err != nil {
		// Append and record let nothing in that does not fit. Should one ever slip through, it
		// is on disk now; what is left is to say so.
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

func (j *Journal) settleLocked(frames uint64, bytes int64) {
	end, _ := j.out.Synced()
	j.segments[len(j.segments)-1].Bytes = end
	j.written += frames
	j.stats.batches++
	j.stats.streamBytes += bytes
	j.stats.lastBatch = bytes
	j.pending -= j.batchBytes
	for i, b := range j.batch {
		b.Reset()
		if len(j.free) < freeBlocks {
			j.free = append(j.free, b)
		}
		j.batch[i] = nil
	}
	j.batch = j.batch[:0]
	j.wakeLocked()
}

// fail latches the error that nothing helped against, and tells everyone who waits.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	j.err = fmt.Errorf("%w: %w", ErrFailed, err)
	j.opts.Logger.Error("journal: failed, nothing more is made durable", "err", err)
	close(j.failed)
	j.wakeLocked()
	j.mu.Unlock()
	j.noteState()
}

// noteError remembers the first error of the disk and logs each.
func (j *Journal) noteError(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.firstErr == nil {
		j.firstErr = err
	}
	j.stats.diskErrors++
	j.opts.Logger.Error("journal: disk error", "err", err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
