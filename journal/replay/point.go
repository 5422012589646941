package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// Kind says how a Selector chooses.
type Kind int

// The kinds of selectors.
const (
	AtEnd         Kind = iota // everything that is durable
	AtOffset                  // the last boundary at or below Offset
	AtTime                    // everything that had arrived by Time
	BeforeCommand             // just before a command
)

// Selector names a point. The zero value is the end of the current timeline.
type Selector struct {
	Kind     Kind
	Timeline journal.TimelineID // 0: the current one
	Offset   int64
	Time     time.Time
	Command  string // its name, in any case
	Nth      int    // counted from the end: 1, or 0, is the last one
}

// Point is an offset at which a restore may cut: between commands, outside of transactions.
type Point struct {
	Timeline journal.Timeline
	Offset   int64
	DB       int          // that the stream has selected there
	Time     time.Time    // when the last command before it had arrived; zero: none since the base
	Base     journal.Base // the newest one that leads there
	Before   []Line       // up to three commands, without what servers say to each other
	After    []Line       // likewise; empty at the end
	Note     string       // what a person should know before it is used; mostly empty
}

// contextLines is how many commands are shown on either side of a point.
const contextLines = 3

// Locate finds the point that a selector names. progress, if not nil, is told the offset that was
// reached and where the search ends at the latest.
func Locate(ctx context.Context, view *journal.View, sel Selector,
	progress func(offset, end int64),
) (*Point, error) {
	tl, err := pickTimeline(view, sel.Timeline)
	if err != nil {
		return nil, err
	}
	f := &finder{view: view, tl: tl, progress: progress}
	p, err := f.find(ctx, sel)
	if sel.Timeline != 0 {
		return p, err
	}
	switch other := branches(view, tl); {
	case other == "":
	case errors.Is(err, ErrNoPoint) || errors.Is(err, journal.ErrNoBase):
		return nil, fmt.Errorf("%w; what the present history does not contain: %s", err, other)
	case err == nil && sel.Kind == AtOffset:
		p.Note = branchesAt(view, tl, sel.Offset)
	}
	return p, err
}

func (f *finder) find(ctx context.Context, sel Selector) (*Point, error) {
	switch sel.Kind {
	case AtEnd:
		return f.atOffset(ctx, f.tl.End)
	case AtOffset:
		if sel.Offset > f.tl.End {
			return nil, fmt.Errorf("%w: timeline %d ends at offset %d", ErrNoPoint, f.tl.ID, f.tl.End)
		}
		return f.atOffset(ctx, sel.Offset)
	case AtTime:
		return f.atTime(ctx, sel.Time)
	case BeforeCommand:
		return f.beforeCommand(ctx, sel.Command, max(sel.Nth, 1))
	}
	return nil, fmt.Errorf("%w: selector of kind %d", ErrNoPoint, sel.Kind)
}

func pickTimeline(view *journal.View, id journal.TimelineID) (journal.Timeline, error) {
	if id == 0 {
		if tl, ok := view.Current(); ok {
			return tl, nil
		}
		return journal.Timeline{}, fmt.Errorf("%w: the journal is empty", ErrNoPoint)
	}
	for _, tl := range view.Timelines() {
		if tl.ID == id {
			return tl, nil
		}
	}
	return journal.Timeline{}, fmt.Errorf("%w: no timeline %d", ErrNoPoint, id)
}

// finder looks for points on one timeline.
type finder struct {
	view     *journal.View
	tl       journal.Timeline
	progress func(offset, end int64)
}

func (f *finder) atOffset(ctx context.Context, offset int64) (*Point, error) {
	base, err := f.view.BaseFor(f.tl.ID, offset)
	if err != nil {
		return nil, fmt.Errorf("offset %d of timeline %d: %w", offset, f.tl.ID, err)
	}
	return f.cut(ctx, base, offset, func(c *stream.Command) bool { return c.End > offset })
}

// atTime begins at the newest base that is not younger than the time. All bytes below a base's
// offset had arrived by its time, so that a cut at the base itself is not too late.
func (f *finder) atTime(ctx context.Context, at time.Time) (*Point, error) {
	first := int64(everything) // of what arrived later
	past := func(c *stream.Command) bool {
		if c.Time.After(at) {
			first = c.Start
		}
		return c.Time.After(at)
	}
	for _, base := range f.bases() {
		if base.Time.After(at) {
			continue
		}
		p, err := f.cut(ctx, base, f.tl.End, past)
		if err != nil {
			return nil, err
		}
		return p, f.noteClock(ctx, p, at, first)
	}
	return nil, fmt.Errorf("%w: %s is before the oldest base: %w", ErrNoPoint,
		at.Format(time.RFC3339Nano), journal.ErrNoBase)
}

// beforeCommand searches from base to base, newest first.
func (f *finder) beforeCommand(ctx context.Context, name string, nth int) (*Point, error) {
	end, left := f.tl.End, nth
	for _, base := range f.bases() {
		if base.Offset > end {
			continue
		}
		units, err := f.occurrences(ctx, base, end, name)
		if err != nil {
			return nil, err
		}
		if len(units) >= left {
			offset := units[len(units)-left]
			return f.cut(ctx, base, end, func(c *stream.Command) bool { return c.Start >= offset })
		}
		left -= len(units)
		end = base.Offset
	}
	return nil, fmt.Errorf("%w: timeline %d has %d of %q, not %d", ErrNoPoint, f.tl.ID, nth-left,
		name, nth)
}

// occurrences returns where a command stands between a base and an offset: the start of each, or
// of the transaction around it. A gap ends the search in that stretch.
func (f *finder) occurrences(ctx context.Context, base journal.Base, end int64, name string) (
	[]int64, error,
) {
	var found []int64
	begin := int64(0) // of the unit
	err := f.scan(base, end).run(ctx, func(c *stream.Command) error {
		if c.Start >= end {
			return stream.ErrStop
		}
		if c.Tx == stream.TxNone || c.Tx == stream.TxBegin {
			begin = c.Start
		}
		if c.Is(name) {
			found = append(found, begin)
		}
		return nil
	})
	if errors.Is(err, journal.ErrGap) {
		err = nil
	}
	return found, err
}

// bases returns what leads somewhere on the timeline, newest first.
func (f *finder) bases() []journal.Base {
	limits := lineage(f.view, f.tl)
	var out []journal.Base
	for _, b := range f.view.Bases() {
		if limit, ok := limits[b.Timeline]; ok && b.Offset <= limit && !b.Missing {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b journal.Base) int { return cmp.Compare(b.Offset, a.Offset) })
	return out
}

// lineage returns a timeline and its ancestors, each with the offset up to which it is the history.
func lineage(view *journal.View, tl journal.Timeline) map[journal.TimelineID]int64 {
	byID := make(map[journal.TimelineID]journal.Timeline)
	for _, t := range view.Timelines() {
		byID[t.ID] = t
	}
	limit := int64(everything)
	out := make(map[journal.TimelineID]int64)
	for tl.ID != 0 {
		out[tl.ID] = limit
		limit = min(limit, tl.Fork)
		tl = byID[tl.Parent]
	}
	return out
}

func (f *finder) scan(base journal.Base, end int64) scanning {
	s := scanning{view: f.view, timeline: f.tl.ID, from: base.Offset, to: end, db: base.DB, maxArg: 32}
	if f.progress != nil {
		s.progress = func(offset int64) { f.progress(offset, end) }
	}
	return s
}

// trail is the starts of the last commands, and which database was selected there.
type trail [contextLines]struct {
	start int64
	db    int
	set   bool
}

// cut finds the last boundary before the first command that is past the point.
func (f *finder) cut(ctx context.Context, base journal.Base, end int64,
	past func(*stream.Command) bool,
) (*Point, error) {
	p := &Point{Timeline: f.tl, Offset: base.Offset, DB: base.DB, Base: base}
	var now, atCut trail // now runs ahead within a transaction
	found := false
	err := f.scan(base, end).run(ctx, func(c *stream.Command) error {
		if past(c) {
			found = true
			return stream.ErrStop
		}
		if !chatter(c) {
			copy(now[:], now[1:])
			now[contextLines-1].start, now[contextLines-1].db = c.Start, c.DB
			now[contextLines-1].set = true
		}
		if c.Tx == stream.TxNone || c.Tx == stream.TxEnd {
			p.Offset, p.Time, atCut = c.End, c.Time, now
			p.DB = selected(c)
		}
		return nil
	})
	if err != nil && (found || !errors.Is(err, journal.ErrGap)) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: between the base at %d and the point: %w", ErrNoPoint,
			base.Offset, err)
	}
	return p, f.surround(ctx, p, atCut)
}

// selected is the database after a command.
func selected(c *stream.Command) int {
	if !c.Is("SELECT") || len(c.Args) != 2 {
		return c.DB
	}
	db := 0
	for _, digit := range c.Args[1] {
		if digit < '0' || digit > '9' {
			return c.DB
		}
		db = db*10 + int(digit-'0')
	}
	return db
}

// chatter reports whether a command is of no use to somebody who looks for a place: there is more
// of this than of anything else where little is written.
func chatter(c *stream.Command) bool {
	return len(c.Args) == 0 || c.Is("PING") || c.Is("REPLCONF") || c.Is("SELECT")
}

// surround reads the commands on either side of a point.
func (f *finder) surround(ctx context.Context, p *Point, t trail) error {
	from, db := p.Offset, p.DB
	for i := contextLines - 1; i >= 0 && t[i].set; i-- {
		from, db = t[i].start, t[i].db
	}
	s := scanning{view: f.view, timeline: f.tl.ID, from: from, to: f.tl.End, db: db, maxArg: lineArg}
	err := s.run(ctx, func(c *stream.Command) error {
		if chatter(c) {
			return nil
		}
		if c.End <= p.Offset {
			p.Before = append(p.Before, newLine(c))
			return nil
		}
		p.After = append(p.After, newLine(c))
		if len(p.After) == contextLines {
			return stream.ErrStop
		}
		return nil
	})
	if errors.Is(err, journal.ErrGap) {
		return nil // nothing more to show
	}
	return err
}
