package replay

import (
	"context"
	"fmt"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// BoundaryBehind finds the first boundary at or behind an offset: the end of the command or
// transaction that holds the byte before it. p is the last boundary at or below the offset, as
// Locate finds it.
func BoundaryBehind(ctx context.Context, view *journal.View, p *Point, offset int64) (int64, error) {
	at := p.Offset
	if at >= offset {
		return at, nil
	}
	within := false // a transaction
	walk := Walk{Timeline: p.Timeline.ID, From: at, MaxArg: 32}
	err := Commands(ctx, view, walk, func(c *stream.Command) error {
		within = c.Tx == stream.TxBegin || c.Tx == stream.TxInside
		if at = c.End; at >= offset && !within {
			return stream.ErrStop
		}
		return nil
	})
	if err == nil && (at < offset || within) {
		err = fmt.Errorf("%w: the command at offset %d of timeline %d has not arrived as a whole", ErrNoPoint,
			offset, p.Timeline.ID)
	}
	return at, err
}
