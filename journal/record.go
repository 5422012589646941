package journal

import (
	"context"
	"fmt"
	"time"

	"holdfast/journal/segment"
)

// StartTimeline begins a new history and makes it the current one. It is durable when this
// returns; bytes may be appended to it from then on. The zero Timeline comes with an error.
//
// After +CONTINUE with a new replication id: Start and Fork are the end of the current timeline,
// which is the Parent. After FULLRESYNC: Start is its offset; Parent and Fork are set if the place
// where the histories part is known.
func (j *Journal) StartTimeline(ctx context.Context, s TimelineStart) (Timeline, error) {
	var t Timeline
	var c *counter
	err := j.record(ctx, segment.Frame{Type: segment.Timeline}, func() (any, error) {
		if err := j.checkStartLocked(s); err != nil {
			return nil, err
		}
		now := j.opts.Now()
		t = Timeline{ID: j.nextID, ReplID: s.ReplID, Start: s.Start, End: s.Start,
			Parent: s.Parent, Fork: s.Fork, Why: s.Why, Server: s.Server, Opened: now, Last: now,
			Counts: j.countsAtLocked(s.Parent, s.Fork), Trash: s.Trash}
		j.nextID++
		c = &counter{id: t.ID, replID: t.ReplID}
		c.received.Store(t.Start)
		c.durable.Store(t.Start)
		j.received.Store(c)
		return t, nil
	})
	if err != nil {
		return Timeline{}, err
	}
	return t, nil
}

func (j *Journal) checkStartLocked(s TimelineStart) error {
	if s.Start < 0 || s.Parent == 0 && s.Fork != 0 || s.Fork > s.Start || s.Fork < 0 {
		return fmt.Errorf("%w: timeline with start %d, parent %d, fork %d", ErrRange, s.Start,
			s.Parent, s.Fork)
	}
	if s.Parent == 0 {
		return nil
	}
	end := int64(-1)
	if t := j.catalog.find(s.Parent); t != nil {
		end = t.End
	}
	if c := j.received.Load(); c != nil && c.id == s.Parent {
		end = c.received.Load()
	}
	if end < s.Fork {
		return fmt.Errorf("%w: fork at %d of timeline %d, which ends at %d", ErrRange, s.Fork,
			s.Parent, end)
	}
	return nil
}

// AddGap says that [From, To) of the current timeline will never come. From must be its end; the
// next byte is To's. It is durable when this returns. A zero Time is now.
func (j *Journal) AddGap(ctx context.Context, g Gap) error {
	f := segment.Frame{Type: segment.Gap, Timeline: uint32(g.Timeline), Offset: g.From}
	return j.record(ctx, f, func() (any, error) {
		if err := j.acceptsLocked(g.Timeline, g.From); err != nil {
			return nil, err
		}
		if g.To <= g.From {
			return nil, fmt.Errorf("%w: gap from %d to %d", ErrRange, g.From, g.To)
		}
		j.received.Load().received.Store(g.To)
		j.stampLocked(&g.Time)
		return g, nil
	})
}

func (j *Journal) stampLocked(t *time.Time) {
	if t.IsZero() {
		*t = j.opts.Now()
	}
}
