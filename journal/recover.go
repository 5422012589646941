package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// recover brings the folder from any state to one with a new last segment. Each step leaves a
// folder that the next recovery understands, so it may be cut short anywhere.
//
//	damage below a promise           nothing is changed, Open fails
//	torn batch behind the last       copy it to a .broken file, then cut it off
//	last batch                       write it again: its fsync may have failed
//	last segment without a Seal      write one
//	segment given up after an error  cut off the part written again elsewhere
//	unfinished files, lost bases     remove
//	then                             begin a new segment
func (j *Journal) recover() error {
	f, err := loadFolder(j.fs(), j.opts.Dir)
	if err != nil {
		return err
	}
	j.catalog, j.segments = f.catalog, f.segments
	j.holdLocked()
	j.nextID = 1
	if t, ok := j.catalog.current(); ok {
		j.nextID = t.ID + 1
	}
	if err := j.tidy(f); err != nil {
		return err
	}
	if err := j.reopen(f); err != nil {
		return err
	}
	if t, ok := j.catalog.current(); ok {
		c := &counter{id: t.ID, replID: t.ReplID}
		c.received.Store(t.End)
		c.durable.Store(t.End)
		j.received.Store(c)
		j.durable.Store(c)
	}
	j.lookAtDisk()
	return nil
}

// reopen ends the last segment as Close does and begins the next.
func (j *Journal) reopen(f *folder) error {
	if len(f.segments) == 0 {
		if _, err := rand.Read(j.id[:]); err != nil {
			return fmt.Errorf("journal: identity: %w", err)
		}
		return j.first(0, 0)
	}
	j.id = f.headers[0].Journal
	last := &j.segments[len(j.segments)-1]
	file, err := j.fs().OpenReadWrite(j.path(last.File))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.out = segment.Resume(file, f.last.Header, f.last, j.opts.SegmentBytes)
	if err := j.cut(file, f.last, last); err != nil {
		return errors.Join(fmt.Errorf("journal: recover %s: %w", last.File, err), j.out.Close())
	}
	end, chain := j.out.Synced()
	if err := j.out.Close(); err != nil {
		return fmt.Errorf("journal: recover %s: %w", last.File, err)
	}
	return j.first(end, chain)
}

// first makes Open's new segment. On a full disk it is an empty file, so that the journal opens,
// retention can make room, and only the writer waits.
func (j *Journal) first(prevEnd int64, prevChain uint32) error {
	err := j.create(prevEnd, prevChain, false, zeros)
	if isFull(err) {
		j.noteError(err)
		err = j.create(prevEnd, prevChain, false, none)
	}
	return err
}

// cut removes the bytes behind the last Commit, after copying them, and seals the segment.
func (j *Journal) cut(file vfs.File, s segment.ScanResult, last *Segment) error {
	if s.Torn() {
		// First the zeros behind it: on a full disk they are the room for the copy.
		if err := file.Truncate(s.TornEnd); err != nil {
			return err
		}
		name, err := j.keepBroken(file, s)
		if err != nil {
			return err
		}
		j.opts.Logger.Warn("journal: cut off a batch that was never acknowledged",
			"segment", last.File, "at", s.End, "bytes", s.TornEnd-s.End, "why", s.Why,
			"copy", name)
	}
	if err := file.Truncate(s.End); err != nil {
		return err
	}
	if err := writeAgain(file, s); err != nil {
		return err
	}
	if s.Sealed {
		return nil
	}
	if err := j.sealOut(); err != nil {
		return err
	}
	last.Sealed = true
	return nil
}

// writeAgain writes the last batch, which nothing has promised yet, over itself, and syncs it. It
// can be read, but that proves nothing: when an fsync fails, the system keeps the pages and marks
// them clean, so that they stay readable until the machine stops, and no later fsync writes them.
func writeAgain(file vfs.File, s segment.ScanResult) error {
	from := max(min(s.Promised, s.End), segment.HeaderSize)
	b := make([]byte, s.End-from)
	if _, err := file.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := file.WriteAt(b, from); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	again, err := segment.Scan(file, nil)
	if err == nil && (again.End != s.End || again.Chain != s.Chain) {
		err = fmt.Errorf("the last batch could be read before and cannot any more: %s", again.Why)
	}
	return err
}

// keepBroken copies the part of a file that is about to be cut off.
func (j *Journal) keepBroken(file vfs.File, s segment.ScanResult) (string, error) {
	name := brokenName(s.Header.Seq, s.End, j.opts.Now().UnixNano())
	tmp := j.path(name + tmpSuffix)
	out, err := j.fs().Create(tmp)
	if err != nil {
		return "", err
	}
	section := io.NewSectionReader(file, s.End, s.TornEnd-s.End)
	_, err = io.Copy(io.NewOffsetWriter(out, 0), section)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = j.fs().Rename(tmp, j.path(name))
	}
	if err == nil {
		err = j.fs().SyncDir(j.opts.Dir)
	}
	return name, err
}

// tidy removes files that a crash left unfinished. It touches only names that this package makes.
func (j *Journal) tidy(f *folder) error {
	for _, name := range f.names {
		orphan := isBase(name) && !slices.ContainsFunc(j.catalog.bases, func(b Base) bool {
			return b.File == name
		})
		if !orphan && !strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		j.opts.Logger.Info("journal: removed an unfinished file", "file", name)
		if err := j.fs().Remove(j.path(name)); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	for _, b := range j.catalog.bases {
		if b.Missing {
			j.opts.Logger.Error("journal: a base is missing or cut short", "file", b.File,
				"timeline", b.Timeline, "offset", b.Offset)
		}
	}
	return j.trimSuspects(f)
}

func (j *Journal) trimSuspects(f *folder) error {
	for i := range f.segments[:max(0, len(f.segments)-1)] {
		s := &f.segments[i]
		st, err := j.fs().Stat(j.path(s.File))
		if err != nil || !s.Suspect || st.Size <= s.Bytes {
			continue // a missing file is found when it is read
		}
		file, err := j.fs().OpenReadWrite(j.path(s.File))
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if err := errors.Join(file.Truncate(s.Bytes), file.Sync(), file.Close()); err != nil {
			return fmt.Errorf("journal: cut %s: %w", s.File, err)
		}
	}
	return nil
}
