package journal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/journal/segment"
	"holdfast/journal/seldom"
	"holdfast/journal/vfs"
)

// Journal is a folder that is open for appending. The path of a byte:
//
//  1. Append copies it into the block that is being filled, under the mutex, and returns.
//  2. The writer goroutine takes all blocks that have come together while the last fsync ran, up
//     to batchBlocks: group commit without a timer.
//  3. It fills in places and checksums, writes, ends the batch with a Commit frame and fsyncs.
//  4. It enters the batch into the catalog, moves the durable position, recycles the blocks, wakes
//     the waiters and calls the subscribers.
//
// Invariants:
//   - Everything below Durable survives a power cut. It moves only after an fsync that succeeded.
//   - The bytes of a batch stay in memory until it is durable. If a write or fsync fails, they are
//     written again into a new segment; the old file is never written or synced again, for the
//     system may have marked its pages clean. Its header says where the good part of the old one
//     ends. If that fails too, the journal has failed: every waiter gets the error, and only Open
//     clears it. A full disk is no failure: the writer waits for room.
//   - A segment has its name only once its header and the catalog in it are durable. So a segment
//     file is never empty or half begun.
//   - Open never appends to an existing segment: it seals the last one and begins a new one.
//
// A design that was rejected: Append writes, and the first caller syncs for the rest. It saves a
// switch of goroutines, and puts the disk into the goroutine that reads the primary's socket.
type Journal struct {
	opts  Options
	again seldom.Log
	lock  io.Closer
	id    [16]byte

	// Lock-free. A counter belongs to one timeline; both pointers move to the next one when it
	// begins, durable after received.
	received atomic.Pointer[counter]
	durable  atomic.Pointer[counter]
	subs     atomic.Pointer[[]*subscriber]
	state    atomic.Pointer[State]
	held     atomic.Pointer[Incident]

	retaining sync.Mutex // held for a whole Retain, including its disk work

	mu       sync.Mutex
	work     *sync.Cond       // the queue grew, or closing, or failed
	queue    []*segment.Block // full, in order
	filling  *segment.Block   // takes the next bytes; nil: none
	free     []*segment.Block
	pending  int64         // bytes in queue, filling and the batch that is being written
	appended uint64        // frames, ever
	written  uint64        // of them durable
	progress chan struct{} // closed after a batch if anyone waits; else nil
	nextID   TimelineID
	catalog  *catalog  // of the durable frames
	segments []Segment // likewise; the last is the writer's
	err      error     // why the journal has failed
	firstErr error     // the first write or fsync error, even if the retry succeeded
	closing  bool
	disk     diskState
	over     over
	stats    counters
	spare    string // name of a file of zeros; "": none
	spares   int    // number made so far
	baseSeq  int    // number of snapshots begun so far

	watch watch // watch.go: a mutex of its own

	gather    gathering
	rateBytes int64 // stats.streamBytes at the last look

	failed  chan struct{}
	stop    chan struct{} // closed by Close
	stopped sync.WaitGroup

	// The writer goroutine's own.
	out        *segment.Writer
	batch      []*segment.Block
	batchBytes int64 // of the batch, without its Commit
}

// counter holds the positions of a timeline.
type counter struct {
	id       TimelineID
	replID   string
	received atomic.Int64
	durable  atomic.Int64
}

type subscriber struct{ call func(Position) }

const (
	// batchBlocks bounds what one fsync has to write: nearly 16 MiB, four to a segment of 64. In a
	// file that is only reserved, each fsync is one of the file system's own journal, too, so fewer
	// are faster. On a disk that cannot keep up a waiter waits for everything before it, whatever
	// the batches.
	batchBlocks = 63
	// freeBlocks bounds the memory that is kept for reuse: 16 MiB, while as much is being written.
	freeBlocks = batchBlocks
)

// Open opens the journal in a folder, or begins one, and recovers its last state:
//
//   - a clean end, or a torn batch that was never acknowledged: the torn part is copied to a
//     .broken file and cut off;
//   - bytes that were durable once and have changed: a *DamageError that says where, and nothing is
//     changed.
//
// ErrLocked means that another process has it open.
func Open(opts Options) (*Journal, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	if err := opts.FS.MkdirAll(opts.Dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	note := fmt.Sprintf("pid %d", os.Getpid())
	lock, err := opts.FS.Lock(filepath.Join(opts.Dir, lockName), note)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{opts: opts, lock: lock, failed: make(chan struct{}), stop: make(chan struct{})}
	j.work = sync.NewCond(&j.mu)
	j.state.Store(new(StateOK))
	if err := j.recover(); err != nil {
		_ = lock.Close() // the first error is the one that counts
		return nil, err
	}
	j.beginWatch()
	j.stopped.Add(3)
	go j.runWriter()
	go j.runKeeper()
	go j.runWatch()
	return j, nil
}

// Close makes all appended bytes durable, seals the segment and releases the folder. It returns the
// error that prevented that. Waiting calls of other methods end with ErrClosed.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return ErrClosed
	}
	j.closing = true
	close(j.stop)
	j.work.Broadcast()
	j.wakeLocked()
	j.mu.Unlock()

	j.stopped.Wait()
	err := j.finish()
	if e := j.lock.Close(); err == nil {
		err = e
	}
	return err
}

// finish seals the last segment after the writer goroutine has ended.
func (j *Journal) finish() error {
	j.mu.Lock()
	err, pending := j.err, j.pending
	j.mu.Unlock()
	if err == nil && pending > 0 {
		err = fmt.Errorf("%w: %d bytes are not durable", ErrClosed, pending)
	}
	if err == nil {
		err = j.sealOut()
	}
	if e := j.out.Close(); err == nil {
		err = e
	}
	if j.spare != "" {
		j.logged("remove the spare segment", j.fs().Remove(j.path(j.spare)))
	}
	return err
}

// Err returns the journal's failure, or nil.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Failed is closed when the journal fails.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Received is the end of the bytes appended to the current timeline. It never blocks.
func (j *Journal) Received() Position {
	c := j.received.Load()
	if c == nil {
		return Position{}
	}
	return Position{c.id, c.received.Load()}
}

// Durable is the end of the bytes that survive a power cut. It never blocks. When a timeline
// begins, it moves there once the beginning is durable, and so is everything before.
func (j *Journal) Durable() Position {
	c := j.durable.Load()
	if c == nil {
		return Position{}
	}
	return Position{c.id, c.durable.Load()}
}

// DurableIn is Durable with the timeline's replication id. It never blocks.
func (j *Journal) DurableIn() (id TimelineID, replID string, offset int64) {
	c := j.durable.Load()
	if c == nil {
		return 0, "", 0
	}
	return c.id, c.replID, c.durable.Load()
}

// Subscribe calls fn after each fsync with the new durable position, on the writer's goroutine: fn
// must not block, and may call only Durable and Received. After cancel has returned, fn is called
// at most once more.
func (j *Journal) Subscribe(fn func(Position)) (cancel func()) {
	s := &subscriber{fn}
	j.changeSubs(func(all []*subscriber) []*subscriber { return append(all, s) })
	return func() {
		j.changeSubs(func(all []*subscriber) []*subscriber {
			return slices.DeleteFunc(all, func(o *subscriber) bool { return o == s })
		})
	}
}

func (j *Journal) changeSubs(change func([]*subscriber) []*subscriber) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []*subscriber
	if old := j.subs.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = change(all)
	j.subs.Store(&all)
}

// Current is the timeline that appends go to, with its received range. It is false for a journal
// without a timeline.
func (j *Journal) Current() (Timeline, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, ok := j.catalog.current()
	if c := j.received.Load(); ok && c != nil && c.id == t.ID {
		t.End = c.received.Load()
	}
	return t, ok
}

// path is where a file of the folder is.
func (j *Journal) path(name string) string { return filepath.Join(j.opts.Dir, name) }

// fs is the journal's disk.
func (j *Journal) fs() vfs.FS { return j.opts.FS }
