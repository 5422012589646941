package replay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/journal"
)

// noteClock notes that the clock was set back around a time, so that the time names more than one
// moment. first is the beginning of the part that arrived later. In the segment that holds it every
// piece is looked at, in the others their ends.
func (f *finder) noteClock(ctx context.Context, p *Point, at time.Time, first int64) error {
	limits, again := lineage(f.view, f.tl), false
	to := first
	for _, s := range f.view.Segments() {
		for _, r := range s.Ranges {
			limit, ok := limits[r.Timeline]
			switch {
			case !ok || r.From >= limit:
			case r.To <= p.Offset:
				again = again || s.LastTime.After(at)
			case r.From > first:
				again = again || !s.FirstTime.After(at)
			case r.To > first:
				to = min(r.To, limit)
			}
		}
	}
	err := eachChunk(ctx, f.view, f.tl.ID, first, to, func(c journal.Chunk) error {
		again = again || !c.Time.After(at)
		return nil
	})
	if again {
		p.addNote("the clock was set back around there, so there is more than one such moment; an " +
			"offset says which")
	}
	if _, missing := hole(err); missing {
		return nil // nothing more to look at
	}
	return err
}

// branches lists the journal's histories outside of a timeline's own.
func branches(view *journal.View, tl journal.Timeline) string {
	var out []string
	eachBranch(view, tl, func(id journal.TimelineID, from, to int64) {
		out = append(out, fmt.Sprintf("timeline %d from offset %d to %d", id, from, to))
	})
	return strings.Join(out, ", ")
}

// branchesAt notes that such a branch has different content at an offset.
func branchesAt(view *journal.View, tl journal.Timeline, offset int64) string {
	var out []string
	eachBranch(view, tl, func(id journal.TimelineID, from, to int64) {
		if from < offset && offset <= to {
			out = append(out, fmt.Sprintf("timeline %d", id))
		}
	})
	if len(out) == 0 {
		return ""
	}
	return "another history came to that offset, too: " + strings.Join(out, ", ")
}

func eachBranch(view *journal.View, tl journal.Timeline,
	fn func(id journal.TimelineID, from, to int64),
) {
	limits := lineage(view, tl)
	for _, t := range view.Timelines() {
		from := t.Start
		if limit, ok := limits[t.ID]; ok {
			from = max(from, limit)
		}
		if from < t.End {
			fn(t.ID, from, t.End)
		}
	}
}
