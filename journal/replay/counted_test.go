package replay_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/journal/event"
	"holdfast/journal/replay"
)

// TestExpect: a target with another number of keys than the journal knows of is not promoted, and
// the error says how it can be all the same.
func TestExpect(t *testing.T) {
	t.Parallel()
	r := small(t)
	for _, row := range []struct {
		name string
		want event.Counts
		ok   bool
	}{
		{"exact", event.Counts{DBs: []event.DBCount{{DB: 0, Low: 1, High: 1}}, Rest: true}, true},
		{"and the mark", event.Counts{DBs: []event.DBCount{{DB: 0}}, Rest: true}, true},
		{"bounds", event.Counts{DBs: []event.DBCount{{DB: 0, Low: 0, High: 9}}}, true},
		{"one too few", event.Counts{DBs: []event.DBCount{{DB: 0, Low: 2, High: 2}}, Rest: true}, false},
		{"a database too few", event.Counts{DBs: []event.DBCount{{DB: 0, Low: 1, High: 1}, {DB: 3, Low: 1, High: 1}}},
			false},
	} {
		dst := r.fresh()
		err := r.restoreInto(dst, func(o *replay.RestoreOptions) { o.Expect = row.want })
		if row.ok != (err == nil) || !row.ok && (!errors.Is(err, replay.ErrCounts) ||
			!strings.Contains(err.Error(), "REPLICAOF NO ONE promotes it")) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
