package event

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of one event. A journal's records depend on these figures: a folder that is read
// elsewhere must give the same events.
const (
	// Quiet ends an event: no further command of its kind came for so long.
	Quiet = 5 * time.Second
	// Longest bounds an event. Otherwise an application that empties its cache every few seconds
	// would make one event of a week, whose beginning is a week away.
	Longest = 10 * time.Minute
	// So many deletes within Window are an event.
	Deletes = 10_000
	Window  = 10 * time.Second
)

// Event is a run of commands that destroyed data.
type Event struct {
	N        int       `json:"n"` // from 1 on, in the order of the journal
	Timeline uint32    `json:"timeline"`
	From     int64     `json:"from"` // where the first command begins, or the transaction around it
	To       int64     `json:"to"`   // behind the last command, or the transaction around it
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	What     []Kind    `json:"what"`
	Before   Counts    `json:"before"`         // keys at From
	After    Counts    `json:"after"`          // keys at To
	Open     bool      `json:"open,omitempty"` // more commands may belong to it
}

// Kind counts the commands of one name in an event.
type Kind struct {
	Name  string  `json:"name"` // in upper case; of a command that went to the trash, the client's; or Expired
	Count int64   `json:"count"`
	DBs   []int   `json:"dbs,omitempty"`   // affected; none: all
	Keys  int64   `json:"keys,omitempty"`  // deleted or moved to the trash, at most
	Trash []int64 `json:"trash,omitempty"` // the first entries, for UNDO
}

// maxListed bounds the databases and the trash entries of a Kind.
const maxListed = 32

// add counts a command.
func (e *Event) add(k Kind) {
	i := slices.IndexFunc(e.What, func(o Kind) bool {
		return o.Name == k.Name && (len(o.Trash) > 0) == (len(k.Trash) > 0)
	})
	if i < 0 {
		e.What = append(e.What, k)
		return
	}
	o := &e.What[i]
	if len(o.DBs) > 0 && len(k.DBs) == 0 {
		o.DBs = nil
	} else if len(o.DBs) > 0 {
		o.DBs = merge(o.DBs, k.DBs)
	}
	o.Count, o.Keys = o.Count+k.Count, o.Keys+k.Keys
	o.Trash = append(o.Trash, k.Trash[:min(len(k.Trash), max(0, maxListed-len(o.Trash)))]...)
}

func merge(a, b []int) []int {
	for _, db := range b {
		if len(a) < maxListed && !slices.Contains(a, db) {
			a = append(a, db)
		}
	}
	return a
}

// Names reports whether a command of a name belongs to the event.
func (e *Event) Names(match func(name string) bool) bool {
	return slices.ContainsFunc(e.What, func(k Kind) bool { return match(k.Name) })
}

// Text describes the event: "99,999 FLUSHALL, 1 SWAPDB".
func (e *Event) Text() string {
	var parts []string
	for _, k := range e.What {
		if k.Name == Expired {
			parts = append(parts, strconv.FormatInt(k.Keys, 10)+" expired keys")
			continue
		}
		text := strconv.FormatInt(k.Count, 10) + " " + k.Name
		if len(k.DBs) > 0 {
			text += " in db" + joinInts(k.DBs)
		}
		if len(k.Trash) > 0 {
			text += " (to the trash: UNDO " + strconv.FormatInt(k.Trash[0], 10) + ")"
		} else if k.Keys > 0 {
			text += " of up to " + strconv.FormatInt(k.Keys, 10) + " keys"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func joinInts(list []int) string {
	var parts []string
	for _, n := range list {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}

// clone shares nothing with e.
func (e *Event) clone() Event {
	c := *e
	c.What = slices.Clone(e.What)
	for i := range c.What {
		c.What[i].DBs = slices.Clone(c.What[i].DBs)
		c.What[i].Trash = slices.Clone(c.What[i].Trash)
	}
	c.Before, c.After = e.Before.clone(), e.After.clone()
	return c
}

// Deletes reports whether the event has keys that were deleted one by one, by commands or by eviction.
func (e *Event) Deletes() bool {
	return slices.ContainsFunc(e.What, func(k Kind) bool {
		return k.Keys > 0 && len(k.Trash) == 0 && k.Name != Expired
	})
}

// Expired reports whether the event has keys that have expired.
func (e *Event) Expired() bool {
	return slices.ContainsFunc(e.What, func(k Kind) bool { return k.Name == Expired })
}

// Commands reports whether the event has commands, which can be left out: the deletes of expired keys are none.
func (e *Event) Commands() bool {
	return slices.ContainsFunc(e.What, func(k Kind) bool { return k.Name != Expired })
}
