package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// View is a journal's content at one moment. It is immutable; take another to see more. Retention
// may still remove files meanwhile; reading them then returns ErrPruned.
type View struct {
	folder
	from string // the path of the one base, if it is from elsewhere
	// own is the folder's catalog, the view's except for that base; nil: the view comes from an
	// open journal, or the folder is damaged.
	own *catalog
}

// OpenView reads a folder without locking or changing it: one that another process is writing, or
// a copy. It shows everything up to the last Commit of the log. A nil disk is the machine's.
func OpenView(disk vfs.FS, dir string) (*View, error) {
	disk = vfs.OrOS(disk)
	// Retention may remove files while they are listed and read: a failure counts once it recurs in
	// a folder that has not changed.
	for {
		f, err := loadFolder(disk, dir)
		if err == nil {
			return newView(*f), nil
		}
		names, listErr := disk.List(dir)
		if listErr != nil || f == nil || slices.Equal(names, f.names) {
			return nil, err
		}
	}
}

// View returns the durable content.
func (j *Journal) View() (*View, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := &View{folder: folder{fs: j.fs(), dir: j.opts.Dir, catalog: j.catalog.clone()}}
	for _, s := range j.segments {
		s.Ranges = slices.Clone(s.Ranges)
		v.segments = append(v.segments, s)
	}
	return v, nil
}

// From is the same view with a snapshot from elsewhere in the place of all bases: a backup that a
// server wrote. File is its path.
func (v *View) From(b Base) *View {
	out := &View{folder: v.folder, from: b.File, own: v.own}
	out.catalog = v.catalog.clone()
	out.catalog.bases = []Base{b}
	return out
}

// Watched reports whether the folder was written by a version that looks for events, counts keys
// and marks servers: any timeline's count, or a finished segment, proves it.
func (v *View) Watched() bool {
	return v.catalog.watch != nil || slices.ContainsFunc(v.catalog.timelines,
		func(t Timeline) bool { return t.Counts != nil })
}

// Searched returns the place of the search for events when a segment began, with the keys that it had
// counted; false: the segment does not say.
func (v *View) Searched(s Segment) (at event.State, found bool, err error) {
	var r logReader
	defer r.close()
	err = r.read(v.fs, v.path(s.File), s, func(f segment.Frame, payload []byte) error {
		switch {
		case f.Flags&segment.FlagCarried == 0:
			return errEnough
		case f.Type != segment.Watch:
			return nil
		}
		return decodeInto(payload, func(m watchMark) error {
			at, found = m.State, m.State.Timeline != 0 && !m.State.Lost
			return errEnough
		})
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return at, found, damage(s.File, err)
}

var errEnough = errors.New("journal: enough")

// Timelines returns all timelines in the order of their beginning.
func (v *View) Timelines() []Timeline { return slices.Clone(v.catalog.timelines) }

// Timeline returns one timeline; false if there is none.
func (v *View) Timeline(id TimelineID) (Timeline, bool) {
	if t := v.catalog.find(id); t != nil {
		return *t, true
	}
	return Timeline{}, false
}

// Current is the newest timeline.
func (v *View) Current() (Timeline, bool) { return v.catalog.current() }

// Bases returns all bases in the order in which they were completed.
func (v *View) Bases() []Base { return slices.Clone(v.catalog.bases) }

// Gaps returns the ranges that the journal never received.
func (v *View) Gaps() []Gap { return slices.Clone(v.catalog.gaps) }

// Incidents returns the ranges that the primary lost.
func (v *View) Incidents() []Incident { return slices.Clone(v.catalog.incidents) }

// Segments returns the files of the log in order.
func (v *View) Segments() []Segment { return slices.Clone(v.segments) }

// BaseFor returns the base from which the state at an offset of a timeline is rebuilt with the
// least stream: the newest at or below it, on the timeline or on an ancestor before they part. The
// journal holds everything in between. ErrNoBase says that there is none, and why; a *GapError in
// it says that missing bytes are the only obstacle to one.
func (v *View) BaseFor(id TimelineID, offset int64) (Base, error) {
	bases, err := v.BasesFor(id, offset)
	if err != nil {
		return Base{}, err
	}
	return bases[0], nil
}

// BasesFor returns all bases that lead to an offset as BaseFor's does, the newest first. There is
// at least one if the error is nil.
func (v *View) BasesFor(id TimelineID, offset int64) ([]Base, error) {
	spans := v.catalog.lineage(id)
	if len(spans) == 0 {
		return nil, fmt.Errorf("%w: no timeline %d", ErrNoBase, id)
	}
	if end := spans[len(spans)-1].to; offset > end {
		return nil, fmt.Errorf("%w: timeline %d ends at %d, got %d", ErrNoBase, id, end, offset)
	}
	var below []Base
	for _, b := range v.catalog.bases {
		if !b.Missing && b.Offset <= offset && baseOn(spans, b) {
			below = append(below, b)
		}
	}
	if len(below) == 0 {
		return nil, fmt.Errorf("%w: timeline %d has none at or below offset %d", ErrNoBase, id,
			offset)
	}
	slices.SortStableFunc(below, func(a, b Base) int {
		switch {
		case after(a, b):
			return -1
		case after(b, a):
			return 1
		}
		return 0
	})
	for i, b := range below {
		if err := v.holds(spans, b, offset); err != nil && i == 0 {
			return nil, fmt.Errorf("%w: the one at offset %d cannot be continued: %w", ErrNoBase,
				b.Offset, err)
		} else if err != nil {
			return below[:i], nil
		}
	}
	return below, nil
}

// holds reports whether every byte from a base to an offset of its lineage is in some segment.
func (v *View) holds(spans []span, b Base, offset int64) error {
	r := &Reader{view: v, spans: spans}
	for at := b.Offset; at < offset; {
		s, err := r.spanAt(at)
		if err != nil {
			return err
		}
		_, piece, err := r.pieceAt(s, at)
		if err != nil {
			return err
		}
		at = min(piece.To, s.to)
	}
	return nil
}

// TimeRange returns the moments of the log's first and last byte; zero if it has none.
func (v *View) TimeRange() (first, last time.Time) {
	for _, s := range v.segments {
		if s.FirstTime.IsZero() {
			continue
		}
		if first.IsZero() {
			first = s.FirstTime
		}
		last = s.LastTime
	}
	return first, last
}

// OpenBase opens a snapshot for reading from its beginning to its end. The reader ends with an
// ErrBase instead of io.EOF if the bytes have changed since they were written.
func (v *View) OpenBase(b Base) (io.ReadCloser, error) {
	path := v.path(b.File)
	if v.from != "" && b.File == v.from {
		path = v.from
	}
	f, err := v.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) && path != v.from {
		return nil, fmt.Errorf("journal: base %s: %w: %w", b.File, ErrPruned, err)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: base: %w", err)
	}
	return &baseReader{file: f, base: b}, nil
}

type baseReader struct {
	file vfs.File
	base Base
	at   int64
	crc  uint32
}

// Read implements io.Reader.
func (r *baseReader) Read(p []byte) (int, error) {
	if left := r.base.Size - r.at; int64(len(p)) > left {
		p = p[:left]
	}
	if r.at == r.base.Size {
		return 0, r.end()
	}
	n, err := r.file.ReadAt(p, r.at)
	r.crc = crc32.Update(r.crc, castagnoli, p[:n])
	r.at += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 && len(p) > 0 {
			err = fmt.Errorf("%w: %s ends at byte %d, want %d", ErrBase, r.base.File, r.at,
				r.base.Size)
		}
	}
	return n, err
}

func (r *baseReader) end() error {
	if r.crc != r.base.CRC {
		return fmt.Errorf("%w: %s has CRC32C %08x, want %08x", ErrBase, r.base.File, r.crc,
			r.base.CRC)
	}
	return io.EOF
}

// Close implements io.Closer.
func (r *baseReader) Close() error { return r.file.Close() }
