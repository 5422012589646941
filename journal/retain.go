package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"holdfast/journal/segment"
)

// Retain removes files beyond the retention limits: bases that serve no moment of the window, and
// the oldest segments that no base needs. It runs by itself, every minute and when the disk is
// full.
//
// A base serves the moments from its own to the next base's on the same history; the last base of
// the current timeline serves the present, and is never removed. With a limit of bytes, or on a
// full disk, the window becomes as short as it must.
//
// The newest base that leads to the present and all of the stream behind it stay, whatever their
// size: without them nothing can be restored and nothing promised. Without a fresh base they grow
// beyond the limit of bytes (Stats.Over), until Disk.Stop. Segments into which no base leads are of
// use with a backup only; they go from the oldest on, as the limits demand.
//
// The order keeps every crash harmless: the BaseDrop frame is durable before the file goes, a
// base goes before the segments that only it needed, segments go from the oldest on, and each
// removal is durable before the next.
func (j *Journal) Retain(ctx context.Context) error {
	j.retaining.Lock() // two at once would remove out of order
	defer j.retaining.Unlock()
	j.mu.Lock()
	p := planner{catalog: j.catalog.clone(), segments: slices.Clone(j.segments),
		now: j.opts.Now(), limits: j.opts.Retention, tight: j.tightLocked(), coming: j.over.coming > 0}
	j.mu.Unlock()
	bases, segments := p.plan()
	j.mu.Lock()
	j.over.note(&p, bases, segments)
	j.mu.Unlock()
	for _, b := range bases {
		if err := j.dropBase(ctx, b); err != nil {
			return err
		}
	}
	for _, s := range segments {
		if err := j.dropSegment(s); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) dropBase(ctx context.Context, b Base) error {
	if err := j.recordDrop(ctx, b); err != nil {
		return err
	}
	j.opts.Logger.Info("journal: retention removes a base", "file", b.File, "time", b.Time,
		"bytes", b.Size)
	if b.Missing {
		return nil
	}
	return j.removeDurably(b.File)
}

// recordDrop records in the log that a base is about to be removed. It waits until that is durable,
// but not while the disk is full or becomes so: the frame cannot be written before there is room,
// and the removal makes that room. After a crash recovery then finds the base missing and reports
// that, which is true.
func (j *Journal) recordDrop(ctx context.Context, b Base) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := segment.Frame{Type: segment.BaseDrop, Timeline: uint32(b.Timeline), Offset: b.Offset}
	err := j.noteLocked(f, func() (any, error) { return baseDrop{b.File}, nil })
	if err != nil {
		return err
	}
	for n := j.appended; j.written < n && !j.tightLocked(); {
		if j.err != nil {
			return j.err
		}
		if err := j.waitLocked(ctx); err != nil {
			return err
		}
	}
	j.catalog.bases = slices.DeleteFunc(j.catalog.bases,
		func(o Base) bool { return o.File == b.File })
	return nil
}

func (j *Journal) dropSegment(s Segment) error {
	j.mu.Lock()
	j.segments = slices.DeleteFunc(j.segments, func(o Segment) bool { return o.Seq == s.Seq })
	j.mu.Unlock()
	j.opts.Logger.Info("journal: retention removes a segment", "file", s.File, "last", s.LastTime,
		"bytes", s.Bytes)
	return j.removeDurably(s.File)
}

func (j *Journal) removeDurably(name string) error {
	if err := j.fs().Remove(j.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return j.fs().SyncDir(j.opts.Dir)
}

// planner decides the removals. It changes nothing itself.
type planner struct {
	catalog  *catalog
	segments []Segment
	now      time.Time
	limits   Retention
	tight    bool // drop everything that may be dropped
	coming   bool // a base is being written, and may lead into any of the stream

	aged time.Time // the beginning of the window by the age limit alone
}

// plan returns the files to remove.
func (p *planner) plan() (bases []Base, segments []Segment) {
	ends := p.serviceEnds()
	if p.limits.Age > 0 {
		p.aged = p.now.Add(-p.limits.Age)
	}
	window := p.aged
	bases, segments = p.outside(window, ends)
	for _, later := range p.windows(window, ends) {
		if !p.tight && (p.limits.Bytes == 0 || p.left(bases, segments) <= p.limits.Bytes) {
			break
		}
		bases, segments = p.outside(later, ends)
	}
	return bases, append(segments, p.leadless(bases, segments)...)
}

// leadless returns the further segments to remove among those that no base leads into.
func (p *planner) leadless(bases []Base, gone []Segment) []Segment {
	kept := slices.DeleteFunc(slices.Clone(p.catalog.bases), func(b Base) bool {
		return b.Missing || slices.ContainsFunc(bases, func(o Base) bool { return o.File == b.File })
	})
	left, n := p.left(bases, gone), len(gone)
	for _, s := range p.segments[n:] {
		over := p.tight || p.limits.Bytes > 0 && left > p.limits.Bytes
		if s.Live || !over || p.coming || p.needed(s, kept) {
			break
		}
		n++
		left -= s.Bytes
	}
	return slices.Clone(p.segments[len(gone):n])
}

// left is the size after a plan, in bytes.
func (p *planner) left(bases []Base, segments []Segment) int64 {
	var sum int64
	for _, b := range p.catalog.bases {
		sum += b.Size
	}
	for _, s := range p.segments {
		sum += s.Bytes
	}
	for _, b := range bases {
		sum -= b.Size
	}
	for _, s := range segments {
		sum -= s.Bytes
	}
	return sum
}

// windows returns the later beginnings of the window at which one more base may go, in order.
func (p *planner) windows(after time.Time, ends []time.Time) []time.Time {
	var all []time.Time
	for _, end := range ends {
		if !end.IsZero() && end.After(after) {
			all = append(all, end)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return append(all, p.now)
}

// serviceEnds returns for each base the last moment that only it leads to; zero is never.
func (p *planner) serviceEnds() []time.Time {
	ends := make([]time.Time, len(p.catalog.bases))
	endless := make([]bool, len(p.catalog.bases))
	current, _ := p.catalog.current()
	for _, t := range p.catalog.timelines {
		spans := p.catalog.lineage(t.ID)
		for i, b := range p.catalog.bases {
			if b.Missing || !baseOn(spans, b) {
				continue
			}
			end, more := p.endOn(spans, t, i, current.ID)
			endless[i] = endless[i] || more
			if end.After(ends[i]) {
				ends[i] = end
			}
		}
	}
	for i := range ends {
		if endless[i] {
			ends[i] = time.Time{}
		} else if ends[i].IsZero() {
			ends[i] = p.catalog.bases[i].Time // it leads nowhere
		}
	}
	return ends
}

// endOn is the end of base i's service on the history of t, and whether it never ends.
func (p *planner) endOn(spans []span, t Timeline, i int, current TimelineID) (time.Time, bool) {
	b := p.catalog.bases[i]
	var next *Base
	for k := range p.catalog.bases {
		o := &p.catalog.bases[k]
		if k == i || o.Missing || !baseOn(spans, *o) || !after(*o, b) {
			continue
		}
		if next == nil || after(*next, *o) {
			next = o
		}
	}
	switch {
	case next != nil:
		return next.Time, false
	case t.ID == current:
		return time.Time{}, true
	}
	return t.Last, false
}

// after orders bases of one lineage: timelines are numbered in the order of their beginning.
func after(a, b Base) bool {
	if a.Timeline != b.Timeline {
		return a.Timeline > b.Timeline
	}
	if a.Offset != b.Offset {
		return a.Offset > b.Offset
	}
	return a.File > b.File // two at one place: either will do, one is kept
}

// outside returns the files that serve no moment from window on. Segments that no base leads into
// go only with a base that covers the window, or once they are too old: they may still be of use
// with a snapshot from elsewhere.
func (p *planner) outside(window time.Time, ends []time.Time) (bases []Base, segs []Segment) {
	var kept []Base
	for i, b := range p.catalog.bases {
		if !ends[i].IsZero() && !ends[i].After(window) {
			bases = append(bases, b)
		} else {
			kept = append(kept, b)
		}
	}
	for _, s := range p.segments {
		old := !s.LastTime.After(p.aged)
		early := len(kept) > 0 && window.After(p.aged)
		if s.Live || p.needed(s, kept) || !old && !early {
			break
		}
		segs = append(segs, s)
	}
	return bases, segs
}

// needed reports whether a base leads into a segment.
func (p *planner) needed(s Segment, bases []Base) bool {
	for _, r := range s.Ranges {
		spans := p.catalog.lineage(r.Timeline)
		for _, b := range bases {
			if baseOn(spans, b) && (b.Timeline != r.Timeline || b.Offset < r.To) {
				return true
			}
		}
	}
	return false
}
