package replay

import (
	"context"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// Lack is a part of a history that a backup does not contain.
type Lack struct {
	Timeline journal.TimelineID
	From, To int64
	Commands int64     // that change data; -1: a part cannot be read
	Since    time.Time // arrival of the first of them; zero: there is none
	Why      string    // the reason for Commands -1
}

// reach returns each timeline of a history, with the offset up to which it belongs. These are
// its ancestors, and unrelated histories whose verdict is that the server lost nothing: loading an
// append-only file makes such a one.
func reach(view *journal.View, tl journal.Timeline, offset int64) map[journal.TimelineID]int64 {
	out := map[journal.TimelineID]int64{}
	for limit := offset; ; limit = everything {
		root := tl
		for id, end := range lineage(view, tl) {
			t, ok := view.Timeline(id)
			if !ok {
				continue
			}
			out[id] = min(end, limit, t.End)
			if t.ID < root.ID {
				root = t
			}
		}
		before, ok := continued(view, root)
		if !ok || root.Parent != 0 {
			return out
		}
		tl = before
	}
}

// continued finds the timeline before one that the server came back with, if nothing was lost.
func continued(view *journal.View, tl journal.Timeline) (journal.Timeline, bool) {
	var before journal.Timeline
	for _, t := range view.Timelines() {
		if t.ID < tl.ID {
			before = t
		}
	}
	for _, i := range view.Incidents() {
		if before.ID != 0 && i.Timeline == before.ID && i.Verdict == journal.NothingLost {
			return before, true
		}
	}
	return before, false
}

// lacks compares a place with the whole journal: the part that it lacks of the present history, and
// of the branches outside of it.
func lacks(ctx context.Context, view *journal.View, tl journal.Timeline, offset int64, db int) (
	present, branches []Lack, err error,
) {
	have := reach(view, tl, offset)
	now := map[journal.TimelineID]int64{}
	if cur, ok := view.Current(); ok {
		now = reach(view, cur, everything)
	}
	for _, t := range view.Timelines() {
		from, known := t.Start, -1
		if end, ok := have[t.ID]; ok {
			from = max(from, end)
		}
		if t.ID == tl.ID && from == offset {
			known = db
		}
		middle := from
		if end, ok := now[t.ID]; ok {
			middle = max(from, min(end, t.End))
		}
		if from < middle {
			l, err := countLack(ctx, view, t.ID, from, middle, known)
			if err != nil {
				return nil, nil, err
			}
			present = append(present, l)
			known = -1
		}
		if middle < t.End {
			l, err := countLack(ctx, view, t.ID, middle, t.End, known)
			if err != nil {
				return nil, nil, err
			}
			if l.Commands != 0 {
				branches = append(branches, l)
			}
		}
	}
	return present, branches, nil
}

// countLack counts the commands of a piece that change data.
func countLack(ctx context.Context, view *journal.View, tl journal.TimelineID, from, to int64,
	db int) (Lack, error) {
	l := Lack{Timeline: tl, From: from, To: to}
	s := scanning{view: view, timeline: tl, from: from, to: to, db: db, maxArg: 64}
	err := s.run(ctx, func(c *stream.Command) error {
		switch {
		case c.Start >= to:
			return stream.ErrStop
		case c.Traceless():
			return nil
		case l.Commands == 0:
			l.Since = c.Time
		}
		l.Commands++
		return nil
	})
	if err != nil && passable(err) {
		l.Commands, l.Why, err = -1, err.Error(), nil
	}
	return l, err
}
