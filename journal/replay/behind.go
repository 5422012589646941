package replay

import (
	"context"
	"errors"
	"fmt"

	"holdfast/journal"
	"holdfast/journal/quantity"
	"holdfast/journal/stream"
)

// Amount is the content of a stretch of the stream, without the servers' own traffic and the
// proxy's own marks.
type Amount struct {
	Timeline journal.TimelineID `json:"timeline"`
	From     int64              `json:"from"` // offsets
	To       int64              `json:"to"`
	Commands int64              `json:"commands"`
	Keys     int64              `json:"keys"`              // distinct keys named
	More     bool               `json:"more,omitempty"`    // there are more keys than were counted
	Missing  bool               `json:"missing,omitempty"` // a part of it was never received or is damaged
}

// String formats the amount: "77 commands on 12 keys".
func (a Amount) String() string {
	more, missing := "", ""
	if a.More {
		more = "more than "
	}
	if a.Missing {
		missing = ", without what the journal lacks"
	}
	return fmt.Sprintf("%s on %s%s%s", quantity.Of(a.Commands, "command"), more, quantity.Of(a.Keys, "key"), missing)
}

// maxAmountKeys bounds the distinct keys counted.
const maxAmountKeys = 4 << 20

// KeysOf returns the keys that a command of the stream names. The result is valid until its next
// call.
type KeysOf func(c *stream.Command) [][]byte

// Count counts the commands and keys of a stretch of a timeline. It begins between two commands,
// with db selected; -1: unknown.
func Count(ctx context.Context, view *journal.View, id journal.TimelineID, from, to int64, db int,
	keysOf KeysOf) (Amount, error) {
	a := Amount{Timeline: id, From: from, To: to}
	keys := make(map[string]struct{})
	s := scanning{view: view, timeline: id, from: from, to: to, db: db, maxArg: maxKey}
	err := s.run(ctx, func(c *stream.Command) error {
		if c.Start >= to {
			return stream.ErrStop
		}
		if c.Traceless() || ownKey(c) {
			return nil
		}
		a.Commands++
		for _, key := range keysOf(c) {
			name := fmt.Sprintf("%d %s", c.DB, key)
			if _, ok := keys[name]; !ok && len(keys) == maxAmountKeys {
				a.More = true
				continue
			}
			keys[name] = struct{}{}
		}
		return nil
	})
	a.Keys = int64(len(keys))
	if _, missing := hole(err); missing || errors.Is(err, journal.ErrPruned) {
		a.Missing, err = true, nil
	}
	return a, err
}

// Behind counts the history of a point behind it.
func Behind(ctx context.Context, view *journal.View, p *Point, keysOf KeysOf) (Amount, error) {
	tl, err := pickTimeline(view, p.Timeline.ID)
	if err != nil {
		return Amount{}, err
	}
	return Count(ctx, view, tl.ID, p.Offset, tl.End, p.DB, keysOf)
}
