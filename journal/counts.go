package journal

import (
	"context"
	"fmt"
	"time"

	"holdfast/journal/segment"
)

// Counts are the primary's keys when its stream was at an offset.
type Counts struct {
	Offset  int64         `json:"offset"`
	Time    time.Time     `json:"time"`
	Keys    map[int]int64 `json:"keys"`              // by database; those without a key are left out
	Expires int64         `json:"expires,omitempty"` // of all keys, those with a time to live
	// Mark is the offset in the newest mark that was written to the primary: the write itself
	// stands in the stream at or behind it. 0: no mark.
	Mark int64 `json:"mark,omitempty"`
	// Expired is the number of keys expired since the server was started; nil: unknown.
	Expired *int64 `json:"expired,omitempty"`
	// AOF is the length of the server's append-only file, with everything below Offset in it, in
	// bytes; 0: it has none, or was rewriting it. Rootless: the server's first file is not in it.
	AOF      int64 `json:"aof,omitempty"`
	Rootless bool  `json:"rootless,omitempty"`
	// Stamped: the file has a timestamp before the first command of each second, or may have. Clock
	// is then the server's clock at Offset, in microseconds since 1970, and Time is from before the
	// request.
	Stamped bool  `json:"stamped,omitempty"`
	Clock   int64 `json:"clock,omitempty"`
}

// Total is the number of keys in all databases.
func (c *Counts) Total() int64 {
	if c == nil {
		return 0
	}
	n := int64(0)
	for _, keys := range c.Keys {
		n += keys
	}
	return n
}

// countsFrame is the payload of a Counts frame.
type countsFrame struct {
	Timeline TimelineID `json:"timeline"`
	Counts
}

// NoteCounts records a look at the primary's keys for the current timeline; the newest look counts.
// It does not wait for the disk: losing one in a crash leaves an older look.
func (j *Journal) NoteCounts(id TimelineID, c Counts) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := segment.Frame{Type: segment.Counts, Timeline: uint32(id), Offset: c.Offset}
	return j.noteLocked(f, func() (any, error) {
		if r := j.received.Load(); r == nil || r.id != id {
			return nil, fmt.Errorf("%w: %d", ErrTimeline, id)
		}
		j.stampLocked(&c.Time)
		return countsFrame{id, c}, nil
	})
}

func (c *catalog) addCounts(f countsFrame) error {
	if t := c.find(f.Timeline); t != nil {
		t.Counts = &f.Counts
	}
	return nil
}

// countsAtLocked returns the counts that a timeline inherits if it continues its parent at its very
// end: the keys are the same.
func (j *Journal) countsAtLocked(parent TimelineID, fork int64) *Counts {
	t := j.catalog.find(parent)
	if t == nil || t.Counts == nil || t.Counts.Offset > fork {
		return nil
	}
	return t.Counts
}

// Incidents returns all incidents, oldest first.
func (j *Journal) Incidents() []Incident {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Incident(nil), j.catalog.incidents...)
}

// AddIncident records an incident. It is durable when this returns. A zero Time is now.
func (j *Journal) AddIncident(ctx context.Context, i Incident) error {
	return j.recordIncident(ctx, i, func() error {
		if j.catalog.find(i.Timeline) == nil && j.Received().Timeline != i.Timeline {
			return fmt.Errorf("%w: %d", ErrTimeline, i.Timeline)
		}
		return nil
	})
}

// CloseIncident closes an open incident, for a reason in words. It is durable when this returns.
func (j *Journal) CloseIncident(ctx context.Context, i Incident, how string) error {
	i.Closed, i.How = j.opts.Now(), how
	return j.recordIncident(ctx, i, func() error { return nil })
}

// recordIncident writes a frame. One of the same timeline and moment replaces the last.
func (j *Journal) recordIncident(ctx context.Context, i Incident, check func() error) error {
	f := segment.Frame{Type: segment.Incident, Timeline: uint32(i.Timeline), Offset: i.From}
	return j.record(ctx, f, func() (any, error) {
		if err := check(); err != nil {
			return nil, err
		}
		j.stampLocked(&i.Time)
		if i.N == 0 {
			i.N = j.catalog.nextIncident()
		}
		return i, nil
	})
}
