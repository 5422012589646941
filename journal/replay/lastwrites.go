package replay

import (
	"context"
	"errors"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// From calls fn for the commands of a timeline from one offset, a known boundary with db selected,
// to another. An error of fn ends it; [stream.ErrStop] ends it without an error.
func From(ctx context.Context, view *journal.View, id journal.TimelineID, from, to int64, db int,
	fn func(*stream.Command) error) error {
	s := scanning{view: view, timeline: id, from: from, to: to, db: db, maxArg: maxKey}
	return s.run(ctx, func(c *stream.Command) error {
		if c.Start >= to {
			return stream.ErrStop
		}
		return fn(c)
	})
}

// A KeyName is a key of a database.
type KeyName struct {
	DB   int
	Name string
}

// A LastWrite is the last command in a journal that may have changed a key.
type LastWrite struct {
	Offset  int64     `json:"offset"`
	Time    time.Time `json:"time"`
	Command string    `json:"command"` // its name
}

// LastWrites finds the last writes of keys on a history below an offset, from its newest base to
// its oldest, until each key is found. A key that is not in the result was not written in the
// journal's part. Names that agree in their first 512 bytes count as one.
func LastWrites(ctx context.Context, view *journal.View, id journal.TimelineID, below int64, keys []KeyName,
	progress func(left int)) (map[KeyName]LastWrite, error) {
	tl, err := pickTimeline(view, id)
	if err != nil {
		return nil, err
	}
	left := make(map[KeyName]bool, len(keys))
	for _, k := range keys {
		left[k.cut()] = true
	}
	found := make(map[KeyName]LastWrite)
	f := &finder{view: view, tl: tl}
	for _, base := range f.bases() {
		if base.Offset >= below || len(left) == 0 {
			continue
		}
		if progress != nil {
			progress(len(left))
		}
		now, err := lastWithin(ctx, view, tl.ID, base, below, left)
		if _, missing := hole(err); missing || errors.Is(err, journal.ErrPruned) {
			break // older writes are unknown
		}
		if err != nil {
			return nil, err
		}
		for k, w := range now {
			found[k] = w
			delete(left, k)
		}
		below = base.Offset
	}
	return found, nil
}

// cut is the part of a key's name that is compared.
func (k KeyName) cut() KeyName { return KeyName{k.DB, k.Name[:min(len(k.Name), maxKey)]} }

// lastWithin is LastWrites between a base and an offset.
func lastWithin(ctx context.Context, view *journal.View, id journal.TimelineID, base journal.Base, to int64,
	keys map[KeyName]bool) (map[KeyName]LastWrite, error) {
	out := make(map[KeyName]LastWrite)
	whole := make(map[int]LastWrite) // of databases; -1: all
	err := From(ctx, view, id, base.Offset, to, base.DB, func(c *stream.Command) error {
		now := LastWrite{Offset: c.Start, Time: c.Time}
		if len(c.Args) > 0 {
			now.Command = string(c.Args[0])
		}
		c.Touches(func(db int, name []byte) {
			if k := (KeyName{db, string(name)}); keys[k] {
				out[k] = now
			}
		}, func(db int) { whole[db] = now })
		return nil
	})
	for k := range keys {
		for db, w := range whole {
			if (db == k.DB || db == -1) && w.Offset > out[k].Offset {
				out[k] = w
			}
		}
	}
	return out, err
}

// Lookup returns a key's last write among the results of LastWrites.
func Lookup(found map[KeyName]LastWrite, k KeyName) (LastWrite, bool) {
	w, ok := found[k.cut()]
	return w, ok
}

// BaseOf returns a base by its file's name; false: the view has none of that name.
func BaseOf(view *journal.View, file string) (journal.Base, bool) {
	all := view.Bases()
	i := slices.IndexFunc(all, func(b journal.Base) bool { return b.File == file })
	if i < 0 {
		return journal.Base{}, false
	}
	return all[i], true
}
