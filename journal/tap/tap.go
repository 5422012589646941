package tap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal"
)

// Tap attaches a journal to a primary.
//
// One connection is one attempt:
//
//  1. Ask to continue: PSYNC with the current timeline's id and the byte after its end.
//  2. +CONTINUE: go on; with a new id, on a new timeline that is the old one's child.
//  3. +FULLRESYNC: stream the snapshot to disk, then record what it means (history.go).
//  4. Read the stream into the journal, which takes it without waiting for the disk as long as its
//     bounded memory lasts. Beyond that the tap stops reading, and the primary's output buffer
//     limit decides.
//  5. Meanwhile another goroutine acknowledges whatever the journal has made durable (ack.go), and
//     a third one takes fresh bases over connections of their own (base.go).
//
// Invariants:
//
//   - What is acknowledged is durable, and a durable base leads to it. After a full resync that is
//     so once its snapshot is verified and synced, which happens while the stream already arrives;
//     until then the tap acknowledges offset 0, which is enough for the primary to start it.
//   - Nothing is recorded of a full resync before its snapshot has arrived whole: a primary that
//     dies in the middle of it leaves no trace.
//   - A crash between the timeline and its base leaves a stream that no base leads to. It shows at
//     the next start (no base for the current end), and a fresh base is taken at once.
//
// Rejected: parsing the stream on the way. The tap looks for one thing only, the primary's request
// for an acknowledgement, by searching for its bytes; finding them inside of a value costs an
// acknowledgement more, nothing else.
type Tap struct {
	opts Options
	log  *slog.Logger

	// Any goroutine.
	covered   atomic.Bool // a durable base leads to the current timeline's end; see coverage
	bytesRead atomic.Int64
	acks      atomic.Int64
	lastByte  atomic.Int64 // nanoseconds since 1970
	stats     statsBox
	snapshots chan snapshotRequest
	hurryTill atomic.Int64  // nanoseconds since 1970
	hurried   chan struct{} // has room for one: ends a pause
	moved     chan struct{} // has room for one: ends the wait before the next attempt
	recheck   chan struct{} // has room for one: the base goroutine looks whether one is due
	work      sync.WaitGroup

	// Immutable once Run has begun.
	life context.Context // Run's: for work that outlives a connection

	// coverage is held while covered is being worked out, and while the current timeline changes,
	// so that a base of the old one does not cover the new one.
	coverage sync.Mutex

	// Under mu.
	mu         sync.Mutex
	primary    string // address
	redirect   func() // ends the present connection; nil without one
	committing int    // bases that are being made durable
	lastBase   journal.Base
	reported   string // the last error that was logged
}

// New prepares a tap; Run attaches it.
func New(o Options) (*Tap, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &Tap{opts: o, log: o.Logger, primary: o.Address, snapshots: make(chan snapshotRequest),
		recheck: make(chan struct{}, 1), moved: make(chan struct{}, 1), hurried: make(chan struct{}, 1)}
	t.stats.s = Stats{State: Connecting, Since: time.Now()}
	return t, nil
}

// Confirmed is what the journal holds and can restore: everything below it is durable and a base
// leads to it. It is the zero Position until that is so. It takes no lock.
func (t *Tap) Confirmed() journal.Position {
	if !t.covered.Load() {
		return journal.Position{}
	}
	return t.opts.Journal.Durable()
}

// Attached reports whether the stream flows.
func (t *Tap) Attached() bool {
	t.stats.mu.Lock()
	defer t.stats.mu.Unlock()
	return t.stats.s.State == Streaming
}

// Redirect names another primary and leaves the present one at once.
func (t *Tap) Redirect(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.primary = address
	if t.redirect != nil {
		t.redirect()
	}
	poke(t.moved)
}

func (t *Tap) address() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.primary
}

// Run keeps the journal attached until the context ends, which is no error, or the journal fails.
func (t *Tap) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer t.stats.enter(Stopped)
	t.life = ctx
	if err := t.lookBack(); err != nil {
		cancel()
		return err
	}
	t.work.Go(func() { t.keepBases(ctx) })
	defer t.work.Wait()
	defer cancel()
	return t.stayAttached(ctx)
}

// lookBack finds out what the journal has.
func (t *Tap) lookBack() error {
	if err := t.refreshCovered(); err != nil {
		return err
	}
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	cur, ok := view.Current()
	if !ok || !t.covered.Load() {
		return nil
	}
	t.lastBase, err = view.BaseFor(cur.ID, cur.End)
	return err
}

// stayAttached makes one connection after another.
func (t *Tap) stayAttached(ctx context.Context) error {
	pause := t.opts.BackoffMin
	for {
		began := time.Now()
		err := t.attempt(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if jerr := t.opts.Journal.Err(); jerr != nil {
			return jerr
		}
		if errors.Is(err, journal.ErrClosed) {
			return err
		}
		t.stats.update(func(s *Stats) { s.LastErr = err })
		t.stats.enter(Connecting)
		t.report(err)
		if time.Since(began) > t.opts.BackoffMax || errors.Is(err, errRedirected) {
			pause = t.opts.BackoffMin
		}
		if !t.backOff(ctx, pause/2+rand.N(pause/2+1)) {
			return nil
		}
		pause = min(2*pause, t.opts.BackoffMax)
	}
}

// backOff waits before the next attempt, unless another primary is named; false means that the
// context ended.
func (t *Tap) backOff(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.moved:
	case <-timer.C:
	}
	return true
}

// report logs why the tap is not attached, once until that changes.
func (t *Tap) report(err error) {
	t.mu.Lock()
	again := t.reported == err.Error()
	t.reported = err.Error()
	t.mu.Unlock()
	if !again {
		t.log.Warn("journal: not attached", "primary", t.address(), "error", err)
	}
}

// refreshCovered works out whether a base leads to the end of the current timeline.
func (t *Tap) refreshCovered() error {
	t.coverage.Lock()
	defer t.coverage.Unlock()
	view, err := t.opts.Journal.View()
	if err != nil {
		return err
	}
	cur, ok := view.Current()
	if !ok {
		return nil
	}
	_, err = view.BaseFor(cur.ID, cur.End)
	t.covered.Store(err == nil)
	if errors.Is(err, journal.ErrNoBase) || errors.Is(err, journal.ErrGap) {
		return nil
	}
	return err
}

// attempt is one connection from its beginning to its end, which always has a reason.
func (t *Tap) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.mu.Lock()
	t.redirect = func() { cancel(errRedirected) }
	t.mu.Unlock()
	t.stats.update(func(s *Stats) { s.Connects++ })
	err := t.connection(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (t *Tap) connection(ctx context.Context) error {
	replID, offset := "?", int64(-1)
	cur, ok := t.opts.Journal.Current()
	if ok {
		replID, offset = cur.ReplID, cur.End+1
	}
	l, err := t.connect(ctx, replID, offset)
	if err != nil {
		return err
	}
	defer l.close()
	t.noteBacklog(l.primary)
	if l.answer.full {
		return t.fullResync(ctx, l)
	}
	if !ok {
		return fmt.Errorf("%w: +CONTINUE where nothing was there to continue", ErrHandshake)
	}
	t.stats.update(func(s *Stats) { s.Continues++ })
	if id := l.answer.replID; id != "" && id != cur.ReplID {
		cur, err = t.opts.Journal.StartTimeline(ctx, journal.TimelineStart{ReplID: id,
			Start: cur.End, Parent: cur.ID, Fork: cur.End,
			Why: "the primary continues under a new replication id"})
		if err != nil {
			return err
		}
	}
	t.log.Info("journal: continued", "primary", t.address(), "timeline", cur.ID,
		"replid", cur.ReplID, "offset", cur.End)
	return t.stream(ctx, l, cur, cur.End)
}

// fullResync receives the snapshot, records what it means, and goes on with the stream while the
// snapshot is being made durable, which a broken connection does not end.
func (t *Tap) fullResync(ctx context.Context, l *link) error {
	began := time.Now()
	t.stats.enter(Syncing)
	t.stats.update(func(s *Stats) { s.FullResyncs++ })
	t.log.Info("journal: full resync", "primary", t.address(), "replid", l.answer.replID,
		"offset", l.answer.offset)
	w, db, err := t.receiveBase(l)
	if err != nil {
		return err
	}
	tl, err := t.turn(ctx, l)
	if err != nil {
		w.Abort()
		return err
	}
	info := journal.BaseInfo{Timeline: tl.ID, Offset: l.answer.offset, DB: db, Time: began}
	t.addCommitting(1)
	t.work.Go(func() {
		// On failure nothing covers the timeline, and the base goroutine takes another base.
		if _, err := t.commitBase(t.life, w, info); err != nil && t.life.Err() == nil {
			t.log.Warn("journal: the snapshot cannot be kept", "error", err)
		}
		t.addCommitting(-1)
	})
	return t.stream(ctx, l, tl, l.answer.offset)
}

// turn records what a full resync means. From here on nothing is covered.
func (t *Tap) turn(ctx context.Context, l *link) (journal.Timeline, error) {
	t.coverage.Lock()
	defer t.coverage.Unlock()
	view, err := t.opts.Journal.View()
	if err != nil {
		return journal.Timeline{}, err
	}
	t.covered.Store(false)
	timelines := view.Timelines()
	if cur, ok := t.opts.Journal.Current(); ok {
		timelines[len(timelines)-1] = cur // which counts what is not durable yet
	}
	return t.carryOut(ctx, place(timelines, l.answer.replID, l.answer.offset, l.primary))
}

// streamBuffer is how much of the stream is read at once.
const streamBuffer = 256 << 10

// getAck is in every REPLCONF GETACK * that a primary sends.
var getAck = []byte("\r\nREPLCONF\r\n$6\r\nGETACK\r\n")

// stream reads the replication stream into the journal until the connection ends.
func (t *Tap) stream(ctx context.Context, l *link, tl journal.Timeline, offset int64) error {
	t.stats.update(func(s *Stats) { s.ReplID, s.LastErr = tl.ReplID, nil })
	t.stats.enter(Streaming)
	t.mu.Lock()
	t.reported = ""
	t.mu.Unlock()
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
	in := &patientReader{conn: l.Conn, timeout: t.opts.Timeout}
	buf := make([]byte, streamBuffer)
	tail := 0 // bytes at the start of buf that were in the journal before: half a GETACK, perhaps
	for {
		n, err := in.Read(buf[tail:])
		if n > 0 {
			t.lastByte.Store(time.Now().UnixNano())
			jerr := t.opts.Journal.Append(ctx, tl.ID, offset, buf[tail:tail+n])
			if jerr != nil {
				return jerr
			}
			offset += int64(n)
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
		if n < streamBuffer/2 && !t.linger(ctx) {
			return ctx.Err()
		}
	}
}

// poke puts a token into a channel that has room for one, unless it is there already.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
