package replay

import (
	"context"
	"errors"
	"slices"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// aofPlace is the place of an append-only file's commands in the journal.
type aofPlace struct {
	timeline journal.Timeline
	start    journal.Base // the first command counted in the journal
	shift    int64        // the file's n-th command is the journal's n+shift-th
	votes    int          // windows that agree

	offset   int64     // behind the last command of both
	ahead    int64     // commands that the file has beyond it
	compared Condition // of all commands with those of the journal
}

// placeAOF looks for an append-only file in all histories that the journal holds. The place is the
// one that most of its last windows of commands agree on; all commands are then compared there.
// More than one place counts as none.
func placeAOF(ctx context.Context, view *journal.View, a *fingerprint) ([]aofPlace, error) {
	windows, size := a.windows()
	if len(windows) == 0 {
		return nil, nil
	}
	var best []aofPlace
	for _, tl := range view.Timelines() {
		bases, err := view.BasesFor(tl.ID, tl.End)
		if err != nil {
			continue // no known boundary in it
		}
		here, err := vote(ctx, view, tl, bases[len(bases)-1], windows, size)
		if err != nil {
			return nil, err
		}
		best = append(best, here...)
	}
	most := 0
	for i := range best {
		most = max(most, best[i].votes)
	}
	best = slices.DeleteFunc(best, func(p aofPlace) bool { return p.votes < most })
	return settlePlaces(ctx, view, best, a)
}

// vote reads one history and returns the places with the most windows.
func vote(ctx context.Context, view *journal.View, tl journal.Timeline, base journal.Base,
	windows map[uint64]int64, size int64) ([]aofPlace, error) {
	j, votes := newFingerprint(int(size)), map[int64]int{}
	s := scanning{view: view, timeline: tl.ID, from: base.Offset, to: tl.End, db: base.DB,
		maxArg: wholeArg}
	err := s.run(ctx, func(c *stream.Command) error {
		if j.take(c) && j.count >= size {
			if n := windows[j.window(j.count, size)]; n > 0 {
				votes[j.count-n]++
			}
		}
		return nil
	})
	if err != nil && !passable(err) {
		return nil, err
	}
	most := 0
	for _, n := range votes {
		most = max(most, n)
	}
	var out []aofPlace
	for shift, n := range votes {
		if n == most {
			out = append(out, aofPlace{timeline: tl, start: base, shift: shift, votes: n})
		}
	}
	return out, nil
}

// passable reports that a search may skip the part that it could not read.
func passable(err error) bool {
	_, missing := hole(err)
	return missing || errors.Is(err, journal.ErrRange) || errors.Is(err, journal.ErrPruned)
}

// settlePlaces compares the file at each place, and keeps each place once: histories share
// beginnings. If the file differs at one place and not at another, it is at the other.
func settlePlaces(ctx context.Context, view *journal.View, places []aofPlace, a *fingerprint) (
	[]aofPlace, error,
) {
	var out []aofPlace
	seen, same := map[journal.Position]bool{}, false
	for i := range places {
		p := &places[i]
		if err := p.compare(ctx, view, a); err != nil {
			return nil, err
		}
		p.timeline = ownerOf(view, p.timeline, p.offset)
		at := journal.Position{Timeline: p.timeline.ID, Offset: p.offset}
		if !seen[at] {
			seen[at] = true
			out = append(out, *p)
			same = same || p.compared != Damaged
		}
	}
	if same {
		out = slices.DeleteFunc(out, func(p aofPlace) bool { return p.compared == Damaged })
	}
	return out, nil
}

// ownerOf is the timeline of an offset of a history.
func ownerOf(view *journal.View, tl journal.Timeline, offset int64) journal.Timeline {
	for tl.Parent != 0 && offset <= tl.Fork {
		parent, ok := view.Timeline(tl.Parent)
		if !ok {
			break
		}
		tl = parent
	}
	return tl
}

// compare reads the journal's commands from the file's first to its last, as far as the journal has
// them, and determines their place.
func (p *aofPlace) compare(ctx context.Context, view *journal.View, a *fingerprint) error {
	j, skip := newFingerprint(1), p.shift
	s := scanning{view: view, timeline: p.timeline.ID, from: p.start.Offset, to: p.timeline.End,
		db: p.start.DB, maxArg: wholeArg}
	taken := min(0, p.shift) + a.count // bytes that the journal can have of it
	err := s.run(ctx, func(c *stream.Command) error {
		switch {
		case skip > 0 && counts(c):
			skip--
		case skip <= 0 && j.take(c):
			p.offset = c.End
			if j.count == taken {
				return stream.ErrStop
			}
		}
		return nil
	})
	if err != nil && !passable(err) {
		return err
	}
	p.compared = Unchecked
	if err != nil { // the stream behind a gap is unknown
		return nil
	}
	p.ahead = taken - j.count
	switch {
	case p.shift < 0: // it begins before the journal's part
	case !a.continues(j, p.ahead):
		p.compared = Damaged
	case p.ahead == 0:
		p.compared = Sound
	}
	return nil
}
