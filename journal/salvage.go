package journal

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// Salvage is OpenView for a damaged folder: it shows the readable and checked parts, before the
// damage and behind it, and Damages lists the rest. For a sound folder it equals OpenView.
func Salvage(disk vfs.FS, dir string) (*View, error) {
	v, err := OpenView(disk, dir)
	if !errors.Is(err, ErrDamaged) {
		return v, err
	}
	disk = vfs.OrOS(disk)
	f := &folder{fs: disk, dir: dir, catalog: &catalog{}}
	if f.names, err = disk.List(dir); err != nil {
		return nil, err
	}
	s := salvage{folder: f}
	s.files()
	s.contents()
	s.history()
	f.markMissing()
	return &View{folder: *f}, nil
}

// Damages lists the damage found when the view was opened. Reading it may find more.
func (v *View) Damages() []*DamageError { return slices.Clone(v.damages) }

// damageAt is the damage at an offset that no segment holds; nil if there is none.
func (f *folder) damageAt(id TimelineID, at int64) error {
	if len(f.damages) == 0 {
		return nil
	}
	var before string // the file with the stream before it
	for _, s := range f.segments {
		for _, r := range s.Ranges {
			if r.Timeline == id && r.To <= at {
				before = s.File
			}
		}
	}
	for _, d := range f.damages {
		if d.Segment >= before { // all names have the same length
			return d
		}
	}
	return nil
}

// salvage loads a damaged folder.
type salvage struct {
	*folder
	good  []bool // by segment: its header can be trusted
	alien []bool // by segment: nothing in it belongs to us
	read  []bool // by segment: all of it was checked, and its damage noted
}

func (s *salvage) note(file string, at int64, why string) {
	s.damages = append(s.damages, &DamageError{file, at, why})
}

// noteErr records a file's fault, of any kind.
func (s *salvage) noteErr(file string, err error) {
	var bad *segment.BadError
	switch {
	case errors.As(err, &bad):
		s.note(file, bad.Offset, bad.Why)
	case errors.Is(err, fs.ErrNotExist):
		s.note(file, 0, "the file is missing")
	case err != nil:
		s.note(file, 0, err.Error())
	}
}

// files finds the segments and reads their headers.
func (s *salvage) files() {
	for _, name := range s.names {
		seq, ok := parseSegment(name)
		if !ok {
			continue
		}
		if n := len(s.segments); n > 0 {
			for missing := s.segments[n-1].Seq + 1; missing < seq; missing++ {
				s.note(segmentName(missing), 0, "the file is missing")
			}
		}
		s.segments = append(s.segments, Segment{Seq: seq, File: name})
	}
	s.headers = make([]segment.Header, len(s.segments))
	s.good, s.read = make([]bool, len(s.segments)), make([]bool, len(s.segments))
	s.alien = make([]bool, len(s.segments))
	journals := map[[16]byte]int{}
	for i := range s.segments {
		err := s.with(s.segments[i].File, func(file vfs.File) error {
			h, _, err := segment.ReadHeader(file)
			if err == nil && h.Seq != s.segments[i].Seq {
				err = &segment.BadError{Why: "the header is of another segment"}
			}
			s.headers[i] = h
			return err
		})
		s.noteErr(s.segments[i].File, err)
		if s.good[i] = err == nil; s.good[i] {
			journals[s.headers[i].Journal]++
			s.segments[i].Created = time.Unix(0, s.headers[i].Created)
		}
	}
	s.outcast(journals)
}

// outcast leaves out the segments of another journal: the one with fewer segments.
func (s *salvage) outcast(journals map[[16]byte]int) {
	var own [16]byte
	for id, n := range journals {
		if n > journals[own] {
			own = id
		}
	}
	for i := range s.segments {
		if s.good[i] && s.headers[i].Journal != own {
			s.good[i], s.alien[i] = false, true
			s.segments[i].Damaged = true
			s.note(s.segments[i].File, 0, "it is of another journal")
		}
	}
}

// contents reads the content of each segment.
func (s *salvage) contents() {
	for i := range s.segments {
		seg := &s.segments[i]
		last := i == len(s.segments)-1
		seg.Live, seg.Damaged = last, !s.good[i]
		if s.alien[i] {
			continue
		}
		next := i + 1
		known := !last && s.good[next] && s.segments[next].Seq == seg.Seq+1
		if known {
			seg.Bytes, seg.Suspect = s.headers[next].PrevEnd, s.headers[next].PrevSuspect
		}
		if s.good[i] && known && s.sealed(seg, s.headers[next]) {
			continue
		}
		s.walk(i, seg.Bytes, func(f segment.Frame, size int, _ []byte) { seg.note(f, size) })
	}
}

// sealed takes a segment's overview from its Seal, as in a sound folder, if it is readable.
func (s *salvage) sealed(seg *Segment, next segment.Header) bool {
	whole := *seg
	err := s.with(seg.File, func(file vfs.File) error { return readSealed(file, &whole, next) })
	if err == nil {
		*seg = whole
	}
	return err == nil
}

// walk reads a segment in spite of damage, records that, and calls visit for the frames of finished
// batches. An end of 0 is unknown.
func (s *salvage) walk(i int, end int64, visit func(segment.Frame, int, []byte)) {
	seg := &s.segments[i]
	first := !s.read[i] // its damage was not recorded before
	s.read[i] = true
	err := s.with(seg.File, func(file vfs.File) error {
		w := salvaging{visit: visit, damaged: func(at int64, why string) {
			seg.Damaged = true
			if first {
				s.note(seg.File, at, why)
			}
		}}
		at, err := w.run(file, seg.Seq, s.good[i], end)
		seg.Bytes = max(seg.Bytes, at)
		return err
	})
	if err != nil && first {
		seg.Damaged = true
		s.noteErr(seg.File, err)
	}
}

// salvaging is a walk through one segment.
type salvaging struct {
	visit   func(segment.Frame, int, []byte)
	damaged func(at int64, why string)
	batch   []salvaged
}

type salvaged struct {
	segment.Frame
	size    int
	payload []byte
}

// run returns the end of the last finished batch.
func (w *salvaging) run(file vfs.File, seq uint64, good bool, end int64) (int64, error) {
	r, _, err := segment.NewReader(file, end)
	if !good {
		r, err = segment.NewSalvager(file, seq, end)
	}
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	done := int64(0)
	for {
		f, payload, err := r.Next()
		at, _ := r.Position()
		var bad *segment.BadError
		switch {
		case err == nil && f.Type == segment.Commit:
			for _, v := range w.batch {
				w.visit(v.Frame, v.size, v.payload)
			}
			w.batch, done = w.batch[:0], at
			continue
		case err == nil:
			w.keep(f, payload)
			continue
		case end > 0 && at >= end:
			return done, nil
		case !errors.As(err, &bad) && !errors.Is(err, io.EOF):
			return done, err
		}
		why := "zeros where frames were"
		if bad != nil {
			why = bad.Why
		}
		if err := r.Resync(); errors.Is(err, io.EOF) {
			if bad != nil {
				w.damaged(at, why)
			}
			return done, nil
		} else if err != nil {
			return done, err
		}
		w.damaged(at, why)
	}
}

func (w *salvaging) keep(f segment.Frame, payload []byte) {
	v := salvaged{Frame: f, size: len(payload)}
	if f.Type != segment.Stream {
		v.payload = slices.Clone(payload)
	}
	w.batch = append(w.batch, v)
}

// history builds the catalog from the newest intact segment on, or from all.
func (s *salvage) history() {
	for from := len(s.segments) - 1; from >= 0; from-- {
		s.catalog = &catalog{}
		for i := from; i < len(s.segments); i++ {
			if !s.alien[i] {
				s.walk(i, s.end(i), s.catalog.merge)
			}
		}
		if !s.segments[from].Damaged {
			return
		}
	}
}

// end is the end of a segment, if that is known.
func (s *salvage) end(i int) int64 {
	if i == len(s.segments)-1 {
		return 0
	}
	return s.segments[i].Bytes
}

// merge applies a frame where frames before it may be missing. A frame that contradicts the catalog
// is left out.
func (c *catalog) merge(f segment.Frame, size int, payload []byte) {
	switch f.Type {
	case segment.Stream:
		if t := c.find(TimelineID(f.Timeline)); t != nil && f.Offset+int64(size) > t.End {
			t.End, t.Last = f.Offset+int64(size), time.Unix(0, f.Time)
		}
	case segment.Timeline:
		_ = decodeInto(payload, func(t Timeline) error {
			if known := c.find(t.ID); known != nil {
				t.End = max(t.End, known.End)
				*known = t
				return nil
			}
			c.timelines = append(c.timelines, t)
			slices.SortFunc(c.timelines, func(a, b Timeline) int { return int(a.ID) - int(b.ID) })
			return nil
		})
	case segment.Gap:
		_ = decodeInto(payload, func(g Gap) error {
			if t := c.find(g.Timeline); t != nil && t.End < g.To {
				t.End = g.To
			}
			c.gaps = addOnce(c.gaps, g, func(o Gap) bool {
				return o.Timeline == g.Timeline && o.From == g.From
			})
			return nil
		})
	case segment.Incident:
		_ = decodeInto(payload, func(i Incident) error {
			c.addIncident(i) // a later frame closes it
			return nil
		})
	case segment.Base:
		_ = decodeInto(payload, func(b Base) error {
			c.bases = addOnce(c.bases, b, func(o Base) bool { return o.File == b.File })
			return nil
		})
	case segment.Event:
		_ = decodeInto(payload, func(e event.Event) error { c.enterEvent(e); return nil })
	default:
		_ = c.apply(f, size, payload)
	}
}

// addOnce appends v unless the list has it.
func addOnce[T any](list []T, v T, same func(T) bool) []T {
	if slices.ContainsFunc(list, same) {
		return list
	}
	return append(list, v)
}
