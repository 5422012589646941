package journal

import (
	"context"
	"encoding/json"
	"fmt"

	"holdfast/journal/segment"
)

// Append adds bytes of the stream to the current timeline. offset is that of p's first byte. It
// copies p. It waits only while MaxPending bytes are not yet durable, and then at most until ctx
// ends; the bytes taken in by then stay (see Received).
//
// Errors: ErrTimeline, ErrOffset, ErrFailed, ErrClosed, and the context's.
func (j *Journal) Append(ctx context.Context, tl TimelineID, offset int64, p []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := j.acceptsLocked(tl, offset); err != nil {
			return err
		}
		if j.pending < j.opts.MaxPending {
			n := j.takeLocked(tl, offset, p)
			offset, p = offset+int64(n), p[n:]
		}
		if len(p) == 0 {
			return nil
		}
		if err := j.waitLocked(ctx); err != nil {
			return err
		}
	}
}

func (j *Journal) acceptsLocked(tl TimelineID, offset int64) error {
	if err := j.usableLocked(); err != nil {
		return err
	}
	c := j.received.Load()
	if c == nil || c.id != tl {
		return fmt.Errorf("%w: got timeline %d, want %d", ErrTimeline, tl, j.Received().Timeline)
	}
	if end := c.received.Load(); offset != end {
		return fmt.Errorf("%w %d: got %d, want %d", ErrOffset, tl, offset, end)
	}
	return nil
}

func (j *Journal) usableLocked() error {
	if j.err != nil {
		return j.err
	}
	if j.closing {
		return ErrClosed
	}
	return nil
}

// takeLocked copies bytes into blocks until all are copied or pending is full, and returns their
// number.
func (j *Journal) takeLocked(tl TimelineID, offset int64, p []byte) int {
	f := segment.Frame{Type: segment.Stream, Timeline: uint32(tl), Time: j.opts.Now().UnixNano()}
	taken := 0
	for taken < len(p) && j.pending < j.opts.MaxPending {
		b := j.blockLocked()
		f.Offset = offset + int64(taken)
		before, frames := b.Len(), b.Frames()
		n := b.AddStream(f, p[taken:])
		taken += n
		j.pending += int64(b.Len() - before)
		j.appended += uint64(b.Frames() - frames)
		if n == 0 {
			j.queueLocked()
		}
	}
	j.received.Load().received.Add(int64(taken))
	j.gather.came(taken)
	j.work.Signal()
	return taken
}

// blockLocked is the block that is being filled.
func (j *Journal) blockLocked() *segment.Block {
	if j.filling != nil {
		return j.filling
	}
	if n := len(j.free); n > 0 {
		j.filling, j.free = j.free[n-1], j.free[:n-1]
	} else {
		j.filling = segment.NewBlock()
	}
	return j.filling
}

// queueLocked ends the block that is being filled.
func (j *Journal) queueLocked() {
	if j.filling != nil {
		j.queue = append(j.queue, j.filling)
		j.filling = nil
	}
}

// waitLocked waits for the next batch to be durable, with the mutex released meanwhile.
func (j *Journal) waitLocked(ctx context.Context) error {
	if j.progress == nil {
		j.progress = make(chan struct{})
	}
	progress := j.progress
	j.mu.Unlock()
	defer j.mu.Lock()
	select {
	case <-progress:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wakeLocked wakes every waiter of waitLocked.
func (j *Journal) wakeLocked() {
	if j.progress != nil {
		close(j.progress)
		j.progress = nil
	}
}

// WaitDurable waits until everything below p is durable.
func (j *Journal) WaitDurable(ctx context.Context, p Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if d := j.Durable(); d.Covers(p) || d.Timeline > p.Timeline {
			return nil
		}
		if err := j.usableLocked(); err != nil {
			return err
		}
		if err := j.waitLocked(ctx); err != nil {
			return err
		}
	}
}

// record adds a frame that is not stream and waits until it is durable. prepare runs under the
// mutex and returns the frame's payload; it may refuse.
func (j *Journal) record(ctx context.Context, f segment.Frame,
	prepare func() (any, error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.noteLocked(f, prepare); err != nil {
		return err
	}
	return j.writtenLocked(ctx, j.appended)
}

// noteLocked is record without the wait.
func (j *Journal) noteLocked(f segment.Frame, prepare func() (any, error)) error {
	if err := j.usableLocked(); err != nil {
		return err
	}
	v, err := prepare()
	if err != nil {
		return err
	}
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("journal: %v: %w", f.Type, err)
	}
	f.Time = j.opts.Now().UnixNano()
	return j.addLocked(f, payload)
}

func (j *Journal) addLocked(f segment.Frame, payload []byte) error {
	if len(payload) > segment.MaxPayload {
		return fmt.Errorf("journal: %v of %d bytes, at most %d", f.Type, len(payload),
			segment.MaxPayload)
	}
	before := j.blockLocked().Len()
	if !j.filling.Add(f, payload) {
		j.queueLocked()
		before = j.blockLocked().Len()
		j.filling.Add(f, payload) // a new block has room for MaxPayload
	}
	j.pending += int64(j.filling.Len() - before)
	j.appended++
	j.work.Signal()
	return nil
}

// writtenLocked waits until the n-th frame is durable.
func (j *Journal) writtenLocked(ctx context.Context, n uint64) error {
	for j.written < n {
		if j.err != nil {
			return j.err
		}
		if err := j.waitLocked(ctx); err != nil {
			return err
		}
	}
	return nil
}
