package event

import (
	"encoding/json"
	"slices"
)

// trash follows the databases that the proxy's trash has moved aside: a flush of one of them by
// PURGE or the sweep destroys nothing that was not an event before. A look-alike, which takes an
// entry out of the ledger and flushes another database, is a flush.
//
// An entry counts from the transaction on that swapped its databases aside, which is an event of
// its own. An entry from before the stream counts if the server's ledger had it when the stream
// began, or resumed behind a gap (Watcher.Ledger).
type trash struct {
	Slots map[int64][]int `json:"slots,omitempty"` // databases, by entry
}

// maxEntries is above any configured number of databases.
const maxEntries = 4096

// Slots reads the ledger's values: the databases in which each entry's keys are, by entry.
// Unreadable values are left out.
func Slots(ledger []string) map[int64][]int {
	out := make(map[int64][]int)
	for _, text := range ledger {
		var e entry
		if json.Unmarshal([]byte(text), &e) != nil || e.ID == 0 {
			continue
		}
		for _, d := range e.DBs {
			out[e.ID] = append(out[e.ID], d.Slot)
		}
	}
	return out
}

// LedgerKey is the hash that holds the ledger.
const LedgerKey = "holdfast:trash"

func (t *trash) clone() trash {
	out := trash{}
	for id, slots := range t.Slots {
		out.add(id, slots)
	}
	return out
}

func (t *trash) add(id int64, slots []int) {
	if t.Slots == nil {
		t.Slots = make(map[int64][]int)
	}
	if len(t.Slots) < maxEntries {
		t.Slots[id] = slices.Clone(slots)
	}
}

// settle applies a complete unit, and returns which of its commands are the trash's own work on
// entries that leave it.
func (t *trash) settle(u *unit) (own func(kill) bool) {
	if len(u.dropped) == 0 && len(u.saved) == 0 {
		return func(kill) bool { return false }
	}
	var freed []int // databases of the entries that leave
	for _, id := range u.dropped {
		freed = append(freed, t.Slots[id]...)
		delete(t.Slots, id)
	}
	undone := false
	pairs := func(k kill) bool { // swaps an entry's database back, or aside
		return k.Name == "SWAPDB" && slices.ContainsFunc(u.saved, func(e *entry) bool { return e.has(k.DBs) })
	}
	for _, e := range u.saved {
		slots := u.swapped(e)
		switch {
		case len(slots) == 0:
		case slices.Contains(u.dropped, e.ID):
			undone = true
		default:
			t.add(e.ID, slots)
		}
	}
	return func(k kill) bool {
		switch {
		case k.Name == "SWAPDB":
			return undone && pairs(k)
		case k.Name != "FLUSHDB" || len(k.DBs) == 0:
			return false
		case slices.Contains(freed, k.DBs[0]):
			return true
		}
		// UNDO flushes a database that is empty, so that clients drop their caches.
		return k.keys != nil && k.keys.High == 0 || k.keys == nil && undone
	}
}

// swapped returns the slots of an entry that the unit's swaps concern.
func (u *unit) swapped(e *entry) (slots []int) {
	for _, d := range e.DBs {
		if slices.ContainsFunc(u.kills, func(k kill) bool {
			return k.Name == "SWAPDB" && k.DBs[0] == d.DB && k.DBs[1] == d.Slot
		}) {
			slots = append(slots, d.Slot)
		}
	}
	return slots
}

// has reports whether two databases are an entry's own and its slot.
func (n *entry) has(dbs []int) bool {
	for _, d := range n.DBs {
		if d.DB == dbs[0] && d.Slot == dbs[1] {
			return true
		}
	}
	return false
}
