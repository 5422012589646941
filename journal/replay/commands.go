package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// Listing says which commands to go over. View is required.
type Listing struct {
	View     *journal.View
	Timeline journal.TimelineID // 0: the current one
	From, To int64              // commands that begin in [From, To); To 0: to the end
	MaxArg   int                // bytes of an argument that are kept; 0: 64
	// Missing, if not nil, is told of what cannot be read: gaps, and what retention has removed.
	Missing func(from, to int64, why string)
	// Progress, if not nil, is told the offset that was reached.
	Progress func(offset int64)
}

// Commands calls fn for each command of a listing, in order; fn ends it with [stream.ErrStop].
//
// A stream can be read only from a place where a command is known to begin: a base, the beginning
// of a timeline, the end of a gap. Commands starts at the last such place at or below From, one
// where the database is known too if there is any. Where it cannot go on, it goes on at the next
// one.
func Commands(ctx context.Context, l Listing, fn func(*stream.Command) error) error {
	tl, err := pickTimeline(l.View, l.Timeline)
	if err != nil {
		return err
	}
	if l.To == 0 || l.To > tl.End {
		l.To = tl.End
	}
	if l.MaxArg == 0 {
		l.MaxArg = lineArg
	}
	marks := landmarks(l.View, tl)
	next := 0
	for i, m := range marks {
		if m.offset <= l.From && (m.db >= 0 || marks[next].db < 0) {
			next = i
		}
	}
	for next < len(marks) && marks[next].offset < l.To {
		at := marks[next]
		reached, err := l.stretch(ctx, tl, at, fn)
		if err == nil || errors.Is(err, stream.ErrStop) {
			return nil
		}
		if !errors.Is(err, journal.ErrGap) && !errors.Is(err, journal.ErrPruned) {
			return err
		}
		for next++; next < len(marks) && marks[next].offset <= reached; next++ {
		}
		end := l.To
		if next < len(marks) {
			end = min(end, marks[next].offset)
		}
		if end > l.From && l.Missing != nil {
			l.Missing(reached, end, err.Error())
		}
	}
	return nil
}

// stretch reads from a landmark until something is missing, and says where.
func (l *Listing) stretch(ctx context.Context, tl journal.Timeline, at landmark,
	fn func(*stream.Command) error,
) (reached int64, err error) {
	reached = at.offset
	sc := stream.NewScanner(stream.Options{Offset: at.offset, DB: at.db, MaxArg: l.MaxArg})
	err = eachChunk(ctx, l.View, tl.ID, at.offset, l.To, func(c journal.Chunk) error {
		reached = c.Offset + int64(len(c.Data))
		if l.Progress != nil {
			l.Progress(reached)
		}
		return sc.Feed(c.Time, c.Data, func(cmd *stream.Command) error {
			if cmd.Start < l.From {
				return nil
			}
			if cmd.Start >= l.To {
				return stream.ErrStop
			}
			return fn(cmd)
		})
	})
	if errors.Is(err, journal.ErrRange) {
		err = fmt.Errorf("%w: %w", journal.ErrPruned, err)
	}
	return reached, err
}

// landmark is where a command is known to begin.
type landmark struct {
	offset int64
	db     int
}

// landmarks returns those of a timeline and its ancestors, in order. Of several at one offset the
// one that knows its database comes first.
func landmarks(view *journal.View, tl journal.Timeline) []landmark {
	limits := lineage(view, tl)
	var out []landmark
	add := func(id journal.TimelineID, offset int64, db int) {
		if limit, ok := limits[id]; ok && offset <= limit {
			out = append(out, landmark{offset, db})
		}
	}
	for _, b := range view.Bases() {
		add(b.Timeline, b.Offset, b.DB)
	}
	for _, t := range view.Timelines() {
		add(t.ID, t.Start, -1)
	}
	for _, g := range view.Gaps() {
		add(g.Timeline, g.To, -1)
	}
	slices.SortFunc(out, func(a, b landmark) int {
		if a.offset != b.offset {
			return cmp.Compare(a.offset, b.offset)
		}
		return b.db - a.db
	})
	return slices.CompactFunc(out, func(a, b landmark) bool { return a.offset == b.offset })
}
