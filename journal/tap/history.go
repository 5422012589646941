package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// A full resync means that the primary cannot go on where the journal ends. What that means for
// the journal depends on how the two histories are related, which replication ids tell (a server's
// replid names its history; replid2 the one that it continues, up to second_repl_offset):
//
//	primary's history              what it means                        what is recorded
//	ours, at or above our end      its backlog was too short            gap
//	ours, below our end            it was set back                      timeline, lost tail
//	continues ours, up to F        restart or failover                  timeline at F; lost tail
//	                                                                    where F is below our end
//	an earlier one, or its child   an old primary is back               the same
//	unknown                        new data, or loaded from an AOF      timeline of its own; an
//	                               or from a backup                     incident: history replaced
//
// A timeline begins where the histories part, and a gap stretches from there to the snapshot where
// the primary has already gone on.

// plan is what a full resync means for the journal.
type plan struct {
	same   bool                  // the current timeline goes on, after a gap from its end
	start  journal.TimelineStart // otherwise
	resume int64                 // the stream and the snapshot begin here
	lost   journal.Range         // empty where From == To
}

// place works out the plan for a snapshot at offset n of history replID. timelines is everything
// that the journal knows, in order of their beginning; the last one is the current one.
func place(timelines []journal.Timeline, replID string, n int64, p primaryInfo) plan {
	pl := plan{resume: n}
	if len(timelines) == 0 {
		pl.start = journal.TimelineStart{ReplID: replID, Start: n, Why: "first attach"}
		return pl
	}
	cur := timelines[len(timelines)-1]
	if cur.ReplID == replID && n >= cur.End {
		pl.same = true
		return pl
	}
	parent, limit, ok := ancestor(timelines, replID, n, p)
	if !ok {
		pl.start = journal.TimelineStart{ReplID: replID, Start: n,
			Why: "full resync with a history that the journal knows nothing of"}
		return pl
	}
	fork := min(parent.End, limit, n)
	pl.start = journal.TimelineStart{ReplID: replID, Start: fork, Parent: parent.ID, Fork: fork,
		Why: fmt.Sprintf("full resync with a history that parts from timeline %d", parent.ID)}
	if from, related := parting(timelines, cur, parent, fork); related && from < cur.End {
		pl.lost = journal.Range{Timeline: cur.ID, From: from, To: cur.End}
	}
	return pl
}

// ancestor finds the newest timeline that the primary's history shares, and up to where at most.
func ancestor(timelines []journal.Timeline, replID string, n int64, p primaryInfo) (
	journal.Timeline, int64, bool,
) {
	for i := len(timelines) - 1; i >= 0; i-- {
		tl := timelines[i]
		if tl.ReplID == replID && tl.Start <= n {
			return tl, n, true
		}
		// INFO and PSYNC are two moments: INFO counts only if it speaks of the same history.
		if p.known && p.replID == replID && p.secondEnd >= tl.Start && tl.ReplID == p.replID2 {
			return tl, p.secondEnd, true
		}
	}
	return journal.Timeline{}, 0, false
}

// parting returns the offset from which on cur's history is not that of a timeline which leaves
// parent at fork. related is false where cur does not descend from parent.
func parting(timelines []journal.Timeline, cur, parent journal.Timeline, fork int64) (
	from int64, related bool,
) {
	byID := make(map[journal.TimelineID]journal.Timeline, len(timelines))
	for _, tl := range timelines {
		byID[tl.ID] = tl
	}
	from = fork
	for tl := cur; tl.ID != parent.ID; tl = byID[tl.Parent] {
		if tl.Parent == 0 {
			return 0, false
		}
		from = min(from, tl.Fork)
	}
	return from, true
}

// carryOut records the plan: incident, timeline, gap. It returns the timeline on which the stream
// goes on at pl.resume.
func (t *Tap) carryOut(ctx context.Context, pl plan) (journal.Timeline, error) {
	j := t.opts.Journal
	if pl.lost.From < pl.lost.To {
		if err := t.recordLoss(ctx, pl); err != nil {
			return journal.Timeline{}, err
		}
	}
	tl, ok := j.Current()
	if ok && !pl.same && pl.start.Parent == 0 {
		if err := t.recordReplaced(ctx, tl); err != nil {
			return tl, err
		}
	}
	if !pl.same {
		var err error
		if tl, err = j.StartTimeline(ctx, pl.start); err != nil {
			return tl, err
		}
		t.log.Info("journal: new timeline", "timeline", tl.ID, "replid", tl.ReplID,
			"offset", tl.Start, "parent", tl.Parent, "why", pl.start.Why)
	}
	if tl.End == pl.resume {
		return tl, nil
	}
	gap := journal.Gap{Timeline: tl.ID, From: tl.End, To: pl.resume, Time: time.Now(),
		Why: "the primary's backlog no longer held it"}
	t.log.Warn("journal: bytes are missing that the primary could no longer send",
		"timeline", tl.ID, "from", gap.From, "to", gap.To)
	return tl, j.AddGap(ctx, gap)
}

// recordLoss records a lost tail, unless nothing was in it but what servers say to each other, and
// messages, which nobody keeps: sentinels alone publish one every two seconds.
func (t *Tap) recordLoss(ctx context.Context, pl plan) error {
	incident, err := t.survey(ctx, pl.lost)
	if err != nil || incident.Commands == 0 {
		return err
	}
	incident.Why = fmt.Sprintf("the history %s does not contain it", pl.start.ReplID)
	t.log.Error("journal: the primary lost writes that the journal holds",
		"timeline", incident.Timeline, "from", incident.From, "to", incident.To,
		"commands", incident.Commands, "first", incident.FirstTime, "last", incident.LastTime)
	t.stats.update(func(s *Stats) { s.LostTails++ })
	return t.opts.Journal.AddIncident(ctx, incident)
}

// recordReplaced records that a history ended without a word of what came of it: a primary that was
// restarted from its append-only file or without any, restored from a backup, or another one.
// Whether it lacks something nobody can tell; where to look can be said.
func (t *Tap) recordReplaced(ctx context.Context, old journal.Timeline) error {
	in := journal.Incident{Timeline: old.ID, From: old.End, To: old.End, FirstTime: old.Last,
		LastTime: old.Last, Commands: -1, Replaced: true, Time: time.Now(),
		Why: fmt.Sprintf("the server came with a history of its own: it was restarted from an "+
			"append-only file or a backup, or is another one. Whether it lacks something cannot be "+
			"told from that; what was held before is timeline %d up to offset %d. To compare: "+
			"proxy restore --timeline %d --end --target ANOTHER-SERVER; proxy journal which "+
			"BACKUP.rdb says what backups hold", old.ID, old.End, old.ID)}
	t.log.Warn("journal: the server's history was replaced", "timeline", old.ID, "held_to", old.End,
		"last", old.Last, "why", in.Why)
	return t.opts.Journal.AddIncident(ctx, in)
}

// survey counts the commands of a range and notes their times.
func (t *Tap) survey(ctx context.Context, r journal.Range) (journal.Incident, error) {
	in := journal.Incident{Timeline: r.Timeline, From: r.From, To: r.To, Time: time.Now()}
	j := t.opts.Journal
	err := j.WaitDurable(ctx, journal.Position{Timeline: r.Timeline, Offset: r.To})
	if err != nil {
		return in, err
	}
	view, err := j.View()
	if err != nil {
		return in, err
	}
	rd, err := view.Reader(r.Timeline, r.From)
	if err != nil {
		return t.uncounted(in, err), nil
	}
	defer rd.Close() // read-only
	scanner := stream.NewScanner(stream.Options{Offset: r.From, DB: -1, MaxArg: 16})
	for {
		chunk, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err == nil {
			err = scanner.Feed(chunk.Time, chunk.Data, func(c *stream.Command) error {
				count(&in, c)
				return ctx.Err()
			})
		}
		if ctx.Err() != nil {
			return in, ctx.Err()
		}
		if err != nil {
			return t.uncounted(in, err), nil
		}
	}
}

// uncounted is for a loss that is certain but cannot be read: it is recorded all the same.
func (t *Tap) uncounted(in journal.Incident, err error) journal.Incident {
	t.log.Error("journal: cannot read the lost tail", "timeline", in.Timeline, "from", in.From,
		"error", err)
	in.Commands = -1
	return in
}

// count adds a command to an incident, if it is one that changes data.
func count(in *journal.Incident, c *stream.Command) {
	for _, name := range []string{"PING", "REPLCONF", "SELECT", "MULTI", "EXEC", "PUBLISH",
		"SPUBLISH"} {
		if c.Is(name) {
			return
		}
	}
	if len(c.Args) == 0 {
		return
	}
	if in.Commands == 0 {
		in.FirstTime = c.Time
	}
	in.Commands++
	in.LastTime = c.Time
}
