package replay

import (
	"holdfast/journal"
)

// Answer is the joint answer of backups and a journal to the question which of them to use.
type Answer struct {
	Newest   *Placement // nil: none is sound and on the present history
	Restores bool       // the journal leads to its end by itself, so that no backup is needed
	Extends  bool       // it leads there from Newest
	Asks     bool       // --end needs a choice of the history
}

// NewAnswer compares Which's placements with the journal's own reach.
func NewAnswer(view *journal.View, placed []Placement) Answer {
	var a Answer
	for i := range placed {
		if placed[i].Newest {
			a.Newest = &placed[i]
		}
	}
	cur, ok := view.Current()
	if !ok {
		return a
	}
	_, err := view.BaseFor(cur.ID, cur.End)
	a.Restores = err == nil
	a.Asks = unsettled(view, cur) != nil
	n := a.Newest
	if n == nil || n.AOF || n.Ahead > 0 {
		return a
	}
	from := view.From(journal.Base{Timeline: n.Timeline, Offset: n.Offset, File: n.Path})
	_, err = from.BaseFor(cur.ID, cur.End)
	a.Extends = err == nil
	return a
}
