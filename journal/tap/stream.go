package tap

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/journal"
)

// connection runs one connection: PSYNC, and the consequence of its answer.
func (t *Tap) connection(ctx context.Context) error {
	cur, ok := t.opts.Journal.Current()
	var words serverLog
	if t.failing() { // the next one may fail before its answer arrives
		words = t.openLog(ctx)
	}
	l, err := t.connect(ctx, func(p *primaryInfo) psync { return psyncFor(cur, ok, p) })
	if err != nil {
		return err
	}
	defer l.close()
	t.noteBacklog(l.primary)
	if l.answer.full {
		return t.fullResync(ctx, l, words)
	}
	if !ok {
		return fmt.Errorf("%w: +CONTINUE where nothing was there to continue", ErrHandshake)
	}
	t.stats.update(func(s *Stats) { s.Continues++ })
	if l.forked {
		return t.followFork(ctx, l)
	}
	if id := l.answer.replID; id != "" && id != cur.ReplID {
		if cur, err = t.rename(ctx, cur, id); err != nil {
			return err
		}
	}
	t.log.Info("journal: continued", "primary", t.address(), "timeline", cur.ID,
		"replid", cur.ReplID, "offset", cur.End)
	return t.stream(ctx, l, cur, cur.End)
}

// followFork follows a history that parts from the journal's before the journal's end, from there on. A base
// before that place leads to it.
func (t *Tap) followFork(ctx context.Context, l *link) error {
	if id := l.answer.replID; id != "" && id != l.primary.replID {
		return fmt.Errorf("%w: +CONTINUE %s, and INFO said %s", ErrHandshake, id, l.primary.replID)
	}
	l.answer = answer{replID: l.primary.replID, offset: l.primary.secondEnd}
	l.trash = t.readLedger(ctx)
	tl, err := t.turn(ctx, l, nil)
	if err == nil {
		err = t.refreshCovered()
	}
	if err != nil {
		return err
	}
	return t.stream(ctx, l, tl, l.answer.offset)
}

// rename goes on under a new replication id: the base that covered the old timeline covers the new
// one.
func (t *Tap) rename(ctx context.Context, cur journal.Timeline, id string) (
	journal.Timeline, error,
) {
	t.coverage.Lock()
	defer t.coverage.Unlock()
	tl, err := t.opts.Journal.StartTimeline(ctx, journal.TimelineStart{ReplID: id,
		Start: cur.End, Parent: cur.ID, Fork: cur.End, Server: t.opts.Address,
		Why: "the primary continues under a new replication id"})
	if err == nil {
		err = t.refreshCoveredLocked()
	}
	if err == nil {
		err = t.closeRecovered(ctx)
	}
	return tl, err
}

// fullResync receives the snapshot, records the new history, and goes on with the stream while the
// snapshot is being made durable, which a broken connection does not end.
func (t *Tap) fullResync(ctx context.Context, l *link, words serverLog) error {
	began := time.Now()
	t.enter(Syncing)
	t.stats.update(func(s *Stats) { s.FullResyncs++ })
	t.log.Info("journal: full resync", "primary", t.address(), "replid", l.answer.replID,
		"offset", l.answer.offset)
	if words.path == "" {
		words = t.openLog(ctx)
	}
	l.trash = t.readLedger(ctx)
	t.askAgain(ctx, l)
	if err := t.behind(l); err != nil {
		return err
	}
	r, err := t.judge(ctx, l)
	if err != nil {
		return err
	}
	w, db, err := t.receiveBase(l)
	if err != nil {
		err = words.explain(err)
		t.noteBase(ctx, err)
		return &snapshotFailed{err}
	}
	tl, err := t.turn(ctx, l, r)
	if err != nil {
		w.Abort()
		return err
	}
	info := journal.BaseInfo{Timeline: tl.ID, Offset: l.answer.offset, DB: db, Time: began}
	t.addCommitting(1)
	t.work.Go(func() {
		// On failure nothing covers the timeline, and the base goroutine takes another base.
		_, err := t.commitBase(t.life, w, info)
		t.noteBase(t.life, err)
		if err != nil && t.life.Err() == nil {
			t.again.Tell(t.log, slog.LevelWarn, "journal: the snapshot cannot be kept", err)
		}
		t.addCommitting(-1)
	})
	return t.stream(ctx, l, tl, l.answer.offset)
}

// behind is an ErrBehind if the server is a replica whose primary's history left the journal's at a
// place that the replica has yet to reach. A snapshot of it would look like a loss of the writes up to
// there, which it is about to receive.
func (t *Tap) behind(l *link) error {
	cur, ok := t.opts.Journal.Current()
	p := &l.primary
	if !ok || !p.known || p.replID != l.answer.replID || p.replID2 != cur.ReplID {
		return nil
	}
	if shared := min(p.secondEnd, cur.End); l.answer.offset < shared {
		return fmt.Errorf("%w: it is at offset %d, and the histories part at %d", ErrBehind, l.answer.offset, shared)
	}
	return nil
}

// turn records a full resync. From here on nothing is covered. r is judge's ruling.
func (t *Tap) turn(ctx context.Context, l *link, r *ruling) (journal.Timeline, error) {
	t.coverage.Lock()
	defer t.coverage.Unlock()
	view, err := t.opts.Journal.View()
	if err != nil {
		return journal.Timeline{}, err
	}
	t.cover(0)
	timelines := view.Timelines()
	if cur, ok := t.opts.Journal.Current(); ok {
		timelines[len(timelines)-1] = cur // which counts bytes that are not durable yet
	}
	pl := place(timelines, l.answer.replID, l.answer.offset, l.primary)
	pl.trash = l.trash
	return t.carryOut(ctx, pl, r)
}

// streamBuffer is the size of one read of the stream.
const streamBuffer = 256 << 10

// getAck is in every REPLCONF GETACK * that a primary sends.
var getAck = []byte("\r\nREPLCONF\r\n$6\r\nGETACK\r\n")

// stream reads the replication stream into the journal until the connection ends.
func (t *Tap) stream(ctx context.Context, l *link, tl journal.Timeline, offset int64) error {
	t.stats.update(func(s *Stats) { s.ReplID, s.LastErr = tl.ReplID, nil })
	t.enter(Streaming)
	t.again.Forget(notAttached)
	poke(t.recheck)
	a := newAcker(t, l, tl.ID)
	acks, cancel := context.WithCancel(ctx)
	var acking sync.WaitGroup
	acking.Go(func() {
		if a.run(acks) != nil {
			l.Conn.Close() // which ends the reading below with a reason of its own
		}
	})
	defer acking.Wait()
	defer cancel()
	socket := newLowWater(l.Conn.Conn)
	in := &patientReader{conn: l.Conn, timeout: t.opts.Timeout}
	pace := &pacing{most: t.opts.Pace, now: t.opts.Pace}
	buf := make([]byte, streamBuffer)
	tail := 0 // bytes at the start of buf that are in the journal already: half a GETACK, perhaps
	for {
		n, err := in.Read(buf[tail:])
		if n > 0 {
			t.lastByte.Store(time.Now().UnixNano())
			jerr := t.opts.Journal.Append(ctx, tl.ID, offset, buf[tail:tail+n])
			if jerr != nil {
				return jerr
			}
			offset += int64(n)
			pace.bytes += n
			t.bytesRead.Add(int64(n))
			a.flowing.Store(true)
			if bytes.Contains(buf[:tail+n], getAck) {
				poke(a.asked)
				t.Hurry()
			}
			tail = copy(buf, buf[max(0, tail+n-len(getAck)+1):tail+n])
		}
		if err != nil {
			return err
		}
		if n < streamBuffer/2 && !t.linger(ctx, socket, pace) {
			return ctx.Err()
		}
	}
}
