package replay

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// Skip leaves commands out: all that begin within [From, To). With To zero, or not above From, it
// is the one command that holds From; at the MULTI of a transaction, the whole transaction.
//
// SELECT, MULTI and EXEC are kept, so that what remains means the same: an empty transaction does
// nothing.
type Skip struct{ From, To int64 }

// Plan is what will be replayed: a base, then the stream up to the point, less what is left out.
type Plan struct {
	Point   *Point
	Base    journal.Base
	ReplID  string          // that the target is told; a random one when Edited
	Skipped []Line          // what is left out, up to maxSkipped of them
	Left    int64           // how many commands are left out
	Drops   []journal.Range // the bytes that are left out, in order
	Edited  bool            // something is left out: this state never existed
}

// maxSkipped is how many skipped commands a Plan shows.
const maxSkipped = 100

// NewPlan works out what to replay for a point.
func NewPlan(ctx context.Context, view *journal.View, p *Point, skips []Skip) (*Plan, error) {
	plan := &Plan{Point: p, Base: p.Base, ReplID: historyAt(view, p)}
	if len(skips) == 0 {
		return plan, nil
	}
	for _, s := range skips {
		if s.From >= p.Offset {
			return nil, fmt.Errorf("%w: offset %d is not below the point, %d; timeline %d ends at %d",
				ErrSkip, s.From, p.Offset, p.Timeline.ID, p.Timeline.End)
		}
	}
	first := slices.MinFunc(skips, func(a, b Skip) int { return cmp.Compare(a.From, b.From) })
	var err error
	if plan.Base, err = view.BaseFor(p.Timeline.ID, first.From); err != nil {
		return nil, fmt.Errorf("skip at %d: %w", first.From, err)
	}
	hit := make([]bool, len(skips))
	e := &editor{plan: plan, skips: skips, hit: hit}
	s := scanning{view: view, timeline: p.Timeline.ID, from: plan.Base.Offset, to: p.Offset,
		db: plan.Base.DB, maxArg: lineArg}
	if err := s.run(ctx, e.take); err != nil {
		return nil, err
	}
	for i, ok := range hit {
		if !ok {
			return nil, fmt.Errorf("%w: offset %d", ErrSkip, skips[i].From)
		}
	}
	plan.Edited = true
	plan.ReplID = randomID()
	return plan, nil
}

// End is the offset that the target has at the point: less than the point's if commands are left
// out, since a replica counts what it is given.
func (p *Plan) End() int64 { return p.given(p.Point.Offset) }

// given is the target's offset when it has been given everything below an offset of the stream.
func (p *Plan) given(offset int64) int64 {
	n := offset
	for _, d := range p.Drops {
		if d.From < offset {
			n -= min(d.To, offset) - d.From
		}
	}
	return n
}

// historyAt is the replication id of the history at a point, which may lie on an ancestor. A
// server restored there can say truly that it continues that history.
func historyAt(view *journal.View, p *Point) string {
	byID := make(map[journal.TimelineID]journal.Timeline)
	for _, t := range view.Timelines() {
		byID[t.ID] = t
	}
	tl := p.Timeline
	for tl.Parent != 0 && p.Offset <= tl.Fork {
		tl = byID[tl.Parent]
	}
	return tl.ReplID
}

// randomID makes a replication id as servers do: 40 hexadecimal digits.
func randomID() string {
	var b [20]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// editor goes over the commands and notes what is left out.
type editor struct {
	plan  *Plan
	skips []Skip
	hit   []bool // which skips have met something
	whole bool   // the transaction being read is left out as a whole
}

func (e *editor) take(c *stream.Command) error {
	if c.Start >= e.plan.Point.Offset {
		return stream.ErrStop
	}
	wanted := e.wanted(c)
	if c.Tx == stream.TxBegin {
		e.whole = wanted
	}
	if !wanted && !(e.whole && c.Tx != stream.TxNone) || isFrame(c) {
		return nil
	}
	e.drop(c)
	return nil
}

// wanted reports whether a skip names the command.
func (e *editor) wanted(c *stream.Command) bool {
	found := false
	for i, s := range e.skips {
		single := s.To <= s.From && s.From >= c.Start && s.From < c.End
		if single || s.To > s.From && c.Start >= s.From && c.Start < s.To {
			e.hit[i] = true
			found = found || single || c.Tx != stream.TxBegin
		}
	}
	return found
}

// isFrame reports whether a command is kept even where it is named: others depend on it.
func isFrame(c *stream.Command) bool {
	return c.Is("SELECT") || c.Is("MULTI") || c.Is("EXEC")
}

func (e *editor) drop(c *stream.Command) {
	p := e.plan
	p.Left++
	if len(p.Skipped) < maxSkipped {
		p.Skipped = append(p.Skipped, newLine(c))
	}
	if n := len(p.Drops); n > 0 && p.Drops[n-1].To == c.Start {
		p.Drops[n-1].To = c.End
		return
	}
	p.Drops = append(p.Drops, journal.Range{Timeline: p.Point.Timeline.ID, From: c.Start, To: c.End})
}
