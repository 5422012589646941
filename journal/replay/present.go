package replay

import (
	"fmt"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/quantity"
)

// A server that comes back with another history leaves a branch behind in the journal, and "the
// end" and "14:03" can mean either. A selector without a timeline therefore means:
//
//   - for a time, the history that was the present then;
//   - for the end, the current history, unless a branch that the server lost, and that is not
//     settled, is longer or has more keys: then you must choose (ErrBranches);
//   - for an event, the history in which it happened: its number is valid for the whole journal, and
//     the command that was logged with it keeps its meaning;
//   - for everything else, the current history, with a note if another one may be meant.

// choose returns the timeline that a selector means, and the selector for it.
func choose(view *journal.View, sel Selector) (journal.Timeline, Selector, error) {
	tl, err := pickTimeline(view, sel.Timeline)
	if err != nil || sel.Timeline != 0 || sel.Current {
		return tl, sel, err
	}
	switch sel.Kind {
	case AtTime:
		then := presentAt(view, sel.Time)
		if then.ID != tl.ID && sel.Time.After(then.Last) {
			sel.Kind = AtEnd // there was no stream until the next one began
		}
		return then, sel, nil
	case AtEnd:
		return tl, sel, unsettled(view, tl)
	}
	return tl, sel, nil
}

// pastNote notes that a point is on a history that is not the present one there.
func pastNote(view *journal.View, then journal.Timeline, offset int64) string {
	cur, ok := view.Current()
	limit, shared := lineage(view, cur)[then.ID]
	if !ok || shared && offset <= limit {
		return ""
	}
	return fmt.Sprintf("timeline %d was the present then; the server has left it since, and timeline %d "+
		"is the present now", then.ID, cur.ID)
}

// presentAt is the newest timeline that had begun by a moment, or the oldest.
func presentAt(view *journal.View, at time.Time) journal.Timeline {
	all := view.Timelines()
	then := all[0]
	for _, tl := range all {
		if !tl.Opened.After(at) {
			then = tl
		}
	}
	return then
}

// unsettled lists the branches that have more than the current history.
func unsettled(view *journal.View, cur journal.Timeline) error {
	var others []string
	seen := map[journal.TimelineID]bool{}
	for _, i := range view.Incidents() {
		tl, ok := view.Timeline(i.Timeline)
		if !ok || !i.Open() || seen[tl.ID] || view.Recovered(i) || !outweighs(view, tl, cur) {
			continue
		}
		seen[tl.ID] = true
		others = append(others, fmt.Sprintf("timeline %d, which the server left, ended %s", tl.ID,
			ending(tl)))
	}
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; timeline %d, the present one, ends %s", ErrBranches,
		strings.Join(others, "; "), cur.ID, ending(cur))
}

// ending describes the end of a timeline.
func ending(tl journal.Timeline) string {
	keys := "a number of keys that is not known"
	if tl.Counts != nil {
		keys = quantity.Of(tl.Counts.Total(), "key")
	}
	return fmt.Sprintf("at %s, offset %d, with %s", tl.Last.Format(time.RFC3339Nano), tl.End, keys)
}

// outweighs reports whether a branch is longer than the current history, from where they part, or
// has more keys.
func outweighs(view *journal.View, branch, cur journal.Timeline) bool {
	part, ours := branch.Start, cur.Start
	if limit, ok := lineage(view, cur)[branch.ID]; ok {
		part, ours = limit, limit
	}
	if branch.End-part > cur.End-ours {
		return true
	}
	return branch.Counts != nil && cur.Counts != nil && branch.Counts.Total() > cur.Counts.Total()
}
