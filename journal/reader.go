package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// Chunk is a piece of the stream as it arrived. It may begin and end in the middle of a command.
type Chunk struct {
	Timeline TimelineID // that holds it; an ancestor below the fork
	Offset   int64      // of its first byte
	Time     time.Time  // when it arrived
	Data     []byte     // valid until the next call of Next
}

// Reader reads the stream of a history in order, up to the end of its View. Every byte is checked
// against the log's checksums.
type Reader struct {
	view  *View
	spans []span
	at    int64

	file  vfs.File // of the segment that is being read; nil: none
	seg   Segment
	inner *segment.Reader
	gave  bool  // a chunk came from it
	bad   error // damage in it since the last chunk

	samples func(event.Sample) // nil: no callback
}

// OnSample calls fn with each count of the server's keys, at its place between the chunks.
func (r *Reader) OnSample(fn func(event.Sample)) { r.samples = fn }

// Reader begins at an offset of a timeline. Below its fork the bytes are its parent's, and so on.
// The first chunk begins exactly at from.
func (v *View) Reader(id TimelineID, from int64) (*Reader, error) {
	spans := v.catalog.lineage(id)
	if len(spans) == 0 {
		return nil, fmt.Errorf("%w: there is no timeline %d", ErrTimeline, id)
	}
	if first, last := spans[0].from, spans[len(spans)-1].to; from < first || from > last {
		return nil, fmt.Errorf("%w: %d of timeline %d, which holds %d to %d", ErrRange, from, id,
			first, last)
	}
	return &Reader{view: v, spans: spans, at: from}, nil
}

// Offset is where the next chunk begins.
func (r *Reader) Offset() int64 { return r.at }

// Next returns the next chunk. The error is io.EOF at the end of the View, a *GapError where bytes
// were never received, ErrPruned where retention has removed them meanwhile, or a *DamageError.
func (r *Reader) Next() (Chunk, error) {
	if r.at == r.spans[len(r.spans)-1].to {
		return Chunk{}, io.EOF
	}
	s, err := r.spanAt(r.at)
	if err != nil {
		return Chunk{}, err
	}
	for {
		if err := r.position(s); err != nil {
			return Chunk{}, err
		}
		c, err := r.nextIn(s)
		if !errors.Is(err, io.EOF) {
			r.gave = err == nil
			return c, err
		}
		if !r.gave {
			return Chunk{}, &DamageError{r.seg.File, r.seg.Bytes,
				fmt.Sprintf("offset %d of timeline %d should be in it and is not", r.at, s.id)}
		}
		if err := r.Close(); err != nil { // on to the segment that follows
			return Chunk{}, err
		}
	}
}

// spanAt returns the part of the history that holds an offset.
func (r *Reader) spanAt(at int64) (span, error) {
	for i, s := range r.spans {
		if at >= s.from && at < s.to {
			return s, nil
		}
		if at < s.from {
			var end int64
			if i > 0 {
				end = r.spans[i-1].to
			}
			return span{}, &GapError{Gap{Timeline: s.id, From: end, To: s.from,
				Why: "between the fork and the first byte that was received"}}
		}
	}
	last := r.spans[len(r.spans)-1]
	return span{}, fmt.Errorf("%w: %d of timeline %d, which ends at %d", ErrRange, at, last.id,
		last.to)
}

// pieceAt returns the segment, and the range in it, that holds an offset.
func (r *Reader) pieceAt(s span, at int64) (Segment, Range, error) {
	for _, seg := range r.view.segments {
		for _, piece := range seg.Ranges {
			if piece.Timeline == s.id && piece.From <= at && at < piece.To {
				return seg, piece, nil
			}
		}
	}
	for _, g := range r.view.catalog.gaps {
		if g.Timeline == s.id && g.From <= at && at < g.To {
			return Segment{}, Range{}, &GapError{g}
		}
	}
	if err := r.view.damageAt(s.id, at); err != nil {
		return Segment{}, Range{}, err
	}
	return Segment{}, Range{}, fmt.Errorf("%w: offset %d of timeline %d", ErrPruned, at, s.id)
}

// position opens the segment that holds r.at, unless it is open.
func (r *Reader) position(s span) error {
	if r.file != nil {
		return nil
	}
	seg, _, err := r.pieceAt(s, r.at)
	if err != nil {
		return err
	}
	file, err := r.view.fs.Open(r.view.path(seg.File))
	if err != nil {
		return damage(seg.File, err)
	}
	r.bad = nil
	inner, _, err := segment.NewReader(file, seg.Bytes)
	if bad := damage(seg.File, err); errors.Is(bad, ErrDamaged) {
		r.bad = bad
		inner, err = segment.NewSalvager(file, seg.Seq, seg.Bytes)
	}
	if err != nil {
		return errors.Join(cmp.Or(r.bad, damage(seg.File, err)), file.Close())
	}
	r.file, r.seg, r.inner, r.gave = file, seg, inner, false
	return nil
}

// nextIn looks for r.at in the open segment. Damage matters only if r.at is in it: every returned
// frame is checked.
func (r *Reader) nextIn(s span) (Chunk, error) {
	for {
		f, payload, err := r.inner.Next()
		if bad := damage(r.seg.File, err); errors.Is(bad, ErrDamaged) {
			r.bad = bad
			if err = r.inner.Resync(); err == nil {
				continue
			}
		}
		if errors.Is(err, io.EOF) {
			return Chunk{}, r.ended(s)
		}
		if err != nil {
			return Chunk{}, damage(r.seg.File, err)
		}
		if f.Type == segment.Counts && r.samples != nil && TimelineID(f.Timeline) == s.id {
			if err := decodeInto(payload, func(n event.Sample) error { r.samples(n); return nil }); err != nil {
				return Chunk{}, damage(r.seg.File, err)
			}
		}
		if f.Type != segment.Stream || TimelineID(f.Timeline) != s.id {
			continue
		}
		end := min(f.Offset+int64(len(payload)), s.to)
		if end <= r.at {
			continue
		}
		if f.Offset > r.at {
			return Chunk{}, r.ended(s) // it stands in another segment, or is missing
		}
		c := Chunk{Timeline: s.id, Offset: r.at, Time: time.Unix(0, f.Time),
			Data: payload[r.at-f.Offset : end-f.Offset]}
		r.at, r.bad = end, nil
		return c, nil
	}
}

// ended is why the open segment has no more: the damage in it, unless another one holds the
// continuation.
func (r *Reader) ended(s span) error {
	if r.bad == nil {
		return io.EOF
	}
	if seg, _, err := r.pieceAt(s, r.at); err == nil && seg.Seq != r.seg.Seq {
		return io.EOF
	}
	return r.bad
}

// Close closes the file that is open. The reader may still be used.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
