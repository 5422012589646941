package event

import (
	"slices"
	"strconv"
	"time"

	"holdfast/journal/stream"
)

// Sample is the server's own count: its keys at an offset.
type Sample struct {
	Offset int64 `json:"offset"`
	// Keys is by database, without the mark; those without a key are left out.
	Keys map[int]int64 `json:"keys"`
	// Expires is the number of keys with a deadline.
	Expires int64 `json:"expires"`
	// Expired is the number of keys expired since the server was started; nil: unknown.
	Expired *int64    `json:"expired,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

// keeper counts the keys.
//
// A sample comes later in the journal than its offset. So the keeper remembers the changes since
// the last sample, and adds those behind the new sample's offset to it.
type keeper struct {
	now   Counts
	floor int64 // an older sample is useless: everything was flushed or swapped since
	since []change
	own   owned
	late  *Sample // whose offset is not reached yet; nil: none
}

// change is the effect on a database of the commands that end within (from, to].
type change struct {
	from, to  int64
	db        int
	low, high int64
	count     int
}

// maxChanges bounds the changes kept. Beyond it neighbours are merged, which makes the bounds
// wider, never wrong.
const maxChanges = 2048

// The first commands since a sample are kept one by one, later ones in groups.
const (
	fewChanges = 64
	together   = 16
)

// change records a command that ends at an offset.
func (k *keeper) change(end int64, db int, low, high int64) {
	if low == 0 && high == 0 {
		return
	}
	k.now.change(db, low, high)
	if n := len(k.since); n > 0 && k.since[n-1].db == db && (k.since[n-1].to == end ||
		n >= fewChanges && k.since[n-1].count < together) {
		last := &k.since[n-1]
		last.to, last.low, last.high = end, last.low+low, last.high+high
		last.count++
		return
	}
	if len(k.since) == maxChanges {
		k.thin()
	}
	k.since = append(k.since, change{end - 1, end, db, low, high, 1})
}

// thin merges neighbours of one database.
func (k *keeper) thin() {
	out := k.since[:0]
	for i := 0; i < len(k.since); i++ {
		c := k.since[i]
		if i+1 < len(k.since) && k.since[i+1].db == c.db {
			i++
			c.to, c.low, c.high = k.since[i].to, c.low+k.since[i].low, c.high+k.since[i].high
		}
		out = append(out, c)
	}
	k.since = out
	if len(out) > maxChanges*3/4 { // of many databases in turn: give the older half up
		n := len(out) / 2
		k.floor = max(k.floor, out[n-1].to)
		k.since = slices.Delete(out, 0, n)
	}
}

// forget drops the changes when no earlier sample can be carried over.
func (k *keeper) forget(end int64) { k.floor, k.since = end, k.since[:0] }

func (k *keeper) flushAll(end int64) {
	k.now, k.own = Counts{DBs: k.now.DBs[:0], Rest: true}, owned{}
	k.forget(end)
}

func (k *keeper) flushDB(end int64, db int) {
	if db < 0 {
		k.now.change(db, 0, 0)
	} else {
		k.now.set(db, 0, 0)
	}
	for i := range k.own {
		if k.own[i] == db+1 {
			k.own[i] = 0
		}
	}
	k.forget(end)
}

func (k *keeper) swap(end int64, a, b int) {
	k.now.swap(a, b)
	for i, at := range k.own {
		switch at {
		case a + 1:
			k.own[i] = b + 1
		case b + 1:
			k.own[i] = a + 1
		}
	}
	k.forget(end)
}

// lose is for a missing piece of the stream.
func (k *keeper) lose(at int64) {
	k.now, k.own, k.late = Counts{}, owned{}, nil
	k.forget(at)
}

// sample takes the server's word, once the commands up to its offset were given: the server may be
// ahead of the stream received.
func (k *keeper) sample(s Sample) { k.late = &s }

// advance says that the commands that end up to an offset were given, and that it is not within a
// unit.
func (k *keeper) advance(end int64) {
	if k.late != nil && k.late.Offset <= end {
		s := *k.late
		k.late = nil
		k.apply(s)
	}
}

func (k *keeper) apply(s Sample) {
	if s.Offset < k.floor {
		return
	}
	k.now = Counts{Rest: true}
	for db, n := range s.Keys {
		if k.own[fenceKey] == db+1 {
			n = max(0, n-1)
		}
		k.now.set(db, n, n)
	}
	n := 0
	for ; n < len(k.since) && k.since[n].to <= s.Offset; n++ {
	}
	k.since = slices.Delete(k.since, 0, n)
	for i, c := range k.since {
		if c.from < s.Offset { // a part of it is in the sample: which is not known
			c.low, c.high = min(c.low, 0), max(c.high, 0)
			k.since[i] = c
		}
		k.now.change(c.db, c.low, c.high)
	}
	k.floor = s.Offset
}

// ownKeys are the proxy's own keys, written now and then: the mark of the journal and that of
// fences. They do not count, or a server that was flushed would not be empty for long.
var ownKeys = [...]string{markKey: stream.MarkKey, fenceKey: stream.FenceKey,
	repairKey: stream.RepairKey}

const (
	markKey = iota
	fenceKey
	repairKey
)

// owned is one above the database that holds each of the ownKeys; 0: unknown.
type owned [len(ownKeys)]int

// marked applies a SET of one of the proxy's own keys; false: the key is another.
func (k *keeper) marked(c *stream.Command) bool {
	if len(c.Args) < 2 {
		return false
	}
	for i, name := range ownKeys {
		if string(c.Args[1]) == name {
			k.own[i] = max(0, c.DB+1)
			return true
		}
	}
	return false
}

// removed finds the proxy's own keys among those that a command deletes, and counts them: evictions
// and users delete them, too.
func (k *keeper) removed(c *stream.Command) (n int64) {
	for _, key := range c.Args[1:] {
		for i, name := range ownKeys {
			if string(key) == name && (i == markKey || k.own[i] == c.DB+1) {
				k.own[i] = 0
				n++
			}
		}
	}
	return n
}

// command applies a command.
func (k *keeper) command(c *stream.Command, e effect) {
	switch e.special {
	case flushAll:
		k.flushAll(c.End)
	case flushDB:
		k.flushDB(c.End, c.DB)
	case swapDB:
		if a, b, ok := swapped(c); ok {
			k.swap(c.End, a, b)
		}
	case deletes:
		low, high := e.bounds(c)
		if own := k.removed(c); own > 0 { // which may be all there was
			low, high = own-int64(len(c.Args)-1), 0
		}
		k.change(c.End, c.DB, low, high)
	case moves, copies:
		low, high := e.bounds(c)
		k.change(c.End, c.DB, low, high)
		to, gain := destination(c, e)
		k.change(c.End, to, gain, 1)
	default:
		low, high := e.bounds(c)
		k.change(c.End, c.DB, low, high)
	}
}

// destination is the database to which MOVE or COPY writes a key, and the least number added there.
func destination(c *stream.Command, e effect) (db int, low int64) {
	if e.special == moves {
		if len(c.Args) != 3 {
			return -1, 0
		}
		return number(c.Args[2]), 1
	}
	db = c.DB
	for i := 3; i+1 < len(c.Args); i++ {
		if len(c.Args[i]) == 2 && c.Args[i][0]|0x20 == 'd' && c.Args[i][1]|0x20 == 'b' {
			db = number(c.Args[i+1])
		}
	}
	return db, 0
}

// number parses a database's number; -1 if it is none.
func number(text []byte) int {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// Counter counts the keys through commands.
type Counter struct{ keys keeper }

// NewCounter begins with the counts at an offset.
func NewCounter(at int64, c Counts) *Counter {
	return &Counter{keeper{now: c.clone(), floor: at}}
}

// CounterAt begins at the place of a Watcher, with its counts.
func CounterAt(s State) *Counter {
	return &Counter{keeper{now: s.Keys.clone(), floor: s.Offset, own: s.Own}}
}

// Command applies a command.
func (n *Counter) Command(c *stream.Command) {
	if len(c.Args) == 0 {
		return
	}
	if e := effectOf(c); e.special != set || !n.keys.marked(c) {
		n.keys.command(c, e)
	}
	if c.Tx == stream.TxNone || c.Tx == stream.TxEnd {
		n.keys.advance(c.End)
	}
}

// Sample applies the server's own count at an offset. It comes behind the commands up to there, or
// before some of them.
func (n *Counter) Sample(s Sample, at int64) {
	n.keys.sample(s)
	n.keys.advance(at)
}

// Counts returns the present counts.
func (n *Counter) Counts() Counts { return n.keys.now.clone() }
