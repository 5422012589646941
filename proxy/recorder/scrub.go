package recorder

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
)

// ScrubOptions say how often, and how fast, the journal's files are read again.
type ScrubOptions struct {
	Every time.Duration // 0: never
	Rate  int64         // bytes a second; 0: as fast as the disk
}

const (
	scrubFirst = 10 * time.Minute // after the start, at the latest
	scrubAgain = 10 * time.Second // likewise, to resume a round that the last process did not finish
	scrubRetry = time.Minute      // between attempts to take a fresh base
)

// scrubber reads bases and sealed segments again, so that rot shows before a restore needs them. It
// reports damage in the log, in readiness and as a metric until the next round, and has a fresh
// base taken at once: from that base on, restores do not depend on the damaged files.
type scrubber struct {
	rounds   atomic.Int64
	problems atomic.Pointer[[]journal.Problem] // of the last round
}

// damaged lists the damage that the last round found.
func (s *scrubber) damaged() []journal.Problem {
	if p := s.problems.Load(); p != nil {
		return *p
	}
	return nil
}

// troubles lists it for readiness.
func (s *scrubber) troubles() []string {
	all := s.damaged()
	if len(all) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("journal: %d files are damaged, such as %s (%v); restores are limited: "+
		"proxy journal verify", len(all), all[0].File, all[0].Err)}
}

// run goes on until the context ends. Joined by Recorder.run.
func (s *scrubber) run(ctx context.Context, r *Recorder) {
	o := r.options()
	for wait := s.first(r, o.Scrub.Every); o.Scrub.Every > 0; wait = o.Scrub.Every {
		if ctxtime.Sleep(ctx, wait) != nil {
			return
		}
		problems, err := r.journal.Load().Scrub(ctx, o.Scrub.Rate)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.log.Warn("journal: scrub", "error", err)
			continue
		}
		s.rounds.Add(1)
		s.problems.Store(&problems)
		for _, p := range problems {
			r.log.Error("journal: DAMAGED: a file is not what it was", "file", p.File, "error", p.Err)
		}
		for len(problems) > 0 {
			if _, err := r.tap.Load().Snapshot(ctx); err == nil || ctxtime.Sleep(ctx, scrubRetry) != nil {
				break
			}
		}
	}
}

// first is the wait after the start.
func (s *scrubber) first(r *Recorder, every time.Duration) time.Duration {
	due, begun := r.journal.Load().ScrubDue(every)
	if begun {
		return min(every, scrubAgain)
	}
	return max(due, min(every, scrubFirst))
}
