package tap

import (
	"context"
	"errors"
	"io"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// scan feeds a view's stream from a position on to a scanner that stands there. ErrStop of fn ends
// it without an error.
func scan(ctx context.Context, view *journal.View, from journal.Position, sc *stream.Scanner,
	fn func(*stream.Command) error,
) error {
	if tl, ok := view.Timeline(from.Timeline); ok && from.Offset >= tl.End {
		return ctx.Err()
	}
	rd, err := view.Reader(from.Timeline, from.Offset)
	if err != nil {
		return err
	}
	defer rd.Close() // read-only
	for n := 0; ; n++ {
		chunk, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = sc.Feed(chunk.Time, chunk.Data, fn)
		}
		if errors.Is(err, stream.ErrStop) {
			return nil
		}
		if err == nil && n%64 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// isMark reports whether a command writes the mark.
func isMark(c *stream.Command) bool {
	return c.Is("SET") && len(c.Args) > 2 && string(c.Args[1]) == MarkKey
}
