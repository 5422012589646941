package tap

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/seldom"
)

// Tap attaches a journal to a primary.
//
// One connection is one attempt:
//
//  1. Ask to continue: PSYNC with the current timeline's id and the byte after its end.
//  2. +CONTINUE: go on; with a new id, on a new timeline that is the old one's child.
//  3. +FULLRESYNC: stream the snapshot to disk, then record the new history (history.go).
//  4. Read the stream into the journal, which takes it without waiting for the disk as long as its
//     bounded memory lasts. Beyond that the tap stops reading, and the primary's output buffer
//     limit decides.
//  5. Meanwhile another goroutine acknowledges the durable end (ack.go), and
//     a third one takes fresh bases over connections of their own (base.go).
//
// Invariants:
//
//   - Every acknowledged byte is durable, and a durable base leads to it. After a full resync that
//     holds once its snapshot is verified and synced, which happens while the stream already arrives;
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
	opts  Options
	log   *slog.Logger
	again seldom.Log

	// Any goroutine.
	covered   atomic.Uint32 // the timeline to whose end a durable base leads; 0: none; see coverage
	attached  atomic.Bool   // the stream flows
	bytesRead atomic.Int64
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

	judged judged // Run's goroutine's own

	// Under mu.
	mu         sync.Mutex
	primary    string // address
	redirect   func() // ends the present connection; nil without one
	committing int    // bases that are being made durable
	lastBase   journal.Base
	loaded     loadedSeen
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

// Confirmed is the end of the restorable stream: everything below it is durable and a base leads to
// it. It is the zero Position until that is so. It takes no lock.
func (t *Tap) Confirmed() journal.Position {
	// Checked on both sides, so that a position of one history never meets the cover of another.
	covered := t.covered.Load()
	p := t.opts.Journal.Durable()
	if covered != uint32(p.Timeline) || covered != t.covered.Load() {
		return journal.Position{}
	}
	return p
}

// ConfirmedIn is Confirmed by the history's replication id, as INFO of the primary shows it: the
// journal holds and can restore everything of that history below offset. "" confirms nothing. It
// takes no lock.
func (t *Tap) ConfirmedIn() (replID string, offset int64) {
	covered := t.covered.Load()
	tl, replID, offset := t.opts.Journal.DurableIn()
	if covered != uint32(tl) || covered != t.covered.Load() {
		return "", 0
	}
	return replID, offset
}

// Attached reports whether the stream flows. It takes no lock.
func (t *Tap) Attached() bool { return t.attached.Load() }

// Covered reports whether a durable base leads to the present: without one Confirmed stands still.
// It takes no lock.
func (t *Tap) Covered() bool {
	return t.covered.Load() != 0 && t.covered.Load() == uint32(t.opts.Journal.Durable().Timeline)
}

// cover records which timeline a base leads to. The caller holds coverage.
func (t *Tap) cover(id journal.TimelineID) {
	if t.covered.Swap(uint32(id)) != uint32(id) {
		t.opts.OnChange()
	}
}

// enter notes the tap's present step.
func (t *Tap) enter(state State) {
	t.stats.enter(state)
	if streams := state == Streaming; t.attached.Swap(streams) != streams {
		t.opts.OnChange()
	}
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

// Endpoint is the primary that the tap is attached to, or tries to be, and its credentials there.
func (t *Tap) Endpoint() wire.Endpoint {
	return wire.Endpoint{Address: t.address(), Username: t.opts.Username, Password: t.opts.Password,
		Name: t.opts.Name, Dial: t.opts.Dial, Serve: t.opts.Serve}
}

func (t *Tap) address() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.primary
}

// poke puts a token into a channel that has room for one, unless it is full.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
