package journal

import (
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// watch looks for events in the durable stream, in parallel with the writer: Append and the fsyncs
// wait for it only if it is more than a batch behind.
//
// At first it reads the log from the end of the last process's search (the Watch frame, which each
// segment begins with), which is a piece of the last segments; in a folder of a version without
// events it reads everything. From then on the writer hands it each batch once that is durable,
// with the same frames that a reader finds in the file: so an event is the same whenever it is
// found.
//
//	writer    write, fsync, publish ─ batch ─▶ watch   scan, find; Event frame ──▶ the next batch
//
// A crash loses no event: its commands are durable before it is recorded, and the Watch frame of
// the last segment stands before them, so the next Open finds it again, under the same number.
type watch struct {
	in chan []*segment.Block // batches; the writer closes it

	// Under Journal.mu.
	live bool          // batches are handed over
	new  []event.Event // found, and perhaps not durable yet
	seq  uint64        // the segment being read; 0: live

	mu sync.Mutex // held while frames are scanned; Journal.mu may be taken within, not around it
	w  *event.Watcher
}

// maxNew is above the number of events that one batch can end.
const maxNew = 64

// beginWatch prepares the watch of a journal that was recovered.
func (j *Journal) beginWatch() {
	h := &j.watch
	h.in = make(chan []*segment.Block, 1)
	h.w, h.seq = newWatcher(j.catalog, j.segments)
	h.w.Found = j.found
}

// newWatcher makes a watcher that continues from the catalog's state, and returns the segment that
// it needs first.
func newWatcher(c *catalog, segments []Segment) (*event.Watcher, uint64) {
	mark, seq := watchMark{}, uint64(0)
	if c.watch != nil {
		mark, seq = *c.watch, c.watch.Segment
	}
	if len(segments) > 0 {
		seq = max(seq, segments[0].Seq)
	}
	if at := mark.State; at.Timeline != 0 && !at.Lost {
		i := slices.IndexFunc(segments, func(s Segment) bool { return s.reaches(at) })
		if i < 0 { // retention has removed it, or the log ends there
			i = len(segments) - 1
		}
		seq = segments[i].Seq
	}
	w := event.NewWatcher(mark.State)
	for _, b := range c.bases {
		w.Start(uint32(b.Timeline), b.Offset, b.DB)
	}
	return w, seq
}

// reaches reports whether a segment holds a state's place, or ends there.
func (s *Segment) reaches(at event.State) bool {
	return slices.ContainsFunc(s.Ranges, func(r Range) bool {
		return uint32(r.Timeline) == at.Timeline && r.From <= at.Offset && at.Offset <= r.To
	})
}

// runWatch is the goroutine that looks for events.
func (j *Journal) runWatch() {
	defer j.stopped.Done()
	if err := j.catchUp(); err != nil {
		j.opts.Logger.Error("journal: events are not looked for any more", "err", err)
	}
	for batch := range j.watch.in {
		j.look(batch)
		j.recycle(batch)
	}
}

// look scans a batch.
func (j *Journal) look(batch []*segment.Block) {
	j.watch.mu.Lock()
	defer j.watch.mu.Unlock()
	for _, b := range batch {
		for i := range b.Frames() {
			f, payload := b.Frame(i)
			j.logged("events", watchFrame(j.watch.w, f, payload))
		}
	}
}

func (j *Journal) recycle(batch []*segment.Block) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range batch {
		j.freeLocked(b)
	}
}

// watchFrame hands a frame to a watcher.
func watchFrame(w *event.Watcher, f segment.Frame, payload []byte) error {
	if f.Flags&segment.FlagCarried != 0 {
		return nil
	}
	switch f.Type {
	case segment.Stream:
		w.Stream(f.Timeline, f.Offset, time.Unix(0, f.Time), payload)
	case segment.Timeline:
		return decodeInto(payload, func(t Timeline) error {
			w.Timeline(uint32(t.ID), uint32(t.Parent), t.Start, t.Fork)
			w.Ledger(t.Trash)
			return nil
		})
	case segment.Gap:
		return decodeInto(payload, func(g Gap) error {
			w.Gap(uint32(g.Timeline), g.From, g.To)
			w.Ledger(g.Trash)
			return nil
		})
	case segment.Counts:
		return decodeInto(payload, func(s event.Sample) error {
			w.Sample(f.Timeline, s)
			return nil
		})
	}
	return nil
}

// catchUp reads the log up to its end, from where on the writer hands over the batches. It ends
// early, without an error, when the journal closes.
func (j *Journal) catchUp() error {
	var r logReader
	defer r.close()
	for {
		s, state := j.nextPiece(&r)
		switch state {
		case pieceEnd, pieceClosed:
			return nil
		case pieceGone:
			j.lost(s.Seq)
			r.close()
			continue
		}
		err := r.read(j.fs(), j.path(s.File), s, func(f segment.Frame, payload []byte) error {
			j.watch.mu.Lock()
			defer j.watch.mu.Unlock()
			return watchFrame(j.watch.w, f, payload)
		})
		if err != nil {
			j.opts.Logger.Warn("journal: events are not known for a piece of the log",
				"segment", s.File, "err", err)
			j.lost(s.Seq + 1)
			r.close()
		}
		select {
		case <-j.stop:
			return nil
		default:
		}
	}
}

type pieceState int

const (
	pieceMore   pieceState = iota // there are bytes to read
	pieceEnd                      // everything durable was read: it is live now
	pieceGone                     // retention has removed the segment: continue with this one
	pieceClosed                   // the journal has ended
)

// nextPiece returns the segment to read, and its end.
func (j *Journal) nextPiece(r *logReader) (Segment, pieceState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.usableLocked() != nil {
		return Segment{}, pieceClosed
	}
	for i, s := range j.segments {
		switch {
		case s.Seq < j.watch.seq:
		case s.Seq > j.watch.seq:
			return s, pieceGone
		case r.at < s.Bytes || r.file == nil:
			return s, pieceMore
		case i == len(j.segments)-1:
			j.watch.live, j.watch.seq = true, 0
			return s, pieceEnd
		default:
			r.close()
			j.watch.seq++
		}
	}
	return Segment{}, pieceClosed // a journal has at least one segment
}

// lost skips an unreadable part.
func (j *Journal) lost(next uint64) {
	j.watch.mu.Lock()
	defer j.watch.mu.Unlock()
	j.watch.w.Lose()
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.segments); next > j.segments[n-1].Seq {
		next = j.segments[n-1].Seq // whatever its fault, the writer is writing it
	}
	j.watch.seq = next
}

// watched is the watch's progress, for the segment that is about to begin.
func (j *Journal) watched(next uint64) *watchMark {
	h := &j.watch
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.w == nil {
		return nil // Open itself begins it: the catalog still has the last one
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	m := &watchMark{Segment: next, State: h.w.State()}
	if h.seq != 0 {
		m.Segment = h.seq
	}
	return m
}

// found records an event that has begun or ended, and reports it, unless that was done before.
func (j *Journal) found(e event.Event) {
	j.mu.Lock()
	old, known := j.catalog.event(e.N)
	known = known && old.Timeline == e.Timeline && old.From == e.From && (old.Open == e.Open || e.Open)
	if !known {
		payload, err := json.Marshal(&e)
		f := segment.Frame{Type: segment.Event, Timeline: e.Timeline, Offset: e.From,
			Time: j.opts.Now().UnixNano()}
		if err == nil {
			err = j.usableLocked()
		}
		if err == nil {
			err = j.addLocked(f, payload)
		}
		j.watch.new = append(j.watch.new, e)
		if n := len(j.watch.new) - maxNew; n > 0 {
			j.watch.new = slices.Delete(j.watch.new, 0, n)
		}
		if err != nil && !errors.Is(err, ErrClosed) { // the next Open finds it again
			j.again.Tell(j.opts.Logger, slog.LevelWarn, "journal: an event is not recorded", err)
		}
	}
	j.mu.Unlock()
	if !known {
		j.opts.OnEvent(e)
	}
}

// Events returns the recorded events, oldest first.
func (j *Journal) Events() []event.Event {
	j.watch.mu.Lock()
	open, ok := j.watch.w.Event()
	j.watch.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	c := &catalog{events: slices.Clone(j.catalog.events)}
	for _, e := range j.watch.new {
		c.enterEvent(e)
	}
	if ok {
		c.enterEvent(open)
	}
	return c.events
}

// Keys bounds the server's keys at the end of the stream that was searched for events. They are unknown
// while the log is being read up to its end.
func (j *Journal) Keys() event.Counts {
	if !j.Watching() {
		return event.Counts{}
	}
	j.watch.mu.Lock()
	defer j.watch.mu.Unlock()
	return j.watch.w.Keys()
}

// Watching reports whether new batches are searched for events: not yet, while the log is being
// read up to its end.
func (j *Journal) Watching() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.watch.live
}

// logReader reads the frames of one segment after the other, also of one that grows.
type logReader struct {
	file  vfs.File // nil: none is open
	inner *segment.Reader
	at    int64
}

// read returns the frames from its place up to the segment's end.
func (r *logReader) read(disk vfs.FS, path string, s Segment,
	visit func(segment.Frame, []byte) error) error {
	if r.file == nil {
		file, err := disk.Open(path)
		if err != nil {
			return err
		}
		r.file = file
		if r.inner, _, err = segment.NewReader(file, s.Bytes); err != nil {
			return err
		}
	}
	r.inner.Extend(s.Bytes)
	for r.at < s.Bytes {
		f, payload, err := r.inner.Next()
		if err != nil {
			return err
		}
		r.at, _ = r.inner.Position()
		if err := visit(f, payload); err != nil {
			return err
		}
	}
	return nil
}

func (r *logReader) close() {
	if r.file != nil {
		_ = r.file.Close() // read-only
	}
	*r = logReader{}
}
