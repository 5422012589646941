package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"time"

	"holdfast/journal/vfs"
)

// View is what a journal holds at one moment. It is immutable; take another to see more. Files
// may still be removed by retention meanwhile, which reading them then says (ErrPruned).
type View struct {
	folder
}

// OpenView reads a folder without locking or changing it: one that another process is writing, or
// a copy. It shows everything up to the last Commit of the log. A nil disk is the machine's.
func OpenView(disk vfs.FS, dir string) (*View, error) {
	if disk == nil {
		disk = vfs.OS{}
	}
	// Retention may remove files while they are listed and read: a failure counts once it is
	// seen in a folder that stands still.
	for {
		f, err := loadFolder(disk, dir)
		if err == nil {
			return &View{*f}, nil
		}
		names, listErr := disk.List(dir)
		if listErr != nil || f == nil || slices.Equal(names, f.names) {
			return nil, err
		}
	}
}

// View shows what is durable now.
func (j *Journal) View() (*View, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := &View{folder{fs: j.fs(), dir: j.opts.Dir, catalog: j.catalog.clone()}}
	for _, s := range j.segments {
		s.Ranges = slices.Clone(s.Ranges)
		v.segments = append(v.segments, s)
	}
	return v, nil
}

// Timelines gives all timelines in the order of their beginning.
func (v *View) Timelines() []Timeline { return slices.Clone(v.catalog.timelines) }

// Timeline gives one timeline; false if there is none.
func (v *View) Timeline(id TimelineID) (Timeline, bool) {
	if t := v.catalog.find(id); t != nil {
		return *t, true
	}
	return Timeline{}, false
}

// Current is the newest timeline.
func (v *View) Current() (Timeline, bool) { return v.catalog.current() }

// Bases gives all bases in the order in which they were completed.
func (v *View) Bases() []Base { return slices.Clone(v.catalog.bases) }

// Gaps gives the ranges that the journal never received.
func (v *View) Gaps() []Gap { return slices.Clone(v.catalog.gaps) }

// Incidents gives the ranges that the primary lost.
func (v *View) Incidents() []Incident { return slices.Clone(v.catalog.incidents) }

// Segments gives the files of the log in order.
func (v *View) Segments() []Segment { return slices.Clone(v.segments) }

// BaseFor gives the base from which the state at an offset of a timeline is rebuilt with the
// least stream: the newest at or below it, on the timeline or on an ancestor before they part.
// Everything between is held. ErrNoBase says that there is none, and why; a *GapError in it that
// one would lead there but for bytes that are missing.
func (v *View) BaseFor(id TimelineID, offset int64) (Base, error) {
	spans := v.catalog.lineage(id)
	if len(spans) == 0 {
		return Base{}, fmt.Errorf("%w: no timeline %d", ErrNoBase, id)
	}
	if end := spans[len(spans)-1].to; offset > end {
		return Base{}, fmt.Errorf("%w: timeline %d ends at %d, got %d", ErrNoBase, id, end, offset)
	}
	var best *Base
	for i := range v.catalog.bases {
		b := &v.catalog.bases[i]
		if b.Missing || b.Offset > offset || !baseOn(spans, *b) {
			continue
		}
		if best == nil || after(*b, *best) {
			best = b
		}
	}
	if best == nil {
		return Base{}, fmt.Errorf("%w: timeline %d has none at or below offset %d", ErrNoBase, id,
			offset)
	}
	if err := v.holds(spans, *best, offset); err != nil {
		return Base{}, fmt.Errorf("%w: the one at offset %d cannot be continued: %w", ErrNoBase,
			best.Offset, err)
	}
	return *best, nil
}

// holds answers whether every byte from a base to an offset of its lineage is in some segment.
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

// TimeRange gives the moments of the first and the last byte that the log holds; zero if it
// holds none.
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
// ErrBase instead of io.EOF if it was not what was written.
func (v *View) OpenBase(b Base) (io.ReadCloser, error) {
	f, err := v.fs.Open(v.path(b.File))
	if errors.Is(err, fs.ErrNotExist) {
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
