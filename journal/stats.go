package journal

import (
	"slices"
	"time"
)

// State is a journal's health.
type State string

// The states, from good to bad.
const (
	StateOK     State = "ok"
	StateWarn   State = "warn"   // the disk is fuller than Disk.Warn
	StateFull   State = "full"   // acknowledgements wait for room
	StateFailed State = "failed" // see Err
)

// Stats is a look at a journal.
type Stats struct {
	State    State
	Received Position
	Durable  Position
	Pending  int64 // appended bytes that are not durable, with their framing

	Batches      uint64 // that became durable
	StreamBytes  int64  // likewise
	Fsyncs       uint64
	FsyncTotal   time.Duration
	FsyncLast    time.Duration
	FsyncMax     time.Duration
	FsyncCounts  [NumFsyncCounts]uint64 // by FsyncBounds; the last one counts the rest
	DiskErrors   uint64                 // failed writes and fsyncs, even if the retry succeeded
	FirstError   error                  // the first of them
	Err          error                  // why the journal has failed
	Segments     int
	SegmentBytes int64
	Bases        int
	BaseBytes    int64
	Over         int64 // bytes above Retention.Bytes that lead from the newest base to the present
	Timelines    int
	Gaps         int
	Incidents    int       // lost tails
	Replaced     int       // histories that were replaced, with or without a loss
	Verdicts     Judged    // incidents by verdict
	Oldest       time.Time // the oldest moment that retention still keeps a base for; zero: none

	DiskPercent float64       // used, of the file system; 0: unknown
	DiskFree    int64         // bytes
	WriteRate   float64       // bytes of stream a second, over about a minute
	TimeToFull  time.Duration // to Disk.Stop at that rate; 0: unknown or never
}

// NumFsyncCounts is one more than there are FsyncBounds.
const NumFsyncCounts = 16

// FsyncBounds are the upper ends, inclusive, of the classes of Stats.FsyncCounts.
var FsyncBounds = [NumFsyncCounts - 1]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
	500 * time.Millisecond, time.Second, 5 * time.Second,
}

// counters are Stats' own part of the Journal, guarded by its mutex.
type counters struct {
	batches     uint64
	streamBytes int64
	fsyncs      uint64
	fsyncTotal  time.Duration
	fsyncLast   time.Duration
	fsyncMax    time.Duration
	fsyncCounts [NumFsyncCounts]uint64
	diskErrors  uint64
}

func (j *Journal) noteFsync(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.fsyncs++
	j.stats.fsyncTotal += d
	j.stats.fsyncLast = d
	j.stats.fsyncMax = max(j.stats.fsyncMax, d)
	at, _ := slices.BinarySearch(FsyncBounds[:], d)
	j.stats.fsyncCounts[at]++
	j.gather.synced(d, time.Now())
}

// Stats looks at the journal. It takes the mutex for a moment; event loops use Durable instead.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{
		State:       j.stateLocked(),
		Received:    j.Received(),
		Durable:     j.Durable(),
		Pending:     j.pending,
		Batches:     j.stats.batches,
		StreamBytes: j.stats.streamBytes,
		Fsyncs:      j.stats.fsyncs,
		FsyncTotal:  j.stats.fsyncTotal,
		FsyncLast:   j.stats.fsyncLast,
		FsyncMax:    j.stats.fsyncMax,
		FsyncCounts: j.stats.fsyncCounts,
		DiskErrors:  j.stats.diskErrors,
		FirstError:  j.firstErr,
		Err:         j.err,
		Segments:    len(j.segments),
		Bases:       len(j.catalog.bases),
		Timelines:   len(j.catalog.timelines),
		Gaps:        len(j.catalog.gaps),
		Over:        j.over.bytes,
		DiskPercent: j.disk.percent,
		DiskFree:    j.disk.free,
		WriteRate:   j.disk.rate,
		TimeToFull:  j.disk.timeToFull,
	}
	for _, i := range j.catalog.incidents {
		s.count(&i)
	}
	for _, seg := range j.segments {
		s.SegmentBytes += seg.Bytes
	}
	for _, b := range j.catalog.bases {
		s.BaseBytes += b.Size
		if !b.Missing && (s.Oldest.IsZero() || b.Time.Before(s.Oldest)) {
			s.Oldest = b.Time
		}
	}
	return s
}

// State is the journal's health. It never blocks.
func (j *Journal) State() State { return *j.state.Load() }

// noteState reports a change of the state that stateLocked derives.
func (j *Journal) noteState() {
	j.mu.Lock()
	now := j.stateLocked()
	changed := *j.state.Load() != now
	if changed {
		j.state.Store(&now)
	}
	j.mu.Unlock()
	if changed {
		j.opts.OnState()
	}
}

func (j *Journal) stateLocked() State {
	switch {
	case j.err != nil:
		return StateFailed
	case j.disk.full || j.disk.stopped:
		return StateFull
	case j.disk.warned:
		return StateWarn
	}
	return StateOK
}
