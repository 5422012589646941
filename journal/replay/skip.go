package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// Skip leaves commands out. It is one of:
//
//   - all commands that begin within [From, To);
//   - with To zero, or not above From, the command that holds From; within a transaction the whole
//     transaction;
//   - with an Event, the commands that make it up;
//   - with a Command, a name or a glob, all commands of that name from the oldest base on.
//
// The trash's commands in place of another one are left out as a whole. SELECT, MULTI and EXEC are
// kept, so that the rest means the same: an empty transaction does nothing.
type Skip struct {
	From, To int64
	Event    *event.Event
	Command  string
}

// String names the skip, for errors.
func (s *Skip) String() string {
	switch {
	case s.Event != nil:
		return fmt.Sprintf("event %d", s.Event.N)
	case s.Command != "":
		return fmt.Sprintf("command %q", s.Command)
	}
	return fmt.Sprintf("offset %d", s.From)
}

// first is the start of the skip; of a Command it is unknown.
func (s *Skip) first() int64 {
	if s.Event != nil {
		return s.Event.From
	}
	return s.From
}

// resolve finds the pieces of the stream that skips leave out, in order.
func resolve(ctx context.Context, view *journal.View, p *Point, skips []Skip) ([]event.Span, error) {
	if len(skips) == 0 {
		return nil, nil
	}
	bases, err := skipBases(view, p, skips)
	if err != nil {
		return nil, err
	}
	for i, base := range bases {
		r, err := newResolver(skips)
		if err != nil {
			return nil, err
		}
		s := scanning{view: view, timeline: p.Timeline.ID, from: base.Offset, to: p.Offset, db: base.DB,
			maxArg: event.MaxArg}
		err = s.run(ctx, func(c *stream.Command) error {
			if c.Start >= p.Offset {
				return stream.ErrStop
			}
			r.take(c)
			return nil
		})
		_, missing := hole(err)
		passable := missing || errors.Is(err, journal.ErrPruned)
		if passable && i+1 < len(bases) {
			continue // a later base leads there without the hole
		}
		if err != nil {
			return nil, err
		}
		return r.spans()
	}
	return nil, fmt.Errorf("%w: no base leads there", ErrSkip)
}

// skipBases returns the bases from which the search may begin: first the base that leads to the
// first skip or, if that is unknown, the oldest.
func skipBases(view *journal.View, p *Point, skips []Skip) ([]journal.Base, error) {
	least, search := int64(everything), false
	for i := range skips {
		s := &skips[i]
		if search = search || s.Command != ""; s.Command != "" {
			continue
		}
		if s.first() >= p.Offset {
			return nil, fmt.Errorf("%w: %v is not below the point, %d; timeline %d ends at %d", ErrSkip,
				atOffset(s), p.Offset, p.Timeline.ID, p.Timeline.End)
		}
		least = min(least, s.first())
	}
	if search {
		f := finder{view: view, tl: p.Timeline}
		bases := slices.DeleteFunc(f.bases(), func(b journal.Base) bool { return b.Offset > p.Offset })
		slices.Reverse(bases)
		return bases, nil
	}
	base, err := view.BaseFor(p.Timeline.ID, least)
	if err != nil {
		return nil, fmt.Errorf("skip at %d: %w", least, err)
	}
	return []journal.Base{base}, nil
}

func atOffset(s *Skip) string {
	if s.Event != nil {
		return fmt.Sprintf("event %d at offset %d", s.Event.N, s.Event.From)
	}
	return s.String()
}

// resolver reads the commands from a base to the point.
type resolver struct {
	skips   []Skip
	found   [][]event.Span // of each skip
	pickers []*event.Picker
	begin   int64 // of the unit
}

func newResolver(skips []Skip) (*resolver, error) {
	r := &resolver{skips: skips, found: make([][]event.Span, len(skips)),
		pickers: make([]*event.Picker, len(skips))}
	for i, s := range skips {
		switch {
		case s.Event != nil:
			r.pickers[i] = &event.Picker{Deletes: s.Event.Deletes()}
		case s.Command != "":
			match, err := nameMatcher(s.Command)
			if err != nil {
				return nil, err
			}
			r.pickers[i] = &event.Picker{Match: match}
		}
	}
	return r, nil
}

func (r *resolver) take(c *stream.Command) {
	if c.Tx == stream.TxNone || c.Tx == stream.TxBegin {
		r.begin = c.Start
	}
	for i := range r.skips {
		s := &r.skips[i]
		switch {
		case s.Event != nil:
			if c.Start >= s.Event.From && c.Start < s.Event.To {
				r.pickers[i].Take(c)
			}
		case s.Command != "":
			r.pickers[i].Take(c)
		case s.To > s.From:
			if c.Start >= s.From && c.Start < s.To && c.Tx != stream.TxBegin {
				r.found[i] = append(r.found[i], event.Span{From: c.Start, To: c.End})
			}
		case s.From >= r.begin && s.From < c.End: // it grows with each command of a transaction
			r.found[i] = append(r.found[i][:0], event.Span{From: r.begin, To: c.End})
		}
	}
}

// spans merges everything. Each skip must have matched.
func (r *resolver) spans() ([]event.Span, error) {
	all := r.all()
	for i := range r.skips {
		if len(r.found[i]) == 0 {
			return nil, fmt.Errorf("%w: %v", ErrSkip, &r.skips[i])
		}
	}
	return merged(all), nil
}

// all returns the spans found.
func (r *resolver) all() []event.Span {
	var all []event.Span
	for i := range r.skips {
		if r.pickers[i] != nil {
			r.found[i] = r.pickers[i].Spans()
		}
		all = append(all, r.found[i]...)
	}
	return all
}

// merged brings spans into order and joins those that touch.
func merged(all []event.Span) []event.Span {
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b event.Span) int { return cmp.Compare(a.From, b.From) })
	out := all[:1]
	for _, s := range all[1:] {
		if last := &out[len(out)-1]; s.From <= last.To {
			last.To = max(last.To, s.To)
		} else {
			out = append(out, s)
		}
	}
	return out
}
