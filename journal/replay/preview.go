package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/stream"
)

// A Preview is a moment of the journal without a replay and at a bounded price: the keys there,
// and the commands that follow it.
//
// Locate and NewSurvey read everything from a base on, which may be hours of stream. A preview begins where
// the segment of the moment does, since each segment holds the place and the counts of the search for events
// there, and reads on to the moment. So it costs a segment at the most. The cut is the one that a restore
// makes.
type Preview struct {
	Timeline journal.TimelineID
	Offset   int64        // of the cut; where the reading ended early, of its end
	Time     time.Time    // arrival of the last command before it; zero: none was read
	Keys     event.Counts // there
	// Short is the reason why the reading ended before the moment; "": it did not.
	Short string
	// Left: the server has left this history since. The commands behind the moment are no way to the present.
	Left bool

	Since Tally
}

// A Tally counts the commands behind a moment, without the servers' own traffic and the proxy's own marks.
type Tally struct {
	Keys     event.Counts   // at the end of the reading
	Bytes    int64          // of stream that follow
	Read     int64          // of these, those that were read
	Commands int64          // in the part that was read
	Names    []CommandCount // by name, the most frequent first; the rare ones are left out
	Short    string         // why the reading ended before the end; "": it did not
}

// CommandCount is the number of commands of a name, in capitals.
type CommandCount struct {
	Name  string
	Count int64
}

// The limits of a Tally.
const (
	maxTallied = 256 // different names; a server has fewer
	maxNamed   = 8   // names returned
	nameLength = 32  // bytes of a name
)

// PreviewOptions choose a moment, and bound the reading.
type PreviewOptions struct {
	Selector // AtTime, AtOffset or AtEnd

	To       int64         // the offset on the same history up to which commands are counted; 0: the present
	Bytes    int64         // of stream read at most, before the moment and behind it; 0: no bound
	Patience time.Duration // the same for the time; 0: no bound
	// BaseBytes is the size up to which a base is read for its number of keys. 0: none is.
	BaseBytes int64
	Events    []event.Event // the journal's own, for the keys before and after them; nil: not known
}

// errShort ends a reading at its limit.
var errShort = errors.New("the limit of a preview is reached")

// NewPreview reads the journal around a moment. An error says why no restore can go there.
func NewPreview(ctx context.Context, view *journal.View, o PreviewOptions) (*Preview, error) {
	if o.Bytes == 0 {
		o.Bytes = everything
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if o.Patience > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, o.Patience, errShort)
	}
	defer cancel()
	tl, sel, err := choose(view, o.Selector)
	if err != nil {
		return nil, err
	}
	if sel.Kind == AtEnd {
		sel.Kind, sel.Offset = AtOffset, tl.End
	}
	p := &previewer{view: view, tl: tl, sel: sel, limits: o, left: o.Bytes}
	if err := p.begin(limited); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	if err := p.reach(limited); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	if p.out.Short == "" {
		if err := p.follow(limited); err != nil {
			return nil, cmp.Or(ctx.Err(), err)
		}
	}
	return &p.out, ctx.Err()
}

// previewer makes a Preview.
type previewer struct {
	view   *journal.View
	tl     journal.Timeline
	sel    Selector
	limits PreviewOptions
	left   int64 // bytes that may be read

	counter *event.Counter
	sampled int64        // the end of the last unit given to counter
	before  event.Counts // keys at the start of the open transaction
	inside  bool         // one is open
	db      int          // selected at the cut; -1: unknown
	begun   *event.Event // begins at the cut; nil: none
	out     Preview
}

// begin finds the place to read from.
func (p *previewer) begin(ctx context.Context) error {
	base, err := p.base()
	if err != nil {
		return err
	}
	if p.begun = p.eventAt(); p.begun != nil {
		p.counter, p.sampled, p.db = event.NewCounter(p.begun.From, p.begun.Before), p.begun.From, -1
		p.out.Timeline, p.out.Offset = p.tl.ID, p.begun.From
		return nil
	}
	at, known := p.searched(base)
	if !known || at.Offset < base.Offset && (!at.Keys.Known() || base.Size <= p.limits.BaseBytes) {
		at = p.atBase(ctx, base)
	}
	p.counter, p.sampled, p.db = event.CounterAt(at), at.Offset, at.DB
	p.out.Timeline, p.out.Offset = p.tl.ID, at.Offset
	return nil
}

// eventAt is the event that begins at the moment, if it has the keys there: nothing needs to be read for them.
func (p *previewer) eventAt() *event.Event {
	if p.sel.Kind != AtOffset {
		return nil
	}
	for _, e := range p.limits.Events {
		if journal.TimelineID(e.Timeline) == p.tl.ID && e.From == p.sel.Offset && e.Before.Known() {
			return &e
		}
	}
	return nil
}

// base is the newest one that leads to the moment: without one there is no restore.
func (p *previewer) base() (journal.Base, error) {
	f := &finder{view: p.view, tl: p.tl}
	if p.sel.Kind == AtOffset {
		b, err := p.view.BaseFor(p.tl.ID, p.sel.Offset)
		if err != nil {
			err = fmt.Errorf("offset %d of timeline %d: %w%s", p.sel.Offset, p.tl.ID, err, f.oldest())
		}
		return b, err
	}
	for _, b := range f.bases() {
		if !b.Time.After(p.sel.Time) {
			return b, nil
		}
	}
	return journal.Base{}, fmt.Errorf("%w: %s is before the oldest base: %w%s", ErrNoPoint,
		p.sel.Time.Format(time.RFC3339Nano), journal.ErrNoBase, f.oldest())
}

// atBase begins at a base, with its keys if it is small.
func (p *previewer) atBase(ctx context.Context, b journal.Base) event.State {
	s := event.State{Timeline: uint32(b.Timeline), Offset: b.Offset, DB: b.DB}
	if b.Size > p.limits.BaseBytes {
		return s
	}
	// A base that cannot be read leaves the keys unknown; restores and verify report it.
	if n, err := readBase(ctx, p.view, b); err == nil && n.Contents != nil {
		s.Keys = countsOf(n.Contents.Keys)
	}
	return s
}

// searched is the place of the search for events at the head of the moment's segment, or of the one before it.
func (p *previewer) searched(base journal.Base) (at event.State, ok bool) {
	limits := lineage(p.view, p.tl)
	held := p.upTo(base, limits)
	for _, s := range slices.Backward(held[max(0, len(held)-2):]) {
		at, ok, err := p.view.Searched(s)
		limit, on := limits[journal.TimelineID(at.Timeline)]
		if err == nil && ok && on && at.Offset <= min(limit, p.tl.End) && !p.behind(at.Offset) {
			return at, true
		}
	}
	return event.State{}, false
}

// upTo lists the segments of the history from a base on to the one in which the first command past the moment
// stands.
func (p *previewer) upTo(base journal.Base, limits map[journal.TimelineID]int64) (out []journal.Segment) {
	for _, s := range p.view.Segments() {
		if slices.ContainsFunc(s.Ranges, func(r journal.Range) bool {
			limit, on := limits[r.Timeline]
			return on && r.From < limit && r.To > base.Offset
		}) {
			out = append(out, s)
			if p.within(s) {
				break
			}
		}
	}
	return out
}

// behind reports whether an offset is certainly not before the moment.
func (p *previewer) behind(offset int64) bool { return p.sel.Kind == AtOffset && offset > p.sel.Offset }

// within reports whether the first command past the moment stands in a segment, or in one before it.
func (p *previewer) within(s journal.Segment) bool {
	if p.sel.Kind == AtTime {
		return s.LastTime.After(p.sel.Time)
	}
	return slices.ContainsFunc(s.Ranges, func(r journal.Range) bool {
		return r.Timeline == p.tl.ID && r.To > p.sel.Offset
	})
}

// past reports whether a restore to the moment leaves a command out.
func (p *previewer) past(c *stream.Command) bool {
	if p.sel.Kind == AtTime {
		return c.Time.After(p.sel.Time)
	}
	return c.End > p.sel.Offset
}

// reach reads up to the moment.
func (p *previewer) reach(ctx context.Context) error {
	end := p.tl.End
	if p.sel.Kind == AtOffset {
		end = p.sel.Offset
	}
	found := false
	from := p.out.Offset
	err := p.read(ctx, p.tl.ID, end, func(c *stream.Command) error {
		if p.past(c) {
			found = true
			return stream.ErrStop
		}
		p.count(c)
		return nil
	})
	p.left -= p.out.Offset - from
	p.out.Keys = p.counter.Counts()
	if p.inside {
		p.out.Keys, p.inside = p.before, false
		p.counter, p.sampled = event.NewCounter(p.out.Offset, p.before), p.out.Offset
	}
	if found || p.out.Offset == end {
		return nil
	}
	p.out.Short, err = shortness(err)
	return err
}

// read gives commands from the place that was reached on.
func (p *previewer) read(ctx context.Context, tl journal.TimelineID, end int64, fn func(*stream.Command) error) error {
	to := end
	if p.left < end-p.out.Offset {
		to = p.out.Offset + p.left
	}
	s := scanning{view: p.view, timeline: tl, from: p.out.Offset, to: to, db: p.db, maxArg: maxKey,
		sample: func(s event.Sample) { p.counter.Sample(s, p.sampled) }}
	n := 0
	err := s.run(ctx, func(c *stream.Command) error {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return fn(c)
	})
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errShort):
		return errShort
	case err == nil && to < end:
		return errShort
	}
	return err
}

// count applies a command before the moment.
func (p *previewer) count(c *stream.Command) {
	if c.Tx == stream.TxBegin {
		p.inside, p.before = true, p.counter.Counts()
	}
	p.counter.Command(c)
	if c.Tx == stream.TxNone || c.Tx == stream.TxEnd {
		p.inside, p.sampled, p.db = false, c.End, selected(c)
		p.out.Offset, p.out.Time = c.End, c.Time
	}
}

// shortness is the reason in words why a reading ended at a limit, or at a part that is missing or damaged.
func shortness(err error) (why string, other error) {
	_, gone := hole(err)
	switch {
	case gone, errors.Is(err, journal.ErrPruned):
		return "the journal lacks a part of the stream there", nil
	case errors.Is(err, errShort):
		return "the limit for a preview was reached", nil
	}
	return "", err
}

// follow counts the commands behind the moment.
func (p *previewer) follow(ctx context.Context) error {
	tl, end := p.tl.ID, p.limits.To
	if end == 0 {
		cur, _ := p.view.Current()
		limit, shared := lineage(p.view, cur)[tl]
		p.out.Left = !shared || p.out.Offset > limit
		if end = p.tl.End; !p.out.Left {
			tl, end = cur.ID, cur.End
		}
	}
	t := &p.out.Since
	start, at, began := p.out.Offset, p.out.Offset, p.out.Time
	t.Bytes = max(0, end-start)
	byName := make(map[string]int64)
	err := p.read(ctx, tl, end, func(c *stream.Command) error {
		if c.Start >= end {
			return stream.ErrStop
		}
		p.count(c)
		at = c.End
		if !c.Traceless() && !ownKey(c) {
			t.Commands++
			tally(byName, c.Args[0])
		}
		return nil
	})
	p.out.Offset, p.out.Time = start, began
	t.Read, t.Keys = at-start, p.counter.Counts()
	t.Names = frequent(byName)
	if p.begun != nil && p.begun.To == end {
		t.Keys = p.begun.After
	}
	if at < end {
		t.Short, err = shortness(err)
	} else {
		err = nil
	}
	return err
}

// tally counts a command by its name.
func tally(byName map[string]int64, name []byte) {
	name = name[:min(len(name), nameLength)]
	if n, ok := byName[string(name)]; ok || len(byName) < maxTallied {
		byName[string(name)] = n + 1
	}
}

// frequent are the names that were counted most often; names in several spellings are one.
func frequent(byName map[string]int64) []CommandCount {
	sum := make(map[string]int64, len(byName))
	for name, n := range byName {
		sum[strings.ToUpper(name)] += n
	}
	out := make([]CommandCount, 0, len(sum))
	for name, n := range sum {
		out = append(out, CommandCount{name, n})
	}
	slices.SortFunc(out, func(a, b CommandCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), maxNamed)]
}
