package replay

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/event"
)

// A restore into the server that the journal records takes away that server's commands behind the
// point. They were acknowledged to clients until the very moment at which its role changes. So it
// goes like this:
//
//	server                               journal                        we
//	becomes a replica of our listener,   receives the server's stream   wait for the journal: it holds
//	answers writes with -READONLY,       up to then, fsyncs it          the history to its last byte
//	asks us for PSYNC, and waits
//	is given the base and the stream                                    serve the plan, which Extend may
//	                                                                    have taken up to that last byte
//
// Until PSYNC is answered nothing is lost: the server becomes a primary again with all of its data
// where the journal does not get there. No right but +replicaof is needed.

// Tail is the end of the history of the recorded server, when it became a replica.
type Tail struct {
	Timeline journal.TimelineID
	Base     int64 // where it leaves the point's history: the rest is not restored
	End      int64 // of the server's own stream
	Held     int64 // of the journal's part of it; below End: the rest is lost
	DB       int   // selected at Base; -1: unknown
}

// tailTimeout bounds the wait for the journal.
const tailTimeout = 10 * time.Second

// stand waits until the journal holds the target's whole stream, if the target is the server that
// the journal records. It leaves the plan to serve in t.opts.
func (t *target) stand(ctx context.Context) error {
	tl, ok := t.history()
	if !ok {
		return nil
	}
	now, err := t.lookAtOurs(ctx)
	if err != nil {
		return err
	}
	end, err := strconv.ParseInt(now.info["master_repl_offset"], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: it does not say how far it is", ErrTarget)
	}
	tail := &Tail{Timeline: tl.ID, End: end}
	view, err := t.awaitTail(ctx, tail)
	if err != nil {
		return err
	}
	t.tail, t.opts.View = tail, view
	if t.opts.Extend != nil && tl.ID == t.opts.Plan.Point.Timeline.ID {
		if tail.Held < end {
			return fmt.Errorf("%w: the server has executed everything up to offset %d, and the journal holds it up "+
				"to %d: the proxy does not follow it", ErrTail, end, tail.Held)
		}
		plan, err := t.opts.Extend(ctx, view)
		if err != nil {
			return err
		}
		t.opts.Plan, t.opts.Expect = plan, event.Counts{}
	}
	tail.Base, tail.DB = partsFrom(view, tl, t.opts.Plan.Point)
	return nil
}

// history is the target's timeline when it was found.
func (t *target) history() (journal.Timeline, bool) {
	all := t.opts.View.Timelines()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].ReplID == t.before.replID {
			return all[i], true
		}
	}
	return journal.Timeline{}, false
}

// awaitTail polls the journal until it has the tail's end, or has no writer. The last look begins after
// the deadline: on a busy machine a look can take seconds, and it shows the journal as of its start.
func (t *target) awaitTail(ctx context.Context, tail *Tail) (*journal.View, error) {
	deadline := time.Now().Add(tailTimeout)
	for {
		last := time.Now().After(deadline)
		written, err := t.opts.View.Written()
		if err != nil {
			return nil, err
		}
		view, err := t.opts.View.Again()
		if err != nil {
			return nil, err
		}
		tl, err := pickTimeline(view, tail.Timeline)
		if err != nil {
			return nil, err
		}
		if tail.Held = min(tl.End, tail.End); tail.Held == tail.End || !written || last {
			return view, nil
		}
		if err := ctxtime.Sleep(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
}

// partsFrom is where a timeline leaves the history of a point, which ends there, and the database
// selected there; -1: unknown.
func partsFrom(view *journal.View, tl journal.Timeline, p *Point) (offset int64, db int) {
	ours, theirs := lineage(view, p.Timeline), lineage(view, tl)
	offset = -1
	for id, limit := range ours {
		if other, shared := theirs[id]; shared {
			offset = max(offset, min(limit, other, p.Offset))
		}
	}
	if offset < 0 {
		return tl.Start, -1
	}
	if _, shared := theirs[p.Timeline.ID]; !shared || offset != p.Offset {
		return offset, -1
	}
	return offset, p.DB
}

// checkTail compares the recorded server with its journal, before it is touched.
func (t *target) checkTail(p *Preflight) error {
	tl, ok := t.history()
	if !ok || p.before.replica {
		return nil
	}
	written, err := t.opts.View.Written()
	if err != nil || written || p.before.offset <= tl.End {
		return err
	}
	text := fmt.Sprintf("it has executed everything up to offset %d, the journal holds it up to %d, and no proxy "+
		"writes the journal", p.before.offset, tl.End)
	if t.opts.Extend != nil && tl.ID == t.opts.Plan.Point.Timeline.ID {
		p.refuse("journal", ErrTail, "%s: start the proxy, which receives the rest; --to %d goes back to there and "+
			"loses the rest", text, tl.End)
		return nil
	}
	p.advise("journal", "%s: the rest is in no journal, and will be lost", text)
	return nil
}
