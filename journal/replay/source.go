package replay

import (
	"context"
	"io"

	"holdfast/journal"
)

// writeStream writes the stream of a plan from one offset to another, less the skipped commands,
// and reports the bytes written to sent.
func writeStream(ctx context.Context, view *journal.View, p *Plan, from, to int64, w io.Writer,
	sent func(n int64),
) error {
	drops := p.Drops
	return eachChunk(ctx, view, p.Point.Timeline.ID, from, to,
		func(c journal.Chunk) error {
			data := c.Data[:min(int64(len(c.Data)), to-c.Offset)]
			var err error
			drops, err = keep(drops, c.Offset, data, func(b []byte) error {
				n, err := w.Write(b)
				sent(int64(n))
				return err
			})
			return err
		})
}

// withDropped turns an offset that counts only the bytes that are not dropped into one of the stream.
func withDropped(drops []journal.Range, offset int64) int64 {
	for _, d := range drops {
		if d.From > offset {
			break
		}
		offset += d.To - d.From
	}
	return offset
}

// keep calls fn for the parts of data that are not dropped, and returns the drops that still matter
// behind them.
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
