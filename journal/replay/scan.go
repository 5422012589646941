package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// scanning is a walk over the commands of a timeline.
type scanning struct {
	view     *journal.View
	timeline journal.TimelineID
	from     int64 // a command begins here
	to       int64 // no chunk that begins here or later is read
	db       int   // selected at from
	maxArg   int
	progress func(offset int64) // nil: none
	sample   func(event.Sample) // nil: none
}

// run calls fn for each command; fn ends it with [stream.ErrStop]. It returns nil at the end of the
// durable stream, and a *journal.GapError at a gap.
func (s scanning) run(ctx context.Context, fn func(*stream.Command) error) error {
	sc := stream.NewScanner(stream.Options{Offset: s.from, DB: s.db, MaxArg: s.maxArg})
	err := eachPiece(ctx, s.view, s.timeline, s.from, s.to, s.sample, func(c journal.Chunk) error {
		if s.progress != nil {
			s.progress(c.Offset)
		}
		return sc.Feed(c.Time, c.Data, fn)
	})
	if errors.Is(err, stream.ErrStop) {
		return nil
	}
	return err
}

// eachChunk reads a timeline. The last chunk may go beyond to.
func eachChunk(ctx context.Context, view *journal.View, tl journal.TimelineID, from, to int64,
	fn func(journal.Chunk) error,
) error {
	return eachPiece(ctx, view, tl, from, to, nil, fn)
}

// eachPiece is eachChunk with the counts of keys between the chunks.
func eachPiece(ctx context.Context, view *journal.View, tl journal.TimelineID, from, to int64,
	sample func(event.Sample), fn func(journal.Chunk) error,
) error {
	if from >= to {
		return nil
	}
	rd, err := view.Reader(tl, from)
	if err != nil {
		return err
	}
	defer rd.Close() // read-only
	rd.OnSample(sample)
	for n := 0; rd.Offset() < to; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		chunk, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, journal.ErrDamaged) {
			return damagedAt(view, tl, rd.Offset(), err)
		}
		if err != nil {
			return err
		}
		if err := fn(chunk); err != nil {
			return err
		}
	}
	return nil
}

// HoleError says that the stream behind an offset cannot be read, for it is damaged.
type HoleError struct {
	Timeline journal.TimelineID
	From     int64 // everything before it can be read
	To       int64 // the next base, from which on it can be read again; 0: there is none
	End      int64 // of the timeline
	Err      error // ErrDamaged
}

// Error implements error.
func (e *HoleError) Error() string {
	text := fmt.Sprintf("%v; up to offset %d of timeline %d everything can be restored", e.Err, e.From,
		e.Timeline)
	if e.To > 0 {
		return text + fmt.Sprintf(", and from offset %d on again", e.To)
	}
	return text
}

// Unwrap returns the damage.
func (e *HoleError) Unwrap() error { return e.Err }

// damagedAt returns the limits of a damaged part around an offset of a timeline.
func damagedAt(view *journal.View, tl journal.TimelineID, at int64, err error) error {
	e := &HoleError{Timeline: tl, From: at, Err: err}
	t, _ := view.Timeline(tl)
	e.End = t.End
	limits := lineage(view, t)
	for _, b := range view.Bases() {
		limit, ok := limits[b.Timeline]
		if ok && !b.Missing && b.Offset > at && b.Offset <= limit && (e.To == 0 || b.Offset < e.To) {
			e.To = b.Offset
		}
	}
	return e
}

// hole returns the part of a history that cannot be read because it was never received or is
// damaged; false for any other error.
func hole(err error) (journal.Gap, bool) {
	var gap *journal.GapError
	var damage *HoleError
	switch {
	case errors.As(err, &damage):
		to := damage.To
		if to == 0 {
			to = damage.End
		}
		return journal.Gap{Timeline: damage.Timeline, From: damage.From, To: to,
			Why: damage.Err.Error()}, true
	case errors.As(err, &gap):
		return gap.Gap, true
	}
	return journal.Gap{}, false
}

// everything is a limit above every offset.
const everything = math.MaxInt64

// Line is a command of the stream, for display.
type Line struct {
	Start, End int64 // offsets
	Time       time.Time
	DB         int // -1: unknown
	Tx         stream.TxState
	Args       [][]byte // each cut to a sensible length
	Cut        bool     // one was cut
}

// lineArg is the longest argument in a Line, in bytes.
const lineArg = 64

func newLine(c *stream.Command) Line {
	l := Line{Start: c.Start, End: c.End, Time: c.Time, DB: c.DB, Tx: c.Tx, Cut: c.Cut,
		Args: make([][]byte, len(c.Args))}
	for i, a := range c.Args {
		l.Args[i] = append([]byte(nil), a...)
	}
	return l
}
