package journal

import (
	"cmp"
	"slices"

	"holdfast/journal/event"
)

// maxEvents is the number of events that the catalog keeps: the newest.
const maxEvents = 500

// watchMark is the payload of a Watch frame: the stream before it has been searched for events.
type watchMark struct {
	Segment uint64      `json:"segment"` // where a watcher that is out of step resumes
	State   event.State `json:"state"`
}

// enterEvent enters an event, in place of its earlier version.
func (c *catalog) enterEvent(e event.Event) {
	i, ok := slices.BinarySearchFunc(c.events, e.N, func(o event.Event, n int) int {
		return cmp.Compare(o.N, n)
	})
	if ok {
		c.events[i] = e
		return
	}
	c.events = slices.Insert(c.events, i, e)
	if n := len(c.events) - maxEvents; n > 0 {
		c.events = slices.Delete(c.events, 0, n)
	}
}

// event returns an event by its number.
func (c *catalog) event(n int) (event.Event, bool) {
	i, ok := slices.BinarySearchFunc(c.events, n, func(o event.Event, n int) int {
		return cmp.Compare(o.N, n)
	})
	if !ok {
		return event.Event{}, false
	}
	return c.events[i], true
}
