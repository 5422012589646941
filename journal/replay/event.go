package replay

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// nameMatcher compiles a command's name or a glob of names, in any case.
func nameMatcher(glob string) (func(name string) bool, error) {
	glob = strings.ToUpper(glob)
	if _, err := path.Match(glob, ""); err != nil {
		return nil, fmt.Errorf("%w: %q is no name of commands: %w", ErrNoPoint, glob, err)
	}
	return func(name string) bool {
		ok, err := path.Match(glob, strings.ToUpper(name))
		return ok && err == nil
	}, nil
}

// destroyers are always in an event.
var destroyers = []string{"FLUSHALL", "FLUSHDB", "SWAPDB"}

// Events returns the events of a timeline and its ancestors, up to where they part.
func (f *finder) events(ctx context.Context) ([]event.Event, error) {
	if f.known != nil {
		return f.known, nil
	}
	if err := f.lookForEvents(ctx); err != nil {
		return nil, err
	}
	limits := lineage(f.view, f.tl)
	f.known = slices.DeleteFunc(slices.Clone(f.all), func(e event.Event) bool {
		return !lies(limits, &e)
	})
	return f.known, nil
}

func (f *finder) lookForEvents(ctx context.Context) (err error) {
	if f.all == nil {
		f.all, err = f.view.Events(ctx, f.progress)
	}
	return err
}

// turnTo selects the timeline of an event that the present history does not contain: a command with
// the event's number keeps its meaning when the server has left that history.
func (f *finder) turnTo(ctx context.Context, n int) error {
	if err := f.lookForEvents(ctx); err != nil {
		return err
	}
	limits := lineage(f.view, f.tl)
	for i := range f.all {
		if e := &f.all[i]; e.N == n && !lies(limits, e) {
			tl, err := pickTimeline(f.view, journal.TimelineID(e.Timeline))
			f.tl = tl
			return err
		}
	}
	return nil
}

// lies reports whether an event is in a history.
func lies(limits map[journal.TimelineID]int64, e *event.Event) bool {
	limit, ok := limits[journal.TimelineID(e.Timeline)]
	return ok && e.From < limit
}

// Way says how to reach the moment before an event: on the present history, or on the timeline that
// the server has left since. The error says why the moment is gone.
func Way(view *journal.View, e *event.Event) (present bool, err error) {
	id := journal.TimelineID(e.Timeline)
	if tl, ok := view.Current(); ok && lies(lineage(view, tl), e) {
		present, id = true, tl.ID
	}
	_, err = view.BaseFor(id, e.From)
	return present, err
}

// beforeEvent finds the point before an event.
func (f *finder) beforeEvent(ctx context.Context, n int) (*Point, error) {
	all, err := f.events(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(e event.Event) bool { return e.N == n })
	if i < 0 {
		return nil, fmt.Errorf("%w: timeline %d has no event %d", ErrNoPoint, f.tl.ID, n)
	}
	p, err := f.atOffset(ctx, all[i].From)
	if err == nil {
		p.Event = &all[i]
	}
	return p, err
}

// beforeCommand searches from base to base, newest first. Commands of one event are one occurrence:
// the point is before the first of them, whatever their names.
func (f *finder) beforeCommand(ctx context.Context, glob string, nth int) (*Point, error) {
	match, err := nameMatcher(glob)
	if err != nil {
		return nil, err
	}
	events, err := f.events(ctx)
	if err != nil {
		return nil, err
	}
	events = slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool { return !e.Names(match) })
	places := make([]int64, 0, len(events))
	for _, e := range events {
		places = append(places, e.From)
	}
	if len(places) < nth || !slices.Contains(destroyers, strings.ToUpper(glob)) {
		if places, err = f.search(ctx, match, events, nth); err != nil {
			return nil, err
		}
	}
	if len(places) < nth {
		return nil, fmt.Errorf("%w: timeline %d has %d of %q, not %d%s", ErrNoPoint, f.tl.ID,
			len(places), glob, nth, f.gapsBehind(0))
	}
	place := places[len(places)-nth]
	p, err := f.atOffset(ctx, place)
	if err != nil {
		return nil, err
	}
	if text := f.gapsBehind(place); text != "" {
		p.addNote("a later " + strings.ToUpper(glob) + " is not known of" + text)
	}
	if i := slices.IndexFunc(events, func(e event.Event) bool { return e.From == place }); i >= 0 {
		p.Event = &events[i]
	}
	return p, nil
}

// search reads the commands, from base to base, until it has found enough places. Each is the start
// of an event, of a command or of the transaction around it.
func (f *finder) search(ctx context.Context, match func(string) bool, events []event.Event, nth int) (
	[]int64, error,
) {
	places := make([]int64, 0, len(events))
	for _, e := range events {
		places = append(places, e.From)
	}
	end := f.tl.End
	for _, base := range f.bases() {
		if base.Offset > end {
			continue
		}
		found, err := f.occurrences(ctx, base, end, match)
		if err != nil {
			return nil, err
		}
		for _, at := range found {
			if !slices.ContainsFunc(events, func(e event.Event) bool { return e.From <= at && at < e.To }) {
				places = append(places, at)
			}
		}
		slices.Sort(places)
		places, end = slices.Compact(places), base.Offset
		if i, _ := slices.BinarySearch(places, end); len(places)-i >= nth {
			break // no older one can be among the last nth
		}
	}
	return places, nil
}

// occurrences returns the commands of a name between a base and an offset: the start of each, or of
// the transaction around it. A gap ends the search in that stretch.
func (f *finder) occurrences(ctx context.Context, base journal.Base, end int64,
	match func(string) bool) ([]int64, error) {
	var found []int64
	begin := int64(0) // of the unit
	err := f.scan(base, end).run(ctx, func(c *stream.Command) error {
		if c.Start >= end {
			return stream.ErrStop
		}
		if c.Tx == stream.TxNone || c.Tx == stream.TxBegin {
			begin = c.Start
		}
		if len(c.Args) > 0 && match(string(c.Args[0])) {
			found = append(found, begin)
		}
		return nil
	})
	var damage *HoleError
	if errors.As(err, &damage) {
		f.holes = append(f.holes, damage)
	}
	if _, missing := hole(err); missing {
		err = nil
	}
	return found, err
}

// gapsBehind lists the gaps behind an offset: a command may lie in one.
func (f *finder) gapsBehind(at int64) string {
	limits, text := lineage(f.view, f.tl), ""
	for _, g := range f.view.Gaps() {
		if limit, ok := limits[g.Timeline]; ok && g.From < limit && g.To > at {
			text += fmt.Sprintf("; one may lie in offsets %d to %d, which the journal never received (%s)",
				g.From, g.To, g.Time.Format(time.RFC3339))
		}
	}
	for _, h := range f.holes {
		if gap, _ := hole(h); gap.To > at {
			text += fmt.Sprintf("; one may lie in offsets %d to %d, which cannot be read (%v)", gap.From,
				gap.To, h.Err)
		}
	}
	return text
}
