package diff

import (
	"context"
	"fmt"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
)

// A doubt is a key that differed, or could not be compared.
type doubt struct {
	last     keyspace.Comparison
	from, to int64 // the scratch server stood at from, the live one had not passed to
	db       int   // that the stream has selected at from
	proven   int   // consecutive differences without a command that touches it
	touched  bool
	round    int // comparisons after the first
}

const (
	recheckKeys = 32
	maxRounds   = 6 // of comparisons of a key that is written each time
	enough      = 1 // certain differences required before
	// behindTimeout bounds the wait for the journal to hold the live server's own stream.
	behindTimeout = 30 * time.Second
	behindPoll    = 20 * time.Millisecond
)

// look compares keys and returns those that differ.
func (d *differ) look(ctx context.Context, keys []keyspace.Key) ([]*doubt, error) {
	from, db := d.Follower.Offset(), d.Follower.Plan().Point.DB
	var out []*doubt
	o := keyspace.Options{Source: d.source, Target: d.target, Pace: d.Pace}
	err := keyspace.Sync(ctx, o, keyspace.KeysOf(keys), func(r keyspace.Result) error {
		if r.Relation != keyspace.Same {
			out = append(out, &doubt{last: r.Comparison, from: from, db: db})
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	to, err := d.offset(ctx)
	for _, one := range out {
		one.to = max(from, to)
	}
	return out, err
}

// settle compares the keys in question until each is the same, different or changing.
func (d *differ) settle(ctx context.Context) error {
	for len(d.open) > 0 {
		if err := d.witness(ctx); err != nil {
			return err
		}
		var again []*doubt
		for _, one := range d.open {
			switch {
			case one.touched && one.round >= maxRounds:
				d.leave(&d.res.Changing, one, "it is written all the time")
			case one.touched:
				one.proven = 0
				again = append(again, one)
			case one.proven < enough && d.Live:
				one.proven++
				again = append(again, one)
			case one.last.Relation == keyspace.Unknown:
				d.leave(&d.res.Unknown, one, fmt.Sprint(one.last.Err))
			default:
				d.differs(one)
			}
		}
		d.open = nil
		if err := d.recheck(ctx, again); err != nil {
			return err
		}
	}
	return nil
}

// recheck compares keys again, each few right behind an advance.
func (d *differ) recheck(ctx context.Context, doubts []*doubt) error {
	for len(doubts) > 0 {
		n := 1
		for n < min(max(1, recheckKeys>>doubts[0].round), len(doubts)) && doubts[n].last.Key.DB == doubts[0].last.Key.DB {
			n++
		}
		if err := d.advance(ctx, true); err != nil {
			return err
		}
		before := make(map[keyspace.Key]*doubt, n)
		keys := make([]keyspace.Key, 0, n)
		for _, one := range doubts[:n] {
			if before[one.last.Key] == nil { // a scan may give a key twice
				keys = append(keys, one.last.Key)
			}
			before[one.last.Key] = one
		}
		now, err := d.look(ctx, keys)
		if err != nil {
			return err
		}
		for _, one := range now {
			one.proven, one.round = before[one.last.Key].proven, before[one.last.Key].round+1
		}
		d.open = append(d.open, now...)
		doubts = doubts[n:]
	}
	return nil
}

// witness asks the journal which of the keys in question were touched while they were compared.
func (d *differ) witness(ctx context.Context) error {
	from, to, db := d.open[0].from, d.open[0].to, d.open[0].db
	keys := make(map[keyspace.Key][]*doubt, len(d.open))
	for _, one := range d.open {
		if one.from < from {
			from, db = one.from, one.db
		}
		to = max(to, one.to)
		k := keyspace.Key{DB: one.last.Key.DB, Name: one.last.Key.Name[:min(len(one.last.Key.Name), maxName)]}
		keys[k] = append(keys[k], one)
	}
	if err := d.catchUp(ctx, to); err != nil || from == to {
		return err
	}
	touch := func(all []*doubt, c *stream.Command) {
		for _, one := range all {
			one.touched = one.touched || c.Start >= one.from && c.Start < one.to
		}
	}
	return replay.From(ctx, d.View, d.res.Timeline, from, to, db, func(c *stream.Command) error {
		c.Touches(func(db int, name []byte) {
			touch(keys[keyspace.Key{DB: db, Name: string(name)}], c)
		}, func(db int) {
			for k, all := range keys {
				if db == -1 || db == k.DB {
					touch(all, c)
				}
			}
		})
		return nil
	})
}

// maxName is the length up to which names are distinguished, in bytes.
const maxName = 512

// catchUp waits until the journal holds the live server's own stream.
func (d *differ) catchUp(ctx context.Context, to int64) error {
	deadline := time.Now().Add(behindTimeout)
	for {
		tl, ok := d.View.Timeline(d.res.Timeline)
		switch {
		case ok && tl.End >= to:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w: it is at offset %d, and the journal at %d", ErrBehind, to, tl.End)
		}
		if err := ctxtime.Sleep(ctx, behindPoll); err != nil {
			return err
		}
		var err error
		if d.View, err = d.View.Again(); err != nil {
			return err
		}
	}
}

// differs records a difference, once.
func (d *differ) differs(one *doubt) {
	c := one.last
	if d.reported[c.Key] {
		return
	}
	if len(d.reported) < MaxListed {
		d.reported[c.Key] = true
	}
	kind := c.What
	switch c.Relation {
	case keyspace.Missing:
		kind = Missing
	case keyspace.Extra:
		kind = Extra
	}
	d.res.Differ++
	if len(d.res.List) < MaxListed {
		d.res.List = append(d.res.List, Difference{Key: c.Key, Kind: kind})
	}
}

// leave records a key as not settled.
func (d *differ) leave(list *[]Open, one *doubt, why string) {
	d.res.Unsettled++
	if len(*list) < MaxListed {
		*list = append(*list, Open{one.last.Key, why})
	}
}
