package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/stream"
)

// A unit is a restore's smallest step: a command, or a transaction.
type unit struct {
	timeline uint32
	start    int64
	end      int64
	time     time.Time
	inside   bool // a transaction is open
	kills    []kill
	deleted  int64  // keys, at most
	deletes  int64  // commands
	name     string // of the first of them
	db       int    // of the last of them, or from which a key moved aside last; -1: unknown

	// The trash: the ledger writes of its scripts. They run in transactions, all of them.
	entry   *entry // added
	saved   []*entry
	dropped []int64 // removed: by UNDO, PURGE or the sweep
	aside   int64   // keys moved to the ledger's database
	ledger  int     // that database

	repair bool // journal/repair signed it: the lost history had deleted the same keys
}

// kill is a Kind of one command.
type kill struct {
	Kind
	keys *DBCount // of the database of a FLUSHDB before it; nil: unknown
}

// entry holds the fields needed of an entry of the trash's ledger (proxy/trash).
type entry struct {
	ID      int64  `json:"id"`
	Command string `json:"command"`
	Count   int64  `json:"count"` // keys, of an entry of single keys
	DBs     []struct {
		DB   int   `json:"db"`
		Slot int   `json:"slot"` // the database it was moved to
		Keys int64 `json:"keys"`
	} `json:"dbs"`
	keyed bool
}

// Keys of the ledger.
var (
	ledgerKey  = []byte(LedgerKey)
	ledgerKeys = []byte(LedgerKey + ":keys:")
)

// sign notes the key that a repair's transactions set first.
func (u *unit) sign(c *stream.Command) {
	if u.inside && len(c.Args) > 1 && string(c.Args[1]) == stream.RepairKey {
		u.repair = true
	}
}

func (u *unit) reset() {
	*u = unit{kills: u.kills[:0], saved: u.saved[:0], dropped: u.dropped[:0]}
}

// look applies a command that needs a closer look. keys is the count before it, if known.
func (u *unit) look(c *stream.Command, e effect, keys *Counts) {
	switch e.special {
	case flushAll:
		u.kills = append(u.kills, kill{Kind: Kind{Name: "FLUSHALL", Count: 1}})
	case flushDB:
		k := kill{Kind: Kind{Name: "FLUSHDB", Count: 1, DBs: known(c.DB)}}
		if keys.Rest && c.DB >= 0 {
			k.keys = new(keys.of(c.DB))
		}
		u.kills = append(u.kills, k)
	case swapDB:
		if a, b, ok := swapped(c); ok {
			u.kills = append(u.kills, kill{Kind: Kind{Name: "SWAPDB", Count: 1, DBs: []int{a, b}}})
		}
	case deletes:
		u.deleted, u.db = u.deleted+int64(len(c.Args)-1), c.DB
		if u.deletes++; u.deletes == 1 {
			u.name = "DEL"
			if !c.Is(u.name) {
				u.name = upper(c.Args[0])
			}
		}
	case moves:
		if u.inside {
			u.move(c)
		}
	case hset, set, hdel:
		if u.inside && len(c.Args) > 2 && bytes.HasPrefix(c.Args[1], ledgerKey) {
			u.trash(c, e)
		}
	}
}

func known(db int) []int {
	if db < 0 {
		return nil
	}
	return []int{db}
}

func swapped(c *stream.Command) (a, b int, ok bool) {
	if len(c.Args) != 3 || c.SwapsNothing() {
		return 0, 0, false
	}
	a, errA := strconv.Atoi(string(c.Args[1]))
	b, errB := strconv.Atoi(string(c.Args[2]))
	return a, b, errA == nil && errB == nil && a >= 0 && b >= 0
}

// move counts keys that move to the ledger's database.
func (u *unit) move(c *stream.Command) {
	if u.entry == nil || !u.entry.keyed || c.DB == u.ledger || len(c.Args) != 3 {
		return
	}
	if string(c.Args[2]) == strconv.Itoa(u.ledger) {
		u.aside, u.db = u.aside+1, c.DB
	}
}

// trash reads the ledger entry that a script of the trash writes.
func (u *unit) trash(c *stream.Command, e effect) {
	keyed := e.special == set && bytes.HasPrefix(c.Args[1], ledgerKeys)
	switch {
	case e.special == hdel && bytes.Equal(c.Args[1], ledgerKey):
		for _, a := range c.Args[2:] {
			if id, err := strconv.ParseInt(string(a), 10, 64); err == nil {
				u.dropped = append(u.dropped, id)
			}
		}
		return
	case keyed, e.special == hset && bytes.Equal(c.Args[1], ledgerKey):
	default:
		return
	}
	var n entry
	if json.Unmarshal(c.Args[len(c.Args)-1], &n) != nil || n.Command == "" {
		return
	}
	n.keyed = keyed
	u.entry, u.ledger = &n, c.DB
	if !keyed {
		u.saved = append(u.saved, &n)
	}
}

// settle returns the unit's damage, by the name of the command that the trash stood in for.
func (u *unit) settle(t *trash) {
	if u.repair {
		u.kills, u.deleted, u.deletes = u.kills[:0], 0, 0
		return
	}
	own := t.settle(u)
	switch {
	case len(u.dropped) > 0:
		// UNDO brings keys back, and PURGE and the sweep empty databases that were moved aside
		// before.
		u.kills = slices.DeleteFunc(u.kills, own)
	case u.entry != nil && u.entry.keyed:
		if u.aside > 0 { // else it is only put back, or emptied
			u.deleted, u.deletes, u.name = u.aside, 1, u.entry.name()
		} else {
			u.deleted, u.deletes = 0, 0
		}
	case u.entry != nil && len(u.kills) > 0:
		k := Kind{Name: u.entry.name(), Count: 1, Trash: []int64{u.entry.ID}}
		for _, d := range u.entry.DBs {
			k.DBs, k.Keys = merge(k.DBs, []int{d.DB}), k.Keys+d.Keys
		}
		u.kills = append(slices.DeleteFunc(u.kills, func(k kill) bool { return k.Name != "FLUSHALL" }),
			kill{Kind: k})
	}
}

// name is the client's command, in upper case.
func (n *entry) name() string {
	name, _, _ := strings.Cut(n.Command, " ")
	return strings.ToUpper(name)
}

// exact enters the trash's own count of the databases that it moved aside.
func (u *unit) exact(c *Counts) {
	if u.entry == nil || len(u.dropped) > 0 || u.entry.keyed {
		return
	}
	*c = c.clone()
	for _, d := range u.entry.DBs {
		c.set(d.DB, d.Keys, d.Keys)
	}
}
