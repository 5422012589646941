package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// BaseInfo is what Commit must know of a snapshot.
type BaseInfo struct {
	Timeline TimelineID
	Offset   int64     // where the stream continues it
	DB       int       // that the stream has selected there: repl-stream-db, or 0
	Time     time.Time // when it was taken; zero is now
}

// BaseWriter takes a snapshot in. It counts only after Commit. A BaseWriter belongs to one
// goroutine; the journal goes on beside it.
type BaseWriter struct {
	j      *Journal
	file   vfs.File
	tmp    string
	size   int64
	synced int64
	crc    uint32
	err    error
}

// baseSyncBytes bounds how much of a snapshot waits in the page cache, for the sake of the log's
// fsyncs beside it.
const baseSyncBytes = 16 << 20

// RoomFor is an ErrSpace if a snapshot of so many bytes does not fit on the disk. Where the file
// system does not say how much it has, everything fits.
func (j *Journal) RoomFor(size int64) error {
	u, err := j.fs().Usage(j.opts.Dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if u.Total > 0 && u.Free < size {
		return fmt.Errorf("journal: %w: %d bytes are free, a snapshot took %d", ErrSpace, u.Free, size)
	}
	return nil
}

// NewBase begins a snapshot. Commit or Abort must follow.
func (j *Journal) NewBase() (*BaseWriter, error) {
	j.mu.Lock()
	err := j.usableLocked()
	j.baseSeq++
	tmp := j.path(fmt.Sprintf("%s%d%s", basePrefix, j.baseSeq, tmpSuffix))
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f, err := j.fs().Create(tmp)
	if err != nil {
		return nil, fmt.Errorf("journal: base: %w", err)
	}
	return &BaseWriter{j: j, file: f, tmp: tmp}, nil
}

// Size is the number of bytes that were written.
func (w *BaseWriter) Size() int64 { return w.size }

// Write appends to the snapshot. The first error is for good.
func (w *BaseWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.file.WriteAt(p, w.size)
	w.crc = crc32.Update(w.crc, castagnoli, p[:n])
	w.size += int64(n)
	if err == nil && w.size-w.synced >= baseSyncBytes {
		err = w.file.Sync()
		w.synced = w.size
	}
	if err != nil {
		w.err = fmt.Errorf("journal: base: %w", err)
	}
	return n, w.err
}

// Abort gives the snapshot up. After Commit it does nothing.
func (w *BaseWriter) Abort() {
	if w.file == nil {
		return
	}
	err := errors.Join(w.file.Close(), w.j.fs().Remove(w.tmp))
	w.file = nil
	w.err = ErrClosed
	if err != nil {
		w.j.opts.Logger.Warn("journal: base: give up", "err", err) // Open removes what is left
	}
}

// Commit makes the snapshot durable, reads it back, compares it with what was written and with the
// checksum that the server put into it, and enters it into the journal. It counts when this
// returns without an error; otherwise nothing of it is left. ErrBase says that it is no whole RDB.
func (w *BaseWriter) Commit(ctx context.Context, info BaseInfo) (Base, error) {
	b, err := w.commit(ctx, info)
	if err != nil {
		w.Abort()
		return Base{}, fmt.Errorf("journal: base of timeline %d at offset %d: %w", info.Timeline,
			info.Offset, err)
	}
	return b, nil
}

func (w *BaseWriter) commit(ctx context.Context, info BaseInfo) (Base, error) {
	if w.err != nil {
		return Base{}, w.err
	}
	if err := w.file.Sync(); err != nil {
		return Base{}, err
	}
	if err := checkRDB(ctx, w.file, w.size, w.crc); err != nil {
		return Base{}, err
	}
	now := w.j.opts.Now()
	if info.Time.IsZero() {
		info.Time = now
	}
	b := Base{Timeline: info.Timeline, Offset: info.Offset, DB: info.DB, Time: info.Time,
		File: baseName(info.Timeline, info.Offset, now.UnixNano()), Size: w.size, CRC: w.crc}
	if err := w.j.fs().Rename(w.tmp, w.j.path(b.File)); err != nil {
		return Base{}, err
	}
	w.tmp = w.j.path(b.File)
	if err := w.j.fs().SyncDir(w.j.opts.Dir); err != nil {
		return Base{}, err
	}
	if err := w.j.recordBase(ctx, b); err != nil {
		return Base{}, err
	}
	err := w.file.Close()
	w.file, w.err = nil, ErrClosed
	if err != nil {
		w.j.opts.Logger.Warn("journal: base: close", "err", err) // it was synced before
	}
	return b, nil
}

// recordBase writes the Base frame. A context that ends while the frame is on its way does not
// end the wait: whether the base counts must be known.
func (j *Journal) recordBase(ctx context.Context, b Base) error {
	f := segment.Frame{Type: segment.Base, Timeline: uint32(b.Timeline), Offset: b.Offset}
	return j.record(context.WithoutCancel(ctx), f, func() (any, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := j.catalog.find(b.Timeline)
		if t == nil {
			return nil, fmt.Errorf("%w: %d", ErrTimeline, b.Timeline)
		}
		if b.Offset < t.Start {
			return nil, fmt.Errorf("%w: %d, which begins at %d", ErrRange, b.Timeline, t.Start)
		}
		return b, nil
	})
}
