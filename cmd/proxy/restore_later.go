package main

import (
	"context"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/journal/quantity"
	"holdfast/journal/replay"
	"holdfast/proxy/admin"
)

// keep turns the point before an event, or before a command, into the end of its history without
// that event or command.
func (p *pointFlags) keep(ctx context.Context, view *journal.View, sel replay.Selector, shown *progress) (
	replay.Selector, error,
) {
	if !*p.keepLater {
		return sel, nil
	}
	before, err := p.locate(ctx, view, sel, shown)
	if err != nil {
		return sel, err
	}
	switch e := before.Event; {
	case e != nil:
		p.skipEvents = append(p.skipEvents, e.N)
	default:
		p.skips = append(p.skips, replay.Skip{From: before.Offset})
	}
	return replay.Selector{Kind: replay.AtEnd, Timeline: before.Timeline.ID}, nil
}

// extend is replay.RestoreOptions.Extend for a plan that goes to the end of a history.
func (r *restoration) extend(ctx context.Context, view *journal.View) (*replay.Plan, error) {
	skips, err := r.point.withEvents(ctx, view, r.shown)
	if err != nil {
		return nil, err
	}
	plan, err := r.plan.Extend(ctx, view, skips)
	if err != nil || len(r.point.skipEvents) == 0 {
		return plan, err
	}
	events, err := findEvents(ctx, view, r.shown)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		late := journal.TimelineID(e.Timeline) == plan.Point.Timeline.ID && e.From >= r.plan.Point.Offset
		if late && !slices.Contains(r.point.skipEvents, e.N) {
			return nil, fmt.Errorf("event %d, %s, came meanwhile and would be restored, too; --skip-event %d leaves "+
				"it out, as well", e.N, e.Text(), e.N)
		}
	}
	return plan, nil
}

// A leftOutView is the part of the recorded server's history that a restore left out, in JSON.
type leftOutView struct {
	replay.Amount
	Lost  int64  `json:"lost_bytes,omitempty"` // behind To: in no journal
	List  string `json:"list"`                 // the command that lists it
	Again string `json:"again,omitempty"`      // the command that brings it back
}

// finish evaluates the result of the restore: the restored part, and the part left out of the
// history that the server was on.
func (r *restoration) finish(ctx context.Context, result replay.Result) error {
	if result.Plan != r.plan {
		more, err := replay.Count(ctx, result.View, result.Plan.Point.Timeline.ID, r.plan.Point.Offset,
			result.Plan.Point.Offset, r.plan.Point.DB, keysNamed())
		if err != nil {
			return err
		}
		r.more = &more
	}
	r.plan, r.view = result.Plan, result.View
	tail := result.Tail
	if tail == nil || tail.End <= tail.Base {
		return nil
	}
	amount, err := replay.Count(ctx, r.view, tail.Timeline, tail.Base, max(tail.Held, tail.Base), tail.DB, keysNamed())
	if err != nil || amount.Commands == 0 && tail.Held == tail.End {
		return err
	}
	r.left = &leftOutView{Amount: amount, Lost: tail.End - amount.To}
	span := fmt.Sprintf("proxy journal show --dir %s --timeline %d --from %d --to %d", admin.ShellWord(r.dir), tail.Timeline,
		amount.From, amount.To)
	r.left.List = span
	switch e := r.plan.Point.Event; {
	case e != nil && journal.TimelineID(e.Timeline) == tail.Timeline:
		r.left.Again = fmt.Sprintf("proxy restore --dir %s --timeline %d --end --skip-event %d --force --target %s",
			admin.ShellWord(r.dir), tail.Timeline, e.N, admin.ShellWord(r.target.address))
	case r.plan.Point.Timeline.ID != tail.Timeline:
		r.left.Again = span + " --resp | redis-cli --pipe"
	}
	return nil
}

// printFinish prints the findings of finish.
func (r *restoration) printFinish() {
	if m := r.more; m != nil && m.Commands > 0 {
		fmt.Fprintf(r.c.stdout, "and what came until its role changed: %s, up to offset %d\n", m, m.To)
	}
	l := r.left
	if l == nil {
		return
	}
	fmt.Fprintf(r.c.stdout, "left out: %s, offsets %d to %d of timeline %d, up to the moment at which its role "+
		"changed\n  listed by: %s\n", l.Amount, l.From, l.To, l.Timeline, l.List)
	if l.Again != "" {
		fmt.Fprintf(r.c.stdout, "  brought back by: %s\n", l.Again)
	}
	if l.Lost > 0 {
		fmt.Fprintf(r.c.stdout, "LOST: %s behind offset %d, which no proxy recorded\n", quantity.Of(l.Lost, "byte"), l.To)
	}
}
