package tap

import (
	"bytes"
	"context"
	"strconv"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// trail follows the mark through the stream of a history: the value that a server holds if it has
// executed the stream up to some offset. A server with another value has not come as far.
//
//	SET mark A ──────── SET mark B ─────────────── SET mark C ──── … E
//	          holds A →           ← holds B, so it lacks all from here on
//
// A trail is made for one value that a server holds, or none, and records the place of that value
// (from; first, if it was written twice) and the next change of the mark (until).
type trail struct {
	db   int // of the mark; the stream gives it at the first SET
	held markState

	now   markState // at the end of the part read
	match bool      // the value stood there at some time
	from  int64     // end of the command that set it; else the start of the reading
	until int64     // start of the command that replaced or removed it; -1: it still stands
	first int64     // start of the first SET since the mark was last removed; -1: none
	since int64     // commands behind first
	tail  *tail     // the commands since the value stood there last, or all commands read
	lost  int64     // those of them behind until
}

// markState is the mark's state at one place, if known.
type markState struct {
	known bool   // false: a command may have moved it, or the reading began here
	value string // the first pair; "": there is no mark
}

// newTrail begins where the state of the mark is not known. held is the server's value.
func newTrail(held string, from int64) *trail {
	return &trail{db: -1, held: markState{true, held}, from: from, until: -1, first: -1,
		tail: newTail()}
}

// read takes the stream from a boundary to the view's end. If a base is near, the reading begins
// there, so that the database that is selected at the boundary is known.
func (t *trail) read(ctx context.Context, view *journal.View, from journal.Position) error {
	if b, err := view.BaseFor(from.Timeline, from.Offset); err == nil &&
		b.Timeline == from.Timeline && from.Offset-b.Offset <= compareBytes {
		at := journal.Position{Timeline: b.Timeline, Offset: b.Offset}
		if reached, err := t.scan(ctx, view, at, b.DB, from.Offset); err == nil || reached {
			return err
		}
	}
	_, err := t.scan(ctx, view, from, -1, from.Offset)
	return err
}

// scan reads from a place with a known database, and takes the commands from an offset on.
func (t *trail) scan(ctx context.Context, view *journal.View, at journal.Position, db int,
	from int64) (reached bool, err error) {
	sc := stream.NewScanner(stream.Options{Offset: at.Offset, DB: db, MaxArg: maxCompared})
	err = scan(ctx, view, at, sc, func(c *stream.Command) error {
		if c.Start >= from {
			reached = true
			t.take(c)
		}
		return nil
	})
	return reached, err
}

func (t *trail) take(c *stream.Command) {
	if isMark(c) {
		t.db = c.DB
		now := markState{}
		if marks := parseMark(string(c.Args[2])); len(marks) > 0 {
			now = markState{true, marks[0].String()}
		}
		t.change(c, now)
		return
	}
	if c.Traceless() {
		return
	}
	switch t.effect(c) {
	case markGone:
		t.change(c, markState{known: true})
	case markMoved:
		t.change(c, markState{})
	}
	if t.until >= 0 {
		t.lost++
	}
	if t.first >= 0 {
		t.since++
	}
	t.tail.take(c)
}

// change records that the mark has another value from the end of a command on. If the command
// removes it, it is part of the tail.
func (t *trail) change(c *stream.Command, now markState) {
	if t.match && t.until < 0 {
		t.until = c.Start
	}
	switch {
	case now.value == "":
		t.first, t.since = -1, 0
	case t.first < 0:
		t.first = c.Start
	}
	t.now = now
	switch {
	case now != t.held:
	case t.match && now.value != "": // two proxies wrote it: the server may be at either place
		t.until, t.lost = -1, 0
	default:
		t.match, t.from, t.until, t.lost, t.tail = true, c.End, -1, 0, newTail()
		if now.value == "" {
			t.from = c.Start // the command itself is in question
		}
	}
}

// markEffect is the effect on the mark of a command that is not a SET of it.
type markEffect int

const (
	markStays markEffect = iota
	markGone
	markMoved // perhaps
)

func (t *trail) effect(c *stream.Command) markEffect {
	switch {
	case c.Is("FLUSHALL"):
		return markGone
	case c.Is("FLUSHDB") && (c.DB == t.db || t.db < 0):
		return markGone
	case c.Is("SWAPDB") && len(c.Args) == 3 && !c.SwapsNothing():
		a, _ := strconv.Atoi(string(c.Args[1]))
		b, _ := strconv.Atoi(string(c.Args[2]))
		if a == t.db || b == t.db || t.db < 0 {
			return markMoved
		}
	case c.DB == t.db && (c.Is("DEL") || c.Is("UNLINK")):
		for _, key := range c.Args[1:] {
			if string(key) == MarkKey {
				return markGone
			}
		}
	case c.DB == t.db && t.db >= 0 && names(c, MarkKey):
		return markMoved
	}
	return markStays
}

// names reports whether a word stands among a command's arguments.
func names(c *stream.Command, word string) bool {
	for _, a := range c.Args[1:] {
		if bytes.Equal(a, []byte(word)) {
			return true
		}
	}
	return false
}
