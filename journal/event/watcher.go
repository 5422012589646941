package event

import (
	"time"

	"holdfast/journal/stream"
)

// Watcher finds events in the frames of a journal.
//
// It reads commands only from a known start of one: the beginning of a history, a snapshot's
// offset, the end of a gap, or the place of an earlier Watcher (State). Bytes that are no stream,
// or that do not continue, are skipped up to the next such place.
//
//	frames ──▶ scanner ──▶ command ──▶ unit ──▶ event
//
// An event changes at the end of a unit only, so State is always a place where a restore may cut.
type Watcher struct {
	// Found, if not nil, is called with each event when it begins and when it has ended.
	Found func(Event)

	state   State
	resume  bool            // the stream has not reached the state's place yet
	scanner *stream.Scanner // nil: out of step
	end     int64           // of the stream that the scanner was given
	starts  map[place]int   // known starts of commands, with the database

	keys   keeper
	late   *Sample // whose expired keys are not all in the stream yet; nil: none
	unit   unit
	before Counts // keys at the start of the unit
}

type place struct {
	timeline uint32
	offset   int64
}

// State is a Watcher's place, in the journal's form.
type State struct {
	Timeline uint32 `json:"timeline"`        // 0: nothing seen yet
	Offset   int64  `json:"offset"`          // between two units
	Lost     bool   `json:"lost,omitempty"`  // out of step: the stream there is skipped
	DB       int    `json:"db"`              // that is selected there; -1: unknown
	Next     int    `json:"next"`            // number of the next event
	Event    *Event `json:"event,omitempty"` // that is open
	Burst    Burst  `json:"burst"`
	Expiry   Expiry `json:"expiry,omitzero"`
	Keys     Counts `json:"keys"`
	Own      owned  `json:"own"`
	Trash    trash  `json:"trash"`
}

// MaxArg is the part of an argument that a Watcher and a Picker need: entries of the trash's ledger
// are the longest.
const MaxArg = 16 << 10

// NewWatcher begins at the place of an earlier one; the zero State is the beginning of a journal.
func NewWatcher(s State) *Watcher {
	s.Next = max(s.Next, 1)
	s.Keys, s.Burst, s.Expiry, s.Trash = s.Keys.clone(), s.Burst.clone(), s.Expiry.clone(), s.Trash.clone()
	if s.Event != nil {
		e := s.Event.clone()
		s.Event = &e
	}
	w := &Watcher{state: s, resume: s.Timeline != 0 && !s.Lost, starts: make(map[place]int)}
	w.keys = keeper{now: s.Keys, floor: s.Offset, own: s.Own}
	return w
}

// State returns the watcher's place. It shares nothing with it.
func (w *Watcher) State() State {
	s := w.state
	if w.scanner != nil {
		s.Offset, s.DB = w.scanner.Boundary()
	}
	s.Keys, s.Own = w.keys.now.clone(), w.keys.own
	if w.unit.inside {
		s.Keys = w.before.clone()
	}
	s.Burst, s.Expiry, s.Trash = s.Burst.clone(), s.Expiry.clone(), s.Trash.clone()
	if s.Event != nil {
		e := s.Event.clone()
		s.Event = &e
	}
	return s
}

// Event returns the open event; false if there is none.
func (w *Watcher) Event() (Event, bool) {
	if w.state.Event == nil {
		return Event{}, false
	}
	return w.state.Event.clone(), true
}

// Keys returns the present counts.
func (w *Watcher) Keys() Counts { return w.keys.now.clone() }

// Start gives a known start of a command, for a stream whose beginning is gone.
func (w *Watcher) Start(timeline uint32, offset int64, db int) {
	w.starts[place{timeline, offset}] = db
}

// Timeline begins a history.
func (w *Watcher) Timeline(id, parent uint32, start, fork int64) {
	if id <= w.state.Timeline {
		return // from before the state's place
	}
	at := w.state.Offset // of a watcher that has not reached its place yet
	if w.scanner != nil {
		at = w.end
	}
	if (w.scanner != nil || w.resume) && parent == w.state.Timeline && start == fork && start == at {
		w.state.Timeline = id // the same stream under another name
		return
	}
	w.lose()
	w.step(id, start, -1)
}

// Ledger gives the databases of the trash's entries when the stream began or resumed: none of these
// moves was in it.
func (w *Watcher) Ledger(slots map[int64][]int) {
	for id, list := range slots {
		w.state.Trash.add(id, list)
	}
}

// Gap says that bytes up to an offset will never come.
func (w *Watcher) Gap(timeline uint32, from, to int64) {
	at := w.state.Offset
	if w.scanner != nil {
		at = w.end
	}
	if timeline < w.state.Timeline || timeline == w.state.Timeline && from < at {
		return // from before the state's place
	}
	w.lose()
	w.step(timeline, to, -1)
}

// Sample applies the server's own count of keys.
func (w *Watcher) Sample(timeline uint32, s Sample) {
	if w.scanner == nil || timeline != w.state.Timeline {
		return
	}
	w.keys.sample(s)
	if s.Expired != nil {
		w.late = &s
	}
	if !w.unit.inside {
		w.advance()
	}
}

// advance applies a sample whose offset the stream has reached.
func (w *Watcher) advance() {
	w.keys.advance(w.end)
	s := w.late
	if s == nil || s.Offset > w.end {
		return
	}
	w.late = nil
	x := &w.state.Expiry
	if x.add(w.state.Burst.sample(s.Time, *s.Expired), s.Time) {
		e := x.take()
		w.settle(e.First)
		w.join(&e)
	}
	w.burst(s.Time)
}

// Stream scans bytes that arrived at t.
func (w *Watcher) Stream(timeline uint32, offset int64, t time.Time, p []byte) {
	if w.scanner != nil && (timeline != w.state.Timeline || offset != w.end) {
		w.lose()
	}
	if w.scanner == nil {
		p, offset = w.findStart(timeline, offset, p)
	}
	if w.scanner == nil || len(p) == 0 {
		return
	}
	w.end = offset + int64(len(p))
	if w.scanner.Feed(t, p, w.take) != nil {
		w.lose()
	} else if !w.unit.inside {
		w.advance()
	}
	if w.state.Burst.overdue(t) {
		w.burst(t)
	}
}

// findStart looks in a piece of the stream for a known start of a command.
func (w *Watcher) findStart(timeline uint32, offset int64, p []byte) ([]byte, int64) {
	end := offset + int64(len(p))
	if timeline < w.state.Timeline {
		return nil, 0
	}
	if w.resume {
		if timeline == w.state.Timeline && offset <= w.state.Offset && w.state.Offset < end {
			w.resume = false
			at := w.state.Offset
			w.begin(timeline, at, w.state.DB)
			return p[at-offset:], at
		}
		return nil, 0
	}
	best, db := end, 0
	for s, selected := range w.starts {
		if s.timeline == w.state.Timeline && s.offset < w.state.Offset {
			continue
		}
		if s.timeline == timeline && s.offset >= offset && s.offset < best {
			best, db = s.offset, selected
		}
	}
	if best == end {
		return nil, 0
	}
	w.begin(timeline, best, db)
	return p[best-offset:], best
}

// step begins to read commands at a place.
func (w *Watcher) step(timeline uint32, offset int64, db int) {
	w.resume = false
	w.begin(timeline, offset, db)
}

func (w *Watcher) begin(timeline uint32, offset int64, db int) {
	w.scanner = stream.NewScanner(stream.Options{Offset: offset, DB: db, MaxArg: MaxArg})
	w.state.Lost = false
	w.state.Timeline, w.state.Offset, w.state.DB, w.end = timeline, offset, db, offset
}

// Lose is for an unreadable piece of the log.
func (w *Watcher) Lose() { w.lose() }

// lose is for a stream that does not continue. An event ends with it.
func (w *Watcher) lose() {
	w.close()
	if w.scanner != nil {
		w.state.Offset = w.end
	}
	w.scanner, w.resume, w.state.Lost = nil, false, true
	w.unit.reset()
	w.state.Burst.clear()
	w.state.Expiry.clear()
	w.late = nil
	w.keys.lose(w.end)
}

// take is called for each command.
func (w *Watcher) take(c *stream.Command) error {
	if len(c.Args) == 0 {
		return nil
	}
	e := effectOf(c)
	if e.special == set && w.keys.marked(c) {
		w.unit.sign(c)
		return nil
	}
	if c.Tx == stream.TxNone && e.special <= set && w.state.Event == nil {
		low, high := e.bounds(c) // nearly every command
		w.keys.change(c.End, c.DB, low, high)
		return nil
	}
	u := &w.unit
	if !u.inside {
		u.reset()
		u.timeline, u.start, u.time = w.state.Timeline, c.Start, c.Time
		u.inside = c.Tx == stream.TxBegin
		w.before.copy(&w.keys.now)
	}
	u.look(c, e, &w.keys.now)
	w.keys.command(c, e)
	if c.Tx == stream.TxNone || c.Tx == stream.TxEnd {
		u.inside, u.end = false, c.End
		w.finish(u)
	}
	return nil
}

// finish adds a unit to the events.
func (w *Watcher) finish(u *unit) {
	u.settle(&w.state.Trash)
	w.settle(u.time)
	if len(u.kills) > 0 {
		e := Event{Timeline: u.timeline, From: u.start, To: u.end, First: u.time, Last: u.time,
			Before: w.before, After: w.keys.now}
		for _, k := range u.kills {
			e.add(k.Kind)
		}
		u.exact(&e.Before)
		w.join(&e)
	}
	if u.deletes == 0 {
		return
	}
	w.state.Burst.add(u, &w.before, &w.keys.now)
	w.burst(u.time)
}

// settle ends the open event if nothing of its kind came for long before a time.
func (w *Watcher) settle(now time.Time) {
	if e := w.state.Event; e != nil && apart(e.Last, now, Quiet) {
		w.close()
	}
}

// burst makes an event of the last deletes if there are many.
func (w *Watcher) burst(now time.Time) {
	if w.state.Burst.many(now) {
		e := w.state.Burst.event()
		w.state.Burst.clear()
		w.join(&e)
	}
}

// join adds a unit's damage to the open event, or begins one.
func (w *Watcher) join(o *Event) {
	if e := w.state.Event; e != nil && o.Last.Sub(e.First) > Longest {
		w.close()
	}
	if e := w.state.Event; e != nil {
		e.join(o)
		return
	}
	e := o.clone()
	e.N, e.Open = w.state.Next, true
	w.state.Next++
	w.state.Event = &e
	w.tell()
}

// close ends the open event. Deletes go on until they are few: the last of them belong to it.
func (w *Watcher) close() {
	e := w.state.Event
	if e == nil {
		return
	}
	if b := &w.state.Burst; e.Deletes() && len(b.Parts) > 0 &&
		!apart(e.Last, b.Parts[0].Event.First, Quiet) {
		rest := b.event()
		b.clear()
		e.join(&rest)
	}
	if x := &w.state.Expiry; e.Expired() && len(x.Parts) > 0 && !apart(e.Last, x.Parts[0].First, Quiet) {
		rest := x.take()
		e.join(&rest)
	}
	e.Open = false
	w.tell()
	w.state.Event = nil
}

func (w *Watcher) tell() {
	if w.Found != nil {
		w.Found(w.state.Event.clone())
	}
}
