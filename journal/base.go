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

// BaseInfo describes a snapshot for Commit.
type BaseInfo struct {
	Timeline TimelineID
	Offset   int64     // where the stream continues
	DB       int       // selected there in the stream: repl-stream-db, or 0
	Time     time.Time // when it was taken; zero is now
}

// BaseWriter takes a snapshot in. It counts only after Commit. A BaseWriter belongs to one
// goroutine; the journal keeps appending meanwhile.
type BaseWriter struct {
	j      *Journal
	file   vfs.File
	tmp    string
	size   int64
	synced int64
	crc    uint32
	waits  bool // see Wait
	err    error
}

// baseSyncBytes bounds the part of a snapshot that waits in the page cache, so that it does not
// slow the log's fsyncs.
const baseSyncBytes = 16 << 20

// RoomFor returns an ErrSpace if a snapshot of so many bytes does not fit on the disk below
// Disk.Stop. If the file system does not report its size, everything fits.
func (j *Journal) RoomFor(size int64) error {
	u, err := j.fs().Usage(j.opts.Dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	stop := j.opts.Disk.Stop
	j.mu.Unlock()
	if room := u.Below(stop); u.Total > 0 && room < size {
		return fmt.Errorf("journal: %w: %d bytes are free below disk.stop, a snapshot takes %d or more",
			ErrSpace, max(0, room), size)
	}
	return nil
}

// Wait says that the snapshot can wait: it ends with an ErrSpace before it goes beyond Disk.Stop,
// where acknowledgements would stop with it. A snapshot without which nothing is covered may exceed
// Disk.Stop by as much as retention frees once it exists: everything else in the journal.
func (w *BaseWriter) Wait() { w.waits = true }

// Expect returns an ErrSpace if a snapshot of so many bytes does not fit.
func (w *BaseWriter) Expect(size int64) error {
	if w.waits {
		return w.j.RoomFor(size)
	}
	return w.j.roomForFirst(size, "the snapshot takes")
}

// roomForFirst returns an ErrSpace if so many bytes more do not fit below Disk.Stop, even with the
// rest of the journal removed.
func (j *Journal) roomForFirst(size int64, what string) error {
	u, err := j.fs().Usage(j.opts.Dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	p := planner{catalog: j.catalog, segments: j.segments}
	own, stop := p.left(nil, nil), j.opts.Disk.Stop
	j.mu.Unlock()
	if room := u.Below(stop); u.Total > 0 && room+own < size {
		return fmt.Errorf("journal: %w: %d bytes are free below disk.stop and %d are the journal's own; "+
			"%s %d", ErrSpace, max(0, room), own, what, size)
	}
	return nil
}

// checkRoom returns an ErrSpace once the file grows beyond the room.
func (w *BaseWriter) checkRoom() error {
	if w.waits {
		return w.j.RoomFor(0)
	}
	return w.j.roomForFirst(0, fmt.Sprintf("the snapshot has %d so far, and needs more than", w.size))
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
	j.expect(1)
	return &BaseWriter{j: j, file: f, tmp: tmp}, nil
}

// Size is the number of bytes written.
func (w *BaseWriter) Size() int64 { return w.size }

// Write appends to the snapshot. The first error is permanent.
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
		if err == nil {
			err = w.checkRoom()
		}
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
	w.j.expect(-1)
	err := errors.Join(w.file.Close(), w.j.fs().Remove(w.tmp))
	w.file = nil
	w.err = ErrClosed
	if err != nil {
		w.j.opts.Logger.Warn("journal: base: give up", "err", err) // Open removes the rest
	}
}

// Commit makes the snapshot durable, reads it back, compares it with the bytes written and with the
// server's own checksum, and enters it into the journal. It counts when this returns without an
// error; otherwise nothing of it is left. ErrBase says that it is no whole RDB.
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
	w.j.expect(-1)
	err := w.file.Close()
	w.file, w.err = nil, ErrClosed
	if err != nil {
		w.j.opts.Logger.Warn("journal: base: close", "err", err) // it was synced before
	}
	return b, nil
}

// recordBase writes the Base frame. A context that ends while the frame is on its way does not end
// the wait: the caller must know whether the base counts.
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
