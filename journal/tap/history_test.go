package tap

import (
	"slices"
	"testing"

	"holdfast/journal"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	one := journal.Timeline{ID: 1, ReplID: "A", Start: 0, End: 100}
	// B forked off A at 80, where A went on to 100; C is B's child by +CONTINUE at 150.
	branch := []journal.Timeline{one, {ID: 2, ReplID: "B", Start: 80, End: 150, Parent: 1, Fork: 80},
		{ID: 3, ReplID: "C", Start: 150, End: 200, Parent: 2, Fork: 150}}
	follows := func(id, id2 string, end int64) primaryInfo {
		return primaryInfo{known: true, replID: id, replID2: id2, secondEnd: end}
	}
	for _, row := range []struct {
		name      string
		timelines []journal.Timeline
		id        string
		n         int64
		primary   primaryInfo

		same          bool
		start, parent int64
		lostFrom      int64 // -1: nothing lost
	}{
		{name: "first attach", id: "A", n: 7, start: 7, lostFrom: -1},
		{name: "backlog too short", timelines: []journal.Timeline{one}, id: "A", n: 300, same: true,
			lostFrom: -1},
		{name: "resync at our end", timelines: []journal.Timeline{one}, id: "A", n: 100, same: true,
			lostFrom: -1},
		{name: "set back", timelines: []journal.Timeline{one}, id: "A", n: 60, start: 60, parent: 1,
			lostFrom: 60},
		{name: "restart that lost a tail", timelines: []journal.Timeline{one}, id: "B", n: 90,
			primary: follows("B", "A", 90), start: 90, parent: 1, lostFrom: 90},
		{name: "restart that lost a tail and went on", timelines: []journal.Timeline{one}, id: "B",
			n: 500, primary: follows("B", "A", 90), start: 90, parent: 1, lostFrom: 90},
		{name: "failover while away, nothing lost", timelines: []journal.Timeline{one}, id: "B",
			n: 500, primary: follows("B", "A", 130), start: 100, parent: 1, lostFrom: -1},
		{name: "a history of its own", timelines: []journal.Timeline{one}, id: "X", n: 5, start: 5,
			lostFrom: -1},
		{name: "INFO is of another history", timelines: []journal.Timeline{one}, id: "X", n: 90,
			primary: follows("Y", "A", 90), start: 90, lostFrom: -1},
		{name: "second history ends before ours begins", timelines: []journal.Timeline{
			{ID: 1, ReplID: "A", Start: 50, End: 100}}, id: "B", n: 90,
			primary: follows("B", "A", 40), start: 90, lostFrom: -1},
		{name: "back to an old primary", timelines: branch, id: "A", n: 120, start: 100, parent: 1,
			lostFrom: 80},
		{name: "a sibling of an ancestor", timelines: branch, id: "D", n: 170,
			primary: follows("D", "B", 160), start: 150, parent: 2, lostFrom: 150},
		{name: "a sibling that parts earlier", timelines: branch, id: "D", n: 170,
			primary: follows("D", "B", 120), start: 120, parent: 2, lostFrom: 120},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := place(row.timelines, row.id, row.n, row.primary)
			if got.resume != row.n || got.same != row.same {
				t.Fatalf("got %+v", got)
			}
			if !row.same && (got.start.Start != row.start || got.start.ReplID != row.id ||
				got.start.Parent != journal.TimelineID(row.parent)) {
				t.Errorf("starts %+v, want at %d, child of %d", got.start, row.start, row.parent)
			}
			if row.lostFrom < 0 && got.lost.From < got.lost.To {
				t.Errorf("lost %+v, want nothing", got.lost)
			}
			if row.lostFrom >= 0 {
				cur := row.timelines[len(row.timelines)-1]
				want := journal.Range{Timeline: cur.ID, From: row.lostFrom, To: cur.End}
				if got.lost != want {
					t.Errorf("lost %+v, want %+v", got.lost, want)
				}
			}
		})
	}
}

// A server that was restarted from its append-only file has a history of its own, and the one that then
// takes its place parts from the history before: the end of that is missing there, and what the
// restarted one took since.
func TestPlaceBehindAnUnrelatedHistory(t *testing.T) {
	t.Parallel()
	timelines := []journal.Timeline{{ID: 1, ReplID: "A", Start: 0, End: 100},
		{ID: 2, ReplID: "X", Start: 0, End: 40}, {ID: 3, ReplID: "Y", Start: 7, End: 7}}
	promoted := primaryInfo{known: true, replID: "B", replID2: "A", secondEnd: 80}
	pl := place(timelines, "B", 90, promoted)
	want := []journal.Range{{Timeline: 1, From: 80, To: 100}, {Timeline: 2, From: 0, To: 40}}
	if pl.start.Parent != 1 || pl.lost != (journal.Range{}) || !slices.Equal(pl.behind, want) {
		t.Errorf("%+v, want %+v", pl, want)
	}
	promoted.secondEnd = 100
	if pl = place(timelines[:1], "B", 110, promoted); len(pl.behind) != 0 {
		t.Errorf("a failover that loses nothing: %+v", pl)
	}
}
