package journal

import (
	"context"
	"slices"

	"holdfast/journal/event"
	"holdfast/journal/segment"
)

// Events returns the events that destroyed data, oldest first: the recorded ones and, by reading
// the log from the end of the last search, the ones not recorded yet. An event that is Open may go
// on. progress, if not nil, is called now and then with the bytes read and their total.
func (v *View) Events(ctx context.Context, progress func(done, total int64)) ([]event.Event, error) {
	out := &catalog{events: slices.Clone(v.catalog.events)}
	w, seq := newWatcher(v.catalog, v.segments)
	w.Found = out.enterEvent
	rest := slices.DeleteFunc(slices.Clone(v.segments), func(s Segment) bool { return s.Seq < seq })
	var done, total int64
	for _, s := range rest {
		total += s.Bytes
	}
	for _, s := range rest {
		var r logReader
		n := 0
		err := r.read(v.fs, v.path(s.File), s, func(f segment.Frame, payload []byte) error {
			if n++; n%256 == 0 {
				if progress != nil {
					progress(done+r.at, total)
				}
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return watchFrame(w, f, payload)
		})
		r.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			w.Lose() // damage is reported elsewhere; the next base is behind it
		}
		done += s.Bytes
	}
	if e, ok := w.Event(); ok {
		out.enterEvent(e)
	}
	return out.events, nil
}

// RecordedEvents returns the events recorded in the log, oldest first.
func (v *View) RecordedEvents() []event.Event { return slices.Clone(v.catalog.events) }
