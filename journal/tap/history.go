package tap

import (
	"context"
	"fmt"
	"time"

	"holdfast/journal"
)

// A full resync means that the primary cannot go on where the journal ends. Its meaning for the
// journal depends on the relation of the two histories, which replication ids tell (a server's
// replid names its history; replid2 the one that it continues, up to second_repl_offset):
//
//	primary's history              meaning                              record
//	ours, at or above our end      its backlog was too short            gap
//	ours, below our end            it was set back                      timeline, lost tail
//	continues ours, up to F        restart or failover                  timeline at F; lost tail
//	                                                                    where F is below our end
//	an earlier one, or its child   an old primary is back               the same
//	unknown                        new data, or loaded from an AOF      timeline of its own, and what
//	                               or from a backup                     verdict.go finds
//
// A timeline begins where the histories part, and a gap stretches from there to the snapshot where
// the primary has already gone on.

// plan is the meaning of a full resync for the journal.
type plan struct {
	same   bool                  // the current timeline goes on, after a gap from its end
	start  journal.TimelineStart // otherwise
	resume int64                 // the stream and the snapshot begin here
	lost   journal.Range         // empty where From == To
	behind []journal.Range       // held by histories between parent and current, see unrelated
	trash  map[int64][]int       // the result of readLedger
}

// place works out the plan for a snapshot at offset n of history replID. timelines are the
// journal's, in order of their beginning; the last one is the current one.
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
	from, related := parting(timelines, cur, parent, fork)
	switch {
	case !related:
		pl.behind = unrelated(timelines, parent, fork)
	case from < cur.End:
		pl.lost = journal.Range{Timeline: cur.ID, From: from, To: cur.End}
	}
	return pl
}

// unrelated returns the ranges outside of a history that leaves parent at fork, while the current
// one does not descend from parent: the server was restarted from an append-only file, say, and
// then another one took its place that knows the earlier history. The ranges are parent's end, and
// each history since.
func unrelated(timelines []journal.Timeline, parent journal.Timeline, fork int64) (out []journal.Range) {
	for _, tl := range timelines {
		from := tl.Start
		switch {
		case tl.ID < parent.ID:
			continue
		case tl.ID == parent.ID:
			from = fork
		}
		if from < tl.End {
			out = append(out, journal.Range{Timeline: tl.ID, From: from, To: tl.End})
		}
	}
	return out
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
		// INFO and PSYNC are two moments: INFO counts only if it is about the same history.
		if p.known && p.replID == replID && p.secondEnd >= tl.Start && tl.ReplID == p.replID2 {
			return tl, p.secondEnd, true
		}
	}
	return journal.Timeline{}, 0, false
}

// parting returns the offset at which cur's history leaves that of a timeline which leaves parent
// at fork. related is false if cur does not descend from parent.
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
// goes on at pl.resume. r is the verdict where the new history is unknown.
func (t *Tap) carryOut(ctx context.Context, pl plan, r *ruling) (journal.Timeline, error) {
	pl.start.Trash, pl.start.Server = pl.trash, t.opts.Address
	j := t.opts.Journal
	tl, ok := j.Current()
	if ok && !pl.same {
		if err := t.recordIncident(ctx, tl, pl, r); err != nil {
			return tl, err
		}
		for _, lost := range pl.behind {
			if err := t.recordBehind(ctx, pl, lost); err != nil {
				return tl, err
			}
		}
	}
	if !pl.same {
		t.stats.update(func(s *Stats) { s.Marked = 0 })
		var err error
		if tl, err = j.StartTimeline(ctx, pl.start); err != nil {
			return tl, err
		}
		t.log.Info("journal: new timeline", "timeline", tl.ID, "replid", tl.ReplID,
			"offset", tl.Start, "parent", tl.Parent, "why", pl.start.Why)
		if err := t.closeRecovered(ctx); err != nil {
			return tl, err
		}
	}
	if tl.End == pl.resume {
		return tl, nil
	}
	gap := journal.Gap{Timeline: tl.ID, From: tl.End, To: pl.resume, Time: time.Now(),
		Why: "the primary's backlog no longer held it", Trash: pl.trash}
	t.log.Warn("journal: bytes are missing that the primary could no longer send",
		"timeline", tl.ID, "from", gap.From, "to", gap.To)
	return tl, j.AddGap(ctx, gap)
}
