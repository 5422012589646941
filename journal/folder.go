package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// folder is the state of a journal's files, read without changing any of them. Open and OpenView
// begin with it.
type folder struct {
	fs       vfs.FS
	dir      string
	names    []string
	headers  []segment.Header
	segments []Segment // in order; the last is Live
	last     segment.ScanResult
	catalog  *catalog
	damages  []*DamageError // found; only if it was loaded in spite of them
}

// sealed is the payload of a Seal frame.
type sealed struct {
	Ranges []Range   `json:"ranges,omitempty"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// loadFolder reads the headers of all segments, the seals of all but the last, and the last one
// whole. An empty folder is a journal without segments. A promised file or frame that is missing is
// a DamageError; the folder comes with it, as far as it was read.
func loadFolder(disk vfs.FS, dir string) (*folder, error) {
	f := &folder{fs: disk, dir: dir, catalog: &catalog{}}
	var err error
	if f.names, err = disk.List(dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	for _, name := range f.names {
		if seq, ok := parseSegment(name); ok {
			f.segments = append(f.segments, Segment{Seq: seq, File: name})
		}
	}
	if err := f.readHeaders(); err != nil {
		return f, err
	}
	for i := range f.segments {
		if err := f.readSegment(i); err != nil {
			return f, err
		}
	}
	f.markMissing()
	return f, nil
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// with opens a file of the folder for reading and hands it to use.
func (f *folder) with(name string, use func(vfs.File) error) error {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return err
	}
	return errors.Join(use(file), file.Close())
}

func (f *folder) readHeaders() error {
	for i := range f.segments {
		s := &f.segments[i]
		if i > 0 && s.Seq != f.segments[i-1].Seq+1 {
			missing := segmentName(f.segments[i-1].Seq + 1)
			return &DamageError{missing, 0, "the file is missing"}
		}
		err := f.with(s.File, func(file vfs.File) error {
			h, _, err := segment.ReadHeader(file)
			f.headers = append(f.headers, h)
			return err
		})
		if err == nil {
			err = f.checkHeader(i)
		}
		if err != nil {
			return damage(s.File, err)
		}
	}
	return nil
}

func (f *folder) checkHeader(i int) error {
	h, s := f.headers[i], &f.segments[i]
	s.Created = time.Unix(0, h.Created)
	s.Live = i == len(f.segments)-1
	switch {
	case h.Seq != s.Seq:
		return &segment.BadError{Why: fmt.Sprintf("the header is of segment %d", h.Seq)}
	case h.Journal != f.headers[0].Journal:
		return &segment.BadError{Why: fmt.Sprintf("of another journal, %x, want %x", h.Journal,
			f.headers[0].Journal)}
	case i == 0:
		return nil
	case h.PrevEnd < segment.HeaderSize:
		return &segment.BadError{Offset: 16, Why: "no end of the segment before"}
	}
	prev := &f.segments[i-1]
	prev.Bytes, prev.Suspect = h.PrevEnd, h.PrevSuspect
	return nil
}

// readSegment reads the state of a segment.
func (f *folder) readSegment(i int) error {
	s := &f.segments[i]
	err := f.with(s.File, func(file vfs.File) error {
		if s.Live {
			return f.scanLast(file, s)
		}
		return readSealed(file, s, f.headers[i+1])
	})
	return damage(s.File, err)
}

// readSealed reads the overview from the Seal, or from the frames without one.
func readSealed(file vfs.File, s *Segment, next segment.Header) error {
	if !next.PrevSuspect {
		payload, ok, err := segment.ReadSeal(file, next.PrevEnd, next.PrevChain)
		if err != nil {
			return err
		}
		var seal sealed
		if ok && json.Unmarshal(payload, &seal) == nil {
			s.Sealed, s.Ranges, s.FirstTime, s.LastTime = true, seal.Ranges, seal.First, seal.Last
			return nil
		}
	}
	return walk(file, next.PrevEnd, next.PrevChain, func(f segment.Frame, payload []byte) error {
		s.note(f, len(payload))
		return nil
	})
}

// walk reads a segment whose end is known, and requires that end.
func walk(file vfs.File, end int64, chain uint32,
	visit func(segment.Frame, []byte) error) error {
	r, _, err := segment.NewReader(file, end)
	if err != nil {
		return err
	}
	for {
		at, _ := r.Position()
		if at == end {
			break
		}
		f, payload, err := r.Next()
		if err != nil {
			return err
		}
		if err := visit(f, payload); err != nil {
			return &segment.BadError{Offset: at, Why: err.Error()}
		}
	}
	if _, got := r.Position(); got != chain {
		why := fmt.Sprintf("the segment ends with chain %08x, the next one wants %08x", got, chain)
		return &segment.BadError{Offset: end, Why: why}
	}
	return nil
}

// scanLast reads the segment that was being written: it also yields the catalog.
func (f *folder) scanLast(file vfs.File, s *Segment) error {
	result, err := segment.Scan(file, func(fr segment.Frame, size int, payload []byte) error {
		s.note(fr, size)
		return f.catalog.apply(fr, size, payload)
	})
	f.last = result
	if err != nil {
		return err
	}
	if result.Newer {
		return &segment.BadError{Offset: result.Bad, Why: result.Why, Newer: true}
	}
	if result.Damaged() {
		why := fmt.Sprintf("%s, but everything below byte %d was durable once", result.Why,
			result.Promised)
		return &segment.BadError{Offset: result.Bad, Why: why}
	}
	s.Bytes, s.Sealed = result.End, result.Sealed
	return nil
}

// markMissing checks that the files of the bases exist.
func (f *folder) markMissing() {
	for i := range f.catalog.bases {
		b := &f.catalog.bases[i]
		st, err := f.fs.Stat(f.path(b.File))
		b.Missing = err != nil || st.Size != b.Size
	}
}

// note adds a frame to a segment's overview.
func (s *Segment) note(f segment.Frame, size int) {
	if f.Type != segment.Stream || size == 0 {
		return
	}
	at := time.Unix(0, f.Time)
	if s.FirstTime.IsZero() {
		s.FirstTime = at
	}
	s.LastTime = at
	to := f.Offset + int64(size)
	if n := len(s.Ranges); n > 0 {
		last := &s.Ranges[n-1]
		if last.Timeline == TimelineID(f.Timeline) && last.To == f.Offset {
			last.To = to
			return
		}
	}
	s.Ranges = append(s.Ranges, Range{TimelineID(f.Timeline), f.Offset, to})
}

// seal is the payload of the segment's Seal frame.
func (s *Segment) seal() ([]byte, error) {
	return json.Marshal(sealed{Ranges: s.Ranges, First: s.FirstTime, Last: s.LastTime})
}

// sealRoom is an upper bound of the segment's Seal frame, in bytes.
func (s *Segment) sealRoom() int64 { return 512 + 96*int64(len(s.Ranges)) }

// damage names the file in an error of a segment's reader. A missing file was in use and can only
// have been removed by retention.
func damage(name string, err error) error {
	var bad *segment.BadError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("journal: %s: %w", name, err)
	case errors.As(err, &bad):
		return &DamageError{name, bad.Offset, bad.Why}
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("journal: %s: %w: %w", name, ErrPruned, err)
	}
	return fmt.Errorf("journal: %s: %w", name, err)
}
