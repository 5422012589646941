package event

import (
	"slices"
	"time"
)

// Burst collects the deletes of the last Window, to notice many of them. Each is one command in the
// stream, whether a client sent it or a deadline had passed. The server's own count of expired keys
// separates the two: deletes count once the next sample has given the number of expirations among
// them.
type Burst struct {
	Parts   []Part    `json:"parts,omitempty"`
	Pending int64     `json:"pending,omitempty"` // keys deleted since the last sample
	Since   Event     `json:"since,omitzero"`    // the stretch of these deletes
	Expired int64     `json:"expired,omitempty"` // the server's count there
	Sampled time.Time `json:"sampled,omitzero"`  // time of the last sample; zero: none
}

// Patience is how long deletes wait for a sample: while the server is written to, one comes each second.
const Patience = 3 * time.Second

// Part holds the deletes of a tenth of Window.
type Part struct {
	At    int64 `json:"at"` // number of the tenth, since 1970
	Event Event `json:"event"`
}

const partTime = Window / 10

// add counts a unit's deletes.
func (b *Burst) add(u *unit, before, after *Counts) {
	at := u.time.UnixNano() / int64(partTime)
	if b.Pending == 0 {
		b.Since = Event{Timeline: u.timeline, From: u.start, First: u.time, Before: before.clone()}
	}
	b.Pending += u.deleted
	b.Since.To, b.Since.Last = u.end, u.time
	b.Since.After.copy(after)
	n := len(b.Parts)
	if n == 0 || b.Parts[n-1].At != at {
		b.Parts = slices.DeleteFunc(b.Parts, func(p Part) bool {
			return p.At <= at-int64(Window/partTime) || p.At > at // the clock was set back
		})
		b.Parts = append(b.Parts, Part{At: at, Event: Event{Timeline: u.timeline, From: u.start,
			First: u.time, Before: before.clone()}})
		n = len(b.Parts)
	}
	e := &b.Parts[n-1].Event
	if k := e.counted(u.name, u.db); k != nil { // nearly always
		k.Count, k.Keys = k.Count+u.deletes, k.Keys+u.deleted
	} else {
		e.add(Kind{Name: u.name, Count: u.deletes, Keys: u.deleted, DBs: known(u.db)})
	}
	e.To, e.Last = u.end, u.time
	e.After.copy(after)
}

// counted is the Kind of a name that already lists a database.
func (e *Event) counted(name string, db int) *Kind {
	for i := range e.What {
		k := &e.What[i]
		if k.Name == name && len(k.Trash) == 0 && (len(k.DBs) == 0 || db >= 0 && slices.Contains(k.DBs, db)) {
			return k
		}
	}
	return nil
}

// many reports that enough keys were deleted in the window before a time.
func (b *Burst) many(now time.Time) bool {
	sum := int64(0)
	for i := range b.Parts {
		sum += b.Parts[i].Event.keys()
	}
	if !b.Sampled.IsZero() && !b.overdue(now) {
		sum -= b.Pending
	}
	return sum >= Deletes
}

// overdue reports that deletes have waited for a sample for long enough.
func (b *Burst) overdue(now time.Time) bool {
	return b.Pending > 0 && apart(b.Since.First, now, Patience)
}

func (e *Event) keys() (sum int64) {
	for _, k := range e.What {
		sum += k.Keys
	}
	return sum
}

// sample subtracts the keys that have expired since the last sample from the last deletes, and returns their
// stretch.
func (b *Burst) sample(at time.Time, expired int64) (gone Event) {
	since := expired - b.Expired
	if since < 0 { // the server was restarted
		since = expired
	}
	if b.Sampled.IsZero() {
		since = 0
	}
	since = min(since, b.Pending)
	if since > 0 {
		gone = b.Since
		gone.What = []Kind{{Name: Expired, Count: since, Keys: since}}
	}
	for i := len(b.Parts) - 1; i >= 0 && since > 0; i-- {
		since -= b.Parts[i].Event.forgive(since)
	}
	b.Parts = slices.DeleteFunc(b.Parts, func(p Part) bool { return p.Event.keys() == 0 })
	b.Pending, b.Since, b.Expired, b.Sampled = 0, Event{}, expired, at
	return gone
}

// forgive subtracts up to n keys from an event of deletes.
func (e *Event) forgive(n int64) (took int64) {
	for i := range e.What {
		k := &e.What[i]
		less := min(k.Keys, n-took)
		k.Keys, k.Count = k.Keys-less, max(0, k.Count-less)
		took += less
	}
	e.What = slices.DeleteFunc(e.What, func(k Kind) bool { return k.Keys == 0 })
	return took
}

// event merges the parts.
func (b *Burst) event() Event {
	e := b.Parts[0].Event.clone()
	for i := range b.Parts[1:] {
		e.join(&b.Parts[i+1].Event)
	}
	return e
}

// join adds later commands to an event.
func (e *Event) join(o *Event) {
	for _, k := range o.What {
		e.add(k)
	}
	e.To, e.Last = o.To, o.Last
	e.After.copy(&o.After)
}

func (b *Burst) clear() { b.Parts, b.Pending, b.Since = b.Parts[:0], 0, Event{} }

func (b Burst) clone() Burst {
	b.Parts, b.Since = slices.Clone(b.Parts), b.Since.clone()
	for i := range b.Parts {
		b.Parts[i].Event = b.Parts[i].Event.clone()
	}
	return b
}

// apart reports whether two moments are further apart than d, whichever is the earlier: the clock
// may be set back.
func apart(a, b time.Time, d time.Duration) bool {
	between := b.Sub(a)
	return between > d || between < -d
}
