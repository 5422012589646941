package replay

import (
	"context"
	"io"

	"holdfast/journal"
)

// writeStream writes the stream of a plan from an offset to the point, less what is left out, and
// tells sent how many bytes it has written.
func writeStream(ctx context.Context, view *journal.View, p *Plan, from int64, w io.Writer,
	sent func(n int64),
) error {
	drops := p.Drops
	return eachChunk(ctx, view, p.Point.Timeline.ID, from, p.Point.Offset,
		func(c journal.Chunk) error {
			data := c.Data[:min(int64(len(c.Data)), p.Point.Offset-c.Offset)]
			var err error
			drops, err = keep(drops, c.Offset, data, func(b []byte) error {
				n, err := w.Write(b)
				sent(int64(n))
				return err
			})
			return err
		})
}

// keep calls fn for the parts of data that are not dropped, and returns the drops that matter for
// what follows.
func keep(drops []journal.Range, at int64, data []byte, fn func([]byte) error) (
	[]journal.Range, error,
) {
	for len(data) > 0 {
		for len(drops) > 0 && drops[0].To <= at {
			drops = drops[1:]
		}
		n := int64(len(data))
		if len(drops) == 0 || drops[0].From >= at+n {
			return drops, fn(data)
		}
		if d := drops[0]; d.From <= at {
			n = min(n, d.To-at)
		} else {
			n = d.From - at
			if err := fn(data[:n]); err != nil {
				return drops, err
			}
		}
		data, at = data[n:], at+n
	}
	return drops, nil
}
