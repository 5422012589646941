package replay

import (
	"context"
	"fmt"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// Extend returns the plan that goes on to the end of its history in a newer view, from the same
// base and less the same skips. Only the new part is read. A plan whose point was not the end
// cannot be extended.
func (p *Plan) Extend(ctx context.Context, view *journal.View, skips []Skip) (*Plan, error) {
	tl, err := pickTimeline(view, p.Point.Timeline.ID)
	if err != nil {
		return nil, err
	}
	if tl.End <= p.Point.Offset {
		return p, nil
	}
	f := &finder{view: view, tl: tl}
	from := journal.Base{Timeline: tl.ID, Offset: p.Point.Offset, DB: p.Point.DB}
	point, err := f.cut(ctx, from, tl.End, func(c *stream.Command) bool { return c.End > tl.End })
	if err != nil {
		return nil, err
	}
	if point.Time.IsZero() { // no new commands
		point.Time = p.Point.Time
	}
	point.Base, point.Event, point.Note = p.Point.Base, p.Point.Event, p.Point.Note
	out := *p
	out.Point = point
	out.Drops = append([]journal.Range(nil), p.Drops...)
	out.Skipped = append([]Line(nil), p.Skipped...)
	needs := p.Needs.clone()
	out.Needs = needs
	drops, err := resolveFrom(ctx, view, from, point.Offset, skips)
	if err != nil {
		return nil, err
	}
	e := &editor{plan: &out, drops: drops}
	s := scanning{view: view, timeline: tl.ID, from: from.Offset, to: point.Offset, db: from.DB, maxArg: lineArg}
	if err := s.run(ctx, e.take); err != nil {
		return nil, err
	}
	needs.fold()
	return &out, nil
}

// resolveFrom resolves skips behind an offset; there may be none.
func resolveFrom(ctx context.Context, view *journal.View, from journal.Base, to int64, skips []Skip) (
	[]event.Span, error,
) {
	if len(skips) == 0 {
		return nil, nil
	}
	r, err := newResolver(skips)
	if err != nil {
		return nil, err
	}
	s := scanning{view: view, timeline: from.Timeline, from: from.Offset, to: to, db: from.DB, maxArg: event.MaxArg}
	err = s.run(ctx, func(c *stream.Command) error {
		if c.Start >= to {
			return stream.ErrStop
		}
		r.take(c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("what came behind offset %d: %w", from.Offset, err)
	}
	return merged(r.all()), nil
}
