package event

import (
	"slices"
	"time"
)

// Expired is the name under which an event counts keys that have expired. It is no command's.
const Expired = "EXPIRED"

// Expired keys are an event if they are as many as Deletes within Window, and this many times the usual number.
const Unusual = 10

// usualTime is the time whose mean is usual.
const usualTime = 10 * time.Minute

// Expiry collects the keys that have expired in the last Window, to notice a deadline that was wrong: a
// cache or sessions expire all the time, also many at once, which destroys nothing.
type Expiry struct {
	Parts []Event   `json:"parts,omitempty"` // of each sample
	Usual int64     `json:"usual,omitempty"` // keys in a Window, the mean of the last usualTime or so
	At    time.Time `json:"at,omitzero"`     // time of the last sample
}

// add takes the keys that have expired between the last sample and one at a time, and reports whether those of
// the window are many.
func (x *Expiry) add(gone Event, at time.Time) (many bool) {
	x.Parts = slices.DeleteFunc(x.Parts, func(p Event) bool { return apart(p.Last, at, Window) })
	keys := gone.keys()
	if keys > 0 {
		x.Parts = append(x.Parts, gone)
	}
	sum := int64(0)
	for i := range x.Parts {
		sum += x.Parts[i].keys()
	}
	many = sum >= max(Deletes, Unusual*x.Usual)
	if !x.At.IsZero() {
		passed := max(0, at.Sub(x.At).Milliseconds())
		x.Usual = (x.Usual*usualTime.Milliseconds() + keys*Window.Milliseconds()) / (usualTime.Milliseconds() + passed)
	}
	x.At = at
	return many
}

// take merges the parts, and empties the window.
func (x *Expiry) take() Event {
	e := x.Parts[0].clone()
	for i := range x.Parts[1:] {
		e.join(&x.Parts[i+1])
	}
	x.clear()
	return e
}

func (x *Expiry) clear() { x.Parts = x.Parts[:0] }

func (x Expiry) clone() Expiry {
	x.Parts = slices.Clone(x.Parts)
	for i := range x.Parts {
		x.Parts[i] = x.Parts[i].clone()
	}
	return x
}
