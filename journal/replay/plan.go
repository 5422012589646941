package replay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/internal/wire"
	"holdfast/journal/stream"
)

// Plan is a replay: a base, then the stream up to the point, less the skipped commands.
type Plan struct {
	Point   *Point
	Base    journal.Base
	ReplID  string          // given to the target; a random one when Edited
	Skipped []Line          // commands left out, up to maxSkipped of them
	Left    int64           // number of commands left out
	Drops   []journal.Range // the bytes left out, in order
	Edited  bool            // commands are left out: this state never existed
	Needs   *Needs          // its demands on a server
	Suffix  []byte          // commands behind the point: see Append
	Broken  []BrokenBase    // newer bases that lead to the point and are unusable
}

// BrokenBase is a base that has changed since it was written.
type BrokenBase struct {
	Base journal.Base
	Err  error
}

// maxSkipped bounds the skipped commands in a Plan.
const maxSkipped = 100

// NewPlan works out the replay for a point. It reads all of it, so that damage shows before a
// server is touched: a broken base is left for the one before it, and damage in the stream is the
// error.
func NewPlan(ctx context.Context, view *journal.View, p *Point, skips []Skip) (*Plan, error) {
	return newPlan(ctx, view, p, p.Offset, skips)
}

// NewPlanVia is NewPlan with a base that leads to another offset, too, so that a replay can halt
// there (RestoreOptions.Halt).
func NewPlanVia(ctx context.Context, view *journal.View, p *Point, via int64) (*Plan, error) {
	return newPlan(ctx, view, p, via, nil)
}

// newPlan works out a plan whose base is at or below an offset.
func newPlan(ctx context.Context, view *journal.View, p *Point, first int64, skips []Skip) (*Plan,
	error) {
	// The point may lie on an ancestor: a server restored there truly continues that history.
	plan := &Plan{Point: p, ReplID: ownerOf(view, p.Timeline, p.Offset).ReplID}
	drops, err := resolve(ctx, view, p, skips)
	if err != nil {
		return nil, err
	}
	if len(drops) > 0 {
		first = drops[0].From
	}
	plan.Base, plan.Needs, plan.Broken, err = soundBase(ctx, view, p.Timeline.ID, first)
	if err != nil && len(drops) > 0 {
		err = fmt.Errorf("skip at %d: %w", first, err)
	}
	if err != nil {
		return nil, err
	}
	e := &editor{plan: plan, drops: drops}
	s := scanning{view: view, timeline: p.Timeline.ID, from: plan.Base.Offset, to: p.Offset,
		db: plan.Base.DB, maxArg: lineArg}
	if err := s.run(ctx, e.take); err != nil {
		return nil, err
	}
	plan.Needs.fold()
	if plan.Edited = len(skips) > 0; plan.Edited {
		plan.ReplID = randomID()
	}
	return plan, nil
}

// End is the offset that the target has at the point: less than the point's if commands are left
// out, since a replica counts the bytes that it receives.
func (p *Plan) End() int64 { return p.given(p.Point.Offset) + int64(len(p.Suffix)) }

// Append adds a command behind the point. The target executes it as one of its primary's, so
// expired keys are still there. The result is no state of the history.
func (p *Plan) Append(args ...string) {
	p.Suffix = wire.Append(p.Suffix, args...)
	p.ReplID = randomID()
}

// given is the target's offset once it has everything below an offset of the stream.
func (p *Plan) given(offset int64) int64 {
	n := offset
	for _, d := range p.Drops {
		if d.From < offset {
			n -= min(d.To, offset) - d.From
		}
	}
	return n
}

// randomID makes a replication id in the servers' format: 40 hexadecimal digits.
func randomID() string {
	var b [20]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// editor goes over the commands and notes the skipped ones.
type editor struct {
	plan  *Plan
	drops []event.Span // still to come, in order
}

func (e *editor) take(c *stream.Command) error {
	if c.Start >= e.plan.Point.Offset {
		return stream.ErrStop
	}
	for len(e.drops) > 0 && e.drops[0].To <= c.Start {
		e.drops = e.drops[1:]
	}
	if len(e.drops) == 0 || c.Start < e.drops[0].From || isFrame(c) {
		e.plan.Needs.note(c)
		return nil
	}
	e.drop(c)
	return nil
}

// isFrame reports whether a command is kept even if a skip names it: others depend on it.
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
