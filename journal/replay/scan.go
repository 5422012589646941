package replay

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// scanning is a walk over the commands of a timeline.
type scanning struct {
	view     *journal.View
	timeline journal.TimelineID
	from     int64 // a command begins here
	to       int64 // no chunk that begins here or later is read
	db       int   // that is selected at from
	maxArg   int
	progress func(offset int64) // nil: none
}

// run calls fn for each command; fn ends it with [stream.ErrStop]. It returns nil at the end of
// what the journal promises, and a *journal.GapError at a gap.
func (s scanning) run(ctx context.Context, fn func(*stream.Command) error) error {
	sc := stream.NewScanner(stream.Options{Offset: s.from, DB: s.db, MaxArg: s.maxArg})
	err := eachChunk(ctx, s.view, s.timeline, s.from, s.to, func(c journal.Chunk) error {
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
	if from >= to {
		return nil
	}
	rd, err := view.Reader(tl, from)
	if err != nil {
		return err
	}
	defer rd.Close() // read-only
	for n := 0; rd.Offset() < to; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		chunk, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return nil
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

// everything is a limit above every offset.
const everything = math.MaxInt64

// Line is a command of the stream, for people to read.
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
