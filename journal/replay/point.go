package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// Kind is the way in which a Selector chooses.
type Kind int

// The kinds of selectors.
const (
	AtEnd         Kind = iota // everything that is durable
	AtOffset                  // the last boundary at or below Offset
	AtTime                    // everything received by Time
	BeforeCommand             // just before a command, or the event that it belongs to
	BeforeEvent               // just before an event
)

// Selector names a point. The zero value is the end of the current timeline.
type Selector struct {
	Kind     Kind
	Timeline journal.TimelineID // 0: see choose
	Current  bool               // with Timeline 0: the current one, whatever branches exist
	Offset   int64
	Time     time.Time
	Command  string // its name, in any case, or a glob
	Nth      int    // counted from the end: 1, or 0, is the last one
	Event    int    // its number
}

// Point is an offset at which a restore may cut: between commands, outside of transactions.
type Point struct {
	Timeline journal.Timeline
	Offset   int64
	DB       int          // selected there in the stream
	Time     time.Time    // arrival of the last command before it; zero: none since the base
	Base     journal.Base // the newest one that leads there
	Before   []Line       // up to three commands, without the servers' own traffic
	After    []Line       // likewise; empty at the end
	Event    *event.Event // the event that it precedes; nil: the selector names none
	Note     string       // a warning for its user; mostly empty
}

// contextLines is the number of commands shown on either side of a point.
const contextLines = 3

// Locate finds the point that a selector names. progress, if not nil, is called with the offset
// reached and the latest end of the search.
func Locate(ctx context.Context, view *journal.View, sel Selector,
	progress func(offset, end int64),
) (*Point, error) {
	tl, as, err := choose(view, sel)
	if err != nil {
		return nil, err
	}
	f := &finder{view: view, tl: tl, progress: progress}
	if sel.Kind == BeforeEvent && sel.Timeline == 0 && !sel.Current {
		if err := f.turnTo(ctx, sel.Event); err != nil {
			return nil, err
		}
		tl = f.tl
	}
	p, err := f.find(ctx, as)
	if sel.Timeline != 0 {
		return p, err
	}
	if (sel.Kind == AtTime || sel.Kind == BeforeEvent) && err == nil && p.Note == "" {
		p.Note = pastNote(view, tl, p.Offset)
	}
	switch other := branches(view, tl); {
	case other == "":
	case errors.Is(err, ErrNoPoint) || errors.Is(err, journal.ErrNoBase):
		return nil, fmt.Errorf("%w; what the present history does not contain (--timeline "+
			"N looks there): %s", err, other)
	case err == nil && sel.Kind == AtOffset:
		p.addNote(branchesAt(view, tl, sel.Offset))
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
	case BeforeEvent:
		return f.beforeEvent(ctx, sel.Event)
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
	all      []event.Event // of the journal; nil: not searched yet
	known    []event.Event // on the timeline; likewise
	holes    []*HoleError  // damage met so far
}

func (f *finder) atOffset(ctx context.Context, offset int64) (*Point, error) {
	base, err := f.view.BaseFor(f.tl.ID, offset)
	if err != nil {
		return nil, fmt.Errorf("offset %d of timeline %d: %w%s", offset, f.tl.ID, err, f.oldest())
	}
	return f.cut(ctx, base, offset, func(c *stream.Command) bool { return c.End > offset })
}

// atTime begins at the newest base that is not younger than the time. All bytes below a base's
// offset had arrived by its time, so a cut at the base itself is not too late.
func (f *finder) atTime(ctx context.Context, at time.Time) (*Point, error) {
	first := int64(everything) // of the later part
	latest := f.tl.Last        // latest moment held; the clock may have been set back
	past := func(c *stream.Command) bool {
		if c.Time.After(latest) {
			latest = c.Time
		}
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
		if first == everything && at.After(latest) {
			return nil, fmt.Errorf("%w: %s is after the last byte that is held, of %s (offset %d); "+
				"the end of the journal is --end", ErrNoPoint, at.Format(time.RFC3339Nano),
				latest.Format(time.RFC3339Nano), f.tl.End)
		}
		return p, f.noteClock(ctx, p, at, first)
	}
	return nil, fmt.Errorf("%w: %s is before the oldest base: %w%s", ErrNoPoint,
		at.Format(time.RFC3339Nano), journal.ErrNoBase, f.oldest())
}

// oldest names the first moment that a base leads to.
func (f *finder) oldest() string {
	bases := f.bases()
	if len(bases) == 0 {
		return ""
	}
	b := bases[len(bases)-1]
	return fmt.Sprintf("; the oldest is of %s (offset %d)", b.Time.Format(time.RFC3339Nano), b.Offset)
}

// addNote adds a sentence, if there is one.
func (p *Point) addNote(text string) {
	if p.Note != "" && text != "" {
		p.Note += "; "
	}
	p.Note += text
}

// bases returns the bases on the timeline, newest first.
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

// lineage returns a timeline and its ancestors, each with its end in the history.
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

// trail holds the starts of the last commands, and the databases selected there.
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

// selected is the database selected after a command.
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

// chatter reports whether a command is of no use in a search for a place: where little is written
// most commands are chatter.
func chatter(c *stream.Command) bool {
	return len(c.Args) == 0 || c.Is("PING") || c.Is("REPLCONF") || c.Is("SELECT") || c.IsMark()
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
	if _, missing := hole(err); missing {
		return nil // nothing more to show
	}
	return err
}
