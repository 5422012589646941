package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// errNoRoom is the reason that bytes were not written before Close.
var errNoRoom = errors.New("closed while the disk was full")

// mustRotate answers whether the batch should go to a new segment. A segment that holds only its
// opening frames takes any batch.
func (j *Journal) mustRotate() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.segments[len(j.segments)-1]
	return len(s.Ranges) > 0 && !j.out.Fits(int(j.batchBytes), s.sealRoom())
}

// rotate ends the segment and begins the next one.
func (j *Journal) rotate() error {
	if err := j.sealOut(); err != nil {
		j.noteError(err)
		return j.moveOn()
	}
	j.mu.Lock()
	j.segments[len(j.segments)-1].Sealed = true
	j.mu.Unlock()
	return j.begin(false)
}

// sealOut seals the writer's segment. Everything in it is durable already.
func (j *Journal) sealOut() error {
	j.mu.Lock()
	payload, err := j.segments[len(j.segments)-1].seal()
	j.mu.Unlock()
	if err != nil {
		return err
	}
	if err := j.out.Finish(payload, j.opts.Now().UnixNano()); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments[len(j.segments)-1].Bytes = j.out.End()
	return nil
}

// moveOn gives the segment up after an error. Its durable part stays; the rest is still in j.batch.
func (j *Journal) moveOn() error {
	j.mu.Lock()
	s := &j.segments[len(j.segments)-1]
	s.Suspect, s.Sealed = true, false
	j.again.Tell(j.opts.Logger, slog.LevelWarn, "journal: segment given up after an error, going on in a new one",
		nil, "segment", s.File, "durable_bytes", s.Bytes)
	j.mu.Unlock()
	return j.begin(true)
}

// begin closes the old segment and makes a new one that continues from its durable end. It waits
// while the disk is full; after another error it tries once more. If the disk has room for the
// waiting batch, but not for a whole segment, the file is not preallocated.
func (j *Journal) begin(suspect bool) error {
	end, chain := j.out.Synced()
	if err := j.out.Close(); err != nil {
		j.noteError(err) // the durable part stays durable
	}
	for tries := 1; ; tries++ {
		err := j.create(end, chain, suspect, reserve)
		if isFull(err) && j.batchFits() {
			err = j.create(end, chain, suspect, none)
		}
		if err == nil {
			j.setFull(false)
			return nil
		}
		j.noteError(err)
		if !isFull(err) && tries > 1 {
			return err
		}
		if isFull(err) {
			if err := j.awaitSpace(); err != nil {
				return err
			}
		}
	}
}

// batchFits reports whether the disk has room for the waiting batch and some more: a segment that
// is full at once would be given up at once.
func (j *Journal) batchFits() bool {
	u, err := j.fs().Usage(j.opts.Dir)
	return err == nil && u.Total > 0 && u.Free >= 2*j.batchBytes+j.opts.SegmentBytes/16
}

// space is the way to make a segment's file without a spare.
type space int

const (
	reserve space = iota // preallocated: quick
	zeros                // filled with zeros: the fastest to write into
	none                 // empty: needs hardly any room
)

// create makes the segment after the last one.
func (j *Journal) create(prevEnd int64, prevChain uint32, suspect bool, s space) error {
	now := j.opts.Now()
	h := segment.Header{Seq: 1, PrevEnd: prevEnd, PrevChain: prevChain, PrevSuspect: suspect,
		Created: now.UnixNano(), Journal: j.id}
	j.mu.Lock()
	if n := len(j.segments); n > 0 {
		h.Seq = j.segments[n-1].Seq + 1
	}
	j.mu.Unlock()
	mark := j.watched(h.Seq)
	j.mu.Lock()
	if mark != nil {
		j.catalog.watch = mark
		for _, e := range j.watch.new { // the mark stands behind them, and they are in no segment yet
			j.catalog.enterEvent(e)
		}
	}
	j.catalog.forget(j.segments)
	carried, err := j.catalog.carried(now)
	spare := j.spare
	j.spare = ""
	j.mu.Unlock()
	if err != nil {
		return err
	}
	w, err := j.createFile(h, carried, spare, s)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.segments); n > 0 {
		j.segments[n-1].Live = false
	}
	j.out = w
	j.segments = append(j.segments, Segment{Seq: h.Seq, File: segmentName(h.Seq), Bytes: w.End(),
		Created: now, Live: true})
	return nil
}

// createFile makes the file under a temporary name, and renames it once everything in it is
// durable.
func (j *Journal) createFile(h segment.Header, carried []*segment.Block, spare string,
	s space) (*segment.Writer, error) {
	name := segmentName(h.Seq)
	tmp := j.path(name + tmpSuffix)
	f, err := j.emptyFile(&tmp, spare, s)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", name, err)
	}
	w, err := segment.NewWriter(f, h, j.opts.SegmentBytes)
	if err == nil {
		err = w.Write(carried, h.Created)
	}
	if err == nil {
		err = w.Sync()
	}
	if err == nil {
		err = j.fs().Rename(tmp, j.path(name))
	}
	if err == nil {
		err = j.fs().SyncDir(j.opts.Dir)
	}
	if err != nil {
		// Either name may exist: the next attempt replaces the one, Open removes the other.
		_, _ = f.Close(), j.fs().Remove(tmp)
		return nil, fmt.Errorf("begin segment %s: %w", name, err)
	}
	return w, nil
}

// emptyFile opens the spare, or makes a file. path becomes the file's.
func (j *Journal) emptyFile(path *string, spare string, s space) (vfs.File, error) {
	if spare != "" {
		*path = j.path(spare)
		return j.fs().OpenReadWrite(*path)
	}
	f, err := j.fs().Create(*path)
	if err != nil {
		return nil, err
	}
	switch s {
	case zeros:
		err = fillZeros(f, j.opts.SegmentBytes, nil)
	case reserve:
		err = f.Preallocate(j.opts.SegmentBytes)
	}
	if err != nil {
		_, _ = f.Close(), j.fs().Remove(*path)
		return nil, err
	}
	return f, nil
}

// zeroPiece is the size of one write; pause is called between pieces.
const zeroPiece = 1 << 20

func fillZeros(f vfs.File, size int64, pause func() error) error {
	zeros := make([]byte, min(size, zeroPiece))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
		if pause == nil {
			continue
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
	}
	return f.Sync()
}

// awaitRoom waits while the disk is fuller than Options.Disk.Stop.
func (j *Journal) awaitRoom() error {
	for {
		j.mu.Lock()
		stopped := j.disk.stopped
		j.mu.Unlock()
		if !stopped {
			return nil
		}
		if err := j.pause(); err != nil {
			return err
		}
	}
}

// awaitSpace waits a moment after ENOSPC and lets retention make room.
func (j *Journal) awaitSpace() error {
	j.setFull(true)
	return j.pause()
}

func (j *Journal) pause() error {
	t := time.NewTimer(j.opts.Poll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-j.stop:
		return errNoRoom
	}
}

func (j *Journal) setFull(full bool) {
	j.mu.Lock()
	changed := j.disk.full != full
	j.disk.full = full
	if changed {
		j.wakeLocked() // retention may be waiting for the writer, which now waits for retention
	}
	j.mu.Unlock()
	if changed {
		j.opts.Logger.Warn("journal: disk full", "full", full)
		j.noteState()
	}
}
