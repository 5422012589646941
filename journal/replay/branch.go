package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/stream"
)

// A Branch is the end of a history, prepared as a feed for a server that holds the state at its
// beginning: the database is selected first, since a server that becomes a replica forgets it.
// Commands that leave no trace in the data, and must not happen again, are left out: messages,
// marks, and replication traffic. The same journal always yields the same bytes.
type Branch struct {
	view     *journal.View
	timeline journal.TimelineID
	from, to int64
	head     []byte
	drops    []journal.Range
	size     int64
	plan     *Plan // its demands on a server; no base

	Commands int64 // in the feed
}

// NewBranch reads the stream between two points of a history; the first is exactly where the server
// left it.
func NewBranch(ctx context.Context, view *journal.View, from, to *Point) (*Branch, error) {
	if from.DB < 0 {
		return nil, fmt.Errorf("the database that is selected at offset %d is not known", from.Offset)
	}
	b := &Branch{view: view, timeline: to.Timeline.ID, from: from.Offset, to: to.Offset,
		head: wire.Append(nil, "SELECT", fmt.Sprint(from.DB)),
		plan: &Plan{Point: to, Needs: newNeeds()}}
	s := scanning{view: view, timeline: b.timeline, from: b.from, to: b.to, db: from.DB, maxArg: lineArg}
	if err := s.run(ctx, b.take); err != nil {
		return nil, err
	}
	b.plan.Needs.fold()
	b.size = int64(len(b.head)) + b.to - b.from
	for _, d := range b.drops {
		b.size -= d.To - d.From
	}
	return b, nil
}

func (b *Branch) take(c *stream.Command) error {
	switch {
	case c.Start >= b.to:
		return stream.ErrStop
	case !c.Traceless() || isFrame(c):
		b.plan.Needs.note(c)
		b.Commands++
		return nil
	}
	if n := len(b.drops); n > 0 && b.drops[n-1].To == c.Start {
		b.drops[n-1].To = c.End
		return nil
	}
	b.drops = append(b.drops, journal.Range{Timeline: b.timeline, From: c.Start, To: c.End})
	return nil
}

// Size is the number of bytes of the feed.
func (b *Branch) Size() int64 { return b.size }

// each calls fn with the bytes in order.
func (b *Branch) each(ctx context.Context, fn func([]byte) error) error {
	if err := fn(b.head); err != nil {
		return err
	}
	drops := b.drops
	return eachChunk(ctx, b.view, b.timeline, b.from, b.to, func(c journal.Chunk) (err error) {
		drops, err = keep(drops, c.Offset, c.Data[:min(int64(len(c.Data)), b.to-c.Offset)], fn)
		return err
	})
}

// offset is the offset of the branch after so many bytes of the feed.
func (b *Branch) offset(fed int64) int64 {
	return min(withDropped(b.drops, b.from+max(0, fed-int64(len(b.head)))), b.to)
}

var errParted = errors.New("the histories part")

// Fed reports how much of the branch a server was fed, to the end of a transaction: so many bytes,
// which lead to an offset of the branch. That is what its history repeats of the branch while it was a
// replica. The history has a new id from its promotion on: behind that, clients may have written the
// very same commands. promoted is the offset of the promotion by the server's word; -1: it does not say. The
// journal has the new id from where it was itself then, which may be before that.
func (b *Branch) Fed(ctx context.Context, view *journal.View, part journal.FedPart, promoted int64) (
	size, offset int64, err error,
) {
	cur, _ := view.Current()
	limit := int64(-1)
	lineage := view.Lineage()
	for _, tl := range view.Timelines() {
		if to, ok := lineage[tl.ID]; ok && tl.ReplID == part.ReplID {
			limit = max(to, promoted)
		}
	}
	if limit <= part.At { // the server has lost that, too
		return 0, b.from, nil
	}
	live, err := view.Reader(cur.ID, part.At)
	if err != nil { // retention has removed it
		return 0, b.from, nil
	}
	defer live.Close() // read-only
	scan := stream.NewScanner(stream.Options{MaxArg: lineArg})
	var have []byte
	err = b.each(ctx, func(want []byte) error {
		for len(want) > 0 {
			if len(have) == 0 {
				c, err := live.Next()
				if err != nil || c.Offset >= limit {
					return errParted
				}
				have = c.Data[:min(int64(len(c.Data)), limit-c.Offset)]
			}
			n := 0
			for n < len(want) && n < len(have) && want[n] == have[n] {
				n++
			}
			if err := scan.Feed(time.Time{}, want[:n], func(*stream.Command) error { return nil }); err != nil {
				return err
			}
			if want, have = want[n:], have[n:]; len(want) > 0 && len(have) > 0 {
				return errParted
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errParted) {
		return 0, b.from, err
	}
	size, _ = scan.Boundary()
	return size, b.offset(size), nil
}

// writeTo writes the feed without its first bytes.
func (b *Branch) writeTo(ctx context.Context, w io.Writer, skip int64) error {
	return b.each(ctx, func(p []byte) error {
		n := min(skip, int64(len(p)))
		skip -= n
		_, err := w.Write(p[n:])
		return err
	})
}
