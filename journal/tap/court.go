package tap

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/quantity"
)

func (c *court) weigh(ctx context.Context) (*ruling, error) {
	if c.markErr != nil {
		return c.byCounts(ctx, fmt.Sprintf("the mark cannot be read (%v)", c.markErr))
	}
	for _, m := range parseMark(c.mark) {
		if limit, ok := c.knows(m); ok {
			return c.byMark(ctx, m, limit)
		}
	}
	if c.cur.Counts == nil || c.cur.Counts.Mark == 0 {
		return c.byCounts(ctx, "no mark was written to the old history")
	}
	return c.withoutMark(ctx)
}

// knows reports whether a mark is of the current history, and the end of its timeline's part of
// that.
func (c *court) knows(m markPair) (limit int64, ok bool) {
	limit = c.cur.End
	for id := c.cur.ID; id != 0; {
		tl, found := c.view.Timeline(id)
		if !found {
			break
		}
		if tl.ReplID == m.replID && m.offset >= tl.Start {
			return limit, true
		}
		limit, id = min(limit, tl.Fork), tl.Parent
	}
	return 0, false
}

// byMark is for a server that holds a mark of our history.
func (c *court) byMark(ctx context.Context, m markPair, limit int64) (*ruling, error) {
	const left = "the server's mark is of a history that left this one at offset %d"
	switch {
	case m.offset > limit && limit < c.cur.End: // offsets of two branches are not comparable
		return c.lost(limit, limit, left, limit), nil
	case m.offset >= c.cur.End:
		return c.nothing("the server's mark says that it is whole up to offset %d", m.offset), nil
	}
	tr := newTrail(m.String(), m.offset)
	err := tr.read(ctx, c.view, journal.Position{Timeline: c.cur.ID, Offset: m.offset})
	switch {
	case err != nil:
		return c.open(m.offset, true, "the server is whole up to offset %d; what came then cannot be "+
			"read: %v", m.offset, err), nil
	case !tr.match && limit < c.cur.End: // its write stands on the other branch
		return c.lost(limit, limit, left, limit), nil
	case !tr.match: // its write stands behind all of our stream
		return c.nothing("the server's mark was written behind offset %d", c.cur.End), nil
	case tr.until >= 0 && tr.lost > 0:
		return c.lost(tr.from, tr.until, "the server's mark says that it is whole up to offset %d; the "+
			"next one, at offset %d, is not there", tr.from, tr.until), nil
	}
	return c.byTail(ctx, tr, fmt.Sprintf("the server is whole up to its mark at offset %d", tr.from))
}

// withoutMark is for a server that holds no mark of our history, where one was written.
func (c *court) withoutMark(ctx context.Context) (*ruling, error) {
	before := c.cur.Counts
	if r, err := c.empty(ctx); r != nil || err != nil {
		return r, err
	}
	at := journal.Position{Timeline: c.cur.ID, Offset: before.Mark}
	if b, err := c.view.BaseFor(c.cur.ID, before.Mark); err == nil &&
		before.Mark-b.Offset <= compareBytes {
		at.Offset = b.Offset // to compare more
	}
	tr := newTrail("", at.Offset)
	if err := tr.read(ctx, c.view, at); err != nil {
		return c.byCounts(ctx, fmt.Sprintf("the stream behind the last mark cannot be read (%v)", err))
	}
	switch {
	case !tr.now.known:
		return c.byCounts(ctx, "the mark was moved, and not written again")
	case tr.now.value == "" && c.emptied(tr.tail):
		return c.byTail(ctx, tr, fmt.Sprintf("the data was flushed at offset %d", tr.from))
	case tr.now.value == "" && c.loadedAll(ctx) && c.agrees(ctx, tr.tail):
		return c.nothing("the mark was removed at offset %d; its append-only file had all of the %d commands "+
			"since the last one", tr.from, tr.tail.commands), nil
	case tr.now.value == "": // as on a server older than the mark
		return c.byCounts(ctx, fmt.Sprintf("the mark was removed at offset %d", tr.from))
	}
	if m, err := c.markIn(ctx, tr.db); m != nil || err != nil {
		return m, err
	}
	return c.older(ctx, tr)
}

// older is for a server that holds no mark of our history although the stream wrote and kept one.
func (c *court) older(ctx context.Context, tr *trail) (*ruling, error) {
	const why = "the server holds no mark of this history: it was started from something older, or " +
		"is another server"
	r := c.lost(c.cur.Start, tr.first, why)
	r.whole = true
	if tr.since > 0 {
		return r, nil
	}
	got, err := compare(ctx, c.conn, tr.tail)
	if err != nil || got.differ == 0 || !c.untouched && (got.same > 0 || got.differ < fewKeys) {
		r = c.open(c.cur.Start, true, "%s; of the keys that the last %d commands touched, %d are as "+
			"they left them, and %d are not%s", why, tr.tail.commands, got.same, got.differ,
			writtenSince(c.untouched))
		r.whole = true
		return r, nil
	}
	r.least, r.keys = got.first, got.differ
	return r, nil
}

// agrees reports whether no key contradicts the tail, and one agrees: the file is then of this
// server, without its mark.
func (c *court) agrees(ctx context.Context, t *tail) bool {
	got, err := compare(ctx, c.conn, t)
	return err == nil && got.refused == nil && got.differ == 0 && got.same > 0
}

const (
	// compareBytes bounds the further stream read for keys to compare.
	compareBytes = 64 << 20
	// fewKeys is a number of keys that clients may all have changed.
	fewKeys = 3
)

// empty judges a server without a key where some could not expire. It is nil for others, and if the
// commands since the keys were counted may have removed each of them.
func (c *court) empty(ctx context.Context) (*ruling, error) {
	before := c.cur.Counts
	if c.keyTotal() > 0 || before.Total() <= before.Expires {
		return nil, nil
	}
	tr := newTrail("", before.Offset)
	err := tr.read(ctx, c.view, journal.Position{Timeline: c.cur.ID, Offset: before.Offset})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && c.emptied(tr.tail):
		return c.byTail(ctx, tr, "the data was flushed")
	case err == nil && c.mayHaveRemoved(tr.tail):
		return nil, nil
	}
	r := c.lost(c.cur.Start, c.cur.Start, "%s", whyEmpty(c.evicted))
	r.whole, r.keys = true, before.Total()
	return r, nil
}

// whyEmpty words the reason, by the keys that the server has evicted since its start; -1: unknown.
func whyEmpty(evicted int64) string {
	if evicted > 0 {
		return fmt.Sprintf("the server is empty: it has evicted %s since it was started (maxmemory)",
			quantity.Of(evicted, "key"))
	}
	return "the server is empty: it was started without its data"
}

// emptied reports whether a tail has flushed every database that had keys, or has some: the tail
// itself then gives their content behind it.
func (c *court) emptied(t *tail) bool {
	if t.emptied[-1] {
		return true
	}
	for _, keys := range []map[int]int64{c.cur.Counts.Keys, c.keys} {
		for db, n := range keys {
			if n > 0 && !t.emptied[db] {
				return false
			}
		}
	}
	return c.cur.Counts.Total() > 0
}

// mayHaveRemoved reports whether a tail may have removed every key, as the consumers of a queue do
// at its end.
func (c *court) mayHaveRemoved(t *tail) bool {
	left := -c.cur.Counts.Expires
	for db, n := range c.cur.Counts.Keys {
		if !t.emptied[db] {
			left += n
		}
	}
	return t.moved || t.dropped || left <= int64(len(t.keys))
}

// markIn looks for a mark in another database than the one asked by now: that of a server with more
// databases than before. It is nil if there is none.
func (c *court) markIn(ctx context.Context, db int) (*ruling, error) {
	if db < 0 {
		return nil, nil
	}
	v, err := c.conn.Do(ctx, "sElEcT", strconv.Itoa(db))
	if err == nil {
		v, err = c.conn.Do(ctx, "gEt", MarkKey)
	}
	var refusal wire.Error
	if err != nil && !errors.As(err, &refusal) {
		return nil, err
	}
	text, _ := v.(string)
	for _, m := range parseMark(text) {
		if limit, ok := c.knows(m); ok {
			return c.byMark(ctx, m, limit)
		}
	}
	if pairs := parseMark(text); len(pairs) == maxMarks {
		return c.open(c.cur.Start, true, "the server's mark names %d histories, and this one no more",
			len(pairs)), nil
	}
	return nil, nil
}

// byTail compares the keys of the commands since the mark's last change.
func (c *court) byTail(ctx context.Context, tr *trail, known string) (*ruling, error) {
	t := tr.tail
	if t.commands == 0 {
		return c.nothing("%s, and nothing was written after that", known), nil
	}
	if c.loadedAll(ctx) {
		return c.nothing("%s, and its append-only file had all of the %d commands after that", known,
			t.commands), nil
	}
	got, err := compare(ctx, c.conn, t)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return c.open(tr.from, false, "%s; the keys of the %d commands after that could not be "+
			"compared: %v", known, t.commands, err), nil
	}
	surplus := got.surplus(t, c.keys, tr.db)
	if got.proven(t) && !surplus {
		return c.nothing("%s, and the %d keys that %d commands touched after that are as they left "+
			"them", known, got.same, t.commands), nil
	}
	if (got.differ > 0 || surplus) && c.untouched {
		if got.first < 0 {
			got.first = tr.from // a flush that the server lacks
		}
		r := c.lost(tr.from, got.first, "%s; %d keys that later commands touched are not as they left "+
			"them, and no client has written since the server was started", known, got.differ)
		r.keys = got.differ
		return r, nil
	}
	return c.open(tr.from, false, "%s; of the keys that %d commands touched after that, %d are as they "+
		"left them, %d are not%s, and of %d the stream does not say enough%s", known, t.commands,
		got.same, got.differ, writtenSince(c.untouched), got.unknown, refusedText(got.refused)), nil
}

func writtenSince(untouched bool) string {
	if untouched {
		return ""
	}
	return " (clients have written since)"
}

func refusedText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf(" (%v)", err)
}

// byCounts judges without a mark: only an empty server is proof.
func (c *court) byCounts(ctx context.Context, why string) (*ruling, error) {
	before, now := c.cur.Counts, c.keyTotal()
	if before == nil {
		// A restart after an upgrade must not refuse writes, unless the server has nothing at all.
		hold := !c.unmarked || now == 0
		r := c.open(c.cur.Start, hold, "%s, and how many keys there were is not known; the server has "+
			"%d", why, now)
		r.whole = true
		return r, nil
	}
	if r, err := c.empty(ctx); r != nil || err != nil {
		return r, err
	}
	r := c.open(c.cur.Start, true, "%s; there were %d keys at offset %d, and the server has %d", why,
		before.Total(), before.Offset, now)
	r.whole = true
	return r, nil
}

// keyTotal is the server's number of keys, without the mark.
func (c *court) keyTotal() int64 {
	return (&journal.Counts{Keys: c.keys}).Total()
}
