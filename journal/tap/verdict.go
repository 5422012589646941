package tap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/journal"
)

// A server that was started from its append-only file, from an RDB file that no replica was
// attached for, or empty, comes with a new replication id: nothing in PSYNC or INFO says how that
// history is related to the journal's own. The evidence is the mark (mark.go):
//
//	the server has                            the stream shows            verdict
//	a mark whose write the journal has not    it is ahead of us           nothing lost
//	the last mark                             nothing came after it       nothing lost
//	the last mark                             commands came after it      the length of the append-only
//	                                                                      file, then their keys
//	an earlier mark                           the next one                lost, from that one on at
//	                                                                      the latest
//	no mark                                   there is one                lost: it is empty, older
//	                                                                      than the mark, or another
//	a mark of a branch that left our history                              lost, from there on
//	no mark                                   a flush of all took it      the commands since then
//	                                                                      are compared
//	no mark                                   it was removed otherwise    lost if it is empty; else
//	                                                                      in question
//	the mark may not be read, or was never                                lost if it is empty; else
//	written                                                               in question
//
// An empty server lost its data, unless the commands since its keys were counted may have removed
// all of them: a flush of another database is no explanation.
//
// An append-only file of the right length (aoflength.go) proves that nothing is lost, whatever came
// after the last mark. If the length is unknown, the comparison of keys (compare.go) does, if all
// of them agree. A key that differs proves a loss only if no client has written since the server
// was started; otherwise that stays in question, within the time between two marks.

// ruling is a verdict and its bounds.
type ruling struct {
	verdict journal.Verdict
	from    int64 // start of the possible loss
	least   int64 // bounds the certain loss; the end of the history: no loss is certain
	why     string
	keys    int64 // lost keys, if the commands do not give them; 0: they do
	hold    bool
	whole   bool // the whole data set is concerned, not only the timeline's range
	// untouched: no client had written since the server was started; bare: it had no key.
	untouched, bare bool
	early           []string // see journal.Incident
}

// judged is the last ruling. Where the snapshot that follows it fails, the next attempt finds a
// server that clients have written to meanwhile; the first sighting counts.
type judged struct {
	of     journal.Position
	replID string
	*ruling
}

// judgeTimeout bounds a judgement: the server keeps the snapshot for us meanwhile.
const judgeTimeout = 20 * time.Second

// judge rules on the current history, for a full resync with an unknown one. It is nil if place
// knows better.
func (t *Tap) judge(ctx context.Context, l *link) (*ruling, error) {
	cur, ok := t.opts.Journal.Current()
	if !ok {
		return nil, nil
	}
	of := journal.Position{Timeline: cur.ID, Offset: cur.End}
	if t.judged.of == of && t.judged.replID == l.answer.replID {
		return t.judged.ruling, nil
	}
	r, err := t.judgeNow(ctx, l, cur)
	if err == nil {
		t.judged = judged{of, l.answer.replID, r}
	}
	return r, err
}

func (t *Tap) judgeNow(ctx context.Context, l *link, cur journal.Timeline) (*ruling, error) {
	err := t.opts.Journal.WaitDurable(ctx, journal.Position{Timeline: cur.ID, Offset: cur.End})
	if err != nil {
		return nil, err
	}
	view, err := t.opts.Journal.View()
	if err != nil {
		return nil, err
	}
	pl := place(view.Timelines(), l.answer.replID, l.answer.offset, l.primary)
	if pl.same || pl.start.Parent != 0 {
		return nil, nil
	}
	cur, _ = view.Current()
	bounded, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	e, err := t.lookAt(bounded)
	c := &court{view: view, cur: cur, evidence: e, unmarked: t.bytesRead.Load() == 0 && !view.Watched()}
	r := c.open(cur.Start, true, "the server could not be asked: %v", err)
	if err == nil {
		defer e.conn.Close()
		r, err = c.weigh(bounded)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && r == nil:
		r = c.open(cur.Start, true, "finding out took more than %v", judgeTimeout)
	case r == nil:
		return nil, err
	}
	return r, nil
}

// court is one judgement.
type court struct {
	view *journal.View
	cur  journal.Timeline
	*evidence
	// unmarked: the history was recorded by a version that did not mark servers, before this
	// process.
	unmarked bool
}

func (c *court) nothing(format string, a ...any) *ruling {
	return &ruling{verdict: journal.NothingLost, from: c.cur.End, least: c.cur.End,
		why: fmt.Sprintf(format, a...)}
}

func (c *court) lost(from, least int64, format string, a ...any) *ruling {
	return &ruling{verdict: journal.Lost, from: from, least: least, hold: true,
		why: fmt.Sprintf(format, a...), untouched: c.untouched, bare: c.keyTotal() == 0, early: c.early}
}

func (c *court) open(from int64, hold bool, format string, a ...any) *ruling {
	r := &ruling{verdict: journal.InQuestion, from: from, least: c.cur.End, hold: hold,
		why: fmt.Sprintf(format, a...)}
	if c.evidence != nil {
		r.untouched, r.bare, r.early = c.untouched, c.keyTotal() == 0, c.early
	}
	return r
}
