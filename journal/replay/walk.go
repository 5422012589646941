package replay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// Walk selects a part of a history.
type Walk struct {
	Timeline journal.TimelineID // 0: the current one
	From     int64              // no command that begins before it
	To       int64              // none that begins at or behind it; 0: to the end
	Since    time.Time          // none that arrived before it; zero: all
	Until    time.Time          // none that arrived at or after it; zero: all
	MaxArg   int                // bytes kept of an argument; 0: 64 KiB
	// Gap, if not nil, is called with each gap of the journal. The walk goes on behind it, at the
	// next base.
	Gap func(journal.Gap)
}

// Commands calls fn for the commands of a history in order. An error of fn ends it;
// [stream.ErrStop] ends it without an error.
//
// It begins at the newest base before the part: only a base and the start of a timeline are known
// starts of a command.
func Commands(ctx context.Context, view *journal.View, w Walk, fn func(*stream.Command) error) error {
	tl, err := pickTimeline(view, w.Timeline)
	if err != nil {
		return err
	}
	to := w.To
	if to == 0 {
		to = everything
	}
	starts := w.starts(view, tl)
	for len(starts) > 0 {
		at := starts[0]
		s := scanning{view: view, timeline: tl.ID, from: at.Offset, to: to, db: at.DB, maxArg: w.MaxArg}
		err := s.run(ctx, func(c *stream.Command) error { return w.take(c, to, fn) })
		gap, ok := hole(err)
		if !ok {
			return err
		}
		if w.Gap != nil {
			w.Gap(gap)
		}
		starts = slices.DeleteFunc(starts, func(b journal.Base) bool { return b.Offset < gap.To })
	}
	return nil
}

func (w *Walk) take(c *stream.Command, to int64, fn func(*stream.Command) error) error {
	switch {
	case c.Start >= to || !w.Until.IsZero() && !c.Time.Before(w.Until):
		return stream.ErrStop
	case c.Start < w.From || c.Time.Before(w.Since):
		return nil
	}
	return fn(c)
}

// starts are the known starts of commands, from the last one before the part on.
func (w *Walk) starts(view *journal.View, tl journal.Timeline) []journal.Base {
	limits := lineage(view, tl)
	var all []journal.Base
	for _, t := range view.Timelines() {
		if limit, ok := limits[t.ID]; ok && t.Start <= limit && t.Parent == 0 {
			all = append(all, journal.Base{Timeline: t.ID, Offset: t.Start, DB: -1, Time: t.Opened})
		}
	}
	for _, b := range view.Bases() {
		if limit, ok := limits[b.Timeline]; ok && b.Offset <= limit {
			all = append(all, b)
		}
	}
	// At the same place, a base knows the database.
	slices.SortFunc(all, func(a, b journal.Base) int {
		if a.Offset != b.Offset {
			return int(max(min(a.Offset-b.Offset, 1), -1))
		}
		return b.DB - a.DB
	})
	all = slices.CompactFunc(all, func(a, b journal.Base) bool { return a.Offset == b.Offset })
	held := oldest(view, limits)
	all = slices.DeleteFunc(all, func(b journal.Base) bool { return b.Offset < held })
	first := 0
	for i, b := range all {
		if b.Offset <= max(w.From, held) || !w.Since.IsZero() && b.Time.Before(w.Since) {
			first = i
		}
	}
	return all[first:]
}

// oldest is the first offset of a lineage that retention has kept.
func oldest(view *journal.View, limits map[journal.TimelineID]int64) int64 {
	least := int64(everything)
	for _, s := range view.Segments() {
		for _, r := range s.Ranges {
			if _, ok := limits[r.Timeline]; ok {
				least = min(least, r.From)
			}
		}
	}
	return least
}

// ParseSkip reads OFFSET or FROM-TO.
func ParseSkip(text string) (Skip, error) {
	var s Skip
	n, err := fmt.Sscanf(text, "%d-%d", &s.From, &s.To)
	if one := fmt.Sprint(s.From); n == 1 && text == one && s.From >= 0 {
		return s, nil
	}
	if err != nil || fmt.Sprintf("%d-%d", s.From, s.To) != text || s.From < 0 || s.To <= s.From {
		return Skip{}, fmt.Errorf("%q is neither an offset nor a range FROM-TO of offsets", text)
	}
	return s, nil
}
