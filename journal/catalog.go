package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/segment"
)

// catalog is the sum of the frames up to some point, for the whole journal. It is built by applying
// them in order. Each segment begins with carried frames that rebuild it, so the last segment alone
// is enough.
type catalog struct {
	timelines []Timeline // by ID
	gaps      []Gap
	incidents []Incident
	bases     []Base        // in the order of their Base frames
	events    []event.Event // by number, the newest maxEvents
	watch     *watchMark    // the end of the search for them; nil: none yet
}

// baseDrop is the payload of a BaseDrop frame.
type baseDrop struct {
	File string `json:"file"`
}

// apply applies a frame. size is the payload's length; a Stream frame needs no more.
func (c *catalog) apply(f segment.Frame, size int, payload []byte) error {
	switch f.Type {
	case segment.Stream:
		return c.applyStream(f, size)
	case segment.Timeline:
		return decodeInto(payload, c.addTimeline)
	case segment.Gap:
		return decodeInto(payload, func(g Gap) error {
			return c.addGap(g, f.Flags&segment.FlagCarried != 0)
		})
	case segment.Incident:
		return decodeInto(payload, func(i Incident) error {
			c.addIncident(i)
			return nil
		})
	case segment.Counts:
		return decodeInto(payload, c.addCounts)
	case segment.Base:
		return decodeInto(payload, func(b Base) error {
			c.bases = append(c.bases, b)
			return nil
		})
	case segment.BaseDrop:
		return decodeInto(payload, func(d baseDrop) error {
			c.bases = slices.DeleteFunc(c.bases, func(b Base) bool { return b.File == d.File })
			return nil
		})
	case segment.Event:
		return decodeInto(payload, func(e event.Event) error {
			c.enterEvent(e)
			return nil
		})
	case segment.Watch:
		return decodeInto(payload, func(m watchMark) error {
			c.watch = &m
			return nil
		})
	}
	return nil
}

func decodeInto[T any](payload []byte, use func(T) error) error {
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		return fmt.Errorf("payload is no %T: %w", v, err)
	}
	return use(v)
}

func (c *catalog) applyStream(f segment.Frame, size int) error {
	t := c.find(TimelineID(f.Timeline))
	if t == nil {
		return fmt.Errorf("stream of timeline %d, which was never begun", f.Timeline)
	}
	if f.Offset != t.End {
		return fmt.Errorf("stream of timeline %d at offset %d, want %d", f.Timeline, f.Offset, t.End)
	}
	t.End = f.Offset + int64(size)
	t.Last = time.Unix(0, f.Time)
	return nil
}

func (c *catalog) addTimeline(t Timeline) error {
	if n := len(c.timelines); n > 0 && c.timelines[n-1].ID >= t.ID {
		return fmt.Errorf("timeline %d after timeline %d", t.ID, c.timelines[n-1].ID)
	}
	c.timelines = append(c.timelines, t)
	return nil
}

func (c *catalog) addGap(g Gap, carried bool) error {
	if t := c.find(g.Timeline); t != nil && !carried {
		if t.End != g.From {
			return fmt.Errorf("gap of timeline %d from %d, want %d", g.Timeline, g.From, t.End)
		}
		t.End = g.To
	}
	c.gaps = append(c.gaps, g)
	return nil
}

// find returns the timeline for changes, or nil.
func (c *catalog) find(id TimelineID) *Timeline {
	i, ok := slices.BinarySearchFunc(c.timelines, id, func(t Timeline, id TimelineID) int {
		return int(int64(t.ID) - int64(id))
	})
	if !ok {
		return nil
	}
	return &c.timelines[i]
}

// current is the timeline that appends go to: the last one.
func (c *catalog) current() (Timeline, bool) {
	if len(c.timelines) == 0 {
		return Timeline{}, false
	}
	return c.timelines[len(c.timelines)-1], true
}

// clone shares nothing with c.
func (c *catalog) clone() *catalog {
	return &catalog{
		timelines: slices.Clone(c.timelines),
		gaps:      slices.Clone(c.gaps),
		incidents: slices.Clone(c.incidents),
		bases:     slices.Clone(c.bases),
		events:    slices.Clone(c.events),
		watch:     c.watch,
	}
}

// carried returns the frames that a new segment begins with.
func (c *catalog) carried(now time.Time) ([]*segment.Block, error) {
	q := carrier{now: now.UnixNano()}
	for _, t := range c.timelines {
		q.add(segment.Timeline, t.ID, t)
	}
	for _, g := range c.gaps {
		q.add(segment.Gap, g.Timeline, g)
	}
	for _, i := range c.incidents {
		q.add(segment.Incident, i.Timeline, i)
	}
	for _, b := range c.bases {
		q.add(segment.Base, b.Timeline, b)
	}
	for i := range c.events {
		q.add(segment.Event, TimelineID(c.events[i].Timeline), &c.events[i])
	}
	if c.watch != nil {
		q.add(segment.Watch, TimelineID(c.watch.State.Timeline), c.watch)
	}
	if len(q.blocks) == 0 {
		q.blocks = append(q.blocks, new(segment.Block)) // a Commit alone
	}
	return q.blocks, q.err
}

type carrier struct {
	blocks []*segment.Block
	now    int64
	err    error
}

func (q *carrier) add(typ segment.Type, tl TimelineID, v any) {
	payload, err := json.Marshal(v)
	if err != nil {
		q.err = err
		return
	}
	f := segment.Frame{Type: typ, Flags: segment.FlagCarried, Timeline: uint32(tl), Time: q.now}
	if n := len(q.blocks); n > 0 && q.blocks[n-1].Add(f, payload) {
		return
	}
	b := new(segment.Block)
	if !b.Add(f, payload) {
		q.err = fmt.Errorf("%v frame of %d bytes is too large", typ, len(payload))
		return
	}
	q.blocks = append(q.blocks, b)
}

// forget drops the entries of timelines that are gone: no byte is left in the given segments and no
// base, neither their own nor an ancestor's that a later timeline continues. It returns their
// number.
func (c *catalog) forget(segments []Segment) int {
	keep := c.worthKeeping(segments)
	before := len(c.timelines)
	c.timelines = slices.DeleteFunc(c.timelines, func(t Timeline) bool { return !keep[t.ID] })
	c.gaps = slices.DeleteFunc(c.gaps, func(g Gap) bool { return !keep[g.Timeline] })
	c.incidents = slices.DeleteFunc(c.incidents, func(i Incident) bool {
		return !keep[i.Timeline] && !(i.Hold && i.Open()) // no refusal ends by itself
	})
	c.events = slices.DeleteFunc(c.events, func(e event.Event) bool {
		return !keep[TimelineID(e.Timeline)]
	})
	return before - len(c.timelines)
}

func (c *catalog) worthKeeping(segments []Segment) map[TimelineID]bool {
	own := map[TimelineID]bool{}
	for _, s := range segments {
		for _, r := range s.Ranges {
			own[r.Timeline] = true
		}
	}
	for _, b := range c.bases {
		own[b.Timeline] = true
	}
	leads := map[TimelineID]bool{} // a part of it or of an ancestor is left
	for _, t := range c.timelines {
		leads[t.ID] = own[t.ID] || leads[t.Parent]
	}
	keep, continued := map[TimelineID]bool{}, map[TimelineID]bool{}
	current, _ := c.current()
	for _, t := range slices.Backward(c.timelines) { // children stand behind their parents
		if own[t.ID] || t.ID == current.ID || continued[t.ID] && leads[t.ID] {
			keep[t.ID], continued[t.Parent] = true, true
		}
	}
	return keep
}
